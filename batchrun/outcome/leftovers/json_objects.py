"""Results in JSON Lines, or in an array: an object for each row."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchrun.errors import UsageError
from batchrun.outcome.export.columns import WHOLE_NAME

from .left import NOTHING, Cells, Leftovers, by_number, done_in, is_own, name_of, nameless, one_name, value_in

_LOOKED_AT = 4096


def in_lines(path: Path, key: Sequence[str]) -> Leftovers:
    """The lines of a file, one object each."""
    places: dict[str, tuple[int, int]] = {}
    full = empty = at = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            value = value_in(line)
            if type(value) is dict:
                places[_row_of(value, key, path, f"line {number:,}")] = at, number
                full += 1
            else:
                empty += bool(line.strip())
            at += len(line)

    def load(place: tuple[int, int], _row: int, _cells: Cells) -> Any:
        with open(path, "rb") as lines:
            lines.seek(place[0])
            value = value_in(lines.readline())
        return _result_in(value, key)

    called = one_name if key else by_number
    return Leftovers(places, called, load, lambda _, place: f"line {place[1]:,}", full - len(places), empty)


def _row_of(value: dict[str, Any], key: Sequence[str], path: Path, place: str) -> str:
    """What the row of a line, or of an object at some other place, is called."""
    cells = value.get("input") or {} if is_own(value) else value
    if not key and is_own(value):
        return str(value["row"])
    if not key:
        raise nameless(path)
    if missing := [name for name in key if name not in cells]:
        raise UsageError(f"{path}, {place}, has no {missing[0]!r}", f"it has {', '.join(list(cells)[:8])}")
    return name_of(cells[name] for name in key)


def _result_in(value: Any, key: Sequence[str]) -> Any:
    """The result in a line: all but the key, or what is called `result` if that is all."""
    if is_own(value):
        return done_in(value)
    rest = {name: each for name, each in value.items() if name not in key}
    return rest[WHOLE_NAME] if rest.keys() == {WHOLE_NAME} else rest or NOTHING


def array_in(path: Path) -> list[Any] | None:
    """What is in the file, if that is one array."""
    with open(path, "rb") as file:
        if not file.read(_LOOKED_AT).removeprefix(BOM_UTF8).lstrip().startswith(b"["):
            return None
        file.seek(0)
        value = value_in(file.read())
    return value if type(value) is list else None


def in_array(path: Path, values: list[Any], key: Sequence[str]) -> Leftovers:
    """The objects among `values`, which stand in the file."""
    objects = [number for number, value in enumerate(values, 1) if type(value) is dict]
    places = {_row_of(values[number - 1], key, path, f"item {number:,}"): number for number in objects}

    def load(number: int, _row: int, _cells: Cells) -> Any:
        return _result_in(values[number - 1], key)

    called, several = one_name if key else by_number, len(objects) - len(places)
    return Leftovers(
        places, called, load, lambda _, number: f"item {number:,}", several, len(values) - len(objects)
    )  # fmt: skip
