"""When a run should end before the table does. Pure."""

from dataclasses import dataclass

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


def too_many(limit: MaxFailures | None, failed: int, settled: int, to_run: int) -> str | None:
    """Why the run should stop now, or None.

    `failed` and `settled` count the rows settled by this run, of `to_run`. Without a limit of the user's the
    breaker holds: the first 25 rows have all failed, and there are more.
    """
    if settled >= to_run:
        return None
    if limit is not None:
        if failed and limit.reached(failed, to_run):
            return f"{failed:,} rows have failed (--max-failures {limit})"
        return None
    if failed == settled and settled >= BREAKER_ROWS:
        return f"the first {settled} rows have all failed"
    return None
