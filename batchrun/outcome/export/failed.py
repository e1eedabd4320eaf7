"""The failed rows of a table, as a table of their own: their cells as they were, then what went wrong."""

from collections.abc import Iterable, Iterator, Sequence

from batchrun.core.states import CRASHED, FAILED, STATE_NAMES, TIMED_OUT

from .columns import ERROR, ROW, STATUS, ResultColumns, free
from .formats import FORMATS
from .joined import AnyChunk, Outcome, Outcomes
from .json_value import json_of
from .value_kinds import INT, TEXT
from .view import Results, messages, some_of

KIND = "batchrun_kind"
_FAILED = {STATE_NAMES[status] for status in (FAILED, TIMED_OUT, CRASHED)}


class FailedRows(Results):
    """Only the rows that have failed, timed out or crashed."""

    def _beside(self, chunks: Iterable[AnyChunk]) -> Iterator[tuple[AnyChunk, Outcomes]]:
        """Chunks without all other rows."""
        for chunk, page in Results._beside(self, chunks):
            failed = [index for index, status in enumerate(page.statuses) if status in _FAILED]
            if failed:
                told = [self._told(outcome) for outcome in page if outcome.status in _FAILED]
                yield some_of(chunk, failed), Outcomes(*zip(*told, strict=True))

    def _told(self, outcome: Outcome) -> Outcome:
        return outcome


class FailedTable(FailedRows):
    """The same for formats with columns: the row's number and the error's kind stand in place of a result."""

    def columns(self, *, kinds: bool = False) -> ResultColumns:
        """Number and kind; failed rows have no results to look at."""
        used = set(self.table.columns)
        row, kind, *told = (free(name, used) for name in (ROW, KIND, STATUS, ERROR))
        return ResultColumns((row, kind), (ROW, KIND), (INT, TEXT), tuple(told), packed=False)

    def first_columns(self) -> ResultColumns:
        """The same: they are known without a look."""
        return self.columns()

    def told(self, page: Outcomes) -> tuple[Sequence[str | None], ...]:
        """State and error: there is no result that was found somehow."""
        return page.statuses, messages(page)

    def _told(self, outcome: Outcome) -> Outcome:
        kind = outcome.error and outcome.error["kind"]
        return outcome._replace(body=json_of({ROW: outcome.row, KIND: kind}))


def failed_view(format: str) -> type[FailedRows]:  # noqa: A002 - the option's name
    """What shows failed rows in a format: objects tell all of a row by themselves."""
    return FailedRows if FORMATS[format].objects else FailedTable
