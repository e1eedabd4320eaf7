"""Results in a folder of JSON files, one for each row."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchrun.errors import InputError, UsageError
from batchrun.outcome.export.file_names import stem_of
from batchrun.table.files import unreadable

from .left import NOTHING, Cells, Leftovers, by_number, done_in, is_own, name_of, text_in, value_in


def in_folder(folder: Path, key: Sequence[str], rows: int, first: int | None) -> Leftovers:
    """The files of a folder. `first`: the number in the name of the first row's file; None: find out."""
    try:
        stems = [name.removesuffix(".json") for name in os.listdir(folder) if re.fullmatch(r"[^.].*\.json", name)]
    except OSError as error:
        raise unreadable(folder, error) from error
    if not stems:
        raise InputError(f"{folder} holds no .json files", "give the folder that holds one for each row")
    places = {stem: stem for stem in stems} if key else _numbered(folder, stems, rows, first)

    def load(stem: str, row: int, cells: Cells) -> Any:
        value = value_in(_read(folder / f"{stem}.json"))
        if is_own(value):
            given = value.get("input") or {}
            same = name_of(given.get(each) for each in key) == name_of(cells) if key else value["row"] == row
            return done_in(value) if same else NOTHING
        # Another program's name for a key is the key. One that only looks like it may be another row's.
        return value if not key or stem in _plain_names(cells) else NOTHING

    return Leftovers(places, _file_names if key else by_number, load, lambda _, stem: f"{stem}.json")


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


def _file_names(row: int, cells: Cells) -> Iterable[str]:
    own = stem_of("_".join(map(text_in, cells)))
    return *_plain_names(cells), own, f"{own}~{row}"


def _plain_names(cells: Cells) -> tuple[str, ...]:
    name = "_".join(map(text_in, cells))
    return name, quote(name, safe="")


def _read(path: Path) -> bytes:
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
        with open(number, "rb") as file:
            if stat.S_ISREG(os.fstat(number).st_mode):
                return file.read()
    return b""
