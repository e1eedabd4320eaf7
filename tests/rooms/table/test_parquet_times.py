"""Times beyond Python's years in Parquet: text where there is no other way, in that cell alone, and it is said."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import parquet, rows_of, scanned

from batchrun.errors import InputError
from batchrun.table.doubts import sentences
from batchrun.table.parquet_types import iso_date, plain_values

US = pa.timestamp("us")
SECOND = 1_000_000
END = 253_402_300_800 * SECOND
"""The year 10000, in microseconds."""
BEGIN = -62_135_596_800 * SECOND
"""The year 1."""


BEYOND = [
    (pa.array([END], US), "10000-01-01T00:00:00"),
    (pa.array([END // SECOND], pa.timestamp("s")), "10000-01-01T00:00:00"),
    (pa.array([END // 1000 + 1], pa.timestamp("ms")), "10000-01-01T00:00:00.001"),
    (pa.array([BEGIN - 1], US), "0000-12-31T23:59:59.999999"),
    (pa.array([END - 1], pa.timestamp("us", "Asia/Tokyo")), "9999-12-31T23:59:59.999999+00:00"),
    (pa.array([END - 1], pa.timestamp("us", "+02:00")), "9999-12-31T23:59:59.999999+00:00"),
    (pa.array([BEGIN], pa.timestamp("us", "America/New_York")), "0001-01-01T00:00:00+00:00"),
    (pa.array([2_932_897], pa.date32()), "10000-01-01"),
    (pa.array([-719_163], pa.date32()), "0000-12-31"),
    (pa.array([2_932_897 * 86_400_000], pa.date64()), "10000-01-01"),
    (pa.array([-(1 << 62)], pa.duration("s")), "-PT4611686018427387904S"),
    (pa.array([END, END], US).dictionary_encode(), "10000-01-01T00:00:00"),
    (pa.array([[END, None]], pa.list_(US)), ["10000-01-01T00:00:00", None]),
    (pa.array([[END]], pa.list_(US, 1)), ["10000-01-01T00:00:00"]),
    (pa.array([[0, END]], pa.large_list(US)), [datetime.datetime(1970, 1, 1), "10000-01-01T00:00:00"]),
    (
        pa.array([{"from": 0, "to": END}], pa.struct([("from", US), ("to", US)])),
        {"from": datetime.datetime(1970, 1, 1), "to": "10000-01-01T00:00:00"},
    ),
    (pa.array([[("k", END)]], pa.map_(pa.string(), US)), [("k", "10000-01-01T00:00:00")]),
    (
        pa.array([[{"to": [END]}]], pa.list_(pa.struct([("to", pa.list_(US))]))),
        [{"to": ["10000-01-01T00:00:00"]}],
    ),
]


@pytest.mark.parametrize(("array", "value"), BEYOND, ids=lambda part: str(getattr(part, "type", "")))
def test_a_time_that_python_cannot_hold_is_iso_text(array: pa.Array, value: Any) -> None:
    assert plain_values(array)[0][0] == value


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_the_last_and_the_first_moments_that_python_can_hold_stay_times(zone: str | None) -> None:
    moments = [BEGIN, END - 1] if zone is None or zone == "UTC" else [BEGIN, END - 1 - 3600 * SECOND]
    found, spelled = plain_values(pa.array(moments, pa.timestamp("us", zone)))
    assert [type(moment) for moment in found] == [datetime.datetime] * 2
    assert not spelled


@given(st.lists(st.none() | st.integers(-(1 << 62), 1 << 62), max_size=5), st.sampled_from(["s", "ms", "us"]))
def test_times_of_all_ages_are_what_numpy_says_of_them(times: list[int | None], unit: str) -> None:
    found, spelled = plain_values(pa.array(times, pa.timestamp(unit)))
    for place, (time, value) in enumerate(zip(times, found, strict=True)):
        if time is None:
            assert value is None
        elif place in spelled:
            assert (value[0] == "-", value.lstrip("-0")[:4]) != (False, "1970")
        else:
            assert value == np.datetime64(time, unit).astype("datetime64[us]").item()


@given(st.integers(-(10**8), 10**8))
def test_dates_of_all_ages_are_those_of_the_calendar_that_numpy_has(days: int) -> None:
    theirs = str(np.datetime64(days, "D"))
    sign, digits = ("-", theirs[1:]) if theirs.startswith("-") else ("", theirs)
    assert iso_date(days) == sign + digits.rjust(10, "0")


def test_only_such_a_cell_is_text_and_a_note_names_its_column_and_row(tmp_path: Path) -> None:
    last = pa.array([*range(2000), END, 1, END], US)
    path = parquet(tmp_path / "data.parquet", id=range(2003), until=last, since=pa.array([0] * 2003, US))
    assert [row[0] for row in rows_of(path) if type(row[1]) is str] == [2000, 2002]
    (note,) = sentences(scanned(path).doubts)
    assert "column 'until'" in note
    assert "'10000-01-01T00:00:00' in row 2,001" in note
    assert "--columns" in note


def test_the_old_timestamps_of_spark_do_not_wrap_around(tmp_path: Path) -> None:
    days = [datetime.datetime(9999, 12, 31), datetime.datetime(1, 1, 1), datetime.datetime(2026, 1, 1, 1, 2, 3, 456789)]
    table = pa.table({"at": pa.array(days, US)})
    pq.write_table(table, tmp_path / "data.parquet", use_deprecated_int96_timestamps=True)
    assert [row[0] for row in rows_of(tmp_path / "data.parquet")] == days


def test_columns_with_such_times_share_a_note(tmp_path: Path) -> None:
    path = parquet(tmp_path / "data.parquet", a=pa.array([END], US), b=pa.array([BEGIN - 1], US), c=[1])
    (note,) = sentences(scanned(path).doubts)
    assert "columns 'a', 'b' have times that Python cannot represent" in note


def test_a_column_that_the_task_is_not_given_is_not_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "data.parquet", id=[1], until=pa.array([END], US), key=["k"])
    assert rows_of(path, ["id"]) == [(1, None, None)]
    assert not scanned(path, columns=("id",), key=("key",)).doubts
    assert scanned(path, columns=("id", "until")).doubts


def test_a_zone_that_is_not_known_here_is_refused_with_column_row_and_remedy(tmp_path: Path) -> None:
    path = parquet(tmp_path / "data.parquet", id=[1, 2], at=pa.array([0, None], pa.timestamp("us", "Mars/Olympus")))
    with pytest.raises(InputError, match=r"data\.parquet, column 'at', rows 1 to 2: .*Mars/Olympus") as raised:
        scanned(path)
    assert "--columns" in raised.value.hint
    assert scanned(path, columns=("id",)).rows == 2
