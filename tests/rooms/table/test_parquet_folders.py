"""A folder of Parquet files is one table, though its files were written by other tools on other days."""

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.members import files_of, unread_files
from batchrun.table.options import ReadOptions
from batchrun.table.parquet_schema import as_type, joined_schema
from batchrun.table.scan import scan

DAY = datetime.datetime(2026, 1, 1)
UTC_DAY = DAY.replace(tzinfo=datetime.UTC)


def folder_of(tmp_path: Path, *files: Any) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    for number, file in enumerate(files):
        pq.write_table(file if isinstance(file, pa.Table) else pa.table(file), path / f"{number}.parquet")
    return path


def counted_rows(path: Path) -> list[tuple[Any, ...]]:
    table, options, rows = open_table(path, ReadOptions()), ReadOptions(), []
    for chunk in table.chunks():
        rows += chunk
    assert scan(table, options, lambda *_: None).rows == len(rows)
    return rows


ALIKE = [
    (pa.array(["x"]), pa.array(["x"], pa.large_string())),
    (pa.array(["x"]), pa.array(["x"]).dictionary_encode()),
    (pa.array(["x"]).dictionary_encode(), pa.array(["x"]).cast(pa.dictionary(pa.int8(), pa.large_string()))),
    (pa.array([None]), pa.array(["x"])),
    (pa.array([b"x"]), pa.array([b"x"], pa.large_binary())),
    (pa.array([b"xy"]), pa.array([b"xy"], pa.binary(2))),
    (pa.array([1], pa.int32()), pa.array([1])),
    (pa.array([1], pa.uint16()), pa.array([1], pa.int8())),
    (pa.array([1.5], pa.float32()), pa.array([1.5])),
    (pa.array([Decimal("1.50")]), pa.array([Decimal("1.50")], pa.decimal128(12, 2))),
    (pa.array([DAY], pa.timestamp("ns")), pa.array([DAY], pa.timestamp("us"))),
    (pa.array([DAY], pa.timestamp("ms")), pa.array([DAY], pa.timestamp("ns"))),
    (pa.array([UTC_DAY], pa.timestamp("us", "UTC")), pa.array([UTC_DAY], pa.timestamp("ms", "+00:00"))),
    (pa.array([DAY.time()], pa.time32("s")), pa.array([DAY.time()], pa.time64("ns"))),
    (pa.array([datetime.timedelta(1)], pa.duration("ns")), pa.array([datetime.timedelta(1)], pa.duration("s"))),
    (pa.array([[1]]), pa.array([[1]], pa.large_list(pa.int8()))),
    (pa.array([[1, 2]]), pa.array([[1, 2]], pa.list_(pa.int64(), 2))),
    (pa.array([{"a": 1}]), pa.array([{"a": 1}], pa.struct([("a", pa.int16())]))),
    (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("arrays", ALIKE, ids=lambda arrays: " and ".join(str(array.type) for array in arrays))
def test_types_that_hold_the_same_values_are_one_column(
    tmp_path: Path, arrays: tuple[pa.Array, ...], *, turned: bool
) -> None:
    one, other = arrays[::-1] if turned else arrays
    path = folder_of(tmp_path, {"id": [1], "a": one}, {"id": [2], "a": other})
    rows = counted_rows(path)
    assert [row[1] for row in rows] == [one.to_pylist()[0], other.to_pylist()[0]]
    kind = joined_schema(one.type, other.type)
    assert as_type(one, kind).to_pylist() + as_type(other, kind).to_pylist() == [row[1] for row in rows]


@pytest.mark.parametrize("integer", [pa.int8(), pa.int32(), pa.int64(), pa.uint64()], ids=str)
@pytest.mark.parametrize("floating", [pa.float32(), pa.float64()], ids=str)
def test_integers_are_floats_where_a_value_was_missing_that_day(tmp_path: Path, integer: Any, floating: Any) -> None:
    one, other = pa.array([1, 2], integer), pa.array([1.0, None], floating)
    path = folder_of(tmp_path, {"a": other}, {"a": one}, {"a": other})
    assert [row[0] for row in counted_rows(path)] == [1.0, None, 1, 2, 1.0, None]
    assert open_table(path, ReadOptions()).fields["a"] == pa.float64()


def test_an_integer_that_no_float_holds_is_named_with_its_file_and_row(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"id": [1], "a": [1.5]}, {"id": [2, 3], "a": [2**53, 2**53 + 1]})
    told = rf"1\.parquet, column 'a', rows 2 to 3: .*{2**53 + 1} not in range"
    with pytest.raises(InputError, match=told) as raised:
        counted_rows(path)
    assert "--columns" in raised.value.hint
    table = open_table(path, ReadOptions())
    assert [row[0] for chunk in table.chunks(["id"]) for row in chunk] == [1, 2, 3]


OTHERS = [
    (pa.array([1]), pa.array(["1"])),
    (pa.array([1]), pa.array([True])),
    (pa.array([1]), pa.array([Decimal("1.5")])),
    (pa.array([1], pa.int64()), pa.array([1 << 63], pa.uint64())),
    (pa.array(["x"]), pa.array([b"x"])),
    (pa.array([DAY], pa.timestamp("us")), pa.array([UTC_DAY], pa.timestamp("us", "UTC"))),
    (pa.array([UTC_DAY], pa.timestamp("us", "UTC")), pa.array([UTC_DAY], pa.timestamp("us", "Asia/Tokyo"))),
    (pa.array([DAY], pa.timestamp("us")), pa.array([DAY.date()])),
    (pa.array([["x"]]), pa.array([[1]])),
    (pa.array([[1.5]]), pa.array([[1]])),
    (pa.array([["x"]]), pa.array(["x"])),
    (pa.array([{"a": 1}]), pa.array([{"b": 1}])),
]


@pytest.mark.parametrize("arrays", OTHERS, ids=lambda arrays: " and ".join(str(array.type) for array in arrays))
def test_what_truly_differs_is_named_with_its_file(tmp_path: Path, arrays: tuple[pa.Array, ...]) -> None:
    one, other = arrays
    path = folder_of(tmp_path, {"id": [1], "a": one}, {"id": [2], "a": other})
    with pytest.raises(InputError) as raised:
        open_table(path, ReadOptions())
    told = f"1.parquet does not have the columns of 0.parquet: it has a ({other.type}); lacks a ({one.type})"
    assert told.replace("item: ", "element: ") in str(raised.value)


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"id": [1], "a.b": ["x"], "a": [{"b": 1}]}, {"a": [{"b": 2}], "a.b": ["y"], "id": [2]})
    assert counted_rows(path) == [(1, "x", {"b": 1}), (2, "y", {"b": 2})]


