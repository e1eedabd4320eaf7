"""Results files: what is in them, in each format, and that the old file stays until the new one is whole."""

import csv
import gzip
import io
import json
import os
import re
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.checkpoint import row_reader
from batchrun.checkpoint.atomic import replacing
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.records import Failure, Settled
from batchrun.core.states import CRASHED, DONE, FAILED, SKIPPED
from batchrun.errors import CheckpointError, InputError, UsageError
from batchrun.outcome.export.columns import MAX_COLUMNS
from batchrun.outcome.export.formats import format_of
from batchrun.outcome.export.formats.arrow_input import input_of
from batchrun.outcome.export.frame import frame
from batchrun.outcome.export.joined import pages, snapshot
from batchrun.outcome.export.json_value import flat_columns, json_of, values_of
from batchrun.outcome.export.picked import Pick
from batchrun.outcome.export.value_kinds import (
    FLOAT,
    INT,
    JSON,
    LONG,
    NOTHING,
    TEXT,
    ArrayOf,
    ObjectOf,
    join,
    kind_of_values,
)
from batchrun.outcome.export.view import Results
from batchrun.outcome.export.writing import ExportStopped, export
from batchrun.table.detect import open_table
from batchrun.table.interface import CHUNK_ROWS
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan


def open_zstd(path: Path) -> Any:
    return pa.CompressedInputStream(str(path), "zstd")


LEFT = object()
BIG = 2**80
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "sqlite")


class Skipped(str):
    """A reason to skip a row."""


class Table:
    """A table on disk with its checkpoint beside it; `path` is the input."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.options = path, ReadOptions(**options)
        self.types = scan(found := open_table(path, self.options), self.options, lambda *_: None).types
        self.columns = found.columns
        self.checkpoint = path.with_name("c.sqlite")

    def settle(self, *results: Any, first: int = 1) -> "Table":
        """Write results from row `first` on: a value, bytes of JSON, a `Failure`, `Skipped` or `LEFT`."""
        rows = [settled_row(first + n, result) for n, result in enumerate(results) if result is not LEFT]
        with opened(self.checkpoint, write=True) as checkpoint:
            checkpoint.write(1, rows, [])
        return self

    @property
    def table(self) -> Any:
        return open_table(self.path, self.options, self.columns)

    @contextmanager
    def db(self) -> Iterator[sqlite3.Connection]:
        with opened(self.checkpoint, write=False) as checkpoint:
            yield checkpoint.db

    def export(self, name: str, **options: Any) -> Path:
        target = self.path.parent / name
        with self.db() as db:
            self.rows = export(self.table, self.types, db, target, format_of(target), **options)
        return target

    def csv(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.export("out.csv").read_bytes().decode(), newline="")))

    def jsonl(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.export("out.jsonl").read_text().splitlines()]

    def parquet(self) -> pa.Table:
        return pq.read_table(self.export("out.parquet"))

    def sqlite(self) -> dict[str, Any]:
        with closing(sqlite3.connect(self.export("out.sqlite"))) as db:
            types = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info(results)")}
            return {"types": types, "rows": db.execute("SELECT * FROM results ORDER BY rowid").fetchall()}

    def frame(self) -> pd.DataFrame:
        with self.db() as db:
            return frame(self.table, self.types, db)


def settled_row(row: int, result: Any) -> Settled:
    plain = (row, b"f" * 16, None)
    if isinstance(result, Failure):
        status = CRASHED if result.kind == "crash" else FAILED
        return Settled(*plain, status, 1, 1, 0.1, failure=result)
    if isinstance(result, Skipped):
        return Settled(*plain, SKIPPED, 1, 1, 0.1, note=str(result))
    body = result if isinstance(result, bytes) else json.dumps(result).encode()
    return Settled(*plain, DONE, 1, 1, 0.1, body, "the raw reply", "json")


def failure_of(row: int, message: str = "no luck", kind: str = "exception") -> Failure:
    return Failure(row, 1, 0.0, 0.1, 0, kind, message, "ValueError", 400, "Traceback …", "raw of a failure")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Table]:
    """A CSV table: its text, or the number of rows of a column `id`."""

    def make(text: str | int = 2, **options: Any) -> Table:
        if isinstance(text, int):
            text = "id\n" + "".join(f"{row}\n" for row in range(1, text + 1))
        (tmp_path / "in.csv").write_bytes(text.encode())
        return Table(tmp_path / "in.csv", **options)

    return make


Make = Callable[..., Table]


# --- rows and their outcomes


def test_each_row_comes_in_input_order_with_what_has_become_of_it(make: Make) -> None:
    table = make(5).settle({"a": 1}, failure_of(2), LEFT, Skipped("too old"))
    with table.db() as db:
        ((cells, page),) = pages(table.table.chunks(), db, raw=True)
    rows = list(page)
    assert list(cells) == [("1",), ("2",), ("3",), ("4",), ("5",)]
    assert [(row.row, row.status) for row in rows] == [
        (1, "done"), (2, "failed"), (3, "left"), (4, "skipped"), (5, "left"),
    ]  # fmt: skip
    assert (rows[0].body, rows[0].how, rows[0].raw) == (b'{"a": 1}', "json", "the raw reply")
    assert rows[1].error == {
        "kind": "exception", "message": "no luck", "type": "ValueError", "http_status": 400,
        "traceback": "Traceback …",
    }  # fmt: skip
    assert rows[1].raw == "raw of a failure"
    assert (rows[3].note, rows[3].error) == ("too old", None)


@pytest.mark.parametrize("step", [1, 2, 7, 999, 1000, 1001, 2999])
def test_rows_find_their_outcomes_however_few_are_settled(make: Make, step: int) -> None:
    table = make(3000)
    for row in range(step, 3001, step):
        if step > 900 or row <= 20:
            table.settle(row, first=row)
    with table.db() as db:
        for chunk, page in pages(table.table.chunks(), db):
            for cells, row in zip(chunk, page, strict=True):
                assert cells == (str(row.row),)
                assert row.body in (None, b"%d" % row.row)
                assert (row.body is None) == (row.status == "left")


@pytest.mark.parametrize("name", [f"out.{name}" for name in FORMATS if name != "xlsx"])
@pytest.mark.parametrize("most", [1, 300])
def test_results_are_the_same_when_they_are_read_a_few_bytes_at_a_time(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    mixed = [{"a": row, "text": "x" * (row % 7 * 50)} if row % 5 else LEFT for row in range(60)]
    table = make(70).settle(*mixed, failure_of(61), Skipped("too old"), {"late": 1}).settle(1, 2, 3, first=5)
    whole = table.export(name).read_bytes()
    monkeypatch.setattr(row_reader, "_TAKEN_BYTES", most)
    monkeypatch.setattr(row_reader, "BLOCKS_AT_ONCE", 1)
    with table.db() as db:
        sizes = [len(page) for _, page in pages(table.table.chunks(), db)]
    assert (sum(sizes), len(sizes) > 2) == (70, True)
    if name == "out.parquet":
        assert table.parquet().equals(pq.read_table(io.BytesIO(whole)))
    else:
        assert table.export(name).read_bytes() == whole


def test_a_parquet_table_is_cut_where_results_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"id": range(20)}), tmp_path / "in.parquet")
    table = Table(tmp_path / "in.parquet").settle(*({"n": row} for row in range(20)))
    monkeypatch.setattr(row_reader, "_TAKEN_BYTES", 1)
    assert table.parquet().to_pylist() == [
        {"id": row, "n": row, "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": None}
        for row in range(20)
    ]


def test_a_wide_table_becomes_parquet_in_chunks_of_many_rows(make: Make) -> None:
    columns, rows = 3000, 200
    lines = [",".join(f"c{n}" for n in range(columns)), *(",".join([str(row)] * columns) for row in range(rows))]
    table = make("\n".join(lines) + "\n").settle(*range(rows))
    with table.db() as db:
        few = [len(chunk) for chunk in table.table.chunks()]
        many = [len(chunk) for chunk in input_of(Results(table.table, table.types, db), table.types).chunks()]
    assert (sum(few), sum(many)) == (rows, rows)
    assert len(many) <= 2 < 10 < len(few), "each chunk makes an array of each column"
    assert table.parquet().column("c2999").to_pylist() == [*range(rows)]


MEBIBYTE = 1 << 20
EXPORTING = """
import resource, sqlite3, sys
from pathlib import Path
from batchrun.checkpoint.opening import opened
from batchrun.outcome.export.formats import format_of
from batchrun.outcome.export.formats.arrow_input import input_of
from batchrun.outcome.export.view import Results
from batchrun.outcome.export.writing import export
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

