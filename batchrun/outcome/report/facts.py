"""What is on the page, as plain data: no database behind it, no markup in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchrun.core.money import Tokens
from batchrun.outcome.failures import Group

from .findings import Findings
from .held_back import HeldBack
from .latency import Latency
from .timeline import Timeline


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. Times in seconds since 1970; `settled`: rows that still stand as it settled them.

    `ended`: for a run that died, when its last attempt did; `exit` and `attempts` are None then, and while it
    goes on. `busy`: whether anything is known that it did. `restraint`: see `HeldBack`.
    """

    number: int
    started: float
    ended: float
    exit: int | None
    goes_on: bool
    settled: int
    attempts: int | None
    busy: bool
    versions: Mapping[str, Any]
    options: Mapping[str, Any]
    spent: "Spent | None"
    restraint: Any = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, self.ended - self.started)


class Spent(NamedTuple):
    """Tokens, and what they cost if that is known."""

    tokens: Tokens
    cost: float | None


class Slow(NamedTuple):
    """A row that took long. `seconds`: its last attempt; `at`: when that ended, if it was kept."""

    row: int
    seconds: float
    status: str
    attempts: int
    at: float | None
    lane: int | None


@dataclass(frozen=True, slots=True)
class Course:
    """What happened in each bin of the timeline.

    `settled`: for each state, rows settled; `failed`: for each kind of error, attempts that failed;
    `in_flight`: the mean number of rows executing. `held_back`: refusals, limits and pauses.
    """

    timeline: Timeline
    settled: Mapping[str, list[int]]
    failed: Mapping[str, list[int]]
    in_flight: list[float]
    held_back: HeldBack


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the page. `counts`: rows of the table by state, `left` included.

    `timeless`: settled rows of which nobody knows when, because an old version settled them.
    """

    table: str
    task: str
    spec: str
    version: str
    made: float
    counts: Mapping[str, int]
    rows: int
    attempts: int
    timeless: int
    runs: tuple[Ran, ...]
    course: Course | None
    latency: Latency | None
    slowest: tuple[Slow, ...]
    groups: tuple[Group, ...]
    findings: Findings | None
    spent: Spent | None
