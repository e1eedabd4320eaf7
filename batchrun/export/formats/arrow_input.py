"""The input's columns as Arrow arrays: those of a Parquet table as they are, all others by their types."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from batchrun.errors import InputError
from batchrun.export.kinds import BOOL, FLOAT, INT, NOTHING, TEXT, Kind, join, kind_of, storable
from batchrun.export.view import Results
from batchrun.table.files import BLOCK, files_of
from batchrun.table.parquet import batches
from batchrun.table.table import Cells
from batchrun.worker.convert import converter

from .arrow import array_of, arrow_type

_KINDS: dict[str, Kind] = {"int": INT, "float": FLOAT, "bool": BOOL, "text": TEXT}


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
    if results.table.kind == "parquet":
        return _Parquet(results)
    kinds = _native_kinds(results) if "native" in types else [_KINDS[name] for name in types]
    return _Typed(results, types, kinds)


class _Parquet:
    """Record batches as they are in the file: not even nanoseconds are lost."""

    def __init__(self, results: Results) -> None:
        self._files = files_of(results.table.path)
        self._columns = results.table.columns
        with _opened(self._files[0]) as file:
            # Metadata would tell pandas of an index and of columns that are others now.
            own = [each for each in file.schema_arrow if each.name in self._columns]
            alone = len(self._files) == 1  # another file may have nulls
            self.fields = [pa.field(each.name, each.type, each.nullable or not alone) for each in own]

    def chunks(self) -> Iterator[Any]:
        for path in self._files:
            with _opened(path) as file:
                yield from batches(file, columns=self._columns)

    def arrays(self, chunk: Any) -> list[Any]:
        return list(chunk.columns)


class _Typed:
    """Raw cells of a table of text, converted as for the task."""

    def __init__(self, results: Results, types: Sequence[str], kinds: Sequence[Kind]) -> None:
        self._table, self._kinds = results.table, kinds
        self._convert = converter(results.table.columns, types, results.table.missing)
        named = zip(results.table.columns, kinds, strict=True)
        self.fields = [pa.field(name, arrow_type(kind)) for name, kind in named]

    def chunks(self) -> Iterator[list[Cells]]:
        return self._table.chunks()

    def arrays(self, chunk: list[Cells]) -> list[Any]:
        rows = self._convert(chunk)
        cells = ([row[name] for row in rows] for name in self._table.columns)
        return [self._array(place, column) for place, column in enumerate(cells)]

    def _array(self, place: int, cells: list[Any]) -> Any:
        try:
            return array_of(cells, self._kinds[place])
        except OverflowError as error:
            raise Misfit(place) from error


def _native_kinds(results: Results) -> list[Kind]:
    kinds: list[Kind] = [NOTHING] * len(results.table.columns)
    for chunk in results.table.chunks():
        results.pulse()
        found = map(kind_of, zip(*chunk, strict=True))
        kinds = [join(kind, more) for kind, more in zip(kinds, found, strict=True)]
    return list(map(storable, kinds))


@contextmanager
def _opened(path: Any) -> Iterator[Any]:
    try:
        with ParquetFile(path, buffer_size=BLOCK, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, FileNotFoundError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {str(error).strip().splitlines()[0]}",
            "If it is cut off or damaged, copy or write it again.",
        ) from error