target = Path(sys.argv[1])
with opened(Path("c.sqlite"), write=False) as checkpoint:
    export(open_table(Path("in.csv"), ReadOptions(), ("id",)), ("int",), checkpoint.db, target, format_of(target))
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_memory_does_not_grow_with_large_results(make: Make, name: str) -> None:
    table = make(300).settle(*[b'{"text":"%b"}' % (b"x" * MEBIBYTE)] * 300)
    command = [sys.executable, "-c", EXPORTING, name]
    ran = subprocess.run(command, cwd=table.path.parent, capture_output=True, text=True, timeout=300, check=True)
    assert int(ran.stdout) < 700, "it was more than 1,000"


def test_results_of_rows_that_are_gone_do_not_show(make: Make) -> None:
    table = make(2).settle({"a": 1}).settle({"gone": 1}, first=-7)
    assert table.csv() == [
        {"id": "1", "a": "1", "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": ""},
        {"id": "2", "a": "", "batchrun_status": "left", "batchrun_how": "", "batchrun_error": ""},
    ]


def test_a_table_with_fewer_rows_than_the_ledger_is_refused(make: Make) -> None:
    table = make(2).settle(1, 2, 3)
    with pytest.raises(InputError, match="has row 3, but the table has only 2 rows"):
        table.export("out.csv")
    assert not table.path.with_name("out.csv").exists()


def test_a_writer_beside_the_export_changes_nothing_in_it(make: Make) -> None:
    table = make(3000).settle({"a": 1})

    def write_more() -> bool:
        table.settle({"b": 2}, first=2000)
        return False

    text = table.export("out.csv", stop=write_more).read_text()
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["batchrun_status"] for row in found] == ["done"] + ["left"] * 2999
    assert "b" not in found[0]
    assert table.csv()[1999]["b"] == "2"


def test_a_snapshot_within_a_snapshot_is_the_outer_one(make: Make) -> None:
    table = make(1).settle(1)
    with table.db() as db:
        with snapshot(db), snapshot(db):
            assert db.in_transaction
        assert not db.in_transaction


def test_a_damaged_result_is_named(make: Make) -> None:
    table = make(2).settle(1, b'{"a": tru')
    with pytest.raises(CheckpointError, match="row 2: its stored result is damaged"):
        table.export("out.csv")


# --- CSV


MANY = [[{"a": 1}, {"a": 2, "b": "x"}], [], {"a": 3}, failure_of(4), [BIG, None], LEFT]


def exploded(table: Table, name: str) -> list[tuple[str, str]]:
    """The row's cell and the status of each line."""
    path = table.export(name, show="exploded")
    if name.endswith("l"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [(str(line["input"]["id"]), line["status"]) for line in lines]
    tabs = partial(pd.read_csv, sep="\t")
    read = {".csv": pd.read_csv, ".tsv": tabs, ".parquet": pd.read_parquet, ".xlsx": pd.read_excel}
    found = read[path.suffix](path)
    return list(zip(map(str, found["id"]), found["batchrun_status"], strict=True))


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl", "out.parquet", "out.xlsx"])
def test_exploded_results_have_a_line_for_each_element_and_one_for_every_other_row(make: Make, name: str) -> None:
    table = make(6).settle(*MANY)
    assert exploded(table, name) == [
        ("1", "done"), ("1", "done"), ("3", "done"), ("4", "failed"), ("5", "done"), ("5", "done"), ("6", "left"),
    ]  # fmt: skip
    assert table.rows == 7


def test_what_is_in_an_array_is_in_its_lines(make: Make) -> None:
    table = make(6).settle(*MANY)
    lines = [json.loads(line) for line in table.export("out.jsonl", show="exploded").read_text().splitlines()]
    assert [line["result"] for line in lines] == [{"a": 1}, {"a": 2, "b": "x"}, {"a": 3}, None, BIG, None, None]
    with table.db() as db:
        found = frame(table.table, table.types, db, explode=True)
    assert list(found.columns) == ["id", "a", "b", "result", "batchrun_status", "batchrun_how", "batchrun_error"]
    assert list(found["id"]) == [1, 1, 3, 4, 5, 5, 6]
    assert list(found["a"])[:3] == [1, 2, 3]


def test_rows_of_a_parquet_table_come_as_often_as_they_have_lines(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3], "n": pa.array([7, None, 9], pa.int8())}), tmp_path / "in.parquet")
    table = Table(tmp_path / "in.parquet").settle([1, 2, 3], [], ["x"])
    found = pq.read_table(table.export("out.parquet", show="exploded"))
    assert found["id"].to_pylist() == [1, 1, 1, 3]
    assert found["n"].to_pylist() == [7, 7, 7, 9]
    assert found.schema.field("n").type == pa.int8()


