"""Parquet: the input's columns with their types, then the results' keys with theirs, arrays and objects too.

Values of a column that have no common type are kept as JSON text. Row groups are written as they fill up, so
memory does not grow with the table.
"""

from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from batchrun.outcome.export.columns import ResultColumns
from batchrun.outcome.export.view import Results

from .arrow import array_of, arrow_type
from .arrow_input import Misfit, input_of
from .borrowed import Borrowed

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 32 << 20


def write(results: Results, sink: IO[bytes]) -> int:
    """Write Parquet; returns the number of rows. `sink` must be able to seek."""
    columns = results.columns(kinds=True)
    types = results.types
    while True:
        try:
            return _stream(results, columns, types, sink)
        except Misfit as misfit:  # rare enough to start over: integers that 64 bits cannot hold
            types = (*types[: misfit.place], "text", *types[misfit.place + 1 :])
            sink.seek(0)
            sink.truncate()


def _stream(results: Results, columns: ResultColumns, types: Sequence[str], sink: IO[bytes]) -> int:
    own = input_of(results, types)
    schema = pa.schema([*own.fields, *_fields(columns)])
    rows = 0
    # The file stays the caller's: a writer closes what it is given.
    with pa.PythonFile(Borrowed(sink), mode="w") as file, ParquetWriter(file, schema) as writer:
        for group in _groups(_tables(results, columns, own, schema)):
            writer.write_table(group, row_group_size=_GROUP_ROWS)
            rows += group.num_rows
    return rows


def _fields(columns: ResultColumns) -> list[Any]:
    named = zip(columns.names, columns.kinds, strict=True)
    fields = [pa.field(name, arrow_type(kind)) for name, kind in named]
    return [*fields, *(pa.field(name, pa.string()) for name in columns.told)]


def _tables(results: Results, columns: ResultColumns, own: Any, schema: Any) -> Iterator[Any]:
    for chunk, page in results.beside(own.chunks()):
        found = results.cells(page, columns)
        arrays = [array_of(cells, kind) for cells, kind in zip(found, columns.kinds, strict=True)]
        told = [pa.array(cells, pa.string()) for cells in results.told(page)]
        yield pa.Table.from_arrays([*own.arrays(chunk), *arrays, *told], schema=schema)


def _groups(tables: Iterator[Any]) -> Iterator[Any]:
    """Pages gathered into row groups; at the end what is left, and never a file without any group."""
    gathered: list[Any] = []
    rows = size = 0
    for table in tables:
        gathered.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.concat_tables(gathered)
            gathered, rows, size = [], 0, 0
    if gathered:
        yield pa.concat_tables(gathered)
