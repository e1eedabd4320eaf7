"""One type per column, settled over the whole file: a number only where nothing of its text is lost."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.table import ReadOptions, open_table, pick, scan, task_columns
from batchrun.table.column_types import ColumnTypes
from batchrun.worker.convert import converter


def type_of(*cells: str, chunk: int = 1000, dtype: str | None = None) -> str:
    types = ColumnTypes(["a"], {"a": dtype} if dtype else {})
    for start in range(0, len(cells), chunk):
        types.take(types.look([cells[start : start + chunk]]))
    return types.settled()[0]


def dicts_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    chosen = ReadOptions(**options)
    table = open_table(path, chosen)
    found = scan(table, chosen, lambda *_: None)
    wanted = task_columns(found.columns, chosen)
    types = [found.types[found.columns.index(name)] for name in wanted]
    convert, picked = converter(wanted, types), pick(found.columns, chosen)
    return [row for chunk in table.chunks() for row in convert([picked(cells) for cells in chunk])]


INTS = ["0", "-0", "7", "-7", "123456789012345", "-123456789012345"]
LONG_INTS = ["1234567890123456", "-999999999999999999"]
DECIMALS = ["2.50", ".5", "-.5", "0.5", "-0.0", ".0", "0.000123456789012345", "1.5e3", "1.5E-10", "1.0e+05"]
DECIMALS += ["12345678901234.5", "1.2e-300"]
TEXTS = ["01234", "+5", "5.", ".", "-", "1e5", "1.5e", " 1", "1 ", "1_000", "1,5", "0x1", "٣", "1\n", "00.5"]
TEXTS += ["12345678901234567890", "1234567890123456.5", "1.234567890123456", "01.5", "1.5e999", "inf", "yes"]
BOOLS = ["true", "True", "TRUE", "false", "False", "FALSE"]
MISSING = ["", "NA", "N/A", "nan", "NaN", "None", "null", "NULL", "<NA>", "#N/A", "-nan", "n/a"]


@pytest.mark.parametrize("cell", INTS + LONG_INTS)
def test_plain_integers_of_18_digits_are_int(cell: str) -> None:
    assert type_of(cell) == type_of(cell, "") == type_of("NA", cell) == "int"


@pytest.mark.parametrize("cell", DECIMALS)
def test_plain_decimals_of_15_significant_digits_are_float(cell: str) -> None:
    assert type_of(cell) == type_of("3", cell) == type_of(cell, "null") == "float"


@pytest.mark.parametrize("cell", BOOLS)
def test_true_and_false_are_bool(cell: str) -> None:
    assert type_of(cell) == type_of("", cell) == "bool"
    assert type_of(cell, "1") == type_of("0.5", cell) == "text"


@pytest.mark.parametrize("cell", TEXTS)
@pytest.mark.parametrize("others", [[], ["1"], ["1.5"], ["true"], [""]])
def test_all_else_is_text_whatever_stands_beside_it(cell: str, others: list[str]) -> None:
    assert type_of(cell, *others) == type_of(*others, cell) == "text"


@pytest.mark.parametrize("cell", LONG_INTS)
def test_a_long_integer_beside_a_decimal_is_text_for_a_float_would_round_it(cell: str) -> None:
    assert type_of(cell, "0.5") == type_of("0.5", cell) == "text"


def test_a_column_without_any_value_is_text() -> None:
    assert type_of() == type_of("") == type_of(*MISSING) == "text"


@given(
    cells=st.lists(st.sampled_from(INTS + LONG_INTS + DECIMALS + TEXTS + BOOLS + MISSING), max_size=8),
    chunk=st.integers(1, 9),
    seed=st.randoms(),
)
def test_neither_order_nor_chunks_matter(cells: list[str], chunk: int, seed: random.Random) -> None:
    shuffled = seed.sample(cells, len(cells))
    assert type_of(*cells, chunk=chunk) == type_of(*shuffled)


@given(st.floats(-1e14, 1e14).map(lambda value: f"{value:.15g}"))
def test_a_cell_that_becomes_a_float_keeps_all_its_digits(cell: str) -> None:
    if type_of(cell) == "float":
        assert f"{float(cell):.15g}" == cell


def test_missing_cells_are_none_in_typed_columns_and_stay_as_they_are_in_text(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("int,float,bool,zip,name\n1,2.50,true,01234,NA\nNA,nan,,,\n,null,FALSE,NA,x\n")
    assert dicts_of(path) == [
        {"int": 1, "float": 2.5, "bool": True, "zip": "01234", "name": "NA"},
        {"int": None, "float": None, "bool": None, "zip": "", "name": ""},
        {"int": None, "float": None, "bool": False, "zip": "NA", "name": "x"},
    ]


def test_a_type_can_be_forced(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,d\n5,01234,1e5,1\n6,+7,5.,0\n,NA,20,\n")
    assert dicts_of(path, dtypes={"a": "str", "b": "int", "c": "float", "d": "bool"}) == [
        {"a": "5", "b": 1234, "c": 1e5, "d": True},
        {"a": "6", "b": 7, "c": 5.0, "d": False},
        {"a": "", "b": None, "c": 20.0, "d": None},
    ]


@pytest.mark.parametrize(("dtype", "cell"), [("int", "1.5"), ("float", "x"), ("bool", "yes"), ("int", " 1")])
def test_a_cell_that_does_not_fit_the_forced_type_is_named_with_its_line(tmp_path: Path, dtype: str, cell: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b\n\n"1\n",0\n' + "x,1\n" * 1500 + f"y,{cell}\n")
    with pytest.raises(InputError, match=rf"line 1505: '{cell}' in column 'b' is no {dtype}") as caught:
        dicts_of(path, dtypes={"b": dtype})
    assert "--dtype b=str" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtypes": {"nmae": "str"}}, "Did you mean 'Name'"),
        ({"columns": ("nmae",)}, "Did you mean 'Name'"),
        ({"key": ("nmae",)}, "Did you mean 'Name'"),
        ({"dtypes": {"Name": "flaot"}}, "Did you mean 'float'"),
        ({"columns": ("zzzzz",)}, "The columns are: Name, city."),
        ({"key": ()}, "The table has Name, city."),
    ],
)
def test_a_wrong_name_gets_the_close_ones(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text("Name,city\na,b\n")
    with pytest.raises(InputError) as caught:
        open_table(path, ReadOptions(**options))
    assert said in caught.value.hint


def test_the_task_is_given_only_the_columns_asked_for_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n1,x,2.5\n")
    assert list(dicts_of(path, columns=("c", "a"))[0].items()) == [("a", 1), ("c", 2.5)]
    assert dicts_of(path, columns=("b",)) == [{"b": "x"}]


@pytest.mark.parametrize("types", [("int", "text"), ("text", "native")])
def test_no_rows_convert_to_no_dicts(types: tuple[str, ...]) -> None:
    assert converter(("a", "b"), types)([]) == []