def test_csv_keeps_the_input_cells_as_they_were(make: Make) -> None:
    awkward = 'id,text,amount\n007,"a ""quoted"", cell",2.50\n8,"two\nlines",NA\n9,"a\rb",\n10,"c\r\nd", x \n'
    table = make(awkward).settle({"n": 1})
    text = table.export("out.csv").read_bytes().decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[:3] for row in rows] == list(csv.reader(io.StringIO(awkward, newline="")))
    assert text.startswith("id,text,amount,n,batchrun_status,batchrun_how,batchrun_error\n007,")
    assert Table(table.path.with_name("out.csv")).columns[:3] == ("id", "text", "amount")


def test_csv_writes_values_as_words_numbers_and_json_text(make: Make) -> None:
    result = {
        "t": True,
        "f": False,
        "n": None,
        "i": BIG,
        "x": 0.1,
        "s": 'é\r"x"',
        "l": [1, "ü"],
        "o": {"k": BIG},
    }
    (row,) = make(1).settle(result).csv()
    assert row == {
        "id": "1", "t": "true", "f": "false", "n": "", "i": str(BIG), "x": "0.1", "s": 'é\r"x"', "l": '[1,"ü"]',
        "o": f'{{"k":{BIG}}}', "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": "",
    }  # fmt: skip


NASTY = st.text("ab\",;\t\r\n ='\ufeffé", max_size=5)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NASTY
VALUES = st.recursive(SCALARS, lambda some: st.lists(some, max_size=2) | st.dictionaries(NASTY, some, max_size=2))


def said(value: Any) -> str:
    """A value as CSV has it."""
    if value is None or isinstance(value, str):
        return value or ""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if plain else json_of(value).decode()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(NASTY, VALUES | NASTY.map(Skipped)), min_size=1, max_size=6),
    bare=st.booleans(),
    head=st.sampled_from(["", "\ufeff"]),
    sep=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    suffix=st.sampled_from(["csv", "tsv"]),
)
def test_lines_are_those_that_csv_makes_of_the_cells(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], bare: bool, head: str, sep: str, end: str, suffix: str
) -> None:
    texts = [re.sub(r'["\r\n,;\t]', "", text) if bare else text for text, _ in rows]
    path = tmp_path_factory.mktemp("nasty") / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(head)
        quoting = csv.QUOTE_MINIMAL if bare else csv.QUOTE_ALL
        csv.writer(file, delimiter=sep, lineterminator=end, quoting=quoting).writerows(
            [("id", "text"), *enumerate(texts)]
        )
    results = [
        failure_of(n, value) if isinstance(value, Skipped) else {"v": value} for n, (_, value) in enumerate(rows)
    ]
    written = Table(path, sep=sep).settle(*results).export(f"out.{suffix}").read_bytes().decode()

    between = {"csv": ",", "tsv": "\t"}[suffix]
    found = list(csv.reader(io.StringIO(written, newline=""), delimiter=between))
    has = any(not isinstance(value, Skipped) for _, value in rows)
    told = [
        ["", "failed", "", value] if isinstance(value, Skipped) else [said(value), "done", "json", ""]
        for _, value in rows
    ]
    assert found[1:] == [
        [str(n), text, *more[not has :]] for n, (text, more) in enumerate(zip(texts, told, strict=True))
    ]
    again = io.StringIO(newline="")
    csv.writer(Lines(again), delimiter=between, lineterminator="\r\n").writerows(found)
    assert written == again.getvalue()


class Lines(NamedTuple):
    """Has csv's lines end in a line feed."""

    to: io.StringIO

    def write(self, line: str) -> None:
        self.to.write(line.removesuffix("\r\n") + "\n")


KEYS = st.lists(st.sampled_from(["a", "b", 'c"', "d,", "é"]), min_size=1, max_size=3, unique=True)
OBJECTS = KEYS.flatmap(
    lambda keys: st.lists(st.tuples(*[VALUES] * len(keys)).map(partial(zip, keys)).map(dict), min_size=1, max_size=4)
)


@given(OBJECTS, st.sampled_from([0, BIG, -BIG]))
def test_objects_that_are_alike_are_read_by_columns_as_one_by_one(objects: list[dict[str, Any]], more: int) -> None:
    keys = list(objects[0])
    objects.append({**objects[0], keys[-1]: more})
    bodies = [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in objects]
    found = flat_columns(bodies, keys)
    one_by_one = [[value[key] for value in values_of(bodies, range(len(bodies)))] for key in keys]
    assert repr(found) == repr(one_by_one) or (found is None and more)


@given(st.lists(OBJECTS.map(lambda some: some[0]) | VALUES, min_size=1, max_size=5), KEYS)
def test_other_results_are_not_read_by_columns(results: list[Any], keys: list[str]) -> None:
    bodies = [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in results]
    alike = all(isinstance(result, dict) and list(result) == keys for result in results)
    assert (flat_columns(bodies, keys) is not None) == alike


