"""JSON Lines: an object a line, values as they are, columns collected over the whole file."""

import math
from pathlib import Path
from typing import Any

import pytest
from tables import identified, scanned

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions


def json_lines(folder: Path, *lines: str, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def rows_under(path: Path, columns: tuple[str, ...], **options: Any) -> list[tuple[Any, ...]]:
    table = open_table(path, ReadOptions(**options), columns)
    return [row for chunk in table.chunks() for row in chunk]


@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_columns_are_the_keys_of_all_rows_in_order_of_first_appearance(tmp_path: Path, chunk_rows: int) -> None:
    path = json_lines(tmp_path, '{"b": 1}', "", '{"a": null, "b": 2}', '{"c": 3, "a": 4}')
    found, *_ = identified(path, chunk_rows)
    assert (found.rows, found.columns, found.types) == (3, ("b", "a", "c"), ("native",) * 3)
    assert rows_under(path, found.columns) == [(1, None, None), (2, None, None), (None, 4, 3)]


def test_values_keep_their_types_and_large_integers_their_digits(tmp_path: Path) -> None:
    path = json_lines(tmp_path, '{"a": 123456789012345678901, "b": [1, {"c": null}], "d": 1.0, "e": NaN}')
    ((a, b, d, e),) = rows_under(path, ("a", "b", "d", "e"))
    assert (a, b, d) == (123456789012345678901, [1, {"c": None}], 1.0)
    assert type(d) is float
    assert math.isnan(e)


def test_a_column_that_first_appears_late_leaves_earlier_rows_as_they_were(tmp_path: Path) -> None:
    lines = [f'{{"a": {number}}}' for number in range(5)]
    _, before, _ = identified(json_lines(tmp_path, *lines))
    _, after, _ = identified(json_lines(tmp_path, *lines, '{"z": 1, "a": 5}'), chunk_rows=2)
    assert after[:5] == before


def test_objects_decide_whatever_the_name(tmp_path: Path) -> None:
    assert open_table(json_lines(tmp_path, '{"a": 1}', name="data.csv"), ReadOptions()).kind == "jsonl"
    assert open_table(json_lines(tmp_path, "{a},b", "1,2", name="data.txt"), ReadOptions()).kind == "csv"


def test_a_first_object_longer_than_what_is_looked_at_is_still_seen(tmp_path: Path) -> None:
    path = json_lines(tmp_path, f'{{"a": "{"x" * 200_000}"}}', name="data.txt")
    assert scanned(path).columns == ("a",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "found an array"),
        ("17", "found a number"),
        ('{"a": 1', "Expecting"),
        ('{"a": 1} {"a": 2}', "Extra data"),
        ("{" + '"a":{' * 300 + "}" * 301, "200 levels"),
        ('{"a":' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_no_object_is_named_or_skipped(tmp_path: Path, line: str, said: str) -> None:
    path = json_lines(tmp_path, '{"a": 1}', "", line, '{"a": 2}')
    with pytest.raises(InputError, match=rf"line 3: not a JSON object \(.*{said}"):
        scanned(path)
    found = scanned(path, skip_bad_rows=True)
    assert (found.rows, found.bad_rows) == (2, 1)
    assert rows_under(path, ("a",), skip_bad_rows=True) == [(1,), (2,)]


@pytest.mark.parametrize("lines", [['[{"a": 1}]'], ["[", '{"a": 1}', "]"], ["", "[]"]])
def test_a_json_array_is_told_how_to_become_lines(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(InputError, match="one JSON array") as caught:
        scanned(json_lines(tmp_path, *lines, name="data.json"))
    assert "jq -c '.[]'" in caught.value.hint


def test_an_object_spread_over_lines_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: not a whole JSON object: it spans several") as caught:
        scanned(json_lines(tmp_path, "{", '  "a": 1', "}", name="data.txt"))
    assert "jq -c" in caught.value.hint


def test_a_new_key_after_the_scan_means_that_the_file_has_changed(tmp_path: Path) -> None:
    path = json_lines(tmp_path, '{"a": 1}')
    found = scanned(path)
    json_lines(tmp_path, '{"a": 1, "b": 2}')
    with pytest.raises(InputError, match="changed"):
        rows_under(path, found.columns)


@pytest.mark.parametrize("option", ["columns", "key"])
def test_an_unknown_column_is_named_once_all_are_known(tmp_path: Path, option: str) -> None:
    path = json_lines(tmp_path, '{"a": 1}', '{"name": 2}')
    scanned(path, **{option: ("name",)})
    with pytest.raises(InputError, match=f"--{option}: the table has no column 'nmae'"):
        scanned(path, **{option: ("nmae",)})


def test_dtype_is_refused_where_values_have_types(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--dtype is for CSV"):
        scanned(json_lines(tmp_path, '{"a": 1}'), dtypes={"a": "str"})


def test_half_a_surrogate_pair_is_a_value_like_any_other(tmp_path: Path) -> None:
    _, prints, _ = identified(json_lines(tmp_path, '{"a": "\\ud800"}', '{"a": "\\ud801"}', '{"a": "x"}'))
    assert len(set(prints)) == 3
