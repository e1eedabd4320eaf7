"""What kind of table is it? Its content decides; its name only where the content leaves it open."""

import json
import os
import re
from pathlib import Path

from batchrun.errors import InputError

from .csv_table import CsvTable
from .files import PARQUET_MAGIC, check_reachable, head_of
from .json_lines import JsonLinesTable
from .options import ReadOptions, check_columns, separator
from .parquet import ParquetTable
from .table import Table
from .text import TextFile, text_file

_HEAD = 1 << 16
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_ARRAY = re.compile(r"\[\s*(?:[{\[\]]|$)")
_EXPORT = "Export the table as CSV, Parquet or JSON Lines and give that file."
_OTHER_FORMATS = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", f"Unzip it. {_EXPORT}"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _EXPORT),
    b"ARROW1": ("an Arrow (Feather) file", _EXPORT),
    b"SQLite format 3\0": ("an SQLite database", _EXPORT),
    b"%PDF-": ("a PDF document", _EXPORT),
}


def open_table(path: Path, options: ReadOptions, columns: tuple[str, ...] | None = None) -> Table:
    """Find out what kind of table `path` is and check its header and the options against it.

    `columns`: what an earlier scan found; JSON Lines needs it to give rectangular rows from the start.
    Raises `InputError` for whatever cannot be read as a table.
    """
    path = Path(path)
    check_reachable(path)
    table = _open(path, options, columns)
    if table.kind != "csv" and options.dtypes:
        raise InputError(
            f"--dtype is for CSV files: the values of {path} have types of their own",
            "Leave --dtype out and convert within the task.",
        )
    if table.columns:
        check_columns(table.columns, options)
    return table


def _open(path: Path, options: ReadOptions, columns: tuple[str, ...] | None) -> Table:
    if path.is_dir():
        return ParquetTable(path)
    magic = head_of(path, 16)
    if magic.startswith(PARQUET_MAGIC):
        return ParquetTable(path)
    _refuse_other_formats(path, magic)
    text = text_file(path, options.encoding)
    if _is_json_lines(text):
        return JsonLinesTable(text, columns, skip_bad_rows=options.skip_bad_rows)
    sep = separator(options, "\t" if _bare_name(path).endswith((".tsv", ".tab")) else ",")
    return CsvTable(text, sep, sep_said=options.sep is not None, skip_bad_rows=options.skip_bad_rows)


def _refuse_other_formats(path: Path, magic: bytes) -> None:
    for start, (what, hint) in _OTHER_FORMATS.items():
        if magic.startswith(start):
            raise InputError(f"{path} is {what}, not a table of text", hint)
    if _bare_name(path).endswith((".parquet", ".parq", ".pq")):
        raise InputError(
            f"{path} is no Parquet file: it does not start with PAR1",
            "Copy or write it again; is it cut off?",
        )


def _is_json_lines(text: TextFile) -> bool:
    """Raises `InputError` for an empty file and for JSON that is one array."""
    head = text.head(_HEAD)
    start = head.lstrip("\ufeff \t\r\n")
    if not head:
        raise InputError(f"{text.path} is empty", "A table needs at least a line with the columns' names.")
    if _ARRAY.match(start):
        raise InputError(
            f"{text.path} is one JSON array, which cannot be read row by row",
            f"Convert it to JSON Lines: jq -c '.[]' {text.path} > {_bare_stem(text.path)}.jsonl",
        )
    return _bare_name(text.path).endswith(_JSON_NAMES) or _starts_with_object(start)


def _starts_with_object(start: str) -> bool:
    line, end, _ = start.partition("\n")
    if line.strip() == "{":  # one object over many lines: its error says how to convert it
        return True
    if not end and len(start.encode()) >= _HEAD - 4:
        return bool(re.match(r'\{\s*"', line))
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _bare_name(path: Path) -> str:
    """The name in lower case without the ending that says how it is compressed."""
    name = path.name.lower()
    return os.path.splitext(name)[0] if name.endswith(_COMPRESSED) else name


def _bare_stem(path: Path) -> str:
    return os.path.splitext(_bare_name(path))[0]
