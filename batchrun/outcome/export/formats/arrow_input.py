"""The input's columns as Arrow arrays: those of a Parquet table as they are, all others by their types."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

import pyarrow as pa

from batchrun.outcome.export.value_kinds import KIND_OF_TYPE, NOTHING, Kind, join, kind_of_values, storable
from batchrun.outcome.export.view import Results
from batchrun.table.convert import converter
from batchrun.table.interface import CHUNK_ROWS, Cells
from batchrun.table.parquet import ParquetTable
from batchrun.table.parquet_schema import as_type

from .arrow import array_of, arrow_type

_CHUNK_CHARACTERS = 4 << 20


class Misfit(Exception):
    """A column of integers holds one beyond 64 bits; `place` is that of the column."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class ArrowInput(Protocol):
    """A table that is read by chunks, of which Arrow arrays can be made."""

    fields: list[Any]

    def chunks(self) -> Iterator[Any]:
        """Some rows at a time."""

    def arrays(self, chunk: Any) -> list[Any]:
        """A chunk's columns, one for each of `fields`. Raises `Misfit`."""


def input_of(results: Results, types: Sequence[str]) -> ArrowInput:
    """The input of `results`, with other types than it has. JSON Lines are read once to find theirs."""
    if isinstance(results.table, ParquetTable):
        return _Parquet(results.table)
    kinds = _native_kinds(results) if "native" in types else [KIND_OF_TYPE[name] for name in types]
    return _Typed(results, types, kinds)


class _Parquet:
    """Record batches as they are in the file: not even nanoseconds are lost."""

    def __init__(self, table: ParquetTable) -> None:
        self._table = table
        # Without the file's metadata: it would tell pandas of an index and of columns that are others now.
        self.fields = [pa.field(name, kind, name not in table.required) for name, kind in table.fields.items()]

    def chunks(self) -> Iterator[Any]:
        for _, batch in self._table.record_batches(self._table.columns):
            yield batch

    def arrays(self, chunk: Any) -> list[Any]:
        return [as_type(array, field.type) for array, field in zip(chunk.columns, self.fields, strict=True)]


class _Typed:
    """Raw cells of a table of text, converted as for the task."""

    def __init__(self, results: Results, types: Sequence[str], kinds: Sequence[Kind]) -> None:
        self._table, self._types, self._kinds = results.table, types, kinds
        self._convert = converter(results.table.columns, types, results.table.missing)
        named = zip(results.table.columns, kinds, strict=True)
        self.fields = [pa.field(name, arrow_type(kind)) for name, kind in named]

    def chunks(self) -> Iterator[list[Cells]]:
        chunks: Iterator[list[Cells]] = self._table.chunks()
        return chunks if "native" in self._types else _gathered(chunks)

    def arrays(self, chunk: list[Cells]) -> list[Any]:
        rows = self._convert(chunk)
        cells = ([row[name] for row in rows] for name in self._table.columns)
        return [self._array(place, column) for place, column in enumerate(cells)]

    def _array(self, place: int, cells: list[Any]) -> Any:
        try:
            return array_of(cells, self._kinds[place])
        except OverflowError as error:
            raise Misfit(place) from error


def _gathered(chunks: Iterator[list[Cells]]) -> Iterator[list[Cells]]:
    """Chunks of text of a sensible size: those of a wide table have a few rows, and each makes an array per column."""
    gathered: list[Cells] = []
    size = 0
    for chunk in chunks:
        if not gathered and len(chunk) >= CHUNK_ROWS:
            yield chunk
            continue
        gathered += chunk
        size += sum(len(cell) for cell in chain.from_iterable(chunk) if type(cell) is str)  # a row's number is none
        if len(gathered) >= CHUNK_ROWS or size >= _CHUNK_CHARACTERS:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def _native_kinds(results: Results) -> list[Kind]:
    kinds: list[Kind] = [NOTHING] * len(results.table.columns)
    for chunk in results.table.chunks():
        results.pulse()
        found = map(kind_of_values, zip(*chunk, strict=True))
        kinds = [join(kind, more) for kind, more in zip(kinds, found, strict=True)]
    return list(map(storable, kinds))
