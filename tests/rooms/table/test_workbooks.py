"""A sheet of an Excel workbook is read as the workbook has it."""

import datetime
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from tables import rows_of, scanned, written

from batchrun.errors import InputError, UsageError
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions

DAY = datetime.datetime(2026, 1, 31)


def workbook(path: Path, *rows: Any, **more: Any) -> Path:
    """A workbook with a sheet of these rows, and further sheets by name."""
    book = openpyxl.Workbook()
    sheets = {"first": rows, **more}
    book.remove(book.active)  # type: ignore[arg-type]
    for name, cells in sheets.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    book.save(path)
    return path


def test_cells_are_typed_as_the_workbook_has_them(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "data.xlsx",
        ["int", "float", "bool", "text", "day", "time", "span", "error"],
        [1, 2.5, True, "01234", DAY, datetime.time(10, 30), datetime.timedelta(hours=30), "#N/A"],
        [-7, 1e300, False, "ä\n=1", datetime.datetime(2026, 1, 2, 3, 4, 5), None, None, None],
    )
    one, two = rows_of(path)
    assert one == (1, 2.5, True, "01234", DAY, datetime.time(10, 30), datetime.timedelta(hours=30), "#N/A")
    assert two == (-7, 1e300, False, "ä\n=1", datetime.datetime(2026, 1, 2, 3, 4, 5), None, None, None)
    assert [type(cell) for cell in one[:4]] == [int, float, bool, str]
    assert scanned(path).types == ("native",) * 8


def test_a_workbook_of_libreoffice_is_read_as_it_was_calculated_there() -> None:
    """`soffice --headless --convert-to xlsx libreoffice.fods` has written it."""
    path = Path(__file__).parents[2] / "data" / "libreoffice.xlsx"
    with pytest.raises(InputError, match="2 sheets: Staff, Notes"):
        open_table(path, ReadOptions())
    table = open_table(path, ReadOptions(sheet="Staff"))
    assert table.columns == ("id", "name", "born", "at", "flag", "twice", "bad")
    assert [cells for chunk in table.chunks() for cells in chunk] == [
        (1, 'Zürich, "x"\nline two', datetime.datetime(1999, 1, 31), datetime.time(8, 30), True, 2.5, "#DIV/0!"),
        (2, "007", None, None, False, 5, None),
    ], "the thousand empty rows below are none"


def test_a_formula_gives_what_it_was_when_it_was_last_calculated(tmp_path: Path) -> None:
    import zipfile

    path = workbook(tmp_path / "data.xlsx", ["a", "b"], [1, "=A2+1"])
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = (
        parts[sheet]
        .replace(b"<f>A2+1</f><v></v>", b"<f>A2+1</f><v>2</v>")
        .replace(b"<f>A2+1</f><v />", b"<f>A2+1</f><v>2</v>")
    )
    with zipfile.ZipFile(path, "w") as new:
        for name, data in parts.items():
            new.writestr(name, data)
    assert rows_of(path) == [(1, 2)]


def test_empty_rows_count_within_the_table_and_not_below_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", [], ["a", "b"], [1, 2], [], [None, None], [3, None], [None], [])
    assert rows_of(path) == [(1, 2), (None, None), (None, None), (3, None)]
    table = open_table(path, ReadOptions())
    table.chunk_rows = 1  # type: ignore[attr-defined]
    assert [row for chunk in table.chunks() for row in chunk] == rows_of(path)


def test_several_sheets_are_named_and_one_of_them_is_chosen(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", ["a"], [1], second=[["b"], [2]])
    with pytest.raises(InputError, match="a workbook of 2 sheets: first, second") as caught:
        scanned(path)
    assert "--sheet 'first'" in str(caught.value.hint)
    assert rows_of(path, sheet="second") == [(2,)]
    with pytest.raises(InputError, match="no such sheet"):
        scanned(path, sheet="Second")


def test_a_hidden_sheet_need_not_be_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", ["a"], [1], second=[["b"], [2]])
    book = openpyxl.load_workbook(path)
    book["second"].sheet_state = "hidden"
    book.save(path)
    assert rows_of(path) == [(1,)]


def test_a_title_above_the_header_is_told_and_passed_over(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", ["Report of 2026"], [], ["a", "b"], [1, 2])
    with pytest.raises(InputError, match=r"row 1: 'Report of 2026' seems to be above the header.*row 3") as caught:
        scanned(path)
    assert "--skip-lines 2" in str(caught.value.hint)
    assert rows_of(path, skip_lines=2) == [(1, 2)]


def test_cells_without_a_column_are_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", ["a", None, "c"], [1, 2, 3], [4, 5, 6, "more"])
    assert open_table(path, ReadOptions()).columns == ("a", "Unnamed: 1", "c")
    with pytest.raises(InputError, match="row 3: 'more' is beyond the last named column, 'c'"):
        scanned(path)


@pytest.mark.parametrize(("rows", "said"), [([["a", "a"], [1, 2]], "2 columns are called 'a'"), ([], "it is empty")])
def test_a_sheet_that_is_no_table_is_told(tmp_path: Path, rows: list[list[Any]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        scanned(workbook(tmp_path / "data.xlsx", *rows))


def test_a_workbook_that_is_damaged_is_told(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "data.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<nothing")
    with pytest.raises(InputError, match="cannot be read as a workbook"):
        scanned(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read as a workbook: File is not a zip file"):
        scanned(path)


def test_a_workbook_whose_sheet_was_changed_is_another_table(tmp_path: Path) -> None:
    path = workbook(tmp_path / "data.xlsx", ["a"], [1])
    assert open_table(path, ReadOptions()).columns == ("a",)
    workbook(path, ["b"], [1])
    assert open_table(path, ReadOptions()).columns == ("b",)


def test_without_openpyxl_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "data.xlsx", ["a"], [1])
    monkeypatch.delitem(sys.modules, "batchrun.table.workbook_stream", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "openpyxl"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="needs the package openpyxl") as caught:
        scanned(path)
    assert "pip install" in str(caught.value.hint)


def test_an_option_for_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--sheet is for Excel workbooks"):
        scanned(written(tmp_path, "a\n1\n"), sheet="a")
