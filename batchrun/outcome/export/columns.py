"""Which columns the results of a table have: a first pass over all of them.

An object's top-level keys are columns, in order of first appearance in the table; any other result goes to
the column `result`. Results with more than 1,000 different keys are not a table: all go to `result` as JSON.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .value_kinds import JSON, NOTHING, Kind, join, kind_of_values, storable

MAX_COLUMNS = 1000
PREFIX = "result_"
STATUS, HOW, ERROR = "batchrun_status", "batchrun_how", "batchrun_error"
ROW = "batchrun_row"
"""Names the number of a row, where its cells are not there to tell which one it is."""
WHOLE_NAME = "result"
WHOLE = None
"""Stands for the key of a result that is not an object."""

Key = str | None


class LateColumn(Exception):
    """A result has a column that the first results have not."""


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """The columns that results add to a table's own.

    `names`, `keys` and `kinds` belong together; kinds are `json` where they were not asked for. `told` names the
    last columns, which tell what has become of each row. With `packed`, the only column holds each result as a whole.
    """

    names: tuple[str, ...]
    keys: tuple[Key, ...]
    kinds: tuple[Kind, ...]
    told: tuple[str, ...]
    packed: bool

    def check(self, values: Iterable[Any]) -> None:
        """Raise `LateColumn` if some of these results have no column."""
        known = set(self.keys)
        if not self.packed and not all(known.issuperset(shape) for shape in _shapes(values)):
            raise LateColumn

    def cells(self, values: Sequence[Any]) -> list[list[Any]]:
        """The results of some rows (None for a row without one) column by column."""
        if self.packed:
            return [list(values)]
        objects = [value if type(value) is dict else {} for value in values]
        return [_whole(values) if key is WHOLE else [value.get(key) for value in objects] for key in self.keys]


def result_columns(
    pages: Iterable[Sequence[Any]], taken: Sequence[str], *, kinds: bool = False, asked: Sequence[str] = ()
) -> ResultColumns:
    """Look at all results, some rows' at a time. `taken`: the table's own columns. `asked`: are there in any case.

    A name that is taken gets the prefix `result_`, until it is no other column's.
    """
    found: dict[Key, Kind] = dict.fromkeys((name for name in asked if name != WHOLE_NAME), NOTHING)
    for values in pages:
        _meet(values, found)
        if len(found) > MAX_COLUMNS:
            return _named({WHOLE: JSON}, taken, packed=True)
        if kinds:
            _widen(values, found)
    return _named(found, taken, packed=False)


def _meet(values: Sequence[Any], found: dict[Key, Kind]) -> None:
    for shape in _shapes(values):
        for key in shape:
            found.setdefault(key, NOTHING)


def _shapes(values: Iterable[Any]) -> Iterable[tuple[Key, ...]]:
    """The keys of results. Few rows differ in them, or in being no object: each such shape is looked at once."""
    return dict.fromkeys([tuple(value) if type(value) is dict else (WHOLE,) for value in values])


def _widen(values: Sequence[Any], found: dict[Key, Kind]) -> None:
    objects = [value for value in values if type(value) is dict]
    for key, kind in found.items():
        if kind != JSON:
            cells = _whole(values) if key is WHOLE else [value.get(key) for value in objects]
            found[key] = join(kind, kind_of_values(cells))


def _named(found: dict[Key, Kind], taken: Sequence[str], *, packed: bool) -> ResultColumns:
    used = set(taken)
    told = tuple(free(name, used) for name in (STATUS, HOW, ERROR))
    if WHOLE in found:
        # Its name is a promise; a key of the same name has to give way.
        whole = free(WHOLE_NAME, used)
    names = tuple(whole if key is WHOLE else free(key, used) for key in found)
    return ResultColumns(names, tuple(found), tuple(map(storable, found.values())), told, packed)


def free(name: str, used: set[str]) -> str:
    while name in used:
        name = PREFIX + name
    used.add(name)
    return name


def _whole(values: Sequence[Any]) -> list[Any]:
    return [None if type(value) is dict else value for value in values]
