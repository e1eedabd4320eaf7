"""Tables that are objects: whatever hands out its rows by Arrow's interface is one, beside those of pandas."""

import datetime

import pandas as pd
import pyarrow as pa
import pytest

import batchrun
from batchrun.errors import InputError, UsageError
from batchrun.table.frames import keep_frame

DAY = datetime.datetime(2026, 1, 1)


class Speaks:
    """A frame of another library, of which nothing is known but the interface."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def echo(row):
    return {"got": {name: str(value) for name, value in row.items()}}


TABLE = pa.table({"id": [1, 2], "text": ["a", None], "at": [DAY, None], "list": [[1], None]})


@pytest.mark.parametrize(
    "make",
    [lambda table: table, Speaks, lambda table: table.to_batches()[0], lambda table: table.to_reader()],
    ids=["table", "another library's", "batch", "reader"],
)
def test_whatever_speaks_arrow_is_a_table(make):
    assert batchrun.process(make(TABLE), task=echo, name="it", quiet=True).done == 2
    found = batchrun.results(make(TABLE), name="it")
    assert list(found["id"]) == [1, 2]
    assert found["got"][0] == {"id": "1", "text": "a", "at": "2026-01-01 00:00:00", "list": "[1]"}


def test_its_rows_are_those_of_a_frame_of_pandas_with_the_same_values():
    frame = pd.DataFrame({"id": [1, 2, 3], "text": ["a", "b", "c"]})
    assert batchrun.process(frame, task=echo, name="it", quiet=True).ran == 3
    theirs = pa.table({"text": ["c", "d", "a"], "id": [3, 4, 1]})
    assert batchrun.process(Speaks(theirs), task=echo, name="it", quiet=True).ran == 1
    assert len(batchrun.results(Speaks(theirs), name="it")) == 3


def test_a_reader_is_read_once_also_where_no_task_is_named():
    reader = pa.table({"text": ['{"a": 1,}', "plain"]}).to_reader()
    assert batchrun.process(reader, name="it", quiet=True).done == 2


def test_the_same_rows_are_the_same_file_in_whatever_batches_they_come(tmp_path):
    whole = pa.table({"id": range(150_000), "text": [f"text {n % 100}" for n in range(150_000)]})
    pieces = pa.Table.from_batches(
        [batch for at in range(0, 150_000, 7001) for batch in whole[at : at + 7001].to_batches()]
    )
    for name, table in (("whole", whole), ("pieces", pieces)):
        keep_frame(Speaks(table), tmp_path / f"{name}.parquet")
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "pieces.parquet").read_bytes()


def test_categories_of_text_views_are_kept_as_polars_has_them(tmp_path):
    places = pa.array([0, None], pa.uint32())
    categories = [pa.DictionaryArray.from_arrays(places, pa.array([word], pa.string_view())) for word in "ab"]
    batches = [pa.record_batch({"c": column}) for column in categories]
    found = batchrun.process(pa.Table.from_batches(batches), task=echo, name="it", quiet=True)
    assert found.done == 4
    rows = batchrun.results(pa.Table.from_batches(batches), name="it")["c"]
    assert [None if pd.isna(value) else value for value in rows] == ["a", None, "b", None]


@pytest.mark.parametrize(
    ("table", "said", "remedy"),
    [
        ({"a": [1]}, "a path or a DataFrame, not dict", "a list of dicts"),
        (pa.array([1]), "not pyarrow.lib.Int64Array", "to_pandas()"),
        ([{"a": 1}, 5], "row 2 of the list is not a dict: int", "a list of dicts"),
        ([{"a": 1}, {1: 2}], "row 2 of the list: the key 1 is not text", "names"),
        ([{"a": {"b": [1, b"x"]}}], r"row 1 of the list, a.b\[1\]: bytes is not JSON", "DataFrame"),
        ([], "the list has no rows", "at least one"),
        (pa.chunked_array([[1]]), "not pyarrow.lib.ChunkedArray", "to_pandas()"),
        (pd.Series([1]), "not pandas", "to_frame()"),
        (pd.DataFrame, "not type", "give a path"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns are called 'a'", "name of its own"),
        (pa.table({"i": pa.array([None], pa.month_day_nano_interval())}), "column 'i' is of type month_day", "text"),
    ],
)
def test_what_is_no_table_or_cannot_be_kept_is_refused(table, said, remedy):
    with pytest.raises(InputError, match=said) as raised:
        batchrun.process(table, task=echo, name="it", quiet=True)
    assert remedy in raised.value.hint


def test_what_another_library_says_while_it_is_read_is_told():
    class Broken:
        def __arrow_c_stream__(self, requested_schema=None):
            raise RuntimeError("the query failed\nat length")

    with pytest.raises(InputError, match=r"cannot be read: the query failed$"):
        batchrun.process(Broken(), task=echo, name="it", quiet=True)


def test_a_table_that_fails_midway_leaves_the_earlier_one_in_place():
    def batches():
        yield from TABLE.to_batches()
        raise ValueError("no further row")

    batchrun.process(TABLE, task=echo, name="it", quiet=True)
    with pytest.raises(InputError, match="no further row"):
        batchrun.process(pa.RecordBatchReader.from_batches(TABLE.schema, batches()), task=echo, name="it", quiet=True)
    assert len(batchrun.results(TABLE, name="it")) == 2


ROWS = [
    {"id": 1, "text": "a", "more": {"x": [1, None]}, "big": 2**70},
    {"id": 2.5, "day": datetime.date(2026, 1, 31), "text": None},
]


@pytest.mark.parametrize("make", [list, tuple, iter, lambda rows: (row for row in rows)])
def test_a_list_of_dicts_is_a_table_of_what_is_in_them(make):
    assert batchrun.process(make(ROWS), task=lambda row: {"got": row}, name="it", quiet=True).done == 2
    found = batchrun.results(make(ROWS), name="it")
    assert list(found.columns[:5]) == ["id", "text", "more", "big", "day"]
    nothing = dict.fromkeys(("more", "big"))
    assert found["got"][0] == {**ROWS[0], "day": None}
    assert found["got"][1] == {**nothing, **ROWS[1], "day": "2026-01-31"}


def test_rows_of_a_list_are_known_again():
    assert batchrun.process(ROWS, task=echo, name="it", quiet=True).ran == 2
    assert batchrun.process([{"id": 0}, *reversed(ROWS)], task=echo, name="it", quiet=True).ran == 1


def test_a_list_that_breaks_off_leaves_the_earlier_one_in_place():
    def rows():
        yield ROWS[0]
        raise RuntimeError("the cursor was closed")

    assert batchrun.process(ROWS, task=echo, name="it", quiet=True).done == 2
    with pytest.raises(RuntimeError, match="the cursor was closed"):
        batchrun.process(rows(), task=echo, name="it", quiet=True)
    assert len(batchrun.results(ROWS, name="it")) == 2


def test_one_batch_is_a_table_also_where_it_is_handed_out_as_an_array():
    class Batch:
        def __arrow_c_array__(self, requested_schema=None):
            return TABLE.to_batches()[0].__arrow_c_array__(requested_schema)

    assert batchrun.process(Batch(), task=echo, name="it", quiet=True).done == 2


def test_a_list_without_a_task_is_repaired_or_told():
    assert batchrun.process([{"text": '{"a": 1,}'}], name="it", quiet=True).done == 1
    with pytest.raises(UsageError, match=r"no text cell of other\.jsonl holds JSON"):
        batchrun.process([{"text": "plain"}], name="other", quiet=True)
