"""Parquet: a file or a folder of files, by row batches. The only door to pyarrow's Parquet reader."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchrun.errors import InputError

from .changes import changed
from .doubts import TIMES, Doubt
from .files import BLOCK
from .header import check_distinct
from .interface import CHUNK_ROWS, Cells
from .members import FILE_COLUMN, file_cell, files_of
from .parquet_batches import batches

_READING = {
    "buffer_size": BLOCK,
    "pre_buffer": False,
    "page_checksum_verification": True,
    "coerce_int96_timestamp_unit": "us",
}
"""The old timestamps of Spark and Impala would wrap around as nanoseconds: 9999-12-31 would be a day in 1816."""

Fields = dict[str, Any]
"""Arrow types by column."""


class ParquetTable:
    """One Parquet file, or several in order of their names (see `files_of`), all of the same columns.

    With `file_column` each row says which file it is from.
    `fields`: the types that hold the values of all files, by column. `required`: columns that can have no nulls.
    `doubts`: columns in which the last pass has met a time that Python cannot hold, and the first such row.
    """

    kind = "parquet"
    missing: tuple[str, ...] = ()

    def __init__(self, path: Path, *, file_column: bool = False) -> None:
        self.path = path
        self.bad_rows = 0
        self.chunk_rows = CHUNK_ROWS
        self.fields, self._own, self.required = _read_fields(path)
        if file_column:
            import pyarrow

            check_distinct(path, (*self.fields, FILE_COLUMN))
            self.fields = {**self.fields, FILE_COLUMN: pyarrow.string()}
        self._file_column = file_column
        self.columns = tuple(self.fields)
        self._spelled: dict[str, Doubt] = {}

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        return tuple(self._spelled.values())

    def chunks(self, columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        self._spelled.clear()
        wanted = [name for name in self.columns if columns is None or name in columns]
        rows = 0
        for part, batch in self.record_batches(wanted, self.chunk_rows):
            found = {name: self._values(part, rows, name, batch.column(name)) for name in wanted}
            unread = [None] * batch.num_rows
            yield list(zip(*(found.get(name, unread) for name in self.columns), strict=True))
            rows += batch.num_rows

    def record_batches(self, columns: Sequence[str], rows: int = CHUNK_ROWS) -> Iterator[tuple[Path, Any]]:
        """These columns as they are in the files, of at most so many rows at once; and the file."""
        for part in files_of(self.path):
            with _opened(part) as file:
                if self._own.get(part) != _fields(file):
                    raise changed(self.path)
                if file.metadata.num_rows:
                    read = self._with_file if self._file_column else batches
                    yield from ((part, batch) for batch in read(part, file, rows, columns) if batch.num_rows)

    def _with_file(self, part: Path, file: Any, rows: int, columns: Sequence[str]) -> Iterator[Any]:
        """As `batches`, with the column that says which file it is."""
        import pyarrow

        own = [name for name in columns if name != FILE_COLUMN] or [next(iter(self._own[part]))]
        for batch in batches(part, file, rows, own):
            name = pyarrow.repeat(file_cell(self.path, part), batch.num_rows)
            arrays = [name if column == FILE_COLUMN else batch.column(column) for column in columns]
            yield pyarrow.RecordBatch.from_arrays(arrays, names=list(columns))

    def _values(self, part: Path, before: int, name: str, array: Any) -> list[Any]:
        import pyarrow

        from .parquet_types import plain_values

        try:
            if array.type != self.fields[name]:
                from .parquet_schema import check_exact

                check_exact(array, self.fields[name])
            values, spelled = plain_values(array)
        except (pyarrow.ArrowException, ValueError, OverflowError, LookupError) as error:
            rows = f"rows {before + 1:,} to {before + len(array):,}" if len(array) > 1 else f"row {before + 1:,}"
            raise InputError(
                f"{part}, column {name!r}, {rows}: the values ({array.type}) cannot be read: {_first_line(error)}",
                "Skip the column: name the others with --columns"
                + (", or install tzdata, which knows the time zones." if "zone" in str(error).lower() else "."),
            ) from error
        if spelled and name not in self._spelled:
            place, text = next(iter(spelled.items()))
            self._spelled[name] = Doubt(name, (before + place + 1,), (text,), TIMES)
        return values


def _read_fields(path: Path) -> tuple[Fields, dict[Path, Fields], frozenset[str]]:
    """The types that hold the values of all files, each file's own, and which columns can have no nulls.

    A file without rows has no say.
    """
    files, own = files_of(path), {}
    filled: list[Path] = []
    required: frozenset[str] = frozenset()
    for part in files:
        with _opened(part) as file:
            check_distinct(part, file.schema_arrow.names)
            own[part] = _fields(file)
            filled += [part] if file.metadata.num_rows else []
            if len(files) == 1:
                required = frozenset(field.name for field in file.schema_arrow if not field.nullable)
    first, *others = filled or files[:1]
    if not own[first]:
        raise InputError(f"{first} has no columns", "Write the table again with its columns.")
    fields = own[first]
    for part in others:
        fields = _joined(first, fields, part, own[part])
    return fields, own, required


def _joined(first: Path, fields: Fields, part: Path, others: Fields) -> Fields:
    from .parquet_schema import joined_column

    kinds = {name: joined_column(kind, others[name]) for name, kind in fields.items() if name in others}
    unlike = [f"{name} ({kind})" for name, kind in others.items() if kinds.get(name) is None]
    lacking = [f"{name} ({kind})" for name, kind in fields.items() if kinds.get(name) is None]
    if not unlike and not lacking:
        return kinds
    said = "; ".join(f"{what} {', '.join(names[:3])}" for what, names in (("has", unlike), ("lacks", lacking)) if names)
    raise InputError(
        f"{part} does not have the columns of {first.name}: it {said}",
        "All files of a folder must have the same columns with values of the same kind; write them again, or process "
        "the files one by one.",
    )


def _fields(file: Any) -> Fields:
    schema = file.schema_arrow
    unnamed = _unnamed_index(schema.pandas_metadata or {})
    fields = {field.name: field.type for field in schema}
    return {name: kind for name, kind in fields.items() if name not in unnamed} or fields


def _unnamed_index(pandas: dict[str, Any]) -> set[str]:
    """What pandas keeps of an index without a name: where the rows once stood, which is not part of their content."""
    levels = [level for level in pandas.get("index_columns", ()) if isinstance(level, str)]
    return {level for level in levels if level.startswith("__index_level_")}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A `ParquetFile` whose reading raises `InputError`.

    A small buffer and no prefetching hold memory at a batch, not a row group.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, **_READING) as file:
            yield file
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        raise InputError(
            f"{path} cannot be read as Parquet: {_first_line(error)}",
            "If it is cut off or damaged, copy or write it again.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
