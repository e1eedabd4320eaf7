"""Parquet: a file or a folder of files, by row batches. The only door to pyarrow's Parquet reader."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchrun.errors import InputError

from .files import BLOCK, changed, files_of
from .header import check_distinct
from .parquet_types import plain_values
from .table import CHUNK_BYTES, CHUNK_ROWS, Cells


class ParquetTable:
    """One Parquet file, or the files of a folder in order of their names, all of one schema."""

    kind = "parquet"
    missing: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_rows = 0
        self.chunk_rows = CHUNK_ROWS
        self._fields = self._read_fields()
        self.columns = tuple(name for name, _ in self._fields)
        check_distinct(path, self.columns)

    def chunks(self) -> Iterator[list[Cells]]:
        """See `Table`."""
        for part in files_of(self.path):
            with _opened(part) as file:
                if _fields(file) != self._fields:
                    raise changed(self.path)
                for batch in batches(file, self.chunk_rows, self.columns):
                    if batch.num_rows:
                        yield list(zip(*map(plain_values, batch.columns), strict=True))

    def _read_fields(self) -> list[tuple[str, Any]]:
        first, *others = files_of(self.path)
        with _opened(first) as file:
            fields = _fields(file)
        if not fields:
            raise InputError(f"{first} has no columns", "Write the table again with its columns.")
        for part in others:
            with _opened(part) as file:
                _check_same(first, fields, part, _fields(file))
        return fields


def batches(file: Any, rows: int = CHUNK_ROWS, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """A file's record batches, of at most so many rows (fewer where rows are long) and these columns (None: all)."""
    metadata = file.metadata
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    size = max(1, min(rows, CHUNK_BYTES // max(longest, 1)))
    yield from file.iter_batches(batch_size=size, use_threads=False, columns=columns and list(columns))


def _fields(file: Any) -> list[tuple[str, Any]]:
    schema = file.schema_arrow
    unnamed = _unnamed_index(schema.pandas_metadata or {})
    fields = [(field.name, field.type) for field in schema]
    return [field for field in fields if field[0] not in unnamed] or fields


def _unnamed_index(pandas: dict[str, Any]) -> set[str]:
    """What pandas keeps of an index without a name: where the rows once stood, which is no content of theirs."""
    levels = [level for level in pandas.get("index_columns", ()) if isinstance(level, str)]
    return {level for level in levels if level.startswith("__index_level_")}


def _check_same(first: Path, fields: list[tuple[str, Any]], part: Path, others: list[tuple[str, Any]]) -> None:
    if others == fields:
        return
    unlike = [f"{name} ({kind})" for name, kind in others if (name, kind) not in fields]
    lacking = [f"{name} ({kind})" for name, kind in fields if (name, kind) not in others]
    said = "; ".join(f"{what} {', '.join(names[:3])}" for what, names in (("has", unlike), ("lacks", lacking)) if names)
    raise InputError(
        f"{part} does not have the columns of {first.name}: it {said or 'has them in another order'}",
        "All files of a folder must have the same columns and types; write them again, or process "
        "the files one by one.",
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A `ParquetFile` whose reading raises `InputError`.

    A small buffer and no prefetching hold memory at a batch, not a row group.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, buffer_size=BLOCK, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path} cannot be read as Parquet: {said}",
            "If it is cut off or damaged, copy or write it again.",
        ) from error
