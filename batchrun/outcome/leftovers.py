"""What other programs have left of a table: results in a folder of JSON files, in JSON Lines, an array or a table.

Each is known by the number of its row, or by the cells of its key. Of a folder only the names of its files are kept in
memory, of JSON Lines where each line begins: results are read when their row is there. Others are kept whole.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from batchrun.errors import DamagedRows, InputError, UsageError
from batchrun.outcome.export.columns import ERROR, HOW, PREFIX, ROW, STATUS, WHOLE_NAME
from batchrun.outcome.export.file_names import stem_of
from batchrun.outcome.export.json_value import json_of, text_of, value_of
from batchrun.table.convert import converter
from batchrun.table.detect import open_table
from batchrun.table.files import unreadable
from batchrun.table.interface import Table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

_BETWEEN = "\x1f"
"""Between the cells of a key that are several."""
_OWN = frozenset({"row", "status", "result", "how", "error"})
"""Keys of the objects that batchrun itself writes."""
_TOLD = {STATUS, HOW, ERROR, ROW}
_LOOKED_AT = 4096
_BOM = b"\xef\xbb\xbf"
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


def leftovers(source: Path, key: Sequence[str], table: Table, rows: int, first: int | None) -> Leftovers:
    """What is at `source`. `key`: the columns that name a row, if any do; `table`: whose results they are, of so many
    `rows`. `first`: the number in the name of the first row's file; None: find out.

    Raises `InputError` or `UsageError` for what holds no results, or does not say of which rows.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist", "give the folder or the file that holds the results")
    if source.is_dir():
        return _in_folder(source, key, rows, first)
    if first is not None:
        raise UsageError("--first-row is about the names of files, and results are in one file", "leave it out")
    if (values := _array(source)) is not None:
        return _in_array(source, values, key)
    if open_table(source, ReadOptions()).kind == "jsonl":
        return _in_lines(source, key)
    return _in_table(source, key, table)


# --- a folder of JSON files


def _in_folder(folder: Path, key: Sequence[str], rows: int, first: int | None) -> Leftovers:
    try:
        stems = [name.removesuffix(".json") for name in os.listdir(folder) if re.fullmatch(r"[^.].*\.json", name)]
    except OSError as error:
        raise unreadable(folder, error) from error
    if not stems:
        raise InputError(f"{folder} holds no .json files", "give the folder that holds one for each row")
    places = {stem: stem for stem in stems} if key else _numbered(folder, stems, rows, first)

    def load(stem: str, row: int, cells: Cells) -> Any:
        value = _value(_read(folder / f"{stem}.json"))
        if _is_own(value):
            given = value.get("input") or {}
            same = _name(given.get(each) for each in key) == _name(cells) if key else value["row"] == row
            return _done(value) if same else NOTHING
        # Another program's name for a key is the key. One that only looks like it may be another row's.
        return value if not key or stem in _plain_names(cells) else NOTHING

    return Leftovers(places, _file_names if key else _number, load, lambda _, stem: f"{stem}.json")


def _numbered(folder: Path, stems: Iterable[str], rows: int, first: int | None) -> dict[str, str]:
    """The files by the numbers of their rows; others by their names."""
    numbers = {int(stem): stem for stem in stems if re.fullmatch("[0-9]{1,18}", stem)}
    if not numbers:
        raise UsageError(
            f"no file in {folder} is called by its row's number, like 1.json",
            "say with --key which column of the table they are called by",
        )
    before = (_first_number(numbers, rows) if first is None else first) - 1
    others = {stem: stem for stem in stems if not stem.isdecimal()}
    return {str(number - before): stem for number, stem in numbers.items()} | others


def _first_number(numbers: Iterable[int], rows: int) -> int:
    """Whether the numbers begin with 0 or with 1. Raises `UsageError` where they do not tell."""
    low, high = min(numbers), max(numbers)
    if (low == 0) != (high >= rows):
        return 0 if low == 0 else 1
    why = f"there is a 0.json and a {high}.json" if low == 0 else f"there is neither a 0.json nor a {rows}.json"
    raise UsageError(
        f"is the first row's file 0.json or 1.json? The table has {rows:,} rows, and {why}",
        "say so with --first-row 0 or --first-row 1",
    )


def _number(row: int, _: Cells) -> Iterable[str]:
    return (str(row),)


def _file_names(row: int, cells: Cells) -> Iterable[str]:
    own = stem_of("_".join(map(_text, cells)))
    return *_plain_names(cells), own, f"{own}~{row}"


def _plain_names(cells: Cells) -> tuple[str, ...]:
    name = "_".join(map(_text, cells))
    return name, quote(name, safe="")


def _read(path: Path) -> bytes:
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        with open(number, "rb") as file:
            if stat.S_ISREG(os.fstat(number).st_mode):
                return file.read()
    return b""


# --- JSON Lines


def _in_lines(path: Path, key: Sequence[str]) -> Leftovers:
    places: dict[str, tuple[int, int]] = {}
    full = empty = at = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            value = _value(line)
            if type(value) is dict:
                places[_row_of(value, key, path, f"line {number:,}")] = at, number
                full += 1
            else:
                empty += bool(line.strip())
            at += len(line)

    def load(place: tuple[int, int], _row: int, _cells: Cells) -> Any:
        with open(path, "rb") as lines:
            lines.seek(place[0])
            value = _value(lines.readline())
        return _result_in(value, key)

    called = _one_name if key else _number
    return Leftovers(places, called, load, lambda _, place: f"line {place[1]:,}", full - len(places), empty)


