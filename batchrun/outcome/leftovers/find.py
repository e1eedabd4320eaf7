"""Which kind of results are there."""

from collections.abc import Sequence
from pathlib import Path

from batchrun.errors import InputError, UsageError
from batchrun.table.detect import open_table
from batchrun.table.interface import Table
from batchrun.table.options import ReadOptions

from .json_folder import in_folder
from .json_objects import array_in, in_array, in_lines
from .left import Leftovers
from .results_table import in_table


def leftovers(source: Path, key: Sequence[str], table: Table, rows: int, first: int | None) -> Leftovers:
    """What is at `source`. `key`: the columns that name a row, if any do; `table`: whose results they are, of so many
    `rows`. `first`: the number in the name of the first row's file; None: find out.

    Raises `InputError` or `UsageError` for what holds no results, or does not say of which rows.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist", "give the folder or the file that holds the results")
    if source.is_dir():
        return in_folder(source, key, rows, first)
    if first is not None:
        raise UsageError("--first-row is about the names of files, and results are in one file", "leave it out")
    if (values := array_in(source)) is not None:
        return in_array(source, values, key)
    if open_table(source, ReadOptions()).kind == "jsonl":
        return in_lines(source, key)
    return in_table(source, key, table)
