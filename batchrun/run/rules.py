"""What is asked of one run: its limits, and which rows it must keep apart."""

from collections.abc import Iterable
from dataclasses import dataclass

from batchrun.checkpoint import suspects
from batchrun.core.limits import MaxFailures, Timeout
from batchrun.options.settings import Settings

from .plan import Plan

PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of this run. `task`: number of its version.

    `alone`, `guilty`: fingerprints of rows that run by themselves, or not at all (see `suspects`). `patience`:
    seconds that rows in flight have left when the task aborts the run (None: all the time they need). `columns`: of
    the task's rows; `sources`: path and digest of each of its files. `spares_memory`: whether want of memory can keep
    rows from starting. `a_call`: how many rows a call may have.
    """

    timeout: Timeout | None
    max_failures: MaxFailures | None
    to_run: int
    task: int
    alone: frozenset[bytes] = frozenset()
    guilty: frozenset[bytes] = frozenset()
    patience: float | None = None
    columns: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    spares_memory: bool = False
    a_call: int = 1

    def limit(self, median: float | None) -> float | None:
        """Seconds for one attempt, if there is a limit. `median`: of what the rows took, each its share of a call."""
        return self.timeout.limit(median and median * self.a_call) if self.timeout else None

    def edited(self, loaded: Iterable[tuple[str, str]]) -> list[str]:
        """Which of the task's files a worker has loaded with other content than the run began with."""
        known = dict(self.sources)
        return [path for path, digest in loaded if known.get(path, digest) != digest]


def rules_for(
    settings: Settings,
    plan: Plan,
    known: suspects.Runs,
    *,
    task: int,
    columns: tuple[str, ...],
    sources: tuple[tuple[str, str], ...],
) -> Rules:
    """The rules of a run of this plan. `known`: what earlier deaths of runs tell; the others as in `Rules`."""
    return Rules(
        settings.timeout,
        settings.max_failures,
        plan.to_run,
        task,
        alone=suspects.to_run_alone(known),
        guilty=suspects.guilty(known, 1 + settings.retries),
        patience=PATIENCE_SECONDS if settings.prompt is not None else None,
        columns=columns,
        sources=sources,
        spares_memory=settings.min_free_memory is not None,
        a_call=settings.rows_a_call,
    )
