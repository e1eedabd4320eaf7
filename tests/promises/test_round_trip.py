"""What data tools write arrives with the values that it had, and our own results do."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun

from batchrun.table.convert import converter
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

ROWS = st.integers(1, 12)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)
TEXT = WORDS.filter(lambda text: not any(map(str.isdigit, text))).map(lambda text: f"x{text}")


def read(path: Path) -> list[dict[str, Any]]:
    table = open_table(path, ReadOptions())
    found = scan(table, ReadOptions(), lambda *_: None)
    convert = converter(found.columns, found.types)
    return [row for chunk in table.chunks() for row in convert(chunk)]


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # of one type, and -0.0 is not 0.0


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(ROWS)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    floats = pd.Series(column(st.floats(width=draw(st.sampled_from([32, 64])))), dtype="float64")
    floats[rows] = 0.5  # a column of nothing but infinities may be one of words
    ints, bools = column(st.integers(-(1 << 63), (1 << 63) - 1)), column(st.booleans())
    some, flags = column(st.none() | st.integers(-(1 << 53), 1 << 53)), column(st.none() | st.booleans())
    return pd.DataFrame(
        {
            "int": pd.Series([*ints, 1], dtype="int64"),
            "float": floats,
            "bool": pd.Series([*bools, True], dtype="bool"),
            "text": pd.Series([*column(TEXT), "y"], dtype="object"),
            "some": pd.Series([*some, 1], dtype="Int64"),
            "flag": pd.Series([*flags, True], dtype="boolean"),
        }
    )


@given(frames(), st.sampled_from(["", "NA", "nan", "NULL", ".", r"\N", "-"]), st.booleans())
def test_any_frame_that_to_csv_writes_arrives_with_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, missing: str, quoted: bool
) -> None:
    path = tmp_path_factory.mktemp("frame") / "data.csv"
    frame.to_csv(path, index=False, na_rep=missing, quoting=2 * quoted)  # 2: as R's write.csv does
    rows = read(path)
    assert len(rows) == len(frame)
    for name in frame:
        for cell, row in zip(frame[name].tolist(), rows, strict=True):
            wanted = None if cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)) else cell
            assert same(row[name], wanted), (name, cell, row[name])


@pytest.mark.parametrize("form", ["%.18e", "%.16g", "%.20f", "%g", "%.6f", "%.3E"])
def test_arrays_that_numpy_writes_arrive_as_floats(tmp_path: Path, form: str) -> None:
    path = tmp_path / "data.csv"
    values = np.array([[1e-5, 2.5], [1e5, 1e6], [1e17, -0.0], [3.0, 1 / 3]])
    np.savetxt(path, values, form, ",", header="a,b", comments="")
    rows = read(path)
    assert [[float(form % cell) for cell in row] for row in values.tolist()] == [[*row.values()] for row in rows]
    assert {type(cell) for row in rows for cell in row.values()} == {float}


TOOLS = {
    "R's write.csv": ('"id","x","ok"\n1,1e+05,TRUE\n2,0.5,NA\n3,NA,FALSE\n4,-Inf,TRUE\n', [1e5, 0.5, None, -math.inf]),
    "SAS and Stata": ("id,x,ok\n1,.5,true\n2,.,.\n3,-.25,false\n", [0.5, None, -0.25]),
    "Postgres, COPY": ("id\tx\tok\n1\t1e-07\ttrue\n2\t\\N\t\\N\n3\t-Infinity\tfalse\n", [1e-7, None, -math.inf]),
    "Excel": ("id,x,ok\n1,1.50E+05,TRUE\n2,#N/A,FALSE\n3,2,TRUE\n", [1.5e5, None, 2.0]),
    "Spark": ("id,x,ok\n1,1.0E16,true\n2,null,false\n3,Infinity,null\n", [1e16, None, math.inf]),
    "Julia": ("id,x,ok\n1,1.0e-5,true\n2,,false\n3,Inf,\n", [1e-5, None, math.inf]),
    "JavaScript": ("id,x,ok\n1,1e+21,true\n2,NaN,false\n3,1e-7,true\n", [1e21, None, 1e-7]),
    "Rust": ("id,x,ok\n1,1e16,true\n2,0.1,\n3,1e-5,false\n", [1e16, 0.1, 1e-5]),
    "by hand": ("id,x,ok\n1,1.,true\n2,-,-\n3,2.50,false\n", [1.0, None, 2.5]),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_other_tools_write_arrives_as_numbers(tmp_path: Path, tool: str) -> None:
    text, floats = TOOLS[tool]
    path = tmp_path / ("data.tsv" if "\t" in text else "data.csv")
    path.write_text(text)
    rows = read(path)
    assert [row["x"] for row in rows] == floats
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert {type(row["ok"]) for row in rows} <= {bool, type(None)}


def test_results_that_are_the_next_steps_table_have_the_types_that_they_had(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "def make(row):\n"
        "    n = row['id']\n"
        "    return {'third': n / 3, 'big': 1e16 * n, 'small': 1e-7 / n, 'whole': 2.0 * n, 'count': n * 10 ** 17,\n"
        "            'even': n % 2 == 0, 'none': None if n == 2 else n, 'name': f'n{n}', 'zip': f'0{n}'}\n"
        "def kinds(row):\n"
        "    return {name: repr(value) for name, value in row.items()}\n"
    )
    (tmp_path / "data.csv").write_text("id\n1\n2\n3\n")
    assert batchrun("process", "data.csv", "--task", "tasks.py:make", "-o", "made.csv", cwd=tmp_path).returncode == 0
    assert batchrun("process", "made.csv", "--task", "tasks.py:kinds", "-o", "k.jsonl", cwd=tmp_path).returncode == 0
    rows = [json.loads(line)["result"] for line in (tmp_path / "k.jsonl").read_text().splitlines()]
    for n, row in enumerate(rows, 1):
        name, none = f"n{n}", None if n == 2 else n
        values = (n / 3, 1e16 * n, 1e-7 / n, 2.0 * n, n * 10**17, n % 2 == 0, none, name, f"0{n}")
        assert [*row.values()][1:10] == [*map(repr, values)]
