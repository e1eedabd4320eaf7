"""When a run should end before the table does. Pure."""

from collections.abc import Sequence
from typing import Protocol

from batchrun.core.limits import MaxFailures
from batchrun.core.text import have
from batchrun.engine.events import Stillborn
from batchrun.errors import TaskError

BREAKER_ROWS = 25
STILLBORN_LIMIT = 3


def has_been_edited(files: Sequence[str]) -> tuple[str, str]:
    """What to say, and what to do, where a worker has loaded other code than the run began with."""
    return (
        f"{', '.join(files)}: changed since the run began, and a new worker has loaded it; no row ran with it",
        "the same command resumes with the task as it is now; --on-change redo also runs again what the old one did",
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


def stillborn(event: Stillborn) -> TaskError:
    """Workers die before they have loaded the task, or do not come to the end of that."""
    if event.hung:
        where = f"; it was here:\n{event.tail}" if event.tail else ""
        return TaskError(
            f"{event.cause}{where}",
            "check what the module waits for while it is imported; if it needs that long, raise --timeout: loading may "
            "take ten times as long",
        )
    said = f"\nIts last lines:\n{event.tail}" if event.tail else ""
    return TaskError(
        f"a worker died {STILLBORN_LIMIT} times in a row while it loaded the task: {event.cause}{said}",
        "import the task's module by hand to see why",
    )
