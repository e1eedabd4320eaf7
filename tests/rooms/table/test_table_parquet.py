"""Parquet: a file or a folder, with the types it has, the same with and without pandas."""

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import parquet, rows_of, scanned

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

NANOS = 1_600_000_000_123_456_789
MICROS = datetime.datetime(2020, 9, 13, 12, 26, 40, 123456)


def test_values_keep_their_own_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "data.parquet",
        int=[1, None],
        decimal=[Decimal("1.50"), None],
        bytes=[b"\0x", b""],
        nested=[{"a": [1, None]}, None],
        kind=pa.array(["x", "y"]).dictionary_encode(),
    )
    assert rows_of(path) == [
        (1, Decimal("1.50"), b"\0x", {"a": [1, None]}, "x"),
        (None, None, b"", None, "y"),
    ]
    assert scanned(path).types == ("native",) * 5


NS, US = pa.timestamp("ns"), MICROS
NANOSECONDS = [
    (pa.array([NANOS], NS), US),
    (pa.array([NANOS], pa.duration("ns")), datetime.timedelta(microseconds=NANOS // 1000)),
    (pa.array([12_345_678_901], pa.time64("ns")), datetime.time(0, 0, 12, 345678)),
    (pa.array([[NANOS, None]], pa.list_(NS)), [US, None]),
    (pa.array([[NANOS]], pa.large_list(NS)), [US]),
    (pa.array([[NANOS]], pa.list_(NS, 1)), [US]),
    (pa.array([{"a": NANOS, "b": "x"}], pa.struct([("a", NS), ("b", pa.string())])), {"a": US, "b": "x"}),
    (pa.array([[("k", NANOS)]], pa.map_(pa.string(), NS)), [("k", US)]),
    (pa.array([[{"a": NANOS}]], pa.list_(pa.struct([("a", NS)]))), [{"a": US}]),
]


@pytest.mark.parametrize(("array", "value"), NANOSECONDS, ids=lambda part: str(getattr(part, "type", "")))
def test_nanoseconds_become_standard_microseconds(tmp_path: Path, array: pa.Array, value: Any) -> None:
    ((found,),) = rows_of(parquet(tmp_path / "data.parquet", a=array))
    assert found == value
    assert "pandas" not in repr(found)
    assert "Timestamp" not in repr(found)


def test_a_zone_stays_a_zone(tmp_path: Path) -> None:
    zoned = pa.array([NANOS], pa.timestamp("ns", "Europe/Berlin"))
    ((found,),) = rows_of(parquet(tmp_path / "data.parquet", a=zoned))
    assert found == MICROS.replace(tzinfo=datetime.UTC)
    assert found.utcoffset() == datetime.timedelta(hours=2)


@pytest.mark.parametrize("name", [None, "place"])
def test_an_index_that_pandas_has_kept_is_a_column_only_if_it_has_a_name(tmp_path: Path, name: str | None) -> None:
    frame = pd.DataFrame({"a.b": [1, 2, 3], "c": [{"d": 1}, {"d": 2}, {"d": 3}]}, index=pd.Index([5, 6, 7], name=name))
    frame.to_parquet(tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet", ReadOptions())
    assert table.columns == (("a.b", "c", "place") if name else ("a.b", "c"))
    (chunk,) = table.chunks()
    assert chunk[2] == (3, {"d": 3}, 7)[: len(table.columns)]


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    assert rows_of(parquet(tmp_path / "data.csv", a=[1])) == [(1,)]


@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
def test_chunks_go_over_row_groups_and_rows_stay_in_order(tmp_path: Path, chunk_rows: int) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": range(100)}), path, row_group_size=30)
    table: Any = open_table(path, ReadOptions())
    table.chunk_rows = chunk_rows
    chunks = list(table.chunks())
    assert [row for chunk in chunks for row in chunk] == [(number,) for number in range(100)]
    assert max(map(len, chunks)) <= chunk_rows


def test_a_folder_is_read_in_order_of_its_names_without_markers(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    parquet(folder / "part-1.parquet", a=[2])
    parquet(folder / "part-0.parquet", a=[1])
    parquet(folder / "no ending", a=[0])
    for marker in ("_SUCCESS", ".part.crc", "readme.txt"):
        (folder / marker).write_text("x")
    assert rows_of(folder) == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"a": ["x"], "b": [1]}, r"has a \(.*string\); lacks a \(int64\)"),
        ({"a": [1]}, r"lacks b \(int64\)"),
    ],
)
def test_a_file_of_another_schema_is_named(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    parquet(tmp_path / "folder" / "one.parquet", a=[1], b=[1])
    parquet(tmp_path / "folder" / "two.parquet", **other)
    with pytest.raises(InputError, match=rf"two\.parquet does not have the columns of one\.parquet.*{said}"):
        scanned(tmp_path / "folder")


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("a\n1\n")
    with pytest.raises(InputError, match="folder without tables"):
        scanned(tmp_path)


def test_the_folder_of_a_delta_table_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table"
    deltalake.write_deltalake(table, pa.table({"a": [1, 2]}))
    deltalake.write_deltalake(table, pa.table({"a": [3]}), mode="overwrite")
    with pytest.raises(InputError, match="is a Delta table: its folder also holds rows that were deleted"):
        scanned(table)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(InputError, match="2 columns are called 'a'"):
        scanned(path)


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1, -10])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = parquet(tmp_path / "data.parquet", a=list(range(1000)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"Parquet|is empty"):
        scanned(path)


def test_damaged_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": [f"text {number}" for number in range(1000)]}), path)
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        scanned(path)


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    assert scanned(parquet(tmp_path / "data.parquet", a=pa.array([], pa.int64()))).rows == 0


def test_pyarrow_and_pandas_are_loaded_only_where_needed(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n")
    code = (
        "import sys; from pathlib import Path; from batchrun.table.detect import open_table; "
        "from batchrun.table.options import ReadOptions; from batchrun.table.scan import scan; o = ReadOptions();"
        f"scan(open_table(Path({str(path)!r}), o), o, lambda *_: None);"
        "sys.exit(str({'pyarrow', 'pandas', 'numpy', 'rich', 'typer'} & set(sys.modules) or ''))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""
