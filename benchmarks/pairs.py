"""A B A B: batchrun and its peers in turn, so that a machine whose speed drifts hurts all alike.

A ratio is a peer's seconds divided by batchrun's of the same turn: above 1, batchrun is quicker.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.peers import NEEDS, is_installed
from benchmarks.programs import Failed

Timed = Callable[[], float]

NOT_INSTALLED = "not installed"
HEADER = "| work | beside | batchrun | ratio | min – max | aim |\n|---|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table. `trouble`: why there are no figures. `aim`: the ratio to reach, if one was set."""

    work: str
    beside: str
    aim: float | None
    ours: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    trouble: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the median ratio, if there is one, is what it should be."""
        return self.aim is None or not self.ratios or median(self.ratios) >= self.aim

    @property
    def is_whole(self) -> bool:
        """Whether everything ran that is installed."""
        return self.trouble in ("", NOT_INSTALLED)

    def __str__(self) -> str:
        aim = "" if self.aim is None else f"{self.aim:.2f}" + ("" if self.is_reached else " (missed)")
        ours = f"{median(self.ours):.2f} s" if self.ours else ""
        if not self.ratios:
            return f"| {self.work} | {self.beside} | {ours} | {self.trouble} | | {aim} |"
        span = f"{min(self.ratios):.2f} – {max(self.ratios):.2f}"
        return f"| {self.work} | {self.beside} | {ours} | {median(self.ratios):.2f} | {span} | {aim} |"


def compare(
    work: str, ours: Timed, others: Mapping[str, Timed], aims: Mapping[str, float], pairs: int
) -> Iterator[Comparison]:
    """Run `ours` and each of `others` in turn, `pairs` times. Each callable does the work and returns its seconds.

    One that raises `Failed` is not tried again, and its line says so.
    """
    there = {name: run for name, run in others.items() if name not in NEEDS or is_installed(name)}
    trouble = {name: NOT_INSTALLED for name in others if name not in there}
    our_seconds: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in others}
    try:
        for _ in range(pairs):
            our_seconds.append(ours())
            for name, run in there.items():
                if name not in trouble:
                    _turn(run, our_seconds[-1], ratios[name], trouble, name)
    except Failed as failure:
        trouble = dict.fromkeys(others, f"batchrun: {failure}")
        ratios = {name: [] for name in others}
    for name in others:
        yield Comparison(work, name, aims.get(name), our_seconds, ratios[name], trouble.get(name, ""))


def _turn(run: Timed, ours: float, ratios: list[float], trouble: dict[str, str], name: str) -> None:
    try:
        ratios.append(run() / ours)
    except Failed as failure:
        ratios.clear()
        trouble[name] = str(failure)