@pytest.mark.parametrize(
    "bodies",
    [[b'{"a":1,"b":2,"b":3}', b'{"a":1}'], [b'{"a":1,"a":2}', b"{}"], [b'{"a":1,"b":2', b'"b":3}'],
     [b'{"a":[{"a":1},{"a":2}],"b":1}', b'{"a":0}'], [b'{"a":1,"b":{"a":1,"b":2}', b'{"b":2}']],
)  # fmt: skip
def test_what_only_looks_alike_is_not_read_by_columns(bodies: list[bytes]) -> None:
    assert flat_columns(bodies, ["a", "b"]) is None


def test_a_column_of_mixed_values_is_written_value_by_value(make: Make) -> None:
    rows = make(5).settle({"v": True}, {"v": "text"}, {"v": None}, {"v": [True]}, {"v": 1}).csv()
    assert [row["v"] for row in rows] == ["true", "text", "", "[true]", "1"]


def test_columns_come_in_order_of_first_appearance_in_the_table(make: Make) -> None:
    table = make(3).settle({"c": 3, "b": 4}, first=3).settle({"b": 1, "a": 2}, first=1)
    assert list(table.csv()[0]) == ["id", "b", "a", "c", "batchrun_status", "batchrun_how", "batchrun_error"]


@pytest.mark.parametrize(
    ("late", "more"),
    [({"b": 2}, ["b"]), ({"b": 2, "a": 1}, ["b"]), ([1], ["result"]), (b"null", ["result"]), ({}, []),
     (Skipped("why"), []), (LEFT, [])],
)  # fmt: skip
def test_columns_may_appear_as_late_as_in_the_last_row(make: Make, late: Any, more: list[str]) -> None:
    table = make(3 * CHUNK_ROWS).settle(
        *[{"a": n} for n in range(3 * CHUNK_ROWS - 2)], failure_of(3 * CHUNK_ROWS - 1), late
    )
    rows = table.csv()
    assert list(rows[0]) == ["id", "a", *more, "batchrun_status", "batchrun_how", "batchrun_error"]
    assert [row["a"] for row in rows[:-2]] == [str(n) for n in range(3 * CHUNK_ROWS - 2)]


def test_results_with_too_many_keys_to_be_columns_may_come_late(make: Make) -> None:
    table = make(3 * CHUNK_ROWS).settle(*[{"a": n} for n in range(CHUNK_ROWS)])
    table.settle(*[{f"k{n}": n} for n in range(2 * CHUNK_ROWS)], first=CHUNK_ROWS + 1)
    assert list(table.csv()[0]) == ["id", "result", "batchrun_status", "batchrun_how", "batchrun_error"]


def test_errors_are_told_of_failures_only(make: Make) -> None:
    rows = make(3).settle(failure_of(1, "line\nbreak"), Skipped("why"), failure_of(3, "boom", "crash")).csv()
    assert [(row["batchrun_status"], row["batchrun_error"]) for row in rows] == [
        ("failed", "line\nbreak"), ("skipped", ""), ("crashed", "boom"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "results", "names"),
    [
        ("id", [{"id": 1}], ["result_id"]),
        ("id,result_id", [{"id": 1}], ["result_result_id"]),
        ("id", [{"id": 1, "result_id": 2}], ["result_id", "result_result_id"]),
        ("id", [{"batchrun_status": 1}], ["result_batchrun_status"]),
        ("id", [5], ["result"]),
        ("result", [5], ["result_result"]),
        ("id", [{"result": 1}], ["result"]),
        ("id", [{"result": 1}, [5]], ["result_result", "result"]),
        ("id", [5, {"a": 1}], ["result", "a"]),
        ("id", [{"": 1}], [""]),
    ],
)
def test_no_two_columns_share_a_name(make: Make, header: str, results: list[Any], names: list[str]) -> None:
    line = ",".join("x" for _ in header.split(",")) + "\n"
    text = make(f"{header}\n{line * 2}").settle(*results).export("out.csv").read_text()
    assert next(csv.reader([text.splitlines()[0]])) == [
        *header.split(","), *names, "batchrun_status", "batchrun_how", "batchrun_error"
    ]  # fmt: skip


def test_results_can_be_the_input_of_another_task(make: Make) -> None:
    make("id\n1\n").settle({"a": 1})
    again = make("id,batchrun_status,batchrun_error\n1,done,\n").settle({"a": 1})
    (row,) = again.csv()
    assert row["batchrun_status"] == row["result_batchrun_status"] == "done"


