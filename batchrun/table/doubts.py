"""What a user should know of a column's type, and which options say it otherwise. Pure."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

from .numerals import fits

_SHOWN = 5
TIMES = "text"
"""As a doubt's `dtype`: what some times become."""


class Doubt(NamedTuple):
    """Cells that a user should know of, each with the line where it is first met (of several files `b.csv, 7`).

    `dtype`: what the column would be but for these few words; nothing where it is a column of floats, and the cell
    has more digits than a float keeps; `TIMES` where the cell is one that Python cannot hold (with its row, not line).
    """

    column: str
    lines: tuple[int | str, ...]
    cells: tuple[str, ...]
    dtype: str


def sentences(doubts: Iterable[Doubt]) -> Iterator[str]:
    """One sentence for all columns that lose digits, one for all with times that Python cannot represent, and one for
    those in whose way the same words are.
    """
    ordered = sorted(doubts, key=_what)
    for _, found in groupby(ordered, key=_what):
        alike = list(found)
        if alike[0].dtype == TIMES:
            yield _on_times(alike)
        else:
            yield _on_words(alike) if alike[0].dtype else _on_digits(alike)


def missing_option(word: str) -> str:
    """The option that takes a word as missing, as it is typed."""
    return f"--missing={shlex.quote(word)}" if word.startswith("-") else f"--missing {shlex.quote(word)}"


def dtype_option(column: str, dtype: str) -> str:
    """The option that settles a column's type, as it is typed."""
    return f"--dtype {shlex.quote(f'{column}={dtype}')}"


def dtype_options(pairs: Iterable[tuple[str, str]]) -> str:
    """The options that settle the types of the first columns."""
    return " ".join(dtype_option(column, dtype) for column, dtype in islice(pairs, _SHOWN))


def named(columns: Sequence[str], one: str, some: str) -> str:
    """`column 'a' is`, or `columns 'a', 'b' and 3 more are`; `one` and `some` are the verb."""
    names = ", ".join(map(repr, columns[:_SHOWN]))
    more = f" and {len(columns) - _SHOWN:,} more" if len(columns) > _SHOWN else ""
    return f"columns {names}{more} {some}" if len(columns) > 1 else f"column {names} {one}"


def _said(number: int | str) -> str:
    return f"{number:,}" if isinstance(number, int) else number


def _line(where: int | str) -> str:
    file, comma, number = where.rpartition(", ") if isinstance(where, str) else ("", "", where)
    return f"{file}{comma}line {_said(number)}"


def _what(doubt: Doubt) -> tuple[bool, list[str]]:
    return (True, []) if doubt.dtype == TIMES else (False, sorted(doubt.cells) if doubt.dtype else [])


def _on_times(alike: list[Doubt]) -> str:
    who, first = named([doubt.column for doubt in alike], "has", "have"), alike[0]
    return (
        f"{who} times that Python cannot represent: such a cell is given as text, {first.cells[0]!r} in row "
        f"{_said(first.lines[0])} (to skip such a column, list the others with --columns)"
    )


def _on_digits(alike: list[Doubt]) -> str:
    first = alike[0]
    return (
        f"{named([doubt.column for doubt in alike], 'has', 'have')} more digits than a float keeps: "
        f"{first.cells[0]!r} ({_line(first.lines[0])}) becomes {float(first.cells[0])!r}. "
        f"{dtype_options((doubt.column, 'str') for doubt in alike)} keeps them, as text"
    )


def _on_words(alike: list[Doubt]) -> str:
    first = alike[0]
    where = ", ".join(f"{cell!r} ({_line(line)})" for cell, line in zip(first.cells, first.lines, strict=True))
    words = [word for word in first.cells if any(not fits(word, doubt.dtype) for doubt in alike)]
    types = dtype_options((doubt.column, doubt.dtype) for doubt in alike)
    options = " ".join([types, *map(missing_option, words)])
    missing = f", with {', '.join(map(repr, words))} as missing" if words else ""
    who = named([doubt.column for doubt in alike], "is", "are")
    keep = "keeps" if len(first.cells) == 1 else "keep"
    return f"{who} text: only {where} {keep} it from being numeric. {options} reads them{missing}"
