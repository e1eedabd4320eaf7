"""A table's results, as writers of results files and the DataFrame read them: in two passes, by pages."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from typing import Any

from batchrun.core.suggest import suggest
from batchrun.table.interface import Cells, Table

from .columns import MAX_COLUMNS, WHOLE, WHOLE_NAME, Key, ResultColumns, result_columns
from .joined import AnyChunk, Outcomes, bodies, pages
from .json_value import flat_columns, json_of, values_of
from .picked import keeps, part_of


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Results:
    """A table beside its checkpoint. `types`: of each of its columns, as its scan has settled them.

    `pulse` is called every few thousand rows; an exception that it raises ends the reading. `hasty`: a writer may
    look for columns in the first results only, if it raises `LateColumn` where a later one has others.
    `key`: the columns that name a row, if any do. `only`: the columns of the results that are wanted; None: all.
    Read all within one `snapshot`.
    """

    table: Table
    types: tuple[str, ...]
    db: sqlite3.Connection
    pulse: Callable[[], None] = _nothing
    hasty: bool = False
    key: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None

    def columns(self, *, kinds: bool = False) -> ResultColumns:
        """First pass: the columns of the results, and their kinds if asked for."""
        return result_columns(self._wanted(), self.table.columns, kinds=kinds, asked=self.only or ())

    def first_columns(self) -> ResultColumns:
        """The columns of the first results: nearly always all that there are."""
        return result_columns(islice(self._wanted(), 1), self.table.columns, asked=self.only or ())

    def doubts(self) -> list[str]:
        """A note on each wanted column that no result has. Results are read until all have been met."""
        absent = dict.fromkeys(self.only or ())
        met: dict[str, None] = {}
        for found in self._values() if absent else ():
            for value in found:
                met |= dict.fromkeys(value if type(value) is dict else (WHOLE_NAME,))
            absent = {name: None for name in absent if name not in met}
            if not absent or len(met) > MAX_COLUMNS:  # these are no columns that anybody knows by heart
                return []
        return [f"note: no result has {name!r}. {suggest(name, met, 'The results have')}" for name in absent if met]

    def pages(self) -> Iterator[tuple[list[Cells], Outcomes]]:
        """Second pass: raw cells of some rows, and what has become of them."""
        return self.beside(self.table.chunks())

    def cells(self, page: Outcomes, columns: ResultColumns) -> list[list[Any]]:
        """The results of a page, column by column. Raises `LateColumn` if the view is hasty."""
        if found := _flat_cells(page, columns.keys):
            return found
        whole = values(page)
        if self.hasty:
            columns.check(compress(whole, page.bodies))
        return columns.cells(whole)

    def told(self, page: Outcomes) -> tuple[Sequence[str | None], ...]:
        """The last columns of a page: what has become of its rows, and how their results were found."""
        return page.statuses, page.hows, messages(page)

    def beside(self, chunks: Iterable[AnyChunk]) -> Iterator[tuple[AnyChunk, Outcomes]]:
        """The second pass over the table's rows in another shape."""
        for chunk, page in self._beside(chunks):
            yield chunk, page if self.only is None else self._part(page, self.only)

    def _beside(self, chunks: Iterable[AnyChunk]) -> Iterator[tuple[AnyChunk, Outcomes]]:
        for page in pages(chunks, self.db):
            self.pulse()
            yield page

    def _part(self, page: Outcomes, only: tuple[str, ...]) -> Outcomes:
        found = zip(values(page), page.bodies, strict=True)
        parts = [json_of(part_of(value, only)) if body and keeps(value, only) else None for value, body in found]
        return replace(page, bodies=parts)

    def _wanted(self) -> Iterator[list[Any]]:
        for found in self._values():
            only = self.only
            yield found if only is None else [part_of(value, only) for value in found if keeps(value, only)]

    def _values(self) -> Iterator[list[Any]]:
        for rows, found in bodies(self.db):
            self.pulse()
            yield values_of(found, rows)


def _flat_cells(page: Outcomes, keys: Sequence[Key]) -> list[list[Any]] | None:
    """The same where all results are objects with these keys, as nearly everywhere."""
    known = [key for key in keys if key is not WHOLE]
    bodies = [body for body in page.bodies if body is not None]
    found = flat_columns(bodies, known) if known and len(known) == len(keys) else None
    if found is None or len(bodies) == len(page):
        return found
    spread = map(iter, found)
    return [[body and next(cells) for body in page.bodies] for cells in spread]


def values(page: Outcomes) -> list[Any]:
    """The results of a page; None for a row that has none."""
    return values_of([b"null" if body is None else body for body in page.bodies], page.rows)


def messages(page: Outcomes) -> list[str | None]:
    """The error messages of a page. None for skipped rows too: whoever filters by errors wants failures."""
    return [None if error is None else str(error["message"]) for error in page.errors]


def some_of(chunk: AnyChunk, indices: list[int]) -> AnyChunk:
    """These rows of a chunk, counted from 0, in this order."""
    if isinstance(chunk, list):
        return [chunk[index] for index in indices]  # type: ignore[return-value]
    return chunk.take(indices)  # type: ignore[attr-defined,no-any-return]  # a record batch
