"""Results files: one module a format, each with `write(results, sink) -> rows`.

`sink` is a binary file, open for writing; Parquet and Excel need one that can seek, SQLite one that has a path.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple

from batchrun.errors import UsageError
from batchrun.outcome.export.view import Results

Write = Callable[[Results, Any], int]


class Format(NamedTuple):
    """`written_by`: module here and function. `suffixes`: the ends of its files' names. `seeks`: no pipe takes it.
    `is_text`: it may be compressed. `objects`: tells all of a row in an object, and has no columns. `is_folder`: of
    files; `write` is given the folder.
    """

    written_by: str
    suffixes: tuple[str, ...]
    seeks: bool = False
    is_text: bool = False
    objects: bool = False
    is_folder: bool = False


# Found by name, not imported: whoever writes CSV does not wait for pyarrow to be loaded.
FORMATS = {
    "csv": Format("delimited.write_csv", (".csv",), is_text=True),
    "tsv": Format("delimited.write_tsv", (".tsv", ".tab"), is_text=True),
    "jsonl": Format("json_lines.write", (".jsonl", ".ndjson"), is_text=True, objects=True),
    "json": Format("json_lines.write_array", (".json",), is_text=True, objects=True),
    "parquet": Format("parquet.write", (".parquet", ".parq", ".pq"), seeks=True),
    "xlsx": Format("excel.write", (".xlsx",), seeks=True),
    "json-files": Format("json_files.write", (), objects=True, is_folder=True),
    "sqlite": Format("sqlite_file.write", (".sqlite", ".sqlite3", ".db"), seeks=True),
}
_BY_SUFFIX = {suffix: name for name, format_ in FORMATS.items() for suffix in format_.suffixes}
COMPRESSED = (".gz", ".zst")
"""Ends the name of a file of text that is to be compressed."""


def format_of(path: Path) -> str:
    """The format that a file's name asks for. Raises `UsageError` if it asks for none that is known."""
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    found = _BY_SUFFIX.get(bare.suffix.lower())
    if found is None or (bare != path and not FORMATS[found].is_text):
        raise UsageError(
            f"{path}: no results format is called {(bare.suffix + path.suffix * (bare != path)) or 'nothing at all'}",
            f"end the name in one of {', '.join(_BY_SUFFIX)}; text may be compressed: .csv.gz, .csv.zst; "
            "a folder with a file per row takes --format json-files",
        )
    return found


def known_format(name: str) -> str:
    """The name, if it is that of a format. Raises `UsageError`."""
    if name not in FORMATS:
        raise UsageError(f"no results format {name!r}", f"formats are {', '.join(FORMATS)}")
    return name


def writer(name: str, target: Path | None = None) -> Write:
    """The function that writes a format, compressed if the name of `target` says so.

    Raises `UsageError` if there is no format of this name.
    """
    module, function = FORMATS[known_format(name)].written_by.split(".")
    write: Write = getattr(import_module(f".{module}", __name__), function)
    suffix = target.suffix.lower() if target and FORMATS[name].is_text else ""
    if suffix not in COMPRESSED:
        return write
    compressor: Callable[[IO[bytes]], Any] = import_module(".compressed", __name__).COMPRESSORS[suffix]

    def write_compressed(results: Results, sink: IO[bytes]) -> int:
        with compressor(sink) as file:
            return write(results, file)

    return write_compressed