def test_results_whose_keys_are_data_stay_one_column(make: Make) -> None:
    results = [{f"key {row} {n}": n for n in range(100)} for row in range(MAX_COLUMNS // 100 + 1)]
    table = make(len(results) + 1).settle(*results)
    rows = table.csv()
    assert list(rows[0]) == ["id", "result", "batchrun_status", "batchrun_how", "batchrun_error"]
    assert [json.loads(row["result"]) for row in rows[:-1]] == results
    assert table.parquet()["result"].to_pylist() == [row["result"] or None for row in rows]


def test_half_a_surrogate_pair_does_not_stop_an_export(make: Make) -> None:
    table = make(1).settle(b'{"s":"x\\ud800","k":["\\udfff"]}')
    assert table.csv()[0]["s"] == "x\ufffd"
    assert table.parquet()["k"].to_pylist() == [["\ufffd"]]
    assert table.frame()["s"].tolist() == ["x\ufffd"]
    assert b'"x\\ud800"' in table.export("out.jsonl").read_bytes()


def test_tsv_is_separated_by_tabs(make: Make) -> None:
    path = make('a,b\n1,"x\ty"\n').settle({"n": 1}).export("out.tsv")
    assert path.read_text() == 'a\tb\tn\tbatchrun_status\tbatchrun_how\tbatchrun_error\n1\t"x\ty"\t1\tdone\tjson\t\n'


@pytest.mark.parametrize("name", [f"out.{name}" for name in FORMATS])
def test_a_table_without_rows_or_results_has_an_export_too(make: Make, name: str) -> None:
    table = make(0).settle()
    assert table.export(name).exists()
    assert table.rows == 0
    assert len(table.frame()) == 0


@pytest.mark.parametrize(("ending", "opener"), [(".gz", gzip.open), (".zst", open_zstd)])
@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl", "json"])
def test_text_is_compressed_if_the_name_says_so(make: Make, name: str, ending: str, opener: Any) -> None:
    late = [{"a": n} for n in range(2000)] + [{"a": "ä", "late": 1}]  # so that writing begins anew
    table = make(2001).settle(*late)
    with opener(table.export(f"out.{name}{ending}")) as file:
        assert file.read() == table.export(f"plain.{name}").read_bytes()


# --- JSON Lines and JSON


def test_json_is_an_array_of_what_json_lines_tell(make: Make) -> None:
    table = make(2500).settle({"a": [1]}, failure_of(2), LEFT, Skipped("why"))
    assert json.loads(table.export("out.json").read_text()) == table.jsonl()


def test_json_of_a_table_without_rows_is_an_empty_array(make: Make) -> None:
    assert make(0).settle().export("out.json").read_text() == "[]\n"


def test_json_lines_tell_all_that_is_known_of_a_row(make: Make) -> None:
    table = make("id,ok,zip\n1,true,01\n2,,02\n3,false,\n4,true,x\n")
    rows = table.settle({"a": [1]}, failure_of(2), LEFT, Skipped("why")).jsonl()
    assert [list(row)[:6] for row in rows] == [["row", "status", "input", "result", "how", "error"]] * 4
    assert rows[0] == {
        "row": 1, "status": "done", "input": {"id": 1, "ok": True, "zip": "01"}, "result": {"a": [1]},
        "how": "json", "error": None,
    }  # fmt: skip
    assert rows[1]["input"] == {"id": 2, "ok": None, "zip": "02"}
    assert rows[1]["error"]["kind"] == "exception"
    assert (rows[2]["status"], rows[2]["result"], rows[2]["how"]) == ("left", None, None)
    assert (rows[3]["status"], rows[3]["error"], rows[3]["note"]) == ("skipped", None, "why")


def test_json_lines_hold_results_byte_by_byte(make: Make) -> None:
    body = b'{"n":%d,"x":1.10,"s":"\\u00e9"}' % BIG
    assert b'"result":' + body + b',"how"' in make(1).settle(body).export("out.jsonl").read_bytes()


# --- Parquet


def test_parquet_has_the_types_of_the_input_and_of_the_results(make: Make) -> None:
    table = make('i,f,b,t\n1,2.5,true,x\n,,,""\n').settle(
        {"n": 1, "s": "a", "l": [1], "o": {"k": "v"}}, {"n": 2.5, "l": [None], "o": {"m": True}}
    )
    found = table.parquet()
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("i", "int64"), ("f", "double"), ("b", "bool"), ("t", "string"), ("n", "double"), ("s", "string"),
        ("l", "list<element: int64>"), ("o", "struct<k: string, m: bool>"),
        ("batchrun_status", "string"), ("batchrun_how", "string"), ("batchrun_error", "string"),
    ]  # fmt: skip
    assert found.to_pylist()[0] == {
        "i": 1, "f": 2.5, "b": True, "t": "x", "n": 1.0, "s": "a", "l": [1], "o": {"k": "v", "m": None},
        "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": None,
    }  # fmt: skip
    assert found["t"].to_pylist() == ["x", ""]
    assert found["i"].to_pylist() == [1, None]


def test_types_settle_over_the_whole_table_not_over_its_pages(make: Make) -> None:
    results = [{"v": 1, "w": 1, "x": 2**60}] * 2500 + [{"v": 0.5, "w": "text", "x": 0.5}]
    found = make(2501).settle(*results).parquet()
    assert found["v"].to_pylist() == [1.0] * 2500 + [0.5]
    assert [json.loads(text) for text in found["w"].to_pylist()] == [1] * 2500 + ["text"]
    assert [json.loads(text) for text in found["x"].to_pylist()] == [2**60] * 2500 + [0.5]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([BIG, 1], [str(BIG), "1"]),
        ([2**63, 1], [str(2**63), "1"]),
        ([{}, {}], ["{}", "{}"]),
        ([[], []], [[], []]),
        ([None, None], [None, None]),
        ([[1, "a"], [True]], [["1", '"a"'], ["true"]]),
        ([{"p": 1, "q": {"r": 1}}, {"q": {"r": "x"}}],
         [{"p": 1, "q": {"r": "1"}}, {"p": None, "q": {"r": '"x"'}}]),
        ([{"a": 1}, [1]], ['{"a":1}', "[1]"]),
    ],
)  # fmt: skip
def test_values_without_a_common_type_are_json_text(make: Make, values: list[Any], expected: list[Any]) -> None:
    found = make(2).settle(*({"v": value} for value in values)).parquet()
    assert found["v"].to_pylist() == expected


def test_deep_results_can_be_written(make: Make) -> None:
    deep = b'{"v":' * 200 + b"1" + b"}" * 200
    found = make(1).settle(deep).parquet()["v"].to_pylist()[0]
    levels = 1
    while found != 1:
        found, levels = (json.loads(found), levels) if isinstance(found, str) else (found["v"], levels + 1)
    assert levels == 200


def test_integers_that_64_bits_cannot_hold_stay_text(make: Make) -> None:
    table = make(f"a,b\n1,{BIG}\n2,3\n", dtypes={"b": "int"}).settle({"x": 1})
    found = table.parquet()
    assert found["b"].to_pylist() == [str(BIG), "3"]
    assert found["a"].to_pylist() == [1, 2]
    assert table.frame()["b"].tolist() == [BIG, 3]
    assert table.jsonl()[0]["input"]["b"] == BIG


