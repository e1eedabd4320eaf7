"""CSV files as people's programs write them: read as they are meant, or refused with what is really wrong."""

import csv
import gzip
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun
from tables import scanned, written

from batchrun.errors import InputError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions


def read(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    """The columns' names, and the rows."""
    table = open_table(path, ReadOptions(**options))
    return [table.columns, *(row for chunk in table.chunks() for row in chunk)]


def refused(path: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        scanned(path, **options)
    assert caught.value.hint
    return caught.value


def fixed(error: InputError) -> None:
    """Type what the hint says."""
    subprocess.run(["sh", "-c", error.hint.partition(": ")[2]], check=True)


TABLE = [("a", "b"), ("1", "x"), ("2", "y")]


@pytest.mark.parametrize(
    ("line", "sep"),
    [
        ("sep=;", ";"),
        ("SEP=,", ","),
        ("sep=\t", "\t"),
        ('"sep=;"', ";"),
        ("sep=|", "|"),
        ("sep=;;", ";"),
        ("sep=^", "^"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_line_that_names_the_separator_is_heeded_and_is_no_header(
    tmp_path: Path, line: str, sep: str, end: str, encoding: str
) -> None:
    text = end.join([line, *map(sep.join, TABLE)]) + end
    path = written(tmp_path, text.encode(encoding))
    for options in ({}, {"sep": sep}, {"skip_lines": 1}):
        assert read(path, **options) == TABLE
    assert read(path, no_header=True) == [("column1", "column2"), *TABLE]
    zipped = written(tmp_path, gzip.compress(text.encode(encoding)), "b.csv")
    assert read(zipped) == TABLE


def test_columns_that_are_called_like_such_a_line_are_columns(tmp_path: Path) -> None:
    assert read(written(tmp_path, "sep,b\n1,x\n2,y\n"))[0] == ("sep", "b")
    assert read(written(tmp_path, "sep=ab,b\n1,x\n"))[0] == ("sep=ab", "b")


def test_another_separator_below_such_a_line_is_still_noticed(tmp_path: Path) -> None:
    assert "--sep ','" in refused(written(tmp_path, "sep=;\na,b\n1,2\n")).hint


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", [1, 3, 5000])
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_rows_of_separators_that_end_a_file_are_none(tmp_path: Path, end: str, ending: int, sep: str) -> None:
    lines = [*map(sep.join, TABLE), *[sep] * ending, sep * 3, ""]
    path = written(tmp_path, end.join(lines))
    assert read(path, sep=sep) == TABLE
    found = scanned(path, sep=sep)
    assert (found.rows, found.empty_rows, found.bad_rows, found.types) == (2, 0, 0, ("int", "text"))


@pytest.mark.parametrize("amid", [1, 3, 40_000])
@pytest.mark.parametrize("text", ["y", '"y"'])
def test_rows_of_separators_amid_a_file_are_rows_and_counted(tmp_path: Path, amid: int, text: str) -> None:
    path = written(tmp_path, "a,b\n1,x\n" + ",\n" * amid + f"2,{text}\n,\n,\n")
    assert read(path) == [*TABLE[:2], *[("", "")] * amid, TABLE[2]]
    assert (scanned(path).rows, scanned(path).empty_rows) == (amid + 2, amid)


def test_such_rows_of_another_width_are_refused_only_amid_the_file(tmp_path: Path) -> None:
    assert "line 3 has 3" in str(refused(written(tmp_path, "a,b\n1,x\n,,\n2,y\n")))
    assert scanned(written(tmp_path, "a,b\n1,x\n,,\n2,y\n"), skip_bad_rows=True).bad_rows == 1


def test_lines_within_a_quoted_cell_are_no_rows_of_separators(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'a,b\n1,"x\n,\n"\n,\n')) == [("a", "b"), ("1", "x\n,\n")]
    assert read(written(tmp_path, 'a,b\n1,x\n"",""\n')) == [("a", "b"), ("1", "x"), ("", "")]


@pytest.mark.parametrize(
    ("top", "lines"),
    [
        ("Report 2024,\n", 1),
        ("Report 2024\n", 1),
        ("Report 2024\n\n", 2),
        ("# exported today\n# by me\n", 2),
        ("Report,\nby finance,\n,\n", 3),
        ('"Report, all"\n', 1),
        ("\nReport\n", 2),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_title_above_the_header_is_refused_and_can_be_passed_over(
    tmp_path: Path, top: str, lines: int, end: str
) -> None:
    path = written(tmp_path, (top + "id,region\n1,North\n2,South\n").replace("\n", end))
    error = refused(path)
    assert f"--skip-lines {lines}" in error.hint
    assert "above the header" in str(error)
    assert f"line {lines + 1} (id, region)" in str(error)
    assert read(path, skip_lines=lines) == [("id", "region"), ("1", "North"), ("2", "South")]
    assert refused(path, skip_bad_rows=True)


def test_a_title_above_columns_with_another_separator_names_both_options(tmp_path: Path) -> None:
    path = written(tmp_path, "Bericht 2024\n\nid;region\n1;Nord\n2;S\u00fcd\n")
    assert "--skip-lines 2 --sep ';'" in refused(path).hint
    assert read(path, skip_lines=2, sep=";")[1] == ("1", "Nord")


@pytest.mark.parametrize(
    "content",
    [
        ",name\n0,x\n1,y\n",  # the index of a frame
        ",0,1\n0,5,6\n",
        "name,\nAnn,30\n",
        "text,\na,\nb,\n",
        "#chrom,start\n1,5\n",
        "id,2023,2024\n1,2,3\n",
        "my words\na;b\nc\n",
        "tags\na;b\nc;d\n",
        "2024-01-01\nx\n",
    ],
)
def test_odd_headers_are_headers(tmp_path: Path, content: str) -> None:
    assert len(read(written(tmp_path, content))) == content.count("\n")


@pytest.mark.parametrize("first", ["1,2.5", "2019,2020", "-1,1e5", "5", '"1","2"', "+1,.5", "1,1"])
def test_a_first_line_of_nothing_but_numbers_is_refused_until_it_is_said_what_it_is(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, f"{first}\n{first}\n")
    hint = refused(path).hint
    assert "--no-header" in hint
    assert "--skip-lines 0" in hint
    assert len(read(path, no_header=True)) == 3
    if first != "1,1":
        assert len(read(path, skip_lines=0)) == 2


def test_without_a_header_columns_are_numbered_and_lines_can_be_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, 'Title\n\n1,"a\nb"\n2,c\n\n,\n')
    assert read(path, no_header=True, skip_lines=1) == [("column1", "column2"), ("1", "a\nb"), ("2", "c")]
    bad = written(tmp_path, "Title\n1,a\n2\n")
    assert "line 3 has 1" in str(refused(bad, no_header=True, skip_lines=1))


def test_more_lines_than_there_are_cannot_be_passed_over(tmp_path: Path) -> None:
    assert "smaller --skip-lines" in refused(written(tmp_path, "a,b\n1,2\n"), skip_lines=9).hint


@pytest.mark.parametrize("option", [{"no_header": True}, {"skip_lines": 1}, {"escape": "\\"}])
def test_options_for_csv_are_refused_elsewhere(tmp_path: Path, option: dict[str, Any]) -> None:
    assert "for CSV" in str(refused(written(tmp_path, '{"a": 1}\n{"a": 2}\n', "a.jsonl"), **option))


def test_lines_are_numbered_from_the_top_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "sep=;\nTitle\n\na;b\n1;2\n3\n")
    assert "line 6 has 1" in str(refused(path, skip_lines=2))
    path = written(tmp_path, 'T\na,b\n1,2\n"x,4\n')
    assert "line 4: a quote opens" in str(refused(path, skip_lines=1))
    path = written(tmp_path, "T\na,b\n1,2\nx,4\n")
    assert "line 4: 'x'" in str(refused(path, skip_lines=1, dtypes={"a": "int"}))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_separator_at_each_rows_end_is_told_and_the_remedy_works(tmp_path: Path, end: str) -> None:
    path = written(tmp_path, end.join(["id;text", "1;a;", "2;b;", ""]), "my data.csv")
    error = refused(path, sep=";")
    assert "Each row ends with a separator" in str(error)
    fixed(error)
    assert read(tmp_path / "my data.fixed.csv", sep=";")[1:] == [("1", "a", ""), ("2", "b", "")]
    assert refused(path, sep=";", skip_bad_rows=True)


def test_a_missing_name_of_the_first_column_is_told_and_the_remedy_works(tmp_path: Path) -> None:
    error = refused(written(tmp_path, '"a","b"\n"r1",1,x\n"r2",2,y\n'))
    assert "row names" in str(error)
    fixed(error)
    assert read(tmp_path / "data.fixed.csv")[:2] == [("row", "a", "b"), ("r1", "1", "x")]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
@pytest.mark.parametrize("text", ['1{0} "Ann"', '1{0} "Smith{0} Ann"', '1{0}\t"say ""hi"""'])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_space_before_a_quote_is_told_and_the_remedy_works(tmp_path: Path, sep: str, text: str, pack) -> None:
    line = text.format(sep)
    path = written(tmp_path, pack(f"id{sep} name\n{line}\n".encode()), "it's.csv")
    if sep == "\t" and "\t" in text:
        return
    error = refused(path, sep=sep)
    assert "space comes before" in str(error)
    fixed(error)
    expected = next(csv.reader(io.StringIO(line), delimiter=sep, skipinitialspace=True))
    assert read(tmp_path / "it's.fixed.csv", sep=sep) == [("id", "name"), tuple(expected)]


@pytest.mark.parametrize("sep", [",", ";"])
def test_single_quotes_are_told_and_the_remedy_works(tmp_path: Path, sep: str) -> None:
    error = refused(written(tmp_path, f"id{sep}name\n1{sep}'a{sep} b'\n2{sep}c\n"), sep=sep)
    assert "quoted with '" in str(error)
    fixed(error)
    assert read(tmp_path / "data.fixed.csv", sep=sep)[1:] == [("1", f"a{sep} b"), ("2", "c")]


def test_without_a_header_rows_are_held_against_the_first(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "1,2\n1,2,\n1,2,\n"), no_header=True)
    assert "the first row's 2 cells" in str(error)
    assert "--bad-rows skip" in error.hint


def test_spaces_and_quotes_that_are_meant_are_cells(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'a,b\n1," ""x"""\n2," ""y"""\n'))[1] == ("1", ' "x"')
    assert read(written(tmp_path, 'a,b\n1, "x" he said\n'))[1] == ("1", ' "x" he said')
    assert read(written(tmp_path, 'a,b\n1,"x" \n'))[1] == ("1", "x ")


def test_skipping_every_row_is_an_error(tmp_path: Path) -> None:
    assert "all 2 rows" in str(refused(written(tmp_path, "a,b\n1\n2,3,4\n"), skip_bad_rows=True))
    lines = written(tmp_path, "x\ny\n", "a.jsonl")
    assert "none of its 2 lines" in str(refused(lines, skip_bad_rows=True))


SPARK = 'id,text,n\n1,"plain",6\n2,"He said \\"hi\\" to me",5\n'


@pytest.mark.parametrize(
    "cell",
    [r"He said \"hi\" to me", r"\"hi, you\" he said", r"{\"a\": \"b\"}", '5\\" disk', 'a\n\\"b\\"', r"ends \"so\""],
)
@pytest.mark.parametrize("rows_above", [0, 9000])
def test_quotes_escaped_by_a_backslash_are_refused_with_their_line(tmp_path: Path, cell: str, rows_above: int) -> None:
    path = written(tmp_path, "id,text,n\n" + '7,"plain",1\n' * rows_above + f'1,"{cell}",5\n2,"plain",6\n')
    for options in ({}, {"skip_bad_rows": True}):
        error = refused(path, **options)
        assert "--escape '\\'" in error.hint
        assert "backslash" in str(error)
        assert f"line {rows_above + 2 + cell.count(chr(10))}:" in str(error)
    assert read(path, escape="\\")[-2] == ("1", cell.replace("\\", ""), "5")


def test_a_quote_that_stays_open_may_be_an_escaped_one(tmp_path: Path) -> None:
    assert "--escape '\\'" in refused(written(tmp_path, 'a,b\n1,"x\\""\n2,y\n')).hint


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        (r'"C:\dir\\"', "C:\\dir\\"),
        (r"C:\dir\x", r"C:\dir\x"),
        (r"\N", r"\N"),
        (r'"\N"', r"\N"),
        (r'"line\n"', r"line\n"),
        ('"two\\\nlines"', "two\nlines"),
        ('"a\\,b"', "a,b"),
        ('"doubled ""too"""', 'doubled "too"'),
        ('"\\""', '"'),
        ('""', ""),
        (r'"\\\""', '\\"'),
        (r'5"x\"', r'5"x\"'),
    ],
)
def test_an_escape_means_what_spark_and_mysql_mean(tmp_path: Path, cell: str, meant: str) -> None:
    path = written(tmp_path, f"a,b,c\n{cell},2,{cell}\n{cell},1,x\n")
    assert read(path, escape="\\")[1:] == [(meant, "2", meant), (meant, "1", "x")]


