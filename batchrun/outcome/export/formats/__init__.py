"""Results files: one module a format, each with `write(results, sink) -> rows`.

`sink` is a binary file, open for writing; Parquet and Excel need one that can seek.
"""

from collections.abc import Callable
from importlib import import_module
from typing import IO

from batchrun.errors import UsageError
from batchrun.outcome.export.view import Results

Write = Callable[[Results, IO[bytes]], int]

_MODULES = {
    "csv": "delimited.write_csv",
    "tsv": "delimited.write_tsv",
    "jsonl": "json_lines.write",
    "parquet": "parquet.write",
    "xlsx": "excel.write",
}
FORMATS = tuple(_MODULES)
SEEKING = ("parquet", "xlsx")
"""Formats that cannot be written to a pipe as they come."""


def writer(name: str) -> Write:
    """The function that writes a format. Raises `UsageError` if there is none of this name."""
    if name not in _MODULES:
        raise UsageError(f"no results format {name!r}", f"formats are {', '.join(FORMATS)}")
    module, function = _MODULES[name].split(".")
    write: Write = getattr(import_module(f".{module}", __name__), function)
    return write
