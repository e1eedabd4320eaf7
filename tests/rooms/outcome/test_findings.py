"""The report's section on results: what each key holds, in one pass and in bounded memory."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support import batchrun, numbered

from batchrun.outcome.report.findings import MOST_BINS, MOST_KEYS, MOST_VALUES, findings

numbers = some.one_of(some.integers(), some.floats(allow_nan=False, allow_infinity=False))
scalars = some.one_of(some.none(), some.booleans(), numbers, some.text(max_size=5), some.lists(some.none(), max_size=2))


def found(*pages):
    told = findings(pages, {}, ())
    assert told is not None
    return {key.name: key for key in told.keys}


@given(some.lists(some.lists(some.dictionaries(some.sampled_from("abc"), scalars, max_size=3), min_size=1), min_size=1))
def test_every_row_of_every_key_is_counted_once(pages):
    rows = [row for page in pages for row in page]
    keys = found(*pages)
    assert {name: key.rows for name, key in keys.items()} == Counter(name for row in rows for name in row)
    for key in keys.values():
        assert sum(count for _, count in key.types) == key.rows


@given(some.lists(some.floats(-1e12, 1e12), min_size=1, max_size=200), some.floats(-1e300, 1e300))
def test_bins_hold_every_number_wherever_the_last_one_lies(values, last):
    spread = [float(n) for n in range(MOST_VALUES + 1)]
    bins = found([{"x": value} for value in spread], [{"x": value} for value in [*values, last]])["x"].bins
    assert sum(bins.counts) == len(spread) + len(values) + (abs(last) < 1e300)
    assert len(bins.counts) <= MOST_BINS
    assert bins.low <= min(values)
    assert bins.low + len(bins.counts) * bins.width > max(values)


def test_few_different_values_are_told_with_their_counts():
    key = found([{"same": n % 3 == 0} for n in range(9)])["same"]
    assert (key.types, key.common, key.different) == ((("boolean", 9),), ((False, 6), (True, 3)), 2)


def test_what_would_fill_memory_is_not_kept():
    key = found([{"text": f"{n} {'x' * 5000}"} for n in range(3 * MOST_VALUES)])["text"]
    assert (key.common, key.different) == ((), MOST_VALUES)
    many = findings([[{f"key {n}": 1 for n in range(5000)}]], {}, ())
    assert len(many.keys) == MOST_KEYS
    assert many.more_keys == 1000


def test_numbers_that_no_float_can_be_do_no_harm():
    assert found([{"x": 10**400}, {"x": 1.5}, {"x": 2}])["x"].rows == 3


def test_results_that_are_no_objects_are_one_key():
    assert found([1, "a", {"b": 2}])[None].types == (("number", 1), ("text", 1))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\x1b[31m"])
def test_the_page_has_keys_values_and_ten_rows_and_takes_any_text(tmp_path, text):
    (tmp_path / "tasks.py").write_text(
        f"TEXT = {json.dumps(text)}\n\n"
        "def task(row):\n    return {TEXT: TEXT, 'n': row['id'] / 7, 'odd': bool(row['id'] % 2), 'gap': ' '}\n"
    )
    table = numbered(tmp_path / "data.csv", 40)
    batchrun("process", table, "-t", "tasks.py:task", "--no-output", cwd=tmp_path)
    page = batchrun("report", table, "-o", "-").stdout
    part = page.partition("<h2>Results</h2>")[2].partition("</section>")[0]
    assert "40 rows with a result" in part
    assert "<code>true</code> × 20" in part
    assert "<code>&quot; &quot;</code> × 40" in part, "a text of spaces is seen"
    assert part.count("<title>") > 5
    assert part.partition("Some of them")[2].count("<tr>") == 11
    assert text not in page