@pytest.mark.parametrize("cell", [r'"C:\dir\"', '"{""a"": ""x\\""y""}"', '"x\\"', r"5\"", '"\\"'])
def test_backslashes_in_a_file_with_doubled_quotes_are_text(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path, f"a,b\n{cell},1\n{cell},2\n")
    assert read(path)[1][0] == next(csv.reader([cell]))[0]


def test_an_escape_that_is_none_of_the_files_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"x\\""y"\n')
    assert "though --escape" in str(refused(path, escape="\\"))


@pytest.mark.parametrize("escape", ["ab", ",", "\n"])
def test_what_cannot_escape_is_refused(tmp_path: Path, escape: str) -> None:
    assert "--escape" in str(refused(written(tmp_path, "a,b\n1,2\n"), escape=escape))


CELL = st.text('ab"\\, \n;\r', max_size=8)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), st.integers(1, 30), st.sampled_from(["\n", "\r\n"]))
def test_whatever_is_written_with_escapes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block_bytes: int, end: str
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'

    path = tmp_path_factory.getbasetemp() / "escaped.csv"
    path.write_bytes(end.join(["a,b", *(",".join(map(quoted, row)) for row in rows), ""]).encode())
    table: Any = open_table(path, ReadOptions(escape="\\"))
    table.block_bytes = block_bytes
    assert [row for chunk in table.chunks() for row in chunk] == rows


