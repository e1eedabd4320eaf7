"""Parts of results: without the table's cells, and only some of the results' columns."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from batchrun.table.interface import Cells, Table

from .columns import ROW, WHOLE_NAME, free


class Pick(NamedTuple):
    """`results_only`: of the table's cells only those that name a row. `columns`: of the results; None: all."""

    results_only: bool = False
    columns: tuple[str, ...] | None = None

    def told(self) -> str:
        """In a word or two; empty for everything."""
        return f"{'results only ' * self.results_only}{list(self.columns) if self.columns is not None else ''}".strip()


EVERYTHING = Pick()


class Names:
    """A table of which only what names its rows is left: their numbers, if asked for, and the columns of their key."""

    def __init__(self, table: Table, key: Sequence[str], *, numbered: bool) -> None:
        self._table, self._key, self._numbered = table, tuple(key), numbered
        self.path, self.kind, self.missing, self.bad_rows = table.path, table.kind, table.missing, table.bad_rows
        self.columns = (free(ROW, set(key)), *key) if numbered else self._key

    def types(self, types: Sequence[str]) -> tuple[str, ...]:
        """Of the columns that are left. `types`: of all of the table's."""
        by_name = dict(zip(self._table.columns, types, strict=True))
        return (*["int"] * self._numbered, *(by_name[name] for name in self._key))

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        places = [self._table.columns.index(name) for name in self._key]
        first = 1
        for chunk in self._table.chunks(self._key):
            numbers = [(first + n,) if self._numbered else () for n in range(len(chunk))]
            yield [(*n, *(cells[place] for place in places)) for n, cells in zip(numbers, chunk, strict=True)]
            first += len(chunk)


def keeps(value: Any, columns: Sequence[str]) -> bool:
    """Whether anything is left of a result: one that is not an object is the column `result`."""
    return type(value) is dict or WHOLE_NAME in columns


def part_of(value: Any, columns: Sequence[str]) -> Any:
    """What is left of a result of which something is."""
    return {name: value[name] for name in columns if name in value} if type(value) is dict else value