def test_a_parquet_table_keeps_its_own_types(tmp_path: Path) -> None:
    own = pa.table(
        {
            "at": pa.array([1_600_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
            "cost": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
            "word": pa.array(["a", "b"]).dictionary_encode(),
            "blob": pa.array([b"\xff", None]),
            "tags": pa.array([["x"], []]),
            "small": pa.array([1, 2], pa.int8()),
        }
    )
    pq.write_table(own, tmp_path / "in.parquet")
    table = Table(tmp_path / "in.parquet").settle({"n": 1})
    found = table.parquet()
    assert found.select(own.column_names).equals(own)
    assert found["n"].to_pylist() == [1, None]
    assert table.csv()[0] == {
        "at": "2020-09-13T12:26:40.123456+00:00", "cost": "1.50", "word": "a", "blob": "/w==", "tags": '["x"]',
        "small": "1", "n": "1", "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": "",
    }  # fmt: skip
    assert table.jsonl()[1]["input"]["at"] is None
    assert table.frame()["at"].dtype.kind == "M"


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for part in range(3):
        ids = list(range(part * 1500, part * 1500 + 1500))
        pq.write_table(pa.table({"id": ids}), tmp_path / f"in/{part}.parquet")
    table = Table(tmp_path / "in").settle(*({"double": 2 * n} for n in range(4500)))
    found = table.parquet()
    assert found["id"].to_pylist() == list(range(4500))
    assert found["double"].to_pylist() == [2 * n for n in range(4500)]


@pytest.mark.parametrize("first", ["all there", "some missing"])
def test_files_of_one_folder_may_differ_in_what_may_be_missing(tmp_path: Path, first: str) -> None:
    (tmp_path / "in").mkdir()
    there = pa.table({"a": [1, 2]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)]))
    missing = pa.table({"a": pa.array([3, None], pa.int64())})
    parts = [there, missing] if first == "all there" else [missing, there]
    for number, part in enumerate(parts):
        pq.write_table(part, tmp_path / f"in/{number}.parquet")
    found = Table(tmp_path / "in").settle(*({"n": n} for n in range(4))).parquet()
    assert found["a"].to_pylist() == [value for part in parts for value in part["a"].to_pylist()]
    assert found["n"].to_pylist() == [0, 1, 2, 3]


