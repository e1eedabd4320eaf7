"""When a run should end before the table does. Pure."""

from dataclasses import dataclass
from typing import Protocol

BREAKER_ROWS = 25


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
            return f"{counts.rows_failed:,} rows have failed (--max-failures {limit})"
        return None
    if counts.first_failed == counts.first_rows >= BREAKER_ROWS:
        return f"the first {counts.first_rows} rows have all failed"
    return None
