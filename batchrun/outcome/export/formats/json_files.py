"""A folder with a JSON file for each row, which holds what a line of JSON Lines does.

The files are called by the row's number, or by its key: `17.json`, `LHR.json`.
"""

import os
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from batchrun.outcome.export.file_names import shared_names, stem_of, told_apart
from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results

from .json_lines import object_pages


def write(results: Results, folder: Path) -> int:
    """Write a file for each row into an empty folder; returns the number of rows."""
    rows = 0
    for told, name in zip(chain.from_iterable(object_pages(results)), _names(results), strict=False):
        number = os.open(folder / f"{name}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(number, "wb") as file:
            file.write(told + b"\n")
        rows += 1
    return rows


def _names(results: Results) -> Iterator[str]:
    """The names of the files, without their ending, in the table's order."""
    if not results.key:
        return map(str, count(1))
    several = shared_names(_stems(results))
    return told_apart(chain.from_iterable(_stems(results)), count(1), several)


def _stems(results: Results) -> Iterator[list[str]]:
    """The keys of some rows at a time, as names."""
    places = [results.table.columns.index(name) for name in results.key]
    for chunk in results.table.chunks(results.key):
        results.pulse()
        yield [stem_of("_".join(text_of(cells[place]) for place in places)) for cells in chunk]