def test_json_lines_as_input_are_typed_over_the_whole_file(tmp_path: Path) -> None:
    lines = ['{"n":1,"t":"x"}'] * 1500 + ['{"n":0.5,"t":"\\ud800","o":{"k":[1]}}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    table = Table(tmp_path / "in.jsonl").settle({"r": 1})
    found = table.parquet()
    assert found["n"].to_pylist()[-2:] == [1.0, 0.5]
    assert found["t"].to_pylist()[-1] == "\ufffd"
    assert found["o"].to_pylist()[-1] == {"k": [1]}
    assert table.csv()[-1]["o"] == '{"k":[1]}'
    assert table.jsonl()[-1]["input"]["o"] == {"k": [1]}


# --- kinds


def test_joining_kinds_does_not_depend_on_order_or_grouping() -> None:
    samples = [NOTHING, "bool", INT, LONG, FLOAT, TEXT, JSON, ArrayOf(INT), ArrayOf(FLOAT), ObjectOf({}),
               ObjectOf({"a": INT}), ObjectOf({"a": LONG, "b": TEXT})]  # fmt: skip
    for a in samples:
        assert join(a, a) == a
        for b in samples:
            assert join(a, b) == join(b, a)
            for c in samples:
                assert join(join(a, b), c) == join(a, join(b, c))


def test_the_kind_of_a_column_is_that_of_its_pages_joined() -> None:
    values = [1, None, 2.5, 2**53 + 1, BIG, True, "x", [], [1], [{"a": 1}], {}, {"a": None}, {"a": [0.5]}]
    for a in values:
        for b in values:
            assert kind_of_values([a, b]) == join(kind_of_values([a]), kind_of_values([b])), (a, b)


# --- Excel


def test_excel_shows_what_the_results_say(make: Make) -> None:
    result = {"n": 1, "big": 10**17, "eq": "=1+1", "b": True, "l": [1], "c": "a\x01b", "z": None}
    path = make(2).settle(result, failure_of(2)).export("out.xlsx")
    first, second = pd.read_excel(path, dtype=object, keep_default_na=False).to_dict("records")
    assert first == {
        "id": "1", "n": 1, "big": str(10**17), "eq": "=1+1", "b": True, "l": "[1]", "c": "a\ufffdb", "z": "",
        "batchrun_status": "done", "batchrun_how": "json", "batchrun_error": "",
    }  # fmt: skip
    assert second["batchrun_error"] == "no luck"


def test_excel_computes_nothing_and_shows_no_error_of_its_own(make: Make) -> None:
    texts = ["#N/A", "#REF!", "#DIV/0!", "=1+1", "+1+1", "-1+1", "@x", "#", "=", "\ufffe\uffff", "a\ud800b", "\x0b"]
    cells = {str(place): text for place, text in enumerate(texts)}
    path = make(1).settle(cells).export("out.xlsx")
    sheet = openpyxl.load_workbook(path).active
    found = {cell.value: sheet.cell(2, cell.column) for cell in sheet[1]}
    whole = [re.sub("[\ufffe\uffff\ud800\x0b]", "\ufffd", text) for text in texts]
    assert [found[name].value for name in cells] == whole
    assert {found[name].data_type for name in cells} == {"s"}


def test_excel_refuses_what_it_would_cut_off(make: Make) -> None:
    with pytest.raises(UsageError, match="row 1: a cell of 40,000 characters"):
        make(1).settle({"long": "x" * 40_000}).export("out.xlsx")


def test_excel_without_openpyxl_says_what_to_install(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UsageError) as caught:
        make(1).settle(1).export("out.xlsx")
    assert "-m pip install openpyxl" in caught.value.hint


# --- the DataFrame


def test_a_frame_has_types_that_can_be_missing(make: Make) -> None:
    table = make("i,m,t\n1,1,x\n2,,NA\n3,3,\n")
    found = table.settle({"n": 1, "b": True, "f": 1, "s": "a", "l": [1], "mix": 1}, {"f": 2.5, "mix": "x"}).frame()
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == {
        "i": "int64", "m": "Int64", "t": "str", "n": "Int64", "b": "boolean", "f": "float64", "s": "str",
        "l": "object", "mix": "object", "batchrun_status": "str", "batchrun_how": "str",
        "batchrun_error": "str",
    }  # fmt: skip
    assert found["t"].tolist() == ["x", "NA", ""]
    assert found["l"][0] == [1]
    assert found["mix"].tolist() == [1, "x", None]
    assert found["batchrun_status"].tolist() == ["done", "done", "left"]
    assert found["batchrun_how"].tolist()[:2] == ["json", "json"]
    assert found["batchrun_error"].isna().all()


# --- the target


def test_the_old_file_stays_whatever_interrupts_the_new_one(make: Make) -> None:
    for name in ("out.csv", "out.parquet", "out.jsonl"):
        for error in (KeyboardInterrupt, MemoryError, OSError):
            table = make(15_000).settle({"a": 1})
            table.path.with_name(name).write_text("old")
            calls = iter(range(10))

            def stop(calls: Iterator[int] = calls, error: type[BaseException] = error) -> bool:
                if next(calls) == 1:
                    raise error
                return False

            with pytest.raises((error, UsageError)):
                table.export(name, stop=stop)
            assert table.path.with_name(name).read_text() == "old"
            assert not list(table.path.parent.glob(".*.part"))


@pytest.mark.parametrize("name", [f"out.{name}" for name in FORMATS])
def test_an_export_that_is_stopped_leaves_nothing(make: Make, name: str) -> None:
    table = make(3000).settle({"a": 1})
    before = set(os.listdir(table.path.parent))
    with pytest.raises(ExportStopped):
        table.export(name, stop=lambda: True)
    left = set(os.listdir(table.path.parent)) - before
    assert {entry for entry in left if "sqlite" not in entry} == set()


def test_before_the_rename_the_finished_file_is_told_and_the_old_one_still_there(make: Make) -> None:
    table = make(2).settle({"a": 1})
    target = table.path.with_name("out.csv")
    target.write_text("old")
    told: list[os.stat_result] = []

    def before_rename(finished: IO[bytes]) -> None:
        assert target.read_text() == "old"
        told.append(os.fstat(finished.fileno()))

    table.export("out.csv", before_rename=before_rename)
    now = target.stat()
    assert [(found.st_size, found.st_mtime_ns) for found in told] == [(now.st_size, now.st_mtime_ns)]


def test_a_new_file_obeys_the_umask_and_an_old_ones_permissions_stay(make: Make) -> None:
    table = make(1).settle(1)
    old = os.umask(0o027)
    try:
        target = table.export("out.csv")
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        target.chmod(0o604)
        table.export("out.csv")
        assert stat.S_IMODE(target.stat().st_mode) == 0o604
    finally:
        os.umask(old)


def test_a_link_stays_a_link(make: Make) -> None:
    table = make(1).settle(1)
    real = table.path.with_name("real.csv")
    real.write_text("old")
    table.path.with_name("out.csv").symlink_to(real)
    assert table.export("out.csv").is_symlink()
    assert real.read_text().startswith("id,result,")


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_file_is_not(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    (tmp_path / ".out.csv.00000000.part").write_text("left by a writer that was killed")
    (tmp_path / ".out.csv.mine.part").write_text("somebody else's")
    with replacing(target) as first:
        first.write(b"first")
        with replacing(target) as second:
            second.write(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert sorted(os.listdir(tmp_path)) == [".out.csv.mine.part", "out.csv"]


@pytest.mark.parametrize("length", [60, 240])
def test_a_long_name_is_no_trouble(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("ü" * (length // 2))
    with replacing(target) as file:
        file.write(b"x")
    assert target.read_bytes() == b"x"


def test_a_target_that_cannot_be_written_is_explained(make: Make, tmp_path: Path) -> None:
    table = make(1).settle(1)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=r"folder\.csv is a folder"):
        table.export("folder.csv")
    with pytest.raises(UsageError, match=r"missing/out\.csv cannot be written: No such file or directory"):
        table.export("missing/out.csv")


@pytest.mark.parametrize("name", ["csv", "jsonl", "json", "parquet", "xlsx", "sqlite"])
def test_a_full_disk_is_exit_code_4(make: Make, name: str) -> None:
    table = make(20_000).settle({"a": 1})
    with table.db() as db, pytest.raises(CheckpointError, match="the disk is full") as caught:
        export(table.table, table.types, db, Path("/dev/full"), name)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", FORMATS)
def test_stdout_gets_the_same_bytes_as_a_file(make: Make, name: str) -> None:
    table = make(5).settle({"a": [1]}, failure_of(2))
    code = f"""
from pathlib import Path
from batchrun.checkpoint.opening import opened
from batchrun.outcome.export.view import Results
from batchrun.outcome.export.writing import export
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
table = open_table(Path({str(table.path)!r}), ReadOptions())
with opened(Path({str(table.checkpoint)!r}), write=False) as checkpoint:
    export(table, {table.types!r}, checkpoint.db, None, {name!r})
"""
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout
    if name == "xlsx":  # has the time in it
        assert pd.read_excel(io.BytesIO(piped)).equals(pd.read_excel(table.export("out.xlsx")))
    else:
        assert piped == table.export(f"out.{name}").read_bytes()


# --- parts of results


def test_results_alone_have_the_rows_number_and_what_is_its_key(make: Make) -> None:
    table = make("id,x,name\n007,1,a\n008,2,b\n").settle({"n": 1}, failure_of(2))
    alone = {"pick": Pick(results_only=True)}
    with table.export("out.csv", **alone).open() as file:
        assert file.read() == (
            "batchrun_row,n,batchrun_status,batchrun_how,batchrun_error\n1,1,done,json,\n2,,failed,,no luck\n"
        )
    with table.export("out.csv", key=("name", "id"), **alone).open() as file:
        assert file.read().splitlines()[1] == "1,a,007,1,done,json,"
    lines = table.export("out.jsonl", **alone).read_text().splitlines()
    assert json.loads(lines[0]) == {"row": 1, "status": "done", "result": {"n": 1}, "how": "json", "error": None}
    lines = table.export("out.jsonl", key=("id",), **alone).read_text().splitlines()
    assert [json.loads(line)["input"] for line in lines] == [{"id": "007"}, {"id": "008"}]


@pytest.mark.parametrize("name", ["out.parquet", "out.xlsx", "out.sqlite", "out.tsv"])
def test_results_alone_go_out_in_every_format_with_columns(make: Make, name: str) -> None:
    table = make("id,x\n007,1\n008,2\n").settle({"n": 1}, {"n": 2})
    path = table.export(name, pick=Pick(results_only=True, columns=("n",)), key=("id",))
    if name == "out.sqlite":
        with closing(sqlite3.connect(path)) as db:
            found = pd.read_sql("SELECT * FROM results", db)
    else:
        reader = {"out.parquet": pd.read_parquet, "out.xlsx": pd.read_excel, "out.tsv": partial(pd.read_csv, sep="\t")}
        found = reader[name](path)
    assert list(found)[:3] == ["batchrun_row", "id", "n"]
    assert list(found["batchrun_row"]) == [1, 2]
    assert found["n"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("b", "none", "a"), ["b,none,a", "2,,1", ",,", "5,,", ",,", ",,7"]),
        (("result",), ["result", "", "", "", "4", ""]),
        (("c", "result"), ["c,result", "3,", ",", ",", ",4", ","]),
    ],
)
def test_of_results_only_the_columns_that_are_asked_for_are_kept(
    make: Make, columns: tuple[str, ...], expected: list[str]
) -> None:
    table = make(5).settle({"a": 1, "b": 2, "c": 3}, failure_of(2), {"b": 5}, 4, {"x": 6, "a": 7})
    text = table.export("out.csv", pick=Pick(columns=columns)).read_text()
    assert [",".join(line.split(",")[1 : 1 + len(columns)]) for line in text.splitlines()] == expected
    objects = [
        json.loads(line)["result"]
        for line in table.export("out.jsonl", pick=Pick(columns=columns)).read_text().splitlines()
    ]
    assert objects[3] == (4 if "result" in columns else None)
    assert objects[0] == {name: n for name, n in {"a": 1, "b": 2, "c": 3}.items() if name in columns}


@pytest.mark.parametrize(
    ("asked", "noted"),
    [
        (("same", "why"), []),
        (("sme",), ["no result has 'sme'. Did you mean 'same'? The results have: same, why."]),
        (("result", "why"), ["no result has 'result'. The results have: same, why."]),
    ],
)
def test_a_column_that_no_result_has_is_told_with_those_that_there_are(make: Make, asked, noted) -> None:
    table = make(4).settle({"same": 1}, failure_of(2), {"why": 2})
    with table.db() as db:
        found = Results(table.table, table.types, db, only=asked).doubts()
    assert found == [f"note: {note}" for note in noted]


def test_where_there_are_no_results_no_column_is_missed(make: Make) -> None:
    table = make(2).settle(failure_of(1))
    with table.db() as db:
        assert Results(table.table, table.types, db, only=("sme",)).doubts() == []


def test_elements_of_arrays_are_picked_from_too(make: Make) -> None:
    table = make(2).settle([{"a": 1, "b": 2}, {"a": 3}], {"a": 4, "b": 5})
    text = table.export("out.csv", pick=Pick(results_only=True, columns=("a",)), show="exploded").read_text()
    assert [line.split(",")[:2] for line in text.splitlines()] == [
        ["batchrun_row", "a"],
        ["1", "1"],
        ["1", "3"],
        ["2", "4"],
    ]


# --- SQLite


def test_a_database_has_one_table_with_typed_columns(make: Make) -> None:
    table = make("id,ok,zip,x\n1,true,01,1.5\n2,,02,\n3,false,,2\n")
    found = table.settle({"n": 1, "list": [1, "ä"], "mix": "a"}, failure_of(2), {"n": BIG, "mix": 2}).sqlite()
    assert found["types"] == {
        "id": "INTEGER", "ok": "BOOLEAN", "zip": "TEXT", "x": "REAL", "n": "", "list": "TEXT", "mix": "",
        "batchrun_status": "TEXT", "batchrun_how": "TEXT", "batchrun_error": "TEXT",
    }  # fmt: skip
    assert found["rows"] == [
        (1, 1, "01", 1.5, 1, '[1,"ä"]', "a", "done", "json", None),
        (2, None, "02", None, None, None, None, "failed", None, "no luck"),
        (3, 0, "", 2.0, str(BIG), None, 2, "done", "json", None),
    ]


def test_names_that_sqlite_does_not_tell_apart_get_numbers(make: Make) -> None:
    found = make("Id,id,a b\n1,2,3\n").settle({"ID": 4, "Id_2": 5, 'q"': 6, "\ud800\0": 7}).sqlite()
    assert list(found["types"])[:7] == ["Id", "id_2", "a b", "ID_3", "Id_2_2", 'q"', "\ufffd\ufffd"]
    assert found["rows"][0][:7] == (1, 2, 3, 4, 5, 6, 7)


def test_more_columns_than_sqlite_has_are_refused(make: Make) -> None:
    names = ",".join(f"c{n}" for n in range(2000))
    with pytest.raises(UsageError, match=r"2,004 columns; SQLite holds 2,000"):
        make(f"{names}\n{names}\n").settle({"a": 1}).export("out.sqlite")


def test_a_disk_that_fills_up_under_a_database_is_exit_code_4(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make(20_000).settle({"a": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))
    try:
        with pytest.raises(CheckpointError) as caught:
            table.export("out.sqlite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == 4
    assert not table.path.with_name("out.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "csv"), ("a.TSV", "tsv"), ("a.parquet", "parquet"), ("a.pq", "parquet"), ("a.b.jsonl", "jsonl"),
     ("a.ndjson", "jsonl"), ("a.xlsx", "xlsx"), ("a.json", "json"), ("a.sqlite", "sqlite"), ("a.db", "sqlite"),
     ("a.csv.gz", "csv"), ("a.tsv.ZST", "tsv"), ("a.jsonl.zst", "jsonl")],
)  # fmt: skip
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    assert format_of(Path(name)) == expected


@pytest.mark.parametrize("name", ["out", "out.xls", "out.csv.bz2", "out.parquet.gz", ".gz", "-"])
def test_a_name_that_tells_no_format_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        format_of(Path(name))
    assert ".parquet" in caught.value.hint


def test_an_unknown_format_is_refused_with_those_that_are_known(make: Make) -> None:
    table = make(1).settle(1)
    with table.db() as db, pytest.raises(UsageError, match="no results format 'xml'"):
        export(table.table, table.types, db, None, "xml")


def test_csv_and_json_lines_load_neither_pandas_nor_pyarrow() -> None:
    code = """
import sys
import batchrun.outcome.export
from batchrun.outcome.export.formats import writer
writer("csv"), writer("jsonl")
print([name for name in ("pandas", "pyarrow", "openpyxl") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]"
