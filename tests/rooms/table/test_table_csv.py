"""CSV: every row arrives as it was written, and what is no table says so, with its line."""

import csv
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import rows_of, scanned, written

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions


def error_of(path: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        scanned(path, **options)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_cells_arrive_exactly_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,note\n007," a ""b"",\r\nc"\n8,NA\n9,\n')
    assert rows_of(path) == [("007", ' a "b",\r\nc'), ("8", "NA"), ("9", "")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_line_end_will_do_and_the_last_may_be_missing(tmp_path: Path, end: str, last: bool) -> None:
    path = written(tmp_path, end.join(["a,b", "1,2", "3,4"]) + end * last)
    assert rows_of(path) == [("1", "2"), ("3", "4")]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "\n  \na,b\n\n1,2\n \t \n3,4\n\n")) == [("1", "2"), ("3", "4")]


def test_in_a_single_column_an_empty_quoted_cell_is_a_row_and_a_blank_line_is_none(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, 'a\n1\n\n""\n  \n2\n')) == [("1",), ("",), ("2",)]


def test_a_header_without_rows_is_a_table(tmp_path: Path) -> None:
    found = scanned(written(tmp_path, "a,b\n"))
    assert (found.rows, found.columns, found.types) == (0, ("a", "b"), ("text", "text"))


def test_an_unnamed_column_gets_the_name_that_pandas_gives_it(tmp_path: Path) -> None:
    assert open_table(written(tmp_path, ",a,\n0,1,2\n"), ReadOptions()).columns == (
        "Unnamed: 0",
        "a",
        "Unnamed: 2",
    )


@pytest.mark.parametrize(
    ("name", "sep", "said"),
    [
        ("data.tsv", "\t", None),
        ("data.TAB", "\t", None),
        ("data.csv", "\t", "tab"),
        ("data.csv", "\t", "\\t"),
        ("data.csv", ";", ";"),
        ("data.tsv", "|", "|"),
    ],
)
def test_the_separator_is_the_one_said_or_that_of_the_name(
    tmp_path: Path, name: str, sep: str, said: str | None
) -> None:
    path = written(tmp_path, f"a{sep}b\n1,5{sep}2\n", name)
    assert rows_of(path, sep=said) == [("1,5", "2")]


@pytest.mark.parametrize("sep", ["", "ab", '"', "\n"])
def test_what_cannot_separate_is_refused(tmp_path: Path, sep: str) -> None:
    with pytest.raises(InputError, match="--sep"):
        rows_of(written(tmp_path, "a,b\n1,2\n"), sep=sep)


@pytest.mark.parametrize(("sep", "said"), [(";", "--sep ';'"), ("\t", "--sep tab"), ("|", "--sep '|'")])
def test_one_column_that_looks_separated_otherwise_is_refused(tmp_path: Path, sep: str, said: str) -> None:
    assert said in error_of(written(tmp_path, f"a{sep}b\n1{sep}2\n")).hint


def test_one_column_with_a_semicolon_in_its_name_can_be_insisted_on(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a;b\n1;2\n"), sep=",") == [("1;2",)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\ufeff", "is empty"),
        ("\n  \n\r\n", "no header"),
        ("a,b,a\n1,2,3\n", r"2 columns are called 'a' \(columns 1, 3\)"),
        ("a,b\n1,2\n3\n4,5,6\n", "2 of 3 rows .* 2 cells: line 3 has 1, line 4 has 3"),
        ('a,b\n"x\ny",2\n3\n', "1 of 2 rows .* line 4 has 1"),
        ('a,b\n1,2\n3,"x\ny\n', "line 3: a quote opens"),
        ('a,b\n1,2\n"x\ny","z', "line 4: a quote opens"),
        ('a,b\n1,2\n"', "line 3: a quote opens"),
        ('a\n1\n"', "line 3: a quote opens"),
        ('a,"b\n1,2\n', "line 1: a quote opens"),
        ("a,b\n1,2\n3,x\0y\n", "line 3: contains a NUL byte"),
    ],
)
def test_what_is_no_table_says_why_and_where(tmp_path: Path, content: str, said: str) -> None:
    assert error_of(written(tmp_path, content)).args[0].count("\n") == 0
    with pytest.raises(InputError, match=said):
        scanned(written(tmp_path, content))


def test_only_the_first_three_ragged_lines_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n" + "1\n" * 2000 + "1,2\n" * 3000)
    assert "2,000 of 5,000 rows" in str(error_of(path))
    assert "line 2 has 1, line 3 has 1, line 4 has 1, …" in str(error_of(path))


def test_ragged_rows_can_be_skipped_and_are_counted_in_both_passes(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert scanned(path, skip_bad_rows=True).bad_rows == 2
    table = open_table(path, ReadOptions(skip_bad_rows=True))
    for _ in range(2):
        assert [row for chunk in table.chunks() for row in chunk] == [("1", "2"), ("7", "8")]
        assert table.bad_rows == 2


def test_an_open_quote_is_never_skipped_for_it_swallows_good_rows(tmp_path: Path) -> None:
    assert "never closed" in str(error_of(written(tmp_path, 'a,b\n"1,2\n3,4\n'), skip_bad_rows=True))


def test_an_open_quote_does_not_take_the_whole_file_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.table.tokens.LARGEST_CELL", 1 << 20)
    error = error_of(written(tmp_path, 'a,b\n1,"2\n' + "3,4\n" * 500_000))
    assert "larger than 1 MiB" in str(error)


def test_the_second_pass_notices_that_the_header_has_changed(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n")
    table = open_table(path, ReadOptions())
    written(tmp_path, "b,a\n1,2\n")
    with pytest.raises(InputError, match="changed"):
        list(table.chunks())


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = written(tmp_path, "a,b\n" + "123,some text\n" * rows)
        tracemalloc.start()
        scanned(path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(100_000) < 1.3 * peak(10_000) + 100_000


CELL = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=6)


@st.composite
def csv_rows(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(2, 4))
    return draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=12))


@given(rows=csv_rows(), sep=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n"]))
def test_whatever_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], sep: str, end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    header = [f"column {place}" for place in range(len(rows[0]))]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=sep, lineterminator=end, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])
    table: Any = open_table(path, ReadOptions(sep=sep))
    for table.block_bytes in (1, 2, 3, 17, 1000):
        assert [list(row) for chunk in table.chunks() for row in chunk] == rows


@given(cut=st.integers(0, 60))
def test_a_table_cut_anywhere_is_read_or_refused_but_never_misread(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = 'a,b,c\n1,"x, ""y""",3\n4,"\n",6\n"7",8,"9"\n10,11,12\n'
    rows = rows_of(written(folder, whole, "whole.csv"))
    try:
        found = rows_of(written(folder, whole[:cut], "cut.csv"))
    except InputError:
        return
    assert found[:-1] == rows[: max(0, len(found) - 1)]


@pytest.mark.parametrize("row", ['2,"say "hi" there"', '2,"5" x 7" print"', '2,"a ""b"" "c""', '2,"a\n"b" c"'])
def test_a_quote_within_a_quoted_cell_that_is_not_doubled_is_refused(tmp_path: Path, row: str) -> None:
    error = error_of(written(tmp_path, f'id,text\n1,"a ""b"" c"\n{row}\n'))
    assert f"line {3 + row.count(chr(10))}: a quote within a quoted cell is not doubled" in str(error)
    assert 'Write it as ""' in error.hint


def test_text_without_a_quote_after_a_closing_quote_belongs_to_the_cell(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, 'id,text\n1,"5" screen\n2,"a" \n')) == [("1", "5 screen"), ("2", "a ")]
