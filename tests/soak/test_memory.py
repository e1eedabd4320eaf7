"""Memory does not grow with the rows, whichever way they come in and results go out: `make soak` takes a million."""

import os
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support import COMMAND, batchrun, environment, write_table
from tables import ended, peak_of, plan

LONG = bool(os.environ.get("SOAK_KILLS"))
ROWS = (100_000, 1_000_000) if LONG else (80_000, 240_000)
MEGABYTE = 1 << 20
LEAST_GROWTH, GROWTH_OF_A_ROW = 24 * MEGABYTE, 10
"""In bytes. Buffers of fixed size fill up, and of each row some bytes are known; an object for each takes over 100."""


def rows_of(rows: int) -> Iterator[tuple[int, str]]:
    return ((n, f"the text of row {n}") for n in range(1, rows + 1))


def folder(path: Path, rows: int) -> Path:
    path.mkdir()
    for part in range(10):
        write_table(path / f"{part}.csv", (row for row in rows_of(rows) if row[0] % 10 == part))
    return path


def database(path: Path, rows: int) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT)")
        db.executemany("INSERT INTO texts VALUES (?, ?)", rows_of(rows))
        db.commit()
    return path


def json_lines(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        file.writelines(f'{{"id": {n}, "text": "{text}"}}\n' for n, text in rows_of(rows))
    return path


PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/xl/workbook.xml" ContentType="{main}.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{main}.worksheet+xml"/>'
    '<Override PartName="/xl/sharedStrings.xml" ContentType="{main}.sharedStrings+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="{links}"><Relationship Id="rId1" Type="{kinds}/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="{links}"><Relationship Id="rId1" Type="{kinds}/worksheet" '
    'Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="{cells}" xmlns:r="{kinds}"><sheets><sheet name="texts" sheetId="1" '
    'r:id="rId1"/></sheets></workbook>',
}
NAMES = {
    "main": "application/vnd.openxmlformats-officedocument.spreadsheetml",
    "links": "http://schemas.openxmlformats.org/package/2006/relationships",
    "kinds": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "cells": "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
}


def workbook(path: Path, texts: Sequence[str]) -> Path:
    """As Excel writes it: the texts stand apart from the cells, which openpyxl does not do."""
    cells = NAMES["cells"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, text in PARTS.items():
            file.writestr(name, text.format(**NAMES))
        with file.open("xl/sharedStrings.xml", "w") as part:
            part.write(f'<sst xmlns="{cells}"><si><t>text</t></si>'.encode())
            part.writelines(f"<si><t>{text}</t></si>".encode() for text in texts)
            part.write(b"</sst>")
        with file.open("xl/worksheets/sheet1.xml", "w") as part:
            part.write(f'<worksheet xmlns="{cells}"><dimension ref="A1"/><sheetData>'.encode())
            part.writelines(f'<row><c t="s"><v>{n}</v></c></row>'.encode() for n in range(len(texts) + 1))
            part.write(b"</sheetData></worksheet>")
    return path


WAYS_IN: dict[str, Callable[[Path, int], Path]] = {
    "csv": lambda path, rows: write_table(path, rows_of(rows)),
    "folder": folder,
    "sqlite": database,
    "jsonl": json_lines,
    "xlsx": lambda path, rows: workbook(path, [text for _, text in rows_of(rows)]),
}


@pytest.mark.parametrize("way", WAYS_IN if LONG else ["folder", "sqlite"])
def test_a_table_is_read_in_the_same_memory_however_long_it_is(tmp_path: Path, way: str) -> None:
    tables = [WAYS_IN[way](tmp_path / f"{rows}.{way}", rows) for rows in ROWS]
    assert_flat([measured(plan(table)) for table in tables])


def test_the_texts_of_a_workbook_are_not_in_memory_at_once(tmp_path: Path) -> None:
    peaks = []
    for size in (10, 30_000):
        texts = [f"{n} ".ljust(size, "x") for n in range(3000)]
        peaks.append(measured(plan(workbook(tmp_path / f"{size}.xlsx", texts))))
    assert peaks[1] - peaks[0] < 2 * LEAST_GROWTH, peaks  # of 90 MB


def test_a_pipe_is_kept_and_read_in_the_same_memory(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def task(row):\n    return len(row)\n")
    peaks = []
    for rows in ROWS:
        with write_table(tmp_path / f"{rows}.csv", rows_of(rows)).open("rb") as pipe:
            command = [*COMMAND, "process", "-", "--name", f"n{rows}", "--task", "tasks.py:task", "--dry-run"]
            peaks.append(measured(started(command, tmp_path, stdin=pipe)))
    assert_flat(peaks)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of each size, whose rows are all done."""
    home = tmp_path_factory.mktemp("settled")
    (home / "tasks.py").write_text("def task(row):\n    return {'n': row['id'], 'loud': row['text'].upper()}\n")
    for rows in ROWS:
        table = write_table(home / f"{rows}.csv", rows_of(rows))
        assert batchrun("process", table, "--task", "tasks.py:task", "--no-output", cwd=home).returncode == 0
    return home


WAYS_OUT = ["json", "sqlite", *(["csv.gz", "csv.zst", "json-files"] if LONG else [])]


@pytest.mark.parametrize("format_", WAYS_OUT)
def test_results_are_written_in_the_same_memory_however_many_they_are(settled: Path, format_: str) -> None:
    peaks = []
    for rows in ROWS:
        to = ("folder", "--format", format_) if format_ == "json-files" else (f"results.{format_}",)
        command = [*COMMAND, "export", f"{rows}.csv", "-o", f"{rows}-{to[0]}", *to[1:]]
        peaks.append(measured(started(command, settled)))
    assert_flat(peaks)


def started(command: list[str], home: Path, **options: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, cwd=home, env=environment(), stderr=subprocess.PIPE, **options)


def measured(process: "subprocess.Popen[bytes]") -> int:
    """The most memory that the process has had, in bytes."""
    peak = peak_of(process)
    code, said, _ = ended(process)
    assert code == 0, said
    return peak


def assert_flat(peaks: list[int]) -> None:
    few, many = peaks
    assert many - few < LEAST_GROWTH + GROWTH_OF_A_ROW * (ROWS[1] - ROWS[0]), peaks
