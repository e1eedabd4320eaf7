"""Parquet files are read in batches that are bounded in memory, and hold what the file holds."""

import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import wait_for
from tables import ended, peak_of, plan, rows_of

from batchrun.errors import InputError
from batchrun.table import parquet_batches
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

MEBIBYTE = 1 << 20
LONG = "x" * 2 * MEBIBYTE


def told(values: list[str], which: list[int]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32()), pa.array(values))


def written(path: Path, column: Any, **options: Any) -> Path:
    table = pa.table({"id": range(len(column)), "text": column})
    said = {"compression": "zstd", "store_schema": False, "write_statistics": False, "use_dictionary": ["text"]}
    pq.write_table(table, path, **{**said, **options})
    return path


DELTA = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}
SMALL = {
    "one value of all rows": (lambda: told([LONG], [0] * 400), {}),
    "one value of the last rows": (lambda: told(["s", LONG], [0] * 1100 + [1] * 400), {}),
    "texts that repeat the one before": (lambda: pa.array([LONG] * 400), DELTA),
}


@pytest.mark.parametrize("kind", SMALL)
def test_a_small_file_that_unpacks_into_gigabytes_is_read_piece_by_piece(tmp_path, kind):
    column, options = SMALL[kind]
    path = written(tmp_path / "data.parquet", column(), **options)
    assert path.stat().st_size < 20_000
    process = plan(path)
    peak = peak_of(process)
    code, said, _ = ended(process)
    assert code == 0, said
    assert peak < 700 * MEBIBYTE, "it was more than 1,500"


def test_a_row_that_unpacks_into_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "data.parquet", pa.array([[0] * 35_000_000, []], pa.list_(pa.int8())))
    assert path.stat().st_size < 6000
    process = plan(path)
    code, said, _ = ended(process)
    assert (code, "a row in row group 1 takes more than 128 MiB" in said) == (2, True), said
    monkeypatch.setattr(parquet_batches, "LARGEST_ROW", MEBIBYTE)
    for column in (["s", "a" * 5 * MEBIBYTE] * 20, [[], list(range(700_000)), *[[]] * 20]):
        path = written(tmp_path / "more.parquet", column)
        with pytest.raises(InputError, match="row 2 takes more than 1 MiB"):
            rows_of(path)


def test_ctrl_c_is_heeded_within_a_second_while_a_parquet_file_is_unpacked(tmp_path):
    process = plan(written(tmp_path / "data.parquet", told([LONG], [0] * 20_000)))
    wait_for(lambda: Path(f"/proc/{process.pid}/fd").is_dir() and "data.parquet" in str(files_of(process)))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert time.monotonic() - began < 5  # one on a quiet machine


def files_of(process: Any) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.exists()]


TEXTS = st.lists(st.none() | st.text(max_size=3) | st.sampled_from(["a" * 5000, "b" * 70_000]), max_size=60)
LISTS = st.lists(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=4), max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=TEXTS | LISTS,
    group=st.integers(1, 70),
    options=st.sampled_from([{}, {"use_dictionary": False}, DELTA, {"store_schema": True}, {"compression": "none"}]),
    small=st.booleans(),
)
def test_rows_are_what_they_are_however_they_are_written_and_read(tmp_path, values, group, options, small):
    kind = pa.list_(pa.int64()) if any(isinstance(value, list) for value in values) else pa.string()
    if kind != pa.string():
        options = {}
    path = written(tmp_path / "data.parquet", pa.array(values, kind), row_group_size=group, **options)
    with pytest.MonkeyPatch.context() as patch:
        if small:  # so that batches of one row are met, too
            for limit in ("_UNPACKED", "_UNKNOWN", "CHUNK_BYTES"):
                patch.setattr(parquet_batches, limit, 1000)
        assert rows_of(path) == list(enumerate(values))


def test_a_category_of_long_texts_is_read_in_parts(tmp_path):
    path = written(tmp_path / "data.parquet", told(["s", LONG], [0, 1] * 20), store_schema=True)
    sizes = [len(chunk) for chunk in open_table(path, ReadOptions()).chunks()]
    assert sum(sizes) == 40
    assert max(sizes) <= 5
