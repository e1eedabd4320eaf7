"""One type per column, settled over the whole file: numbers as every tool writes them, and nothing that may be none."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchrun.errors import InputError
from batchrun.table.column_types import ColumnTypes
from batchrun.table.convert import converter
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions, pick, task_columns
from batchrun.table.scan import scan


def typed(*cells: str, chunk: int = 1000, dtype: str | None = None, missing: tuple[str, ...] = ()) -> ColumnTypes:
    types = ColumnTypes(["a"], {"a": dtype} if dtype else {}, missing)
    for start in range(0, len(cells), chunk):
        part = cells[start : start + chunk]
        types.take(types.look([part]), len(part))
    return types


def type_of(*cells: str, chunk: int = 1000, dtype: str | None = None, missing: tuple[str, ...] = ()) -> str:
    return typed(*cells, chunk=chunk, dtype=dtype, missing=missing).settled()[0]


def dicts_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    chosen = ReadOptions(**options)
    table = open_table(path, chosen)
    found = scan(table, chosen, lambda *_: None)
    wanted = task_columns(found.columns, chosen)
    types = [found.types[found.columns.index(name)] for name in wanted]
    convert, picked = converter(wanted, types, table.missing), pick(found.columns, chosen)
    return [row for chunk in table.chunks() for row in convert(picked(chunk))]


INTS = ["0", "-0", "7", "-7", "123456789012345", "-123456789012345"]
LONG_INTS = ["1234567890123456", "-999999999999999999", "9223372036854775807", "-9223372036854775808"]
DECIMALS = [
    "2.50",
    ".5",
    "-.5",
    "1.",
    "-0.",
    "0.5",
    "-0.0",
    ".0",
    "0.000123456789012345",
    "1.5e3",
    "1.5E-10",
    "1.0e+05",
]
DECIMALS += ["12345678901234.5", "1.2e-300", "5e-324", "1.7976931348623157e+308", "-1.5E+3", "1e-05", "1e+16", "1E-5"]
DECIMALS += ["0.30000000000000004", "-12.046374000000001", "0.005265304565574724", "6.524399999999999977e+00", "1.e5"]
DECIMALS += ["12345678901234567.25", "123456789012345678901234567890.0", "0.1234567890123456789", "0e+00", "1.5E10"]
DECIMALS += [f"1{'0' * 308}.0", f"0.{'0' * 320}1"]
WEAK = ["1e5", "1E5", "-12e10", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity", "INF"]
TEXTS = ["01234", "+5", "+1.5", "01.5", "..", "--", "1.5e", "e5", " 1", "1 ", "1_000", "1,5", "0x1", "٣", "1\n", "00.5"]
TEXTS += ["12345678901234567890", "9223372036854775808", "-9223372036854775809", "1.5e999", "1e+400", "yes", "1.5D+03"]
TEXTS += ["1.2.3", "1-2", "- 5", "1.5e+", "1e-1000", "$5", "5%", "<0.01", "1/2", "infinite", "+inf", "nane", "1.#INF"]
TEXTS += [f"1{'0' * 400}.0"]
BOOLS = ["true", "True", "TRUE", "false", "False", "FALSE"]
MISSING = [
    "",
    "NA",
    "N/A",
    "nan",
    "NaN",
    "None",
    "null",
    "NULL",
    "<NA>",
    "#N/A",
    "-nan",
    "n/a",
    "1.#IND",
    ".",
    "-",
    r"\N",
]


@pytest.mark.parametrize("cell", INTS + LONG_INTS)
def test_plain_integers_of_64_bits_are_int(cell: str) -> None:
    assert type_of(cell) == type_of(cell, "") == type_of("NA", cell) == type_of(".", cell, "7") == "int"


@pytest.mark.parametrize("cell", DECIMALS)
def test_numbers_with_a_point_or_a_signed_exponent_are_float(cell: str) -> None:
    assert type_of(cell) == type_of("3", cell) == type_of(cell, "null") == type_of("-", cell, "1.5") == "float"


@pytest.mark.parametrize("cell", WEAK)
def test_bare_exponents_and_infinities_are_numbers_only_beside_decimal_ones(cell: str) -> None:
    assert type_of(cell) == type_of(cell, "3") == type_of(cell, "") == "text"
    assert type_of(cell, "0.5") == type_of("1e-05", "3", cell) == "float"


@pytest.mark.parametrize("cell", BOOLS)
def test_true_and_false_are_bool(cell: str) -> None:
    assert type_of(cell) == type_of("", cell) == type_of(".", cell) == "bool"
    assert type_of(cell, "1") == type_of("0.5", cell) == "text"


@pytest.mark.parametrize("cell", TEXTS)
@pytest.mark.parametrize("others", [[], ["1"], ["1.5"], ["true"], [""], ["1.5", "."]])
def test_all_else_is_text_whatever_stands_beside_it(cell: str, others: list[str]) -> None:
    assert type_of(cell, *others) == type_of(*others, cell) == "text"


@pytest.mark.parametrize("cell", LONG_INTS)
def test_a_long_integer_beside_a_decimal_is_text_for_a_float_would_round_it(cell: str) -> None:
    assert type_of(cell, "0.5") == type_of("0.5", cell) == type_of("1e5", cell, chunk=1) == "text"
    assert type_of(cell, "0.5", chunk=1) == type_of("0.5", "7", cell, chunk=2) == "text"


def test_a_column_without_any_value_is_text() -> None:
    assert type_of() == type_of("") == type_of(*MISSING) == type_of("?", "", missing=("?",)) == "text"


@given(
    cells=st.lists(st.sampled_from(INTS + LONG_INTS + DECIMALS + WEAK + TEXTS + BOOLS + MISSING), max_size=8),
    chunk=st.integers(1, 9),
    seed=st.randoms(),
)
def test_neither_order_nor_chunks_matter(cells: list[str], chunk: int, seed: random.Random) -> None:
    shuffled = seed.sample(cells, len(cells))
    assert type_of(*cells, chunk=chunk) == type_of(*shuffled)


@given(
    numbers=st.lists(st.sampled_from(INTS + LONG_INTS + DECIMALS + WEAK + MISSING), max_size=9),
    chunk=st.integers(1, 9),
)
def test_columns_of_numbers_do_not_depend_on_order_either(numbers: list[str], chunk: int) -> None:
    assert type_of(*numbers, chunk=chunk) == type_of(*reversed(numbers))


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([repr, "{:.17g}".format, "{:.18e}".format]))
def test_every_float_that_a_tool_writes_comes_back(value: float, written: Callable[[float], str]) -> None:
    cell = written(value)
    assume("." in cell or "e" in cell or len(cell) < 16)  # else it may be an id
    assert type_of(cell, "0.5") == "float"
    assert repr(converter(["a"], ["float"])([(cell,)])[0]["a"]) == repr(value)
    assert not list(typed(cell, "0.5").doubts())


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_every_integer_of_64_bits_comes_back(value: int) -> None:
    assert type_of(str(value)) == "int"
    assert converter(["a"], ["int"])([(str(value),)]) == [{"a": value}]


@pytest.mark.parametrize(
    ("cells", "dtype", "words"),
    [
        (["1.5", "?", "2.5"], "float", ("?",)),
        (["1", "?", "2"], "int", ("?",)),
        (["n.a.", "1", "", "unknown", "2.5", "n.a."], "float", ("n.a.", "unknown")),
        (["1", "Inf", "2"], "float", ("Inf",)),
        (["3", "+5"], "int", ("+5",)),
        (["3", "+5.5"], "float", ("+5.5",)),
        (["1234567890123456", "x"], "int", ("x",)),
        (["0.5", "inf", "x"], "float", ("x",)),
        (["0.5", "inf", "x", "1e5", "2e5", "3e5"], "float", ("x",)),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_a_few_words_in_the_way_of_numbers_are_told(
    cells: list[str], dtype: str, words: tuple[str], chunk: int
) -> None:
    [doubt] = typed(*cells, chunk=chunk).doubts()
    assert (doubt.dtype, doubt.cells) == (dtype, words)
    assert doubt.rows == tuple(map(cells.index, words))


def test_a_long_integer_among_floats_is_told() -> None:
    [doubt] = typed("0.5", "10000000000000000", "1").doubts()
    assert (doubt.dtype, doubt.cells) == ("float", ("10000000000000000",))


@pytest.mark.parametrize(
    "cells",
    [
        ["a", "b"],
        ["1", "a", "b", "c", "d"],
        ["1", "true", "?"],
        ["0.5", "1234567890123456", "?", "1234567890123457", "1234567890123458"],
        ["1e5", "x"],
        ["1", "x" * 41],
        ["x"] * 200 + ["1"] * 200,
        ["1", "2e5", "3e5", "4e5", "5e5"],
    ],
)
def test_where_words_are_many_or_numbers_none_nothing_is_told(cells: list[str]) -> None:
    assert type_of(*cells, chunk=100) == "text"
    assert not list(typed(*cells, chunk=100).doubts())


@pytest.mark.parametrize(
    ("cell", "lost"),
    [
        ("0.1234567890123456789", True),
        ("1234567890.12345678901", True),
        ("12345678901234567.25", True),
        ("123456789012345678901.5", True),
        ("1.5e-400", True),
        ("1234567890123456789e+3", True),
        ("0.1000000000000000055511151231257827", False),
        ("0.50000000000000000000000000", False),
        ("6.524399999999999977e+00", False),
        ("0.30000000000000004", False),
        ("2.2250738585072014E-308", False),
    ],
)
def test_digits_that_a_float_does_not_keep_are_told(cell: str, lost: bool) -> None:
    assert [(doubt.rows, doubt.cells, doubt.dtype) for doubt in typed("0.5", "", cell).doubts()] == (
        [((2,), (cell,), "")] if lost else []
    )


@pytest.mark.parametrize("cell", ["0.1234567890123456789", "1.2345678901234567891e-5"])
def test_digits_that_are_lost_are_told_late_in_a_long_column_too(cell: str) -> None:
    before = [repr(number / 7) for number in range(1, 5000)]
    [doubt] = typed(*before, cell, *before).doubts()
    assert (doubt.rows, doubt.cells) == ((4999,), (cell,))


def test_missing_cells_are_none_in_typed_columns_and_stay_as_they_are_in_text(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("int,float,bool,zip,name\n1,2.50,true,01234,NA\nNA,nan,,,\n,null,FALSE,NA,x\n")
    assert dicts_of(path) == [
        {"int": 1, "float": 2.5, "bool": True, "zip": "01234", "name": "NA"},
        {"int": None, "float": None, "bool": None, "zip": "", "name": ""},
        {"int": None, "float": None, "bool": False, "zip": "NA", "name": "x"},
    ]


def test_further_words_for_missing_can_be_said_and_may_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("int,float,bool,text\n1,2.5,true,?\n-99,?,-99,-99\n?,-99,?,x\n")
    assert dicts_of(path, missing=("?", "-99")) == [
        {"int": 1, "float": 2.5, "bool": True, "text": "?"},
        {"int": None, "float": None, "bool": None, "text": "-99"},
        {"int": None, "float": None, "bool": None, "text": "x"},
    ]
    assert dicts_of(path, missing=("?", "-99"), dtypes={"int": "float"})[1]["int"] is None


def test_a_word_for_missing_that_is_a_decimal_makes_no_column_of_floats() -> None:
    assert type_of("1e5", "9.99", missing=("9.99",)) == "text"
    assert type_of("1", "9.99", missing=("9.99",)) == "int"
    assert type_of("9.99", "true", missing=("9.99",)) == "bool"


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
    with pytest.raises(InputError, match=rf"line 1505: '{cell}' in column 'b' is not a valid {dtype}") as caught:
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


def test_rows_of_no_columns_are_empty_dicts() -> None:
    assert converter([], [])([(), ()]) == [{}, {}]


@pytest.mark.parametrize("width", [1, 2, 50, 51])
def test_each_row_is_a_dict_of_its_columns_whatever_they_are_called(width: int) -> None:
    names = ["'} + \"{", "a b", "\\", "class", "ü", *map(str, range(width))][:width]
    rows = [tuple(f"{name} of {n}" for name in names) for n in range(3)]
    assert converter(names, ["text"] * width)(rows) == [dict(zip(names, row, strict=True)) for row in rows]
