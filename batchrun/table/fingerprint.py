"""A row's identity: 128 bits over its canonical bytes.

The canonical bytes are two JSON arrays: the names of the columns that have a value, sorted, and the values.
A column that is null is left out, so an optional key of JSON Lines that first appears in row 900 leaves
the rows before it as they were. Text, booleans, integers of 64 bits and finite floats stand for themselves;
every other value becomes an array that starts with its type, lists included: so no two values look alike.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

from orjson import dumps
from xxhash import xxh3_128_digest

from .options import ReadOptions, cells_at, present
from .table import Cells

Identities = Callable[[Sequence[Cells]], tuple[list[bytes], list[bytes] | None]]
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = frozenset([str, int, bool])


def identities(columns: Sequence[str], options: ReadOptions) -> Identities:
    """A function from full rows to their fingerprints (16 bytes each) and, with `--key`, their keys' ones.

    Neither depends on the order of the columns, nor on columns that the task is not given. Names that the
    table does not have are taken as null.
    """
    content = _fingerprints(columns, present(columns, options.columns))
    if options.key is None:
        return lambda rows: (content(rows), None)
    keys = _fingerprints(columns, present(columns, options.key))
    return lambda rows: (content(rows), keys(rows))


def _fingerprints(columns: Sequence[str], chosen: Sequence[str]) -> Callable[[Sequence[Cells]], list[bytes]]:
    names = sorted(chosen)
    order = [columns.index(name) for name in names]
    select = cells_at(order, len(columns))
    in_order = order == list(range(len(columns)))
    prefix = _encode(names)

    def of(rows: Sequence[Cells]) -> list[bytes]:
        if not in_order:
            rows = list(map(select, rows))
        if _all_text(rows):
            try:
                return [xxh3_128_digest(prefix + dumps(row)) for row in rows]
            except TypeError:  # half a surrogate pair, which is no Unicode text
                pass
        return [xxh3_128_digest(_canonical(names, row)) for row in rows]

    return of


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
