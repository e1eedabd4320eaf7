"""The quick way to cut text into cells says what the csv module says, or nothing."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.table.escapes import Dialect
from batchrun.table.tokens import columns, records


@given(st.text('ab1 ,;"\t\r\n\x0b\x85\u2028', max_size=40), st.sampled_from(",; \t"), st.integers(1, 4))
def test_what_is_cut_the_quick_way_is_what_the_csv_module_reads(text: str, sep: str, width: int) -> None:
    found = columns(text, sep, width)
    if found is not None:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=sep))
        assert list(zip(*found, strict=True)) == list(map(tuple, rows))
        assert len(found) == width


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "1,2\r\n3,4", ",\n,", " 1,2 \n3,'4'\n"])
def test_plain_lines_take_the_quick_way(text: str) -> None:
    assert columns(text, ",", 2) is not None


@pytest.mark.parametrize("text", ['1,"2"\n', "1,2\r3,4\n", "1,2\n\n3,4\n", "1\n2,3,4\n", "1,2,3\n4\n", "1,2\n3,4\n5\n"])
def test_quotes_and_lines_of_other_widths_do_not(text: str) -> None:
    assert columns(text, ",", 2) is None


def test_an_open_quote_is_noticed_wherever_it_opens() -> None:
    assert records('1,2\n3,"4', Dialect(",")) is None
    assert records('1,2\n3,"4\n', Dialect(",")) is None
    assert records('1,2"\n3,4\n', Dialect(",")) == [["1", '2"'], ["3", "4"]]
