"""Results that were found, and how their rows are called."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from batchrun.errors import DamagedRows, UsageError
from batchrun.outcome.export.json_value import text_of, value_of

BETWEEN = "\x1f"
"""Between the cells of a key that are several."""
_OWN = frozenset({"row", "status", "result", "how", "error"})
"""Keys of the objects that batchrun itself writes."""
NOTHING = object()
"""In place of a result: there is none, or it is not JSON, or another row's."""

Cells = Sequence[Any]
"""The cells of a row's key; none if rows are known by their numbers."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """`places`: by what its row is called, where a result is. `called`: what a row may be called, by its number and its
    key. `load`: the result at a place, for that row, or `NOTHING`. `told`: a place in words, with what its row is
    called. `twice`: lines whose row had a line before them, which does not count. `empty`: lines without a result.
    """

    places: Mapping[str, Any]
    called: Callable[[int, Cells], Iterable[str]]
    load: Callable[[Any, int, Cells], Any]
    told: Callable[[str, Any], str]
    twice: int = 0
    empty: int = 0


def by_number(row: int, _: Cells) -> Iterable[str]:
    """What a row is called where only its number counts."""
    return (str(row),)


def nameless(path: Path) -> UsageError:
    """What to raise where nothing in the file says of which row it is."""
    return UsageError(f"{path} does not say which row a line is about", "name with --key the column that both have")


def one_name(_: int, cells: Cells) -> Iterable[str]:
    """What a row is called by its key."""
    return (name_of(cells),)


def name_of(cells: Iterable[Any]) -> str:
    """The cells of a key, as one text."""
    return BETWEEN.join(map(text_in, cells))


def text_in(cell: Any) -> str:
    """A cell as text."""
    return cell if type(cell) is str else text_of(cell)


def value_in(data: bytes) -> Any:
    """What JSON says; `NOTHING` for null, and for what is not JSON, such as NaN."""
    data = data.removeprefix(BOM_UTF8)
    try:
        orjson.loads(data)
        value = value_of(data, 0)
    except (ValueError, DamagedRows):
        return NOTHING
    return NOTHING if value is None else value


def is_own(value: Any) -> bool:
    """Whether it is an object that batchrun has written: an exported line."""
    return type(value) is dict and value.keys() >= _OWN


def done_in(value: dict[str, Any]) -> Any:
    """The result in such an object; `NOTHING` if its row is not done."""
    return value["result"] if value["status"] == "done" else NOTHING
