"""A row's identity: 128 bits over its canonical bytes.

The canonical bytes are two JSON arrays: the names of the columns that have a value, sorted, and the values.
A column that is null is left out, so an optional key of JSON Lines that first appears in row 900 leaves
the rows before it as they were. Text, booleans, integers of 64 bits and finite floats stand for themselves;
every other value becomes an array that starts with its type, lists included: so no two values look alike.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from math import isfinite
from typing import Any, TypeVar

from orjson import dumps
from xxhash import xxh3_64_digest, xxh3_128_digest

from .header import column_places
from .interface import Cells
from .options import ReadOptions, cells_at, present

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
    content = partial(digests, _chosen(columns, options.identity))
    if options.key is None:
        return lambda chunk: (content(chunk), None)
    keys = partial(digests, _chosen(columns, options.key))
    return lambda chunk: (content(chunk), keys(chunk))


CELL = 8
"""Bytes of a cell's digest."""


def cell_digests(columns: Sequence[str], rows: Sequence[Cells]) -> list[bytes]:
    """Of full rows: for each column the digests of its cells, joined; they are the same in a table read by columns."""
    return [b"".join(map(_cell_digest, cells)) for cells in zip(*rows, strict=True)] if rows else [b""] * len(columns)


def cell_digests_by_column(cells: Cut) -> list[bytes]:
    """The same for rows of text that come by columns."""
    try:
        return [b"".join(map(xxh3_64_digest, map(str.encode, column))) for column in cells]
    except UnicodeEncodeError:  # half a surrogate pair
        return [b"".join(map(_cell_digest, column)) for column in cells]


def _cell_digest(cell: Any) -> bytes:
    if cell is None:
        return bytes(CELL)
    if type(cell) is str:
        return xxh3_64_digest(cell.encode("utf-8", "surrogatepass"))
    return xxh3_64_digest(b"\0" + _encode([cell]))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The columns that count, sorted by name: `names` stand at `places` of a full row of `width` cells."""

    names: list[str]
    places: list[int]
    width: int

    def of_rows(self, rows: Sequence[Cells]) -> list[bytes]:
        if self.places != list(range(self.width)):
            rows = cells_at(self.places, self.width)(rows)
        return self._of_text(rows) or self._of_any(rows) if _all_text(rows) else self._of_any(rows)

    def of_columns(self, cells: Cut) -> list[bytes]:
        chosen = [cells[place] for place in self.places]
        if not chosen:  # a task that asks the same of every row
            return [*repeat(xxh3_128_digest(_encode([]) * 2), len(cells[0]))]
        return self._of_text(zip(*chosen, strict=True)) or self._of_any(zip(*chosen, strict=True))

    def _of_text(self, rows: Iterable[Cells]) -> list[bytes]:
        """Digests of rows of text; none if one holds half a surrogate pair, which is no Unicode text."""
        start = _encode(self.names)
        try:
            return list(map(xxh3_128_digest, map(start.__add__, map(dumps, rows))))
        except TypeError:
            return []

    def _of_any(self, rows: Iterable[Cells]) -> list[bytes]:
        return [xxh3_128_digest(_canonical(self.names, row)) for row in rows]


def _chosen(columns: Sequence[str], chosen: Sequence[str] | None) -> _Chosen:
    names = sorted(present(columns, chosen))
    return _Chosen(names, column_places(columns, names), len(columns))


def _all_text(rows: Sequence[Cells]) -> bool:
    try:
        deque(map("".join, rows), maxlen=0)  # the cheapest question that every cell answers
    except TypeError:
        return False
    return True


def _canonical(names: Sequence[str], row: Cells) -> bytes:
    if None in row:
        filled = [(name, cell) for name, cell in zip(names, row, strict=True) if cell is not None]
        names, row = [name for name, _ in filled], tuple(cell for _, cell in filled)
    return _encode(names) + _encode(row)


def _encode(values: Sequence[Any]) -> bytes:
    try:
        return dumps([value if type(value) in _PLAIN else _tagged(value) for value in values])
    except TypeError:
        return dumps([_tagged(value) for value in values])


def _tagged(value: Any) -> Any:
    """The value itself if JSON keeps it exactly, else an array: name of its type, content."""
    kind = type(value)
    if value is None or kind is bool or _is_exact(kind, value):
        return value
    if kind is int:
        return ["int", hex(value)]
    if kind is str:
        return ["str", value.encode("utf-8", "surrogatepass").hex()]
    if kind is list or kind is tuple:
        return [kind.__name__, *map(_tagged, value)]
    if kind is dict:
        return ["dict", *(part for name in sorted(value) for part in (_tagged(name), _tagged(value[name])))]
    return [kind.__name__, repr(value)]


def _is_exact(kind: type, value: Any) -> bool:
    if kind is float:
        return bool(isfinite(value))
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    return kind is str and not _SURROGATE.search(value)