LINE = st.sampled_from(["1,x", ",", ",,", "", '"",""', '"a\n,\n",', "1"])


@given(st.lists(LINE, max_size=14), st.integers(1, 40))
def test_the_size_of_blocks_changes_nothing_about_rows_of_separators(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "separators.csv"
    path.write_text("\n".join(["a,b", *lines]) + "\n")
    found = []
    for size in (block_bytes, 1000):
        table: Any = open_table(path, ReadOptions(skip_bad_rows=True))
        table.block_bytes = size
        rows = [row for chunk in table.chunks() for row in chunk]
        found.append((rows, table.bad_rows, table.empty_rows))
    assert found[0] == found[1]
    assert not lines or lines[-1] != "," or found[0][0][-1:] != [("", "")] or '"",""' in lines


TASK = "def echo(row):\n    return dict(row)\n"


def test_how_a_table_is_read_is_remembered_for_all_commands(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASK)
    path = written(tmp_path, gzip.compress(b'Title\n1,"a ""b"" \\"c\\""\n2,"\\N"\n,\n'), "data.csv.gz")
    options = ["--no-header", "--skip-lines", "1", "--escape", "\\"]
    ran = batchrun("process", path.name, "--task", "tasks.py:echo", *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    exported = batchrun("export", path.name, "-o", "-", "--format", "jsonl", cwd=tmp_path)
    inputs = [json.loads(line)["input"] for line in exported.stdout.splitlines()]
    assert inputs == [{"column1": 1, "column2": 'a "b" "c"'}, {"column1": 2, "column2": "\\N"}]
    plain = batchrun("export", path.name, "-o", "-", cwd=tmp_path).stdout
    assert next(csv.reader([plain.splitlines()[1]]))[:2] == ["1", 'a "b" "c"']
    assert json.loads(batchrun("show", path.name, "1", "--json", cwd=tmp_path).stdout)["input"]["column1"] == 1
    assert batchrun("verify", path.name, cwd=tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "data.csv.gz.batchrun")


def test_an_edited_table_without_a_header_keeps_its_results(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASK)
    rows = [f"{n},{'x' * 50}" for n in range(5000)]
    path = written(tmp_path, "\n".join(["Title", *rows, ",", ""]))
    command = ["process", path.name, "--task", "tasks.py:echo", "--no-header", "--skip-lines", "1", "--json", "-q"]
    done = json.loads(batchrun(*command, cwd=tmp_path).stdout.splitlines()[-1])
    assert (done["ran"], done["rows"]) == (5000, 5000)
    written(tmp_path, "\n".join(["Title", "new,row", *rows[:3000], ",", *rows[3001:], ",", ",", ""]))
    done = json.loads(batchrun(*command, cwd=tmp_path).stdout.splitlines()[-1])
    assert (done["ran"], done["rows"], done["done"]) == (2, 5001, 5001)
    written(tmp_path, "\n".join(["Title", *rows[:3000], ",", ""]))
    done = json.loads(batchrun(*command, cwd=tmp_path).stdout.splitlines()[-1])
    assert (done["ran"], done["rows"]) == (0, 3000)


def test_notes_count_rows_of_separators_and_point_at_comments(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASK)
    path = written(tmp_path, "# id,b\n1,x\n,\n2,y\n")
    ran = batchrun("process", path.name, "--task", "tasks.py:echo", cwd=tmp_path)
    assert "1 row has nothing but separators" in ran.stderr
    assert "--skip-lines" in ran.stderr


@pytest.mark.parametrize("sep", [";", "\t", "|"])
def test_decimal_commas_below_a_header_of_another_separator_make_no_title_of_it(tmp_path: Path, sep: str) -> None:
    path = written(tmp_path, f"id{sep}price\n1{sep}2,50\n2{sep}3,75\n3{sep}1,00\n")
    with pytest.raises(InputError, match=r"the header is one column, .* that looks separated by") as raised:
        open_table(path, ReadOptions())
    assert "--sep" in raised.value.hint
    title = written(tmp_path, f"Prices{sep} 2024\nid,price\n1,2\n2,3\n3,1\n")
    with pytest.raises(InputError, match="seems to be above the header"):
        open_table(title, ReadOptions())
