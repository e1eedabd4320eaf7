"""Results files: one module a format, each with `write(results, sink) -> rows`.

`sink` is a binary file, open for writing; Parquet and Excel need one that can seek.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, NamedTuple

from batchrun.errors import UsageError
from batchrun.outcome.export.view import Results

Write = Callable[[Results, IO[bytes]], int]


class Format(NamedTuple):
    """`written_by`: module here and function. `suffixes`: the ends of its files' names. `seeks`: no pipe takes it."""

    written_by: str
    suffixes: tuple[str, ...]
    seeks: bool = False


# Found by name, not imported: whoever writes CSV does not wait for pyarrow to be loaded.
FORMATS = {
    "csv": Format("delimited.write_csv", (".csv",)),
    "tsv": Format("delimited.write_tsv", (".tsv", ".tab")),
    "jsonl": Format("json_lines.write", (".jsonl", ".ndjson")),
    "parquet": Format("parquet.write", (".parquet", ".parq", ".pq"), seeks=True),
    "xlsx": Format("excel.write", (".xlsx",), seeks=True),
}
_BY_SUFFIX = {suffix: name for name, format_ in FORMATS.items() for suffix in format_.suffixes}


def format_of(path: Path) -> str:
    """The format that a file's name asks for. Raises `UsageError` if it asks for none that is known."""
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"{path}: no results format is called {path.suffix or 'nothing at all'}",
            f"end the name in one of {', '.join(_BY_SUFFIX)}",
        )
    return found


def writer(name: str) -> Write:
    """The function that writes a format. Raises `UsageError` if there is none of this name."""
    if name not in FORMATS:
        raise UsageError(f"no results format {name!r}", f"formats are {', '.join(FORMATS)}")
    module, function = FORMATS[name].written_by.split(".")
    write: Write = getattr(import_module(f".{module}", __name__), function)
    return write
