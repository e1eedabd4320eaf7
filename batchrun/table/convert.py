"""From raw cells to the dict that a task is called with. Runs in worker processes: standard library only."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

MISSING = frozenset(
    (
        *("", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "None"),
        *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
        *(".", "-", r"\N"),
    )
)
"""Cells that stand for "no value" in a column of numbers or booleans: the words that pandas knows, and those of SAS and
Stata, of tables made by hand, and of databases' dumps."""

BOOLEANS = {"true": True, "True": True, "TRUE": True, "1": True}
BOOLEANS |= {"false": False, "False": False, "FALSE": False, "0": False}
"""`1` and `0` are booleans only where the user said so; by themselves they are integers."""

Column = Sequence[Any]
Convert = Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]]
_MANY = 50


def converter(columns: Sequence[str], types: Sequence[str], missing: Iterable[str] = ()) -> Convert:
    """The same as `column_converter`, from rows of raw cells. There may be no columns: each row is an empty dict."""
    convert = column_converter(columns, types, missing)
    return lambda rows: convert(list(zip(*rows, strict=True))) if columns and rows else [{} for _ in rows]


def column_converter(columns: Sequence[str], types: Sequence[str], missing: Iterable[str] = ()) -> Convert:
    """A function from columns of raw cells to a dict for each row, as the scan settled their types.

    `columns` and `types` (`int`, `float`, `bool`, `text`, `native`) belong to the task's columns, and so do
    the cells, in the same order. In text and native columns each cell stays exactly as it is. `missing`: words that
    stand for "no value" beside the usual ones; they may be numbers.
    """
    parsers = _parsers(MISSING.union(missing))
    places = [(place, parsers[kind]) for place, kind in enumerate(types) if kind in parsers]
    dicts = _dicts(columns)

    def convert(cells: Sequence[Column]) -> list[dict[str, Any]]:
        typed = list(cells)
        for place, parse in places:
            typed[place] = parse(typed[place])
        return dicts(typed)

    return convert


def _dicts(columns: Sequence[str]) -> Convert:
    """A function from columns to a dict for each row."""
    if not 0 < len(columns) <= _MANY:
        return lambda cells: [dict(zip(columns, row)) for row in zip(*cells)]  # noqa: B905 (scan has checked)
    # Written out for these columns, it takes less than half as long.
    names = [f"_{place}" for place in range(len(columns))]
    items = ", ".join(f"{column!r}: {name}" for column, name in zip(columns, names, strict=True))
    written: Convert = eval(f"lambda cells: [{{{items}}} for {', '.join(names)}, in zip(*cells)]")
    return written


def _parsers(missing: frozenset[str]) -> dict[str, Callable[[Column], Column]]:
    def integers(cells: Column) -> Column:
        return [None if cell in missing else int(cell) for cell in cells]

    def integers_mostly(cells: Column) -> Column:
        try:
            return list(map(int, cells))
        except ValueError:  # a missing one among them
            return integers(cells)

    def floats(cells: Column) -> Column:
        # Asking first, always: float("nan") would not be missing.
        return [None if cell in missing else float(cell) for cell in cells]

    def booleans(cells: Column) -> Column:
        return [None if cell in missing else BOOLEANS[cell] for cell in cells]

    plain = not any(map(_is_integer, missing))
    return {"int": integers_mostly if plain else integers, "float": floats, "bool": booleans}


def _is_integer(word: str) -> bool:
    try:
        int(word)
    except ValueError:
        return False
    return True
