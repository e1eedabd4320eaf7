"""When a run should end before the table does. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from batchrun.core.text import have

BREAKER_ROWS = 25
LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """`--max-failures`: a number of rows, or a share of the rows to run (`percent`)."""

    number: float
    percent: bool = False

    def reached(self, failed: int, to_run: int) -> bool:
        """Whether so many failed rows are too many."""
        if self.percent:
            return failed > self.number / 100 * to_run
        return failed >= max(1, self.number)

    def __str__(self) -> str:
        return f"{self.number:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, slots=True)
class Timeout:
    """`--timeout`: seconds for one attempt, or (`multiple`) so many times the running median."""

    number: float
    multiple: bool = False

    def limit(self, median: float | None) -> float | None:
        """Seconds for one attempt now. `median`: seconds, None while too few attempts have ended.

        A multiple is never less than a second: a machine that stutters must not end quick rows.
        """
        if not self.multiple:
            return self.number
        return None if median is None else max(LEAST_SECONDS, self.number * median)

    def __str__(self) -> str:
        return f"{self.number:g}{'x' if self.multiple else 's'}"


def has_been_edited(files: Sequence[str]) -> tuple[str, str]:
    """What to say, and what to do, where a worker has loaded other code than the run began with."""
    return (
        f"{', '.join(files)}: changed since the run began, and a new worker has loaded it; no row was run by it",
        "the same command goes on with the task as it is now; --on-change redo also runs anew what the old one did",
    )


class Counts(Protocol):
    """Rows settled by this run and those of them that failed; `first_…`: settled for the first time."""

    rows: int
    rows_failed: int
    first_rows: int
    first_failed: int


def too_many(limit: MaxFailures | None, counts: Counts, to_run: int) -> str | None:
    """Why a run of `to_run` rows should stop now, or None.

    Without a limit of the user's the breaker holds: the first 25 rows have all failed, and there are more.
    Rows that had failed before and were taken up again say nothing about the others: they don't count there.
    """
    if counts.rows >= to_run:
        return None
    if limit is not None:
        if counts.rows_failed and limit.reached(counts.rows_failed, to_run):
            return f"{have(counts.rows_failed, 'row')} failed (--max-failures {limit})"
        return None
    if counts.first_failed == counts.first_rows >= BREAKER_ROWS:
        return f"the first {counts.first_rows} rows have all failed"
    return None
