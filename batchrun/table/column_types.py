"""Settles one type per column over a whole CSV file, whatever the order of its rows.

A column starts with all types open. A chunk can only close some; so neither the order of the rows nor the
size of the chunks matters. A chunk's cells are joined by NUL, which no cell holds, and matched at one go.
"""

import re
from collections.abc import Mapping, Sequence

from batchrun.worker.convert import BOOLEANS, MISSING

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
_FILLED = 1
_BITS = {"int": 2, "float": 4, "bool": 8}
_ALL = sum(_BITS.values())


class ColumnTypes:
    """The types of all columns, as far as the rows taken in so far leave them open.

    What a chunk says is a text of one hexadecimal digit a column: 1 for any value at all, 2 for int, 4 for
    float and 8 for bool being open.
    """

    def __init__(self, columns: Sequence[str], dtypes: Mapping[str, str]) -> None:
        self._forced = {columns.index(name): dtype for name, dtype in dtypes.items()}
        self._bits = [_ALL] * len(columns)

    def look(self, cells: Sequence[Sequence[str]]) -> str:
        """What a chunk of rows, given by columns, says."""
        return "".join(f"{_ALL if place in self._forced else _bits_of(column):x}" for place, column in enumerate(cells))

    def take(self, said: str) -> None:
        """Take in what a chunk says."""
        more = [int(digit, 16) for digit in said]
        self._bits = [(old & new & _ALL) | ((old | new) & _FILLED) for old, new in zip(self._bits, more, strict=True)]

    def misfit(self, cells: Sequence[Sequence[str]]) -> tuple[int, int] | None:
        """Row and column (from 0) of a cell that does not fit its forced type, if there is one in the chunk."""
        for place, dtype in self._forced.items():
            if dtype != "str" and not _INSISTED[dtype].fullmatch("\0".join(cells[place])):
                return _first_misfit(cells[place], dtype), place
        return None

    def settled(self) -> tuple[str, ...]:
        """One type per column: `int`, `float`, `bool` or `text`. A column without any value is text."""
        return tuple(map(self._type_of, range(len(self._bits))))

    def _type_of(self, place: int) -> str:
        if place in self._forced:
            return _NAMES[self._forced[place]]
        if not self._bits[place] & _FILLED:
            return "text"
        return next((kind for kind, bit in _BITS.items() if self._bits[place] & bit), "text")


def _bits_of(cells: Sequence[str]) -> int:
    joined = "\0".join(cells)
    if _NOTHING.fullmatch(joined):
        return _ALL
    if _INT_AND_FLOAT.fullmatch(joined):
        return _FILLED | _BITS["int"] | _BITS["float"]
    return _FILLED | sum(bit for kind, bit in _BITS.items() if _OPEN[kind].fullmatch(joined))


def _first_misfit(cells: Sequence[str], dtype: str) -> int:
    return next(row for row, cell in enumerate(cells) if not _INSISTED[dtype].fullmatch(cell))
