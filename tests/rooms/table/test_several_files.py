"""Several files are one table: those of a folder, or of a pattern, of one kind and with the same columns."""

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import identified, parquet, rows_of, scanned, written

from batchrun.errors import InputError
from batchrun.table.changes import digest_of
from batchrun.table.csv_files import CsvFiles
from batchrun.table.detect import open_table
from batchrun.table.doubts import sentences
from batchrun.table.members import files_of, name_in, stand_in, would_belong
from batchrun.table.options import ReadOptions
from batchrun.table.pages import Memo, Page
from batchrun.table.scan import scan


def names_of(path: Path) -> list[str]:
    return [name_in(path, file) for file in files_of(path)]


def csv(path: Path, *rows: object, header: str = "id,text", ending: str = "\n") -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("\n".join([header, *map(str, rows)]) + ending)


def of_each_kind(folder: Path, kind: str) -> None:
    """Three files of five rows in all."""
    folder.mkdir()
    rows = {"a1": [(1, "x"), (2, "y")], "a2": [(3, "x")], "a10": [(4, "z"), (5, "z")]}
    for name, found in rows.items():
        if kind == "parquet":
            parquet(folder / f"{name}.parquet", id=[row[0] for row in found], text=[row[1] for row in found])
        elif kind == "jsonl":
            text = "".join(json.dumps({"id": number, "text": word}) + "\n" for number, word in found)
            (folder / f"{name}.jsonl").write_text(text)
        else:
            csv(folder / f"{name}.csv", *(f"{number},{word}" for number, word in found))
            if kind == "csv.gz":
                text = (folder / f"{name}.csv").read_bytes()
                (folder / f"{name}.csv").unlink()
                (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text))


