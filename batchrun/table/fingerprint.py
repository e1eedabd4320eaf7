"""A row's identity: 128 bits over its canonical bytes.

The canonical bytes are two JSON arrays: the names of the columns that have a value, sorted, and the values.
A column that is null is left out, so an optional key of JSON Lines that first appears in row 900 leaves
the rows before it as they were. Text, booleans, integers of 64 bits and finite floats stand for themselves;
every other value becomes an array that starts with its type, lists included: so no two values look alike.

A number is one value, whether an integer or a float is what holds it: one missing value turns a column of integers into
one of floats, and its rows are the rows that they were. Names of the first form took 1 and 1.0 for two values;
checkpoints that have such names go on with them.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from math import copysign, isfinite
from typing import Any, TypeVar

from orjson import dumps
from xxhash import xxh3_64_digest, xxh3_128_digest

from .header import column_places
from .interface import Cells
from .options import FORM, ReadOptions, cells_at, present

Cut = Sequence[Sequence[str]]
"""Rows of text by columns, as a CSV table gives them."""

Identified = tuple[list[bytes], list[bytes] | None]
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = frozenset([str, int, bool])
_Chunk = TypeVar("_Chunk")


def identities(columns: Sequence[str], options: ReadOptions) -> Callable[[Sequence[Cells]], Identified]:
    """A function from full rows to their fingerprints (16 bytes each) and, with `--key`, their keys' ones.

    Neither depends on the order of the columns, nor on columns that are not part of a row's content. Names that
    the table does not have are taken as null.
    """
    return _identified(columns, options, _Chosen.of_rows)


def identities_by_column(columns: Sequence[str], options: ReadOptions) -> Callable[[Cut], Identified]:
    """The same for rows that come by columns."""
    return _identified(columns, options, _Chosen.of_columns)


def _identified(
    columns: Sequence[str], options: ReadOptions, digests: "Callable[[_Chosen, _Chunk], list[bytes]]"
) -> Callable[[_Chunk], Identified]:
    content = partial(digests, _chosen(columns, options.identity, options.form))
    if options.key is None:
        return lambda chunk: (content(chunk), None)
    keys = partial(digests, _chosen(columns, options.key, options.form))
    return lambda chunk: (content(chunk), keys(chunk))


CELL = 8
"""Bytes of a cell's digest."""


def cell_digests(columns: Sequence[str], rows: Sequence[Cells], form: int) -> list[bytes]:
    """Of full rows: for each column the digests of its cells, joined; they are the same in a table read by columns."""
    if not rows:
        return [b""] * len(columns)
    return [b"".join([_cell_digest(cell, form) for cell in cells]) for cells in zip(*rows, strict=True)]


def cell_digests_by_column(cells: Cut) -> list[bytes]:
    """The same for rows of text that come by columns."""
    try:
        return [b"".join(map(xxh3_64_digest, map(str.encode, column))) for column in cells]
    except UnicodeEncodeError:  # half a surrogate pair
        return [b"".join([_cell_digest(cell, FORM) for cell in column]) for column in cells]


def _cell_digest(cell: Any, form: int) -> bytes:
    if cell is None:
        return bytes(CELL)
    if type(cell) is str:
        return xxh3_64_digest(cell.encode("utf-8", "surrogatepass"))
    return xxh3_64_digest(b"\0" + _encode([cell], form))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The columns that count, sorted by name: `names` stand at `places` of a full row of `width` cells."""

    names: list[str]
    places: list[int]
    width: int
    form: int

    def of_rows(self, rows: Sequence[Cells]) -> list[bytes]:
        if self.places != list(range(self.width)):
            rows = cells_at(self.places, self.width)(rows)
        return self._of_text(rows) or self._of_any(rows) if _all_text(rows) else self._of_any(rows)

    def of_columns(self, cells: Cut) -> list[bytes]:
        chosen = [cells[place] for place in self.places]
        if not chosen:  # a task that asks the same of every row
            return [*repeat(xxh3_128_digest(_encode([], self.form) * 2), len(cells[0]))]
        return self._of_text(zip(*chosen, strict=True)) or self._of_any(zip(*chosen, strict=True))

    def _of_text(self, rows: Iterable[Cells]) -> list[bytes]:
        """Digests of rows of text; none if one holds half a surrogate pair, which is no Unicode text."""
        start = _encode(self.names, self.form)
        try:
            return list(map(xxh3_128_digest, map(start.__add__, map(dumps, rows))))
        except TypeError:
            return []

    def _of_any(self, rows: Iterable[Cells]) -> list[bytes]:
        return [xxh3_128_digest(_canonical(self.names, row, self.form)) for row in rows]


def _chosen(columns: Sequence[str], chosen: Sequence[str] | None, form: int) -> _Chosen:
    names = sorted(present(columns, chosen))
    return _Chosen(names, column_places(columns, names), len(columns), form)


def _all_text(rows: Sequence[Cells]) -> bool:
    try:
        deque(map("".join, rows), maxlen=0)  # the cheapest question that every cell answers
    except TypeError:
        return False
    return True


def _canonical(names: Sequence[str], row: Cells, form: int) -> bytes:
    if None in row:
        filled = [(name, cell) for name, cell in zip(names, row, strict=True) if cell is not None]
        names, row = [name for name, _ in filled], tuple(cell for _, cell in filled)
    return _encode(names, form) + _encode(row, form)


def _encode(values: Sequence[Any], form: int) -> bytes:
    try:
        return dumps([value if type(value) in _PLAIN else _tagged(value, form) for value in values])
    except TypeError:
        return dumps([_tagged(value, form) for value in values])


def _tagged(value: Any, form: int) -> Any:
    """The value itself if JSON keeps it exactly, else an array: name of its type, content."""
    kind = type(value)
    if kind is float:
        if form > 1 and value.is_integer() and (value or copysign(1.0, value) > 0):  # -0.0 is no integer
            value, kind = int(value), int
        elif isfinite(value):
            return value
    if value is None or kind is bool or _is_exact(kind, value):
        return value
    if kind is int:
        return ["int", hex(value)]
    if kind is str:
        return ["str", value.encode("utf-8", "surrogatepass").hex()]
    if kind is list or kind is tuple:
        return [kind.__name__, *(_tagged(part, form) for part in value)]
    if kind is dict:
        return ["dict", *(part for name in sorted(value) for part in (_tagged(name, form), _tagged(value[name], form)))]
    return [kind.__name__, repr(value)]


def _is_exact(kind: type, value: Any) -> bool:
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    return kind is str and not _SURROGATE.search(value)
