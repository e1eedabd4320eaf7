"""How numbers and booleans are written: what one cell may be, and what all cells of a column are, matched at one go.

A column's cells are joined by NUL, which no cell holds. All that repeats is possessive: a long column never backtracks.
"""

import re
from collections.abc import Sequence
from functools import cache
from math import isfinite

from .convert import BOOLEANS

INT, LONG, DECIMAL, WEAK, BOOL, OTHER, LENGTHY = 1, 2, 4, 8, 16, 32, 64
"""Kinds of cells, as bits. INT: whole numbers of at most 15 digits, which a float holds exactly; LONG: longer ones that
fit 64 bits. DECIMAL: with a point or a signed exponent. WEAK: `1e5` and `inf`, which may be ids or words. OTHER: text.
LENGTHY stands beside DECIMAL where some have more than 17 digits, or exponents that few numbers have."""
NUMBERS = INT | LONG | DECIMAL

_SHORT_INT = "-?(?:0|[1-9][0-9]{0,14}+)"
_ANY_INT = "-?(?:0|[1-9][0-9]{0,18}+)"
_FITTING = r"(?:\+?[01]?[0-9]{1,2}|-[0-2]?[0-9]{1,2})"  # exponents with which no number below 1e100 becomes infinite
_INFINITE = "-?(?:[iI]nf(?:inity)?|INF)"
_WHOLE = "(?:0|[1-9][0-9]*+)"
_POINTED = rf"(?:{_WHOLE}\.[0-9]*+|\.[0-9]++)"


# 17 significant digits, counted from the first one that is not 0, tell every float from all others: so tools write
# them. Numbers below 1000 are matched without looking twice.
_USUAL = (
    r"-?(?:[1-9](?:\.[0-9]{0,16}+|[0-9](?:\.[0-9]{0,15}+|[0-9]\.[0-9]{0,14}+))"
    r"|(?:0\.|\.(?=[0-9]))0*+(?:[1-9][0-9]{0,16}+)?"
    rf"|(?=[0-9.]{{5,18}}+(?![0-9.]))[1-9][0-9]{{3,}}+\.[0-9]*+)(?:[eE]{_FITTING})?"
    rf"|{_SHORT_INT}(?:[eE]{_FITTING})?|{_INFINITE}"
)
_LENGTHY = (
    rf"-?(?:(?:0|[1-9][0-9]{{0,99}}+)\.[0-9]*+|\.[0-9]++)(?:[eE]{_FITTING})?"
    rf"|{_SHORT_INT}(?:[eE]{_FITTING})?|{_INFINITE}"
)
_DECIMAL = rf"-?(?:{_POINTED}(?:[eE][+-]?[0-9]{{1,3}})?|{_WHOLE}[eE][+-][0-9]{{1,3}})"
_WEAK = rf"-?{_WHOLE}[eE][0-9]{{1,3}}|{_INFINITE}"
_BOOL = "true|True|TRUE|false|False|FALSE"
# What a user who insists may mean; int() and float() read all of it.
_FORCED = {
    "int": "[+-]?[0-9]{1,4000}",
    "float": r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:[iI]nf(?:inity)?|INF)",
    "bool": "|".join(BOOLEANS),
}


@cache
def _column(cell: str, missing: frozenset[str]) -> re.Pattern[str]:
    """Matches NUL-joined cells that are each `cell` or missing."""
    one = f"(?:{cell}|{_any_of(missing)})"
    return re.compile(rf"(?>{one}\0)*+{one}")


@cache
def _one_decimal(missing: frozenset[str]) -> re.Pattern[str]:
    """Finds a cell that is DECIMAL, and not missing."""
    return re.compile(rf"(?:\A|\0)(?!(?:{_any_of(missing)})(?:\0|\Z))(?:{_DECIMAL})(?=\0|\Z)")


@cache
def _cell(cell: str) -> re.Pattern[str]:
    return re.compile(cell)


def _any_of(missing: frozenset[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(missing, key=lambda word: (-len(word), word)))


def fits(cell: str, dtype: str) -> bool:
    """Whether a cell can be read as the type that the user has said."""
    return dtype == "str" or bool(_cell(_FORCED[dtype]).fullmatch(cell))


def all_fit(cells: Sequence[str], dtype: str, missing: frozenset[str]) -> bool:
    """Whether all cells can be read so, or are missing."""
    return dtype == "str" or bool(_column(_FORCED[dtype], missing).fullmatch("\0".join(cells)))


def kind_of_cell(cell: str) -> int:
    """The kind of one cell that is not missing."""
    if _cell(_SHORT_INT).fullmatch(cell):
        return INT
    if _cell(_ANY_INT).fullmatch(cell):
        return LONG if _is_64_bits(cell) else OTHER
    if _cell(_DECIMAL).fullmatch(cell):
        return (DECIMAL if is_usual(cell) else DECIMAL | LENGTHY) if isfinite(float(cell)) else OTHER
    if _cell(_WEAK).fullmatch(cell):
        return WEAK if "n" in cell.lower() or isfinite(float(cell)) else OTHER
    return BOOL if cell in BOOLEANS else OTHER


def kinds_of(cells: Sequence[str], missing: frozenset[str]) -> int | None:
    """The kinds of a column's cells, in bits; 0 if all are missing, and None if they are best asked one by one.

    Of numbers that a float column may hold, only those that matter are told: INT, else DECIMAL, else WEAK.
    """
    joined = "\0".join(cells)
    if _column("", missing).fullmatch(joined):
        return 0
    if _column(_SHORT_INT, missing).fullmatch(joined):
        return INT
    if _column(_USUAL, missing).fullmatch(joined):
        return DECIMAL if _one_decimal(missing).search(joined) else WEAK
    if _column(_LENGTHY, missing).fullmatch(joined):
        return DECIMAL | LENGTHY
    if _column(_ANY_INT, missing).fullmatch(joined):
        return LONG if all(len(cell) < 19 or cell in missing or _is_64_bits(cell) for cell in cells) else None
    return BOOL if _column(_BOOL, missing).fullmatch(joined) else None


def is_usual(cell: str) -> bool:
    """Whether a number has at most 17 significant digits and a usual exponent."""
    return bool(_cell(_USUAL).fullmatch(cell))


def keeps_digits(cell: str) -> bool:
    """Whether a decimal number is what a float, written with as many digits, looks like: then nothing of it is lost."""
    if repr(value := float(cell)) == cell:
        return True
    from decimal import Decimal  # few tables need it

    exact = Decimal(cell)
    return exact in (Decimal(repr(value)), Decimal(f"{value:.{max(0, len(exact.as_tuple().digits) - 1)}e}"))


def _is_64_bits(cell: str) -> bool:
    return -(1 << 63) <= int(cell) < 1 << 63