KINDS = ["csv", "csv.gz", "jsonl", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pattern", ["", "*", "a*.{}"])
def test_files_are_one_table_in_the_natural_order_of_their_names(tmp_path: Path, kind: str, pattern: str) -> None:
    folder = tmp_path / "data"
    of_each_kind(folder, kind)
    path = folder / pattern.format(kind) if pattern else folder
    assert [int(row[0]) for row in rows_of(path)] == [1, 2, 3, 4, 5]
    found = scanned(path)
    assert (found.rows, found.columns) == (5, ("id", "text"))
    assert found.types == (("int", "text") if kind.startswith("csv") else ("native", "native"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_says_which_file_a_row_is_from_if_it_is_asked_for(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    of_each_kind(folder, kind)
    rows = rows_of(folder, file_column=True)
    assert [row[2] for row in rows] == [f"a{number}.{kind}" for number in (1, 1, 2, 10, 10)]
    found, prints, _ = identified(folder, file_column=True)
    assert found.columns == ("id", "text", "batchrun_file")
    assert len(set(prints)) == 5
    assert rows_of(folder, ["batchrun_file"], file_column=True)[4][2] == f"a10.{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_identity_is_the_same_in_whatever_file_it_stands(tmp_path: Path, kind: str) -> None:
    of_each_kind(tmp_path / "data", kind)
    _, before, _ = identified(tmp_path / "data")
    for number, file in enumerate(files_of(tmp_path / "data")):
        file.rename(file.with_name(f"{9 - number}.{kind}"))
    _, after, _ = identified(tmp_path / "data")
    assert before != after
    assert sorted(before) == sorted(after)


def test_a_file_column_that_looks_like_numbers_is_text(tmp_path: Path) -> None:
    for name in ("2023", "2024"):
        csv(tmp_path / name, "1,x")
    assert scanned(tmp_path / "*", file_column=True).types == ("int", "text", "text")


def test_a_table_that_has_such_a_column_already_is_refused(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "1,x", header="id,batchrun_file")
    written(tmp_path, '{"batchrun_file": 1}\n', "a.jsonl")
    parquet(tmp_path / "folder" / "a.parquet", batchrun_file=[1])
    for path in (tmp_path / "*.csv", tmp_path / "*.jsonl", tmp_path / "folder"):
        with pytest.raises(InputError, match="2 columns are called 'batchrun_file'"):
            scanned(path, file_column=True)


def test_one_file_has_no_file_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--file-column is for folders and patterns of files"):
        scanned(written(tmp_path, "a\n1\n"), file_column=True)


def test_a_pattern_reaches_into_folders_but_not_into_checkpoints_markers_and_results(tmp_path: Path) -> None:
    for name in ("b.csv", "x/2.csv", "x/10.csv", "x/_part.csv", "x/.hidden.csv", "x/2.csv.batchrun/k.csv"):
        csv(tmp_path / name, "1,x")
    csv(tmp_path / "all.results.csv", "1,x,done", header="id,text,batchrun_status")
    assert names_of(tmp_path / "**" / "*.csv") == ["b.csv", "x/2.csv", "x/10.csv"]
    assert names_of(tmp_path / "x" / "*.csv") == ["2.csv", "10.csv"]
    assert names_of(tmp_path / "x" / "[0-9].csv") == ["2.csv"]
    assert names_of(tmp_path / "*.results.csv") == ["all.results.csv"]


def test_results_are_a_table_like_any_other_where_there_is_nothing_else(tmp_path: Path) -> None:
    for name in ("a.results.csv", "b.results.csv"):
        csv(tmp_path / name, "1,x")
    assert names_of(tmp_path) == ["a.results.csv", "b.results.csv"]
    csv(tmp_path / "c.csv", "1,x")
    assert names_of(tmp_path) == ["c.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n1\n", "data[1].csv")
    written(tmp_path, "a\n2\n", "data1.csv")
    assert rows_of(path) == [("1",)]
    assert stand_in(path) == path


@pytest.mark.parametrize(
    ("files", "said", "remedy"),
    [
        (["a.csv", "b.jsonl"], r"several kinds: a.csv \(CSV\), b.jsonl \(JSON Lines\)", r"data/\*.csv'"),
        (["a.tsv.gz", "b.csv"], r"several kinds: a.tsv.gz \(TSV\), b.csv \(CSV\)", r"data/\*.tsv.gz'"),
        (["x/a.csv", "x/b.csv"], r"no tables of its own.*x/a.csv and 1 more", r"data/\*\*/\*.csv'"),
        (["a.txt"], "folder without tables", r"data/\*.txt'"),
    ],
)
def test_a_folder_that_is_no_table_says_what_would_be_one(
    tmp_path: Path, files: list[str], said: str, remedy: str
) -> None:
    for name in files:
        csv(tmp_path / "data" / name, "1,x")
    with pytest.raises(InputError, match=said) as caught:
        scanned(tmp_path / "data")
    assert re.search(remedy, str(caught.value.hint))


def test_a_folder_on_the_way_whose_name_looks_like_a_pattern_is_that_folder(tmp_path: Path) -> None:
    csv(tmp_path / "job[1]" / "x*" / "b2.csv", "1,x")
    csv(tmp_path / "job1" / "b1.csv", "2,x")
    path = tmp_path / "job[1]" / "*" / "b?.csv"
    assert names_of(path) == ["x*/b2.csv"]
    assert rows_of(path) == [("1", "x")]
    assert stand_in(path) == tmp_path / "job[1]" / "all-b_.csv.files"
    assert would_belong(path, tmp_path / "job[1]" / "y" / "b3.csv")


def test_a_tilde_in_quotes_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        scanned(Path("~/logs/*.csv"))
    assert "write $HOME" in str(caught.value.hint)


def test_a_pattern_that_fits_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches .*\*\.csv"):
        scanned(tmp_path / "*.csv")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("id,text,more", "it has 'more'"),
        ("id", "it lacks 'text'"),
        ("id,texte", "it has 'texte'; it lacks 'text'"),
    ],
)
def test_a_file_of_other_columns_is_named(tmp_path: Path, other: str, said: str) -> None:
    csv(tmp_path / "a.csv", "1,x")
    csv(tmp_path / "b.csv", header=other)
    with pytest.raises(InputError, match=rf"b\.csv does not have the columns of a\.csv: {said}"):
        scanned(tmp_path)


def test_a_json_lines_file_that_shares_no_key_is_named(tmp_path: Path) -> None:
    written(tmp_path, '{"id": 1}\n{"id": 2, "more": 3}\n', "a.jsonl")
    written(tmp_path, '{"more": 1}\n', "b.jsonl")
    assert rows_of(tmp_path) == [(1, None), (2, 3), (None, 1)]
    written(tmp_path, '{"name": 1}\n', "c.jsonl")
    with pytest.raises(InputError, match=r"c\.jsonl does not have the columns of a\.jsonl: it has name"):
        scanned(tmp_path)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "1,x")
    written(tmp_path, '{"id": 1}\n', "b.jsonl")
    with pytest.raises(InputError, match=r"b\.jsonl is JSON Lines, and a\.csv, the first of the files, is CSV"):
        scanned(tmp_path / "*")


def test_columns_may_stand_in_another_order_and_be_separated_otherwise(tmp_path: Path) -> None:
    csv(tmp_path / "1.csv", "1,x")
    csv(tmp_path / "2.csv", "y,2", header="text,id")
    csv(tmp_path / "3.csv", "id;text", "3;z", header="sep=;")
    assert rows_of(tmp_path) == [("1", "x"), ("2", "y"), ("3", "z")]


def test_what_is_wrong_in_a_file_is_told_with_its_name_and_line(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "1,x", "2,x")
    csv(tmp_path / "b.csv", "3,x", "four,x")
    with pytest.raises(InputError, match=r"b\.csv, line 3: 'four' in column 'id' is not a valid int"):
        scanned(tmp_path, dtypes={"id": "int"})
    found = scanned(tmp_path)
    assert "'four' (b.csv, line 3)" in next(iter(sentences(found.doubts)))
    csv(tmp_path / "c.csv", "5")
    with pytest.raises(InputError, match=r"c\.csv: all 1 rows do not have the header's 2 cells: line 2 has 1"):
        scanned(tmp_path)
    assert (scanned(tmp_path, skip_bad_rows=True).rows, scanned(tmp_path, skip_bad_rows=True).bad_rows) == (4, 1)


def test_one_type_is_settled_over_all_files(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "1,x")
    csv(tmp_path / "b.csv", "2.5,x")
    assert scanned(tmp_path).types == ("float", "text")


def test_the_digest_knows_names_bytes_and_folders(tmp_path: Path) -> None:
    csv(tmp_path / "x" / "a.csv", "1,x")
    csv(tmp_path / "y" / "b.csv", "2,x")
    pattern, found = tmp_path / "*" / "*.csv", set()
    found.add(digest_of(pattern))
    (tmp_path / "x" / "a.csv").rename(tmp_path / "y" / "a.csv")
    found.add(digest_of(pattern))
    csv(tmp_path / "y" / "c.csv", "3,x")
    found.add(digest_of(pattern))
    assert len(found) == 3


def test_a_table_of_a_pattern_has_its_places_in_the_folder_before_its_wildcards() -> None:
    assert stand_in(Path("logs/*.csv")) == Path("logs/all.csv.files")
    assert stand_in(Path("/a/part-*-[0-9].csv")) == Path("/a/part-all-_0-9_.csv.files")
    assert stand_in(Path("a/*/b/**/*.jsonl.gz")) == Path("a/all-b-all-all.jsonl.gz.files")


def test_what_would_be_a_part_of_the_table_is_known(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", "1,x")
    assert would_belong(tmp_path / "*.csv", tmp_path / "out.csv")
    assert would_belong(tmp_path / "**" / "*.csv", tmp_path / "x" / "y" / "out.csv")
    assert not would_belong(tmp_path / "*.csv", tmp_path / "x" / "out.csv")
    assert not would_belong(tmp_path / "*.csv", tmp_path / "all.results.csv")
    assert not would_belong(tmp_path / "a.csv", tmp_path / "out.csv")


@given(st.lists(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["x", 'a "b"', "c\nd", ""]))), min_size=1))
def test_many_files_hold_what_one_would(files: list[list[tuple[int, str]]]) -> None:
    import csv as standard
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "many").mkdir()
        for number, rows in [*enumerate(files), (-1, [row for each in files for row in each])]:
            path = Path(folder) / ("one.csv" if number < 0 else f"many/{number}.csv")
            with open(path, "w", newline="") as file:
                standard.writer(file).writerows([("id", "text"), *rows])
        one, whole, _ = identified(Path(folder) / "one.csv")
        many, parts, _ = identified(Path(folder) / "many")
        assert (one.rows, one.types, whole) == (many.rows, many.types, parts)


