"""The results as a pandas DataFrame. The whole table is in memory then."""

import sqlite3
from typing import Any

import pandas as pd

from batchrun.table.convert import converter
from batchrun.table.interface import Table

from .columns import ResultColumns
from .exploded import Exploded
from .joined import snapshot
from .json_value import valid_text
from .picked import EVERYTHING, Names, Pick
from .value_kinds import BOOL, BYTES, FLOAT, INT, JSON, KIND_OF_TYPE, LONG, NOTHING, TEXT, TIME, kind_of_values
from .view import Results

_DTYPES = {
    INT: ("int64", "Int64"),
    LONG: ("int64", "Int64"),
    BOOL: ("bool", "boolean"),
    FLOAT: ("float64", "float64"),
}
"""By kind: without and with missing values."""


def frame(
    table: Table,
    types: tuple[str, ...],
    db: sqlite3.Connection,
    *,
    explode: bool = False,
    pick: Pick = EVERYTHING,
    key: tuple[str, ...] = (),
) -> pd.DataFrame:
    """The input's columns, then the results' keys, `batchrun_status`, `batchrun_how` and `batchrun_error`, one
    line a row; with `explode`, one for each element of a result that is an array.

    `pick`, `key`: as for `export`.
    `types`: of each of the table's columns, as scanned. Integers and booleans that are missing somewhere are
    `Int64` and `boolean`; text is `str`; arrays, objects and mixed values are Python objects. Raises
    `CheckpointError` or `InputError` if checkpoint or table cannot be read.
    """
    if pick.results_only:
        names_of_rows = Names(table, key, numbered=True)
        table, types = names_of_rows, names_of_rows.types(types)
    results = (Exploded if explode else Results)(table, types, db, only=pick.columns)
    with snapshot(db):
        columns = results.columns()
        cells = _columns(results, columns)
    names = [*table.columns, *columns.names, *columns.told]
    kinds = [*types, *["result"] * len(columns.names), *["text"] * len(columns.told)]
    found = zip(names, cells, kinds, strict=True)
    return pd.DataFrame({name: _series(column, kind) for name, column, kind in found})


def _columns(results: Results, columns: ResultColumns) -> list[list[Any]]:
    names = results.table.columns
    convert = converter(names, results.types, results.table.missing)
    cells: list[list[Any]] = [[] for _ in range(len(names) + len(columns.names) + len(columns.told))]
    for chunk, page in results.pages():
        rows = convert(chunk)
        own = [[row[name] for row in rows] for name in names]
        more = [*own, *results.cells(page, columns), *results.told(page)]
        for column, part in zip(cells, more, strict=True):
            column.extend(part)
    return cells


def _series(cells: list[Any], type_name: str) -> "pd.Series[Any]":
    kind = kind_of_values(cells)
    if kind == NOTHING:
        kind = KIND_OF_TYPE.get(type_name, NOTHING)
    if kind == TEXT:
        return _text(cells)
    if kind in (JSON, TIME, BYTES) and type_name == "native":
        return pd.Series(cells)  # dates and the like
    dtypes = _DTYPES.get(kind, ("object", "object")) if isinstance(kind, str) else ("object", "object")
    return pd.Series(cells, dtype=dtypes[None in cells])


def _text(cells: list[Any]) -> "pd.Series[Any]":
    try:
        return pd.Series(cells, dtype="str")
    except UnicodeEncodeError:
        return pd.Series([cell if cell is None else valid_text(cell) for cell in cells], dtype="str")
