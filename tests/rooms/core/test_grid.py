"""Records are laid out for the width that there is, and cannot steer a terminal."""

from unicodedata import combining, east_asian_width

from hypothesis import given
from hypothesis import strategies as some

from batchrun.core.grid import grid

texts = some.text(max_size=60)
RECORDS = [{"row": "1", "city": "Bern", "note": "x" * 30}, {"row": "12", "city": "Zürich", "same": "true"}]


def cells(line):
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in line)


@given(some.lists(some.dictionaries(texts, texts, min_size=1, max_size=6), max_size=6), some.integers(20, 200))
def test_no_line_is_wider_than_asked_for_and_none_steers_a_terminal(records, width):
    for line in grid(records, width):
        assert cells(line) <= width
        assert line.isprintable()


def test_columns_stand_below_their_names_in_order_of_appearance():
    assert grid(RECORDS, 60) == [
        "row  city    note                            same",
        "---  ------  ------------------------------  ----",
        "1    Bern    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "12   Zürich                                  true",
    ]


def test_only_columns_that_are_too_wide_are_cut():
    assert grid(RECORDS, 37)[2] == f"1    Bern    {'x' * 15}..."


def test_where_columns_would_be_too_narrow_each_record_is_a_block():
    assert grid(RECORDS, 24) == [
        "row 1",
        "  city  Bern",
        "  note  xxxxxxxxxxxxx...",
        "",
        "row 12",
        "  city  Zürich",
        "  same  true",
    ]