def test_pages_that_are_known_are_found_again_in_whatever_file_they_stand(tmp_path: Path) -> None:
    rows = [f"{number},{'x' * 90}" for number in range(3000)]
    for name in ("a.csv", "b.csv"):
        csv(tmp_path / name, *(f"{name}{row}" for row in rows))
    pages: list[Page] = []

    def passed(known: list[Page]) -> tuple[int, int, list[Page]]:
        again: list[Page] = []
        new: list[Page] = []
        read: list[int] = []
        options = ReadOptions()
        memo = Memo(known, again.append, new.append)
        found = scan(open_table(tmp_path, options), options, lambda prints, _: read.append(len(prints)), memo)
        pages[:] = [*again, *new]
        return found.rows, sum(read), again

    assert passed([])[:2] == (6000, 6000)
    os.rename(tmp_path / "a.csv", tmp_path / "c.csv")
    count, read, again = passed(list(pages))
    assert (count, read) == (6000, 0)
    assert len(again) == len(pages)


def test_pages_are_not_taken_from_a_file_of_another_shape(tmp_path: Path) -> None:
    csv(tmp_path / "a.csv", *(f"{n},{n}" for n in range(9)))
    csv(tmp_path / "b.csv", *(f"{n},{n}" for n in range(9)), header="text,id")
    options = ReadOptions()
    pages: list[Page] = []
    table: Any = open_table(tmp_path, options)
    assert isinstance(table, CsvFiles)
    scan(table, options, lambda *_: None, Memo((), pages.append, pages.append))
    assert len(pages) == 1, "of the second file none is made"
    again: list[Page] = []
    scan(open_table(tmp_path, options), options, lambda *_: None, Memo(pages, again.append, pages.append))
    assert len(again) == 1
