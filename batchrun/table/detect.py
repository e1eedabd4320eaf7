"""What kind of table is it? Its content decides; its name only where the content leaves it open."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from batchrun.errors import InputError

from .compression import compression_of, open_bytes
from .csv_files import CsvFiles
from .csv_table import CsvTable
from .database import SQLITE_MAGIC, DatabaseTable
from .decoding import TextFile, text_file
from .files import PARQUET_MAGIC, check_reachable, head_of
from .interface import KINDS, Table
from .json_lines import JsonLinesTable
from .lookalikes import error_page, lookalike_of_bytes, lookalike_of_text, one_object, rows_within
from .members import PARQUET_NAMES, files_of, is_pattern, is_several
from .options import ReadOptions, check_columns, check_for_kind
from .parquet import ParquetTable
from .remedies import bare_name, converted
from .top import check_top, layout_of
from .workbook import WorkbookTable

_HEAD = 1 << 16
_ZIP_MAGIC = b"PK\x03\x04"
_SHOWN = 100
_JSON_NAMES = (".jsonl", ".ndjson", ".json")
_ARRAY = re.compile(r"\[\s*(?:[{\[\]]|$)")


def open_table(path: Path, options: ReadOptions, columns: tuple[str, ...] | None = None) -> Table:
    """Find out what kind of table `path` is and check its header and the options against it.

    `columns`: what an earlier scan found; JSON Lines needs it to give rectangular rows from the start.
    Raises `InputError` for whatever cannot be read as a table.
    """
    path = Path(path)
    if not is_pattern(path):
        check_reachable(path)
    table = _open_several(path, options, columns) if is_several(path) else _open(path, options, columns)
    check_for_kind(path, table.kind, options)
    if options.file_column and not is_several(path):
        raise InputError(
            f"--file-column is for folders and patterns of files, and {path} is one file", "Leave --file-column out."
        )
    if table.columns:
        check_columns(table.columns, options)
    return table


def _open_several(path: Path, options: ReadOptions, columns: tuple[str, ...] | None) -> Table:
    """Several files as one table; of what kind, the first one says."""
    files = files_of(path)
    if files[0].name.lower().endswith(PARQUET_NAMES):
        return ParquetTable(path, file_column=options.file_column)
    first = _open(files[0], options, columns)

    if isinstance(first, ParquetTable):
        return ParquetTable(path, file_column=options.file_column)

    def csv(file: Path) -> CsvTable:
        table = _open(file, options, columns)
        return table if isinstance(table, CsvTable) else _other_kind(file, table, files[0], first)

    def json_lines(file: Path) -> TextFile:
        table = _open(file, options, columns)
        return text_file(file, options.encoding) if table.kind == "jsonl" else _other_kind(file, table, files[0], first)

    if isinstance(first, CsvTable):
        return CsvFiles(path, files, csv, options.missing, file_column=options.file_column)
    return JsonLinesTable(
        path, files, json_lines, columns, skip_bad_rows=options.skip_bad_rows, file_column=options.file_column
    )


def _other_kind(file: Path, table: Table, before: Path, first: Table) -> NoReturn:
    raise InputError(
        f"{file} is {KINDS[table.kind]}, and {before.name}, the first of the files, is {KINDS[first.kind]}",
        "All files of a table must be of one kind: name those of one kind with a quoted pattern.",
    )


def _open(path: Path, options: ReadOptions, columns: tuple[str, ...] | None) -> Table:
    magic = head_of(path, 512)
    if magic.startswith(PARQUET_MAGIC):
        return ParquetTable(path)
    if magic.startswith(SQLITE_MAGIC):
        return DatabaseTable(path, options.table)
    if magic.startswith(_ZIP_MAGIC) and _is_workbook(path):
        return WorkbookTable(path, options.sheet, options.skip_lines)
    _refuse_bytes(path, magic)
    text = text_file(path, options.encoding)
    if _is_json_lines(text):
        return JsonLinesTable(path, [path], lambda _: text, columns, skip_bad_rows=options.skip_bad_rows)
    head = text.head(_HEAD)
    layout = layout_of(head, options, "\t" if bare_name(path).lower().endswith((".tsv", ".tab")) else ",")
    if columns is None and options.skip_lines is None:  # nobody has taken the first line for what it is
        check_top(path, head, layout, text.encoding, whole=len(head.encode(text.encoding, "replace")) < _HEAD - 4)
    table = CsvTable(text, layout, skip_bad_rows=options.skip_bad_rows)
    table.missing = options.missing
    return table


def _is_workbook(path: Path) -> bool:
    """Whether a zip archive is an Excel workbook (whose older, binary kind is none that can be read)."""
    from zipfile import BadZipFile, ZipFile

    if path.suffix.lower() in (".xlsx", ".xlsm"):
        return True
    try:
        with ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (OSError, BadZipFile):
        return False


def with_part(table: Table, options: ReadOptions) -> ReadOptions:
    """The options with the name of what is read of a database or a workbook: others may come beside it."""
    if isinstance(table, DatabaseTable):
        return replace(options, table=table.name)
    return replace(options, sheet=table.sheet) if isinstance(table, WorkbookTable) else options


def _refuse_bytes(path: Path, magic: bytes) -> None:
    """Raise `InputError` for a file that is known for no table, compressed as a whole or not."""
    found = lookalike_of_bytes(magic)
    if not found and compression_of(path):
        with open_bytes(path, nul_allowed=True) as stream:
            magic = stream.read(512)
        if magic.startswith(PARQUET_MAGIC):
            hint = f"Parquet is compressed internally. Unpack it: {converted(path, '', '.parquet')}"
            raise InputError(f"{path} is a Parquet file that was compressed as a whole", hint)
        found = lookalike_of_bytes(magic)
    if found:
        raise InputError(f"{path} is {found.what}, not a table of text", found.hint)


def _is_json_lines(text: TextFile) -> bool:
    """Raises `InputError` for an empty file, and for what is not a table though it is called one."""
    head = text.head(_HEAD)
    start = head.lstrip("\ufeff \t\r\n")
    if not head.strip("\ufeff"):
        raise InputError(f"{text.path} is empty", "A table needs at least a line with the columns' names.")
    if found := lookalike_of_text(head):
        raise InputError(f"{text.path} is {found.what}, not a table", found.hint)
    name = bare_name(text.path).lower()
    if name.endswith(PARQUET_NAMES):
        raise InputError(
            f"{text.path} is not a Parquet file: it does not start with PAR1",
            "Is it cut off? Copy or write it again.",
        )
    if _ARRAY.match(start) or (name.endswith(_JSON_NAMES) and start.startswith("[") and "\n" not in start.strip()):
        raise InputError(
            f"{text.path} is one JSON array, which cannot be read row by row", _as_lines(text, "jq -c '.[]'")
        )
    if start.startswith("{"):
        _refuse_one_object(text, name, start)
    return name.endswith(_JSON_NAMES) or _starts_with_object(start)


def _refuse_one_object(text: TextFile, name: str, start: str) -> None:
    spread = start.partition("\n")[0].strip() == "{"
    value = one_object(start)  # of a long one only the head is here, and none is found
    if not spread and (value is None or name.endswith((".jsonl", ".ndjson"))):
        return
    shown = " ".join(start[: 2 * _SHOWN].split())[:_SHOWN]
    if rows := rows_within(value or {}):
        raise InputError(
            f"{text.path} is one JSON object, whose rows are in {rows!r}: {shown}",
            _as_lines(text, f"jq -c {shlex.quote(f'.[{json.dumps(rows)}][]')}"),
        )
    if value and error_page(value) and not name.endswith(_JSON_NAMES):
        raise InputError(
            f"{text.path} is one JSON object, not a table: {shown}",
            "Is it a server's answer instead of the table? Download it again; "
            "name a JSON Lines table of one row .jsonl.",
        )
    if spread:
        raise InputError(
            f"{text.path}, line 1: not a whole JSON object: it spans several lines: {shown}",
            _as_lines(text, "jq -c ."),
        )


def _as_lines(text: TextFile, program: str) -> str:
    return f"Convert it to JSON Lines: {converted(text.path, program, '.jsonl', text.encoding)}"


def _starts_with_object(start: str) -> bool:
    line, end, _ = start.partition("\n")
    if not end and len(start.encode()) >= _HEAD - 4:
        return bool(re.match(r'\{\s*"', line))
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
