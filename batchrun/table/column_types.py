"""Settles one type per column over a whole CSV file, whatever the order of its rows.

A column starts with all types open. A chunk can only close some; so neither the order of the rows nor the
size of the chunks matters. A chunk's cells are joined by NUL, which no cell holds, and matched at one go.
"""

import re
from collections.abc import Mapping, Sequence

from .convert import BOOLEANS, MISSING

_INT = "-?(?:0|[1-9][0-9]{0,17}+)"
_SHORT_INT = "-?(?:0|[1-9][0-9]{0,14}+)"
_EXPONENT = r"[eE](?:\+?[0-2]?[0-9]{1,2}|-[0-9]{1,3})"
# At most 15 significant digits, which a float gives back as they were: counted from the first one that is
# not 0. A number from 1 on with its point is then at most 16 characters.
_DECIMAL = (
    r"-?(?:(?=[0-9.]{3,16}+(?![0-9.]))[1-9][0-9]*+\.[0-9]++"
    rf"|0?\.(?=[0-9])0*+(?:[1-9][0-9]{{0,14}}+)?)(?:{_EXPONENT})?"
)
_BOOL = "true|True|TRUE|false|False|FALSE"

_NATURAL = {"int": _INT, "float": f"{_SHORT_INT}|{_DECIMAL}", "bool": _BOOL}
# What a user who insists may mean; int() and float() read all of it.
_FORCED = {
    "int": "[+-]?[0-9]{1,4000}",
    "float": r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|Infinity)",
    "bool": "|".join(BOOLEANS),
}


def _all_cells(cell: str) -> re.Pattern[str]:
    """Matches NUL-joined cells that are each `cell` or missing. Atomic: a long chunk never backtracks."""
    missing = "|".join(re.escape(word) for word in sorted(MISSING, key=len, reverse=True))
    one = f"(?:{cell}|{missing})"
    return re.compile(rf"(?>{one}\0)*+{one}")


_OPEN = {kind: _all_cells(cell) for kind, cell in _NATURAL.items()}
_INSISTED = {kind: _all_cells(cell) for kind, cell in _FORCED.items()}
_NAMES = {"str": "text", "int": "int", "float": "float", "bool": "bool"}
_INT_AND_FLOAT = _all_cells(_SHORT_INT)
_NOTHING = _all_cells("")


class ColumnTypes:
    """The types of all columns, as far as the rows fed so far leave them open."""

    def __init__(self, columns: Sequence[str], dtypes: Mapping[str, str]) -> None:
        self._forced = {columns.index(name): dtype for name, dtype in dtypes.items()}
        self._open = {place: tuple(_OPEN) for place in range(len(columns)) if place not in self._forced}
        self._width = len(columns)
        self._filled: set[int] = set()

    def feed(self, rows: Sequence[tuple[str, ...]]) -> tuple[int, int] | None:
        """Take in a chunk. Returns row and column (from 0) of a cell that does not fit a forced type."""
        cells = list(zip(*rows, strict=True))
        for place in [place for place, types in self._open.items() if types]:
            self._narrow(place, "\0".join(cells[place]))
        for place, dtype in self._forced.items():
            if dtype != "str" and not _INSISTED[dtype].fullmatch("\0".join(cells[place])):
                return _first_misfit(cells[place], dtype), place
        return None

    def settled(self) -> tuple[str, ...]:
        """One type per column: `int`, `float`, `bool` or `text`. A column without any value is text."""
        return tuple(map(self._type_of, range(self._width)))

    def _narrow(self, place: int, joined: str) -> None:
        if _NOTHING.fullmatch(joined):
            return
        self._filled.add(place)
        types = self._open[place]
        if types[:2] == ("int", "float") and _INT_AND_FLOAT.fullmatch(joined):
            self._open[place] = ("int", "float")
        else:
            self._open[place] = tuple(kind for kind in types if _OPEN[kind].fullmatch(joined))

    def _type_of(self, place: int) -> str:
        if place in self._forced:
            return _NAMES[self._forced[place]]
        types = self._open[place]
        return types[0] if types and place in self._filled else "text"


def _first_misfit(cells: Sequence[str], dtype: str) -> int:
    return next(row for row, cell in enumerate(cells) if not _INSISTED[dtype].fullmatch(cell))