def test_an_extra_column_is_named_with_its_file(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"id": [1]}, {"id": [2]}, {"id": [3], "more": [1]})
    with pytest.raises(InputError, match=r"2\.parquet does not have the columns of 0\.parquet: it has more \(int64\)"):
        open_table(path, ReadOptions())


def test_the_type_of_a_column_of_nulls_is_that_of_later_files(tmp_path: Path) -> None:
    files = [{"id": [n], "note": [note]} for n, note in enumerate([None, "late", None, "again"])]
    assert [row[1] for row in counted_rows(folder_of(tmp_path, *files))] == [None, "late", None, "again"]
    pq.write_table(pa.table({"id": [9], "note": [1]}), tmp_path / "data" / "9.parquet")
    with pytest.raises(InputError, match=r"9\.parquet .* it has note \(int64\); lacks note \(string\)"):
        open_table(tmp_path / "data", ReadOptions())


@pytest.mark.parametrize("nothing", [pd.DataFrame(), pd.DataFrame({"id": [], "t": []}), pd.DataFrame({"other": []})])
def test_a_day_without_rows_does_not_matter_whatever_its_columns(tmp_path: Path, nothing: pd.DataFrame) -> None:
    path = folder_of(tmp_path, pa.Table.from_pandas(nothing), {"id": [1], "t": ["a"]})
    assert counted_rows(path) == [(1, "a")]


def test_a_damaged_file_among_others_is_named(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"id": [1]}, {"id": [2]})
    (path / "1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"1\.parquet cannot be read as Parquet"):
        open_table(path, ReadOptions())
    (path / "1.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"1\.parquet cannot be read as Parquet"):
        open_table(path, ReadOptions())


def test_files_that_bear_a_tables_name_and_are_not_read_are_found(tmp_path: Path) -> None:
    path = folder_of(tmp_path, {"id": [1]})
    for name in (
        *("archive/2023.parquet", "archive/deep/2022.CSV.GZ", "year=2024/a.parquet", "2025.csv"),
        *("_temporary/x.parquet", ".hidden/y.parquet", "archive/_SUCCESS", "0.parquet.batchrun/0.parquet"),
        *("0.results.csv", "readme.md"),
    ):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    assert [str(file.relative_to(path)) for file in unread_files(path)] == [
        "2025.csv",
        "archive/2023.parquet",
        "archive/deep/2022.CSV.GZ",
        "year=2024/a.parquet",
    ]
    assert not unread_files(path / "0.parquet")


def test_a_folder_of_partitions_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    pq.write_to_dataset(pa.table({"id": [1, 2, 3], "year": [2024, 2025, 2025]}), tmp_path / "it's", ["year"])
    with pytest.raises(InputError, match=r"no Parquet files of its own.*year=2024/.* and 1 more") as raised:
        files_of(tmp_path / "it's")
    command = raised.value.hint[raised.value.hint.index("python -c") + len("python ") :]
    subprocess.run(f"{sys.executable} {command}", shell=True, check=True)
    assert [(row[0], int(row[1])) for row in counted_rows(tmp_path / "it's.parquet")] == [
        (1, 2024),
        (2, 2025),
        (3, 2025),
    ]
