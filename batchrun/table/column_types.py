"""Settles one type per column over a whole CSV file, whatever the order of its rows.

What a column's type is depends on nothing but which kinds of cells there are in it. A chunk can only add some; so
neither the order of the rows nor the size of the chunks matters.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from .convert import MISSING
from .numerals import (
    BOOL,
    DECIMAL,
    INT,
    LENGTHY,
    LONG,
    NUMBERS,
    OTHER,
    WEAK,
    all_fit,
    fits,
    is_usual,
    keeps_digits,
    kind_of_cell,
    kinds_of,
)

RULES = 2
"""Another number for other rules: what was settled under those is settled anew."""

_MANY = 128
_FEW_WORDS = 3
_LONGEST_WORD = 40
_MANY_ROWS = 100
_CHECKED = 500
_CHECKED_IN_CHUNK = 50
_SAID = {"str": "text", "int": "int", "float": "float", "bool": "bool"}

_Words = dict[int, dict[str, int]]
"""By kind, the words that are in the way of numbers, each with the row where it is first met."""

Odd = tuple[int, int, str]
"""Column, row (both from 0) and text of a cell that a user may have to know of."""


class Said(NamedTuple):
    """What a chunk says. `kinds`: two hexadecimal digits a column, the kinds of its cells; `odd`: rows of the chunk."""

    kinds: str
    odd: tuple[Odd, ...]


class OddCells(NamedTuple):
    """Cells of a column that a user should know of, and the rows (from 0) where they are first met; see `Doubt`."""

    place: int
    rows: tuple[int, ...]
    cells: tuple[str, ...]
    dtype: str


class ColumnTypes:
    """The types of all columns, by the rows taken in so far. `missing`: words for "no value" beside the usual ones."""

    def __init__(self, columns: Sequence[str], dtypes: Mapping[str, str], missing: Iterable[str] = ()) -> None:
        self._forced = {columns.index(name): dtype for name, dtype in dtypes.items()}
        self._missing = MISSING.union(missing)
        self._kinds = [0] * len(columns)
        # Only of columns that have some: a table may have a million of them.
        self._words: defaultdict[int, _Words] = defaultdict(lambda: {OTHER: {}, WEAK: {}, LONG: {}})
        self._ids: set[int] = set()
        self._cut: dict[int, tuple[int, str]] = {}
        self._unchecked = [_CHECKED] * len(columns)
        self._rows = 0

    def look(self, cells: Sequence[Sequence[str]]) -> Said:
        """What a chunk of rows, given by columns, says."""
        odd: list[Odd] = []
        kinds = bytearray(len(cells))
        for place, column in enumerate(cells):
            if place not in self._forced:
                kinds[place], found = self._of(place, column)
                odd.extend((place, row, cell) for row, cell in found)
        return Said(kinds.hex(), tuple(odd))

    def take(self, said: Said, rows: int) -> None:
        """Take in what a chunk of so many rows says."""
        kinds = bytes.fromhex(said.kinds)
        self._kinds = [old | new for old, new in zip(self._kinds, kinds, strict=True)]
        self._ids.update(place for place, kind in enumerate(kinds) if kind & LONG and not kind & DECIMAL)
        for place, row, cell in said.odd:
            if kind_of_cell(cell) & DECIMAL:
                self._cut.setdefault(place, (self._rows + row, cell))
            else:
                self._take_word(place, self._rows + row, cell)
        self._rows += rows

    def misfit(self, cells: Sequence[Sequence[str]]) -> tuple[int, int] | None:
        """Row and column (from 0) of a cell that does not fit its forced type, if there is one in the chunk."""
        for place, dtype in self._forced.items():
            if not all_fit(cells[place], dtype, self._missing):
                return next(row for row, cell in enumerate(cells[place]) if not self._fits(cell, dtype)), place
        return None

    def settled(self) -> tuple[str, ...]:
        """One type per column: `int`, `float`, `bool` or `text`. A column without any value is text."""
        return tuple(map(self._type_of, range(len(self._kinds))))

    def doubts(self) -> Iterator[OddCells]:
        """What a user should know of the columns, in their order."""
        for place, settled in enumerate(self.settled()):
            if place in self._forced:
                continue
            if settled == "float" and place in self._cut:
                row, cell = self._cut[place]
                yield OddCells(place, (row,), (cell,), "")
            elif settled == "text" and (found := self._words_alone(place)):
                yield OddCells(place, tuple(found.values()), tuple(found), self._but_for(place, found))

    def _fits(self, cell: str, dtype: str) -> bool:
        return cell in self._missing or fits(cell, dtype)

    def _type_of(self, place: int) -> str:
        if place in self._forced:
            return _SAID[self._forced[place]]
        kinds = self._kinds[place] & ~(LENGTHY | _MANY)
        if kinds & DECIMAL and not kinds & ~(INT | DECIMAL | WEAK):
            return "float"
        if kinds and not kinds & ~(INT | LONG):
            return "int"
        return "bool" if kinds == BOOL else "text"

    def _of(self, place: int, cells: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
        """The kinds of a chunk's cells in one column, and those that may have to be told, with their rows."""
        many = self._kinds[place] & _MANY
        if many and _has_text(cells[:3], self._missing):  # nearly always
            return OTHER | _MANY, []
        kinds, words = kinds_of(cells, self._missing), list[str]()
        if kinds is None and many and _has_text(cells, self._missing):
            return OTHER | _MANY, []
        if kinds is None or kinds == WEAK:
            kinds, words = _one_by_one(cells, self._missing)
        if words:
            return kinds, [(cells.index(word), word) for word in words]
        if kinds & DECIMAL and not kinds & OTHER and place not in self._cut:
            return kinds, self._digits_lost(place, cells, lengthy=bool(kinds & LENGTHY))
        return kinds, []

    def _digits_lost(self, place: int, cells: Sequence[str], *, lengthy: bool) -> list[tuple[int, str]]:
        """The first cell of some whose digits a float would not keep. To ask all takes longer than all else.

        Those of up to 17 digits are nearly always a tool's floats: a look at the first ones shows it.
        """
        if lengthy:
            found = islice((row for row, cell in enumerate(cells) if not self._is_usual(cell)), _CHECKED_IN_CHUNK)
        else:
            found = islice((row for row, cell in enumerate(cells) if len(cell) > 15), self._unchecked[place])
        asked = list(found)
        if not lengthy:
            self._unchecked[place] -= len(asked)
        lost = (row for row in asked if kind_of_cell(cells[row]) & DECIMAL and not keeps_digits(cells[row]))
        return [(row, cells[row]) for row in islice(lost, 1)]

    def _is_usual(self, cell: str) -> bool:
        return len(cell) < 6 or cell in self._missing or is_usual(cell)

    def _take_word(self, place: int, row: int, word: str) -> None:
        kind = kind_of_cell(word)
        words = self._words[place][kind]
        if len(words) <= _FEW_WORDS:
            words.setdefault(word, row)
        if kind == OTHER and len(words) > _FEW_WORDS:
            self._kinds[place] |= _MANY

    def _words_alone(self, place: int) -> dict[str, int]:
        """The words but for which the column would be one of numbers; none if these are many, or numbers none."""
        kinds, found = self._kinds[place], self._words.get(place)
        if found is None:
            return {}
        words = {**found[OTHER], **found[LONG]} if kinds & DECIMAL else {**found[OTHER], **found[WEAK]}
        ids = kinds & DECIMAL and place in self._ids
        if ids or kinds & (_MANY | BOOL) or not kinds & NUMBERS or len(words) > _FEW_WORDS:
            return {}
        return dict(sorted(words.items(), key=lambda found: found[1]))

    def _but_for(self, place: int, words: Iterable[str]) -> str:
        numbers = self._kinds[place] & (DECIMAL | WEAK)
        return "float" if numbers or any(fits(word, "float") and not fits(word, "int") for word in words) else "int"


def _one_by_one(cells: Sequence[str], missing: frozenset[str]) -> tuple[int, list[str]]:
    """The kinds of cells, and those in the way of plain numbers; `_MANY` stands for these if they are not few."""
    kinds, found = 0, dict[int, list[str]]()
    for cell in set(cells) - missing:
        kind = kind_of_cell(cell)
        kinds |= kind
        if kind & (OTHER | WEAK | LONG):
            words = found.setdefault(kind, [])
            if len(words) <= _FEW_WORDS:
                words.append(cell)
            if kind == OTHER and (len(words) > _FEW_WORDS or len(cell) > _LONGEST_WORD):
                return OTHER | _MANY, []
    text, weak, long = (found.get(kind, []) for kind in (OTHER, WEAK, LONG))
    if text and not kinds & (NUMBERS | WEAK) and len(cells) >= _MANY_ROWS:
        return kinds | _MANY, []
    return kinds, [*text, *weak, *(long if kinds & DECIMAL else ())]


def _has_text(cells: Sequence[str], missing: frozenset[str]) -> bool:
    return any(cell not in missing and kind_of_cell(cell) == OTHER for cell in cells)