def _row_of(value: dict[str, Any], key: Sequence[str], path: Path, place: str) -> str:
    """What the row of a line, or of an object at some other place, is called."""
    cells = value.get("input") or {} if _is_own(value) else value
    if not key and _is_own(value):
        return str(value["row"])
    if not key:
        raise _nameless(path)
    if missing := [name for name in key if name not in cells]:
        raise UsageError(f"{path}, {place}, has no {missing[0]!r}", f"it has {', '.join(list(cells)[:8])}")
    return _name(cells[name] for name in key)


def _result_in(value: Any, key: Sequence[str]) -> Any:
    """The result in a line: all but the key, or what is called `result` if that is all."""
    if _is_own(value):
        return _done(value)
    rest = {name: each for name, each in value.items() if name not in key}
    return rest[WHOLE_NAME] if rest.keys() == {WHOLE_NAME} else rest or NOTHING


# --- an array of JSON


def _array(path: Path) -> list[Any] | None:
    """What is in the file, if that is one array."""
    with open(path, "rb") as file:
        if not file.read(_LOOKED_AT).removeprefix(_BOM).lstrip().startswith(b"["):
            return None
        file.seek(0)
        value = _value(file.read())
    return value if type(value) is list else None


def _in_array(path: Path, values: list[Any], key: Sequence[str]) -> Leftovers:
    objects = [number for number, value in enumerate(values, 1) if type(value) is dict]
    places = {_row_of(values[number - 1], key, path, f"item {number:,}"): number for number in objects}

    def load(number: int, _row: int, _cells: Cells) -> Any:
        return _result_in(values[number - 1], key)

    called, several = _one_name if key else _number, len(objects) - len(places)
    return Leftovers(
        places, called, load, lambda _, number: f"item {number:,}", several, len(values) - len(objects)
    )  # fmt: skip


# --- a table


def _in_table(path: Path, key: Sequence[str], table: Table) -> Leftovers:
    found = open_table(path, ReadOptions())
    typed = converter(found.columns, scan(found, ReadOptions(), lambda *_: None).types, found.missing)
    names = tuple(key) or (ROW,)
    if missing := [name for name in names if name not in found.columns]:
        if not key:
            raise _nameless(path)
        raise UsageError(f"{path} has no column {missing[0]!r}", f"it has {', '.join(found.columns[:8])}")
    columns = {each: each for each in found.columns if each not in {*names, *_TOLD}}
    if ROW not in found.columns:  # else they are results alone, and none of these is the table's
        columns = {each: _without_prefix(each, table) for each in columns if each not in table.columns}
    if not columns:
        raise UsageError(f"{path} has no columns but those of {table.path.name}", "give the file with the results")
    places: dict[str, bytes] = {}
    full = empty = 0
    where = [found.columns.index(name) for name in names]
    for chunk in found.chunks():
        for cells, row in zip(chunk, typed(chunk), strict=True):
            result = _result_of(row, columns)
            if result is NOTHING:
                empty += 1
            else:
                # A copy, for orjson leaves 4 KB behind each.
                places[_name(cells[place] for place in where)] = bytes(memoryview(json_of(result)))
                full += 1

    def told(name: str, _: bytes) -> str:
        return f"{', '.join(names)} {name.replace(_BETWEEN, ', ')}"

    called = _one_name if key else _number
    return Leftovers(places, called, lambda body, *_: _value(body), told, full - len(places), empty)


def _result_of(row: dict[str, Any], columns: Mapping[str, str]) -> Any:
    cells = {name: row[column] for column, name in columns.items()}
    if row.get(STATUS, "done") != "done" or all(cell is None or cell == "" for cell in cells.values()):
        return NOTHING
    values = {name: _unfolded(cell) for name, cell in cells.items()}
    return values[WHOLE_NAME] if values.keys() == {WHOLE_NAME} else values


def _unfolded(cell: Any) -> Any:
    """The array or object that a cell holds as text, as in results of ours."""
    if type(cell) is str and cell[:1] in ("{", "[") and (value := _value(cell.encode(errors="replace"))) is not NOTHING:
        return value
    return cell


def _without_prefix(name: str, table: Table) -> str:
    bare = name.removeprefix(PREFIX)
    return bare if bare in table.columns else name


# --- what all have


def _nameless(path: Path) -> UsageError:
    return UsageError(f"{path} does not say which row a line is about", "name with --key the column that both have")


def _one_name(_: int, cells: Cells) -> Iterable[str]:
    return (_name(cells),)


def _name(cells: Iterable[Any]) -> str:
    return _BETWEEN.join(map(_text, cells))


def _text(cell: Any) -> str:
    return cell if type(cell) is str else text_of(cell)


def _value(data: bytes) -> Any:
    """What JSON says; `NOTHING` for null, and for what is not JSON, such as NaN."""
    data = data.removeprefix(_BOM)
    try:
        orjson.loads(data)
        value = value_of(data, 0)
    except (ValueError, DamagedRows):
        return NOTHING
    return NOTHING if value is None else value


def _is_own(value: Any) -> bool:
    return type(value) is dict and value.keys() >= _OWN


def _done(value: dict[str, Any]) -> Any:
    return value["result"] if value["status"] == "done" else NOTHING
