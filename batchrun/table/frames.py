"""Tables that are objects: DataFrames of pandas, and whatever else speaks Arrow's interface, such as those of polars,
relations of DuckDB, and the tables and readers of pyarrow. They are kept as Parquet.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from batchrun.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import pandas as pd

_GROUP_ROWS = 1 << 16
_TO_FRAMES = ("toPandas", "compute", "collect", "to_frame", "to_pandas")
"""Methods that make a DataFrame of what is none."""


class SpeaksArrow(Protocol):
    """Hands out its rows by Arrow's C interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


def framed(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Some rows, at least one, as a DataFrame."""
    import pandas as pd

    return pd.DataFrame({name: [row[name] for row in rows] for name in rows[0]})


def is_frame(table: Any) -> "TypeGuard[pd.DataFrame | SpeaksArrow]":
    """Whether it is a table that `keep_frame` can keep."""
    speaks = hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__")
    return _is_of_pandas(table) or (speaks and not isinstance(table, type))


def no_table(table: Any) -> InputError:
    """The error for what is neither a path nor a table."""
    kind = type(table)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    makes = next((method for method in _TO_FRAMES if callable(getattr(kind, method, None))), None)
    return InputError(
        f"a table is a path or a DataFrame, not {name}",
        f"give what its {makes}() returns"
        if makes
        else "give a path, a list of dicts, a pandas or polars DataFrame, or anything else with __arrow_c_stream__",
    )


def repeatable(frame: "pd.DataFrame | SpeaksArrow") -> "pd.DataFrame | SpeaksArrow":
    """The same table, which can be read more than once: a reader gives its rows only once."""
    import pyarrow

    if _is_of_pandas(frame):
        return frame
    reader = _reader(frame)
    whole: SpeaksArrow = pyarrow.Table.from_batches(list(_batches(reader)), reader.schema)
    return whole


def keep_frame(frame: "pd.DataFrame | SpeaksArrow", path: Path) -> None:
    """Write the table down at `path`, for this user alone. Raises `InputError`, `CheckpointError`."""
    part = path.with_suffix(".part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600, exist_ok=False)  # whoever writes to it next keeps its mode
        if _is_of_pandas(frame):
            _check_periods(frame)
            frame.to_parquet(part, index=False)
        else:
            _write(_reader(frame), part)
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"the DataFrame cannot be kept in {path}: {error}",
            "free some space, check permissions, or choose another folder with dir=",
        ) from error
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:  # pyarrow's own are of these kinds
        raise InputError(
            f"the DataFrame cannot be stored as Parquet: {error}",
            "give each column a name of its own and values of one type, such as frame['x'].astype(str)",
        ) from error


def _is_of_pandas(table: Any) -> "TypeGuard[pd.DataFrame]":
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(table, pandas.DataFrame)


def _check_periods(frame: "pd.DataFrame") -> None:
    for name, dtype in frame.dtypes.items():
        if str(dtype).startswith("period"):  # Parquet keeps their bare numbers
            raise InputError(
                f"column {name!r} has periods, and cannot be stored as Parquet", f"give frame[{name!r}].astype(str)"
            )


def _check_objects(frame: Any) -> None:
    """Raise `InputError` for Python objects in a frame of polars, which hands out where they are in memory."""
    columns = getattr(getattr(frame, "schema", None), "items", dict)
    for name, dtype in columns():
        if str(dtype) == "Object":
            raise InputError(f"column {name!r} holds Python objects, which cannot be stored as Parquet", "make it text")


def _reader(frame: Any) -> Any:
    import pyarrow

    _check_objects(frame)
    try:
        if not hasattr(frame, "__arrow_c_stream__"):  # one batch, and no more
            batch = pyarrow.record_batch(frame)
            return pyarrow.RecordBatchReader.from_batches(batch.schema, [batch])
        reader = pyarrow.RecordBatchReader.from_stream(frame)
    except Exception as error:  # whatever the other library raises
        if "non-struct" in str(error):
            raise no_table(frame) from error
        raise _unreadable(error) from error
    if len(set(reader.schema.names)) < len(reader.schema.names):
        twice = next(name for name in reader.schema.names if reader.schema.names.count(name) > 1)
        raise InputError(f"two columns are called {twice!r}", "give each column a name of its own")
    return reader


def _write(reader: Any, path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([field.with_type(_kept(field.type)) for field in reader.schema], reader.schema.metadata)
    for field in schema:
        _check_kept(field)
    with ParquetWriter(path, schema) as writer:
        for group in _groups(reader):
            columns = [_as_kept(column) for column in group.columns]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema), row_group_size=_GROUP_ROWS)


def _kept(kind: Any) -> Any:
    """The type that is kept in place of one: Parquet's writer knows no categories of views, which are polars'."""
    import pyarrow

    of_views = pyarrow.types.is_dictionary(kind) and pyarrow.types.is_string_view(kind.value_type)
    return pyarrow.dictionary(kind.index_type, pyarrow.large_string(), kind.ordered) if of_views else kind


def _as_kept(column: Any) -> Any:
    import pyarrow

    kind = _kept(column.type)
    if kind == column.type:
        return column
    parts = [
        pyarrow.DictionaryArray.from_arrays(part.indices, part.dictionary.cast(kind.value_type), ordered=kind.ordered)
        for part in column.chunks
    ]
    return pyarrow.chunked_array(parts, kind).unify_dictionaries()


def _check_kept(field: Any) -> None:
    """Raise `InputError` for a type that Parquet has not."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    try:
        ParquetWriter(pyarrow.BufferOutputStream(), pyarrow.schema([field])).close()
    except (pyarrow.ArrowException, ValueError, NotImplementedError) as error:
        raise InputError(
            f"column {field.name!r} is of type {field.type}, and cannot be stored as Parquet", "make it text first"
        ) from error


def _groups(reader: Any) -> Iterator[Any]:
    """The rows in groups of one size: the same table is the same file, in whatever batches it comes."""
    import pyarrow

    held, rows = [], 0
    for batch in _batches(reader):
        held.append(batch)
        rows += batch.num_rows
        if rows >= _GROUP_ROWS:
            table = pyarrow.Table.from_batches(held)
            whole = rows - rows % _GROUP_ROWS
            yield table.slice(0, whole).combine_chunks()
            held, rows = table.slice(whole).to_batches(), rows - whole
    if held:
        yield pyarrow.Table.from_batches(held).combine_chunks()


def _batches(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    except Exception as error:  # the other library's, as whatever Arrow makes of it
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> InputError:
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return InputError(
        f"the rows of the table cannot be read: {said}",
        "if a column is of a type that Arrow does not know, make it text or another type first",
    )
