"""Record batches of a Parquet file that are bounded in memory, however small the file is.

What rows take once they are unpacked is not what they take in the file: a text that stands once in a column's
dictionary may be the value of a million rows, and a list of a billion zeros is a few bytes. How many rows are read at
once follows from what the file says of each row group, and from the longest value in its dictionaries.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import sub
from pathlib import Path
from typing import Any, NamedTuple

from batchrun.errors import InputError

from .files import BLOCK
from .interface import CHUNK_BYTES, CHUNK_ROWS

LARGEST_ROW = 128 << 20
"""Bytes of a row that is unpacked, as of a line of text."""
_UNPACKED, _UNKNOWN = 64 << 20, 128 << 20
"""Bytes of a batch where values may repeat, and where nobody can tell how long they are."""
_FEW = 16
_VALUE = 8
"""Bytes that each value takes at least, once it is unpacked."""
_ONCE = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY"})
"""Encodings in which a text stands as often as it is a value."""
_BY_NUMBER = frozenset({"RLE_DICTIONARY", "PLAIN_DICTIONARY"})


def batches(
    path: Path, file: Any, rows: int = CHUNK_ROWS, columns: Sequence[str] | None = None
) -> Iterator[Any]:  # fmt: skip
    """The record batches of a `file`, of at most so many rows (fewer where rows are long), with these columns.

    `columns` None: all. Raises `InputError` for a row of more than `LARGEST_ROW`.
    """
    names = None if columns is None else list(columns)
    before = 0
    for size, groups in _sizes(path, file, rows, names):
        for batch in file.iter_batches(batch_size=size, row_groups=groups, use_threads=False, columns=names):
            yield from _parts(path, batch if names is None else batch.select(names), before)
            before += batch.num_rows


class _Chunk(NamedTuple):
    """A column of a row group. `unpacked`: bytes that its values take, if none stands for several; `repeats`: whether
    one may. `in_dictionary`: those that may are all in a dictionary, which can be looked at.
    """

    path: str
    unpacked: int
    written: int
    repeats: bool
    in_dictionary: bool


def _sizes(path: Path, file: Any, rows: int, columns: list[str] | None) -> Iterator[tuple[int, list[int]]]:
    """How many rows are read at once, for row groups that follow each other."""
    numbers = range(file.metadata.num_row_groups)
    found = [_rows_at_once(path, file, number, rows, columns) for number in numbers]
    if min(found, default=rows) >= rows:  # small groups share their batches
        yield rows, [*numbers]
        return
    for size, alike in groupby(numbers, key=found.__getitem__):
        yield size, [*alike]


def _rows_at_once(path: Path, file: Any, number: int, rows: int, columns: list[str] | None) -> int:
    group = file.metadata.row_group(number)
    if not group.num_rows:
        return rows
    chunks = [chunk for chunk in _chunks(file, group) if columns is None or _is_of(chunk.path, columns)]
    unpacked = sum(chunk.unpacked for chunk in chunks)
    if unpacked > LARGEST_ROW * group.num_rows:
        raise _too_large(path, f"a row in row group {number + 1:,}")
    size: int = max(1, min(rows, CHUNK_BYTES * group.num_rows // max(unpacked, 1)))
    repeating = [chunk for chunk in chunks if chunk.repeats]
    unknown = sum(chunk.written for chunk in repeating if not chunk.in_dictionary)  # no value is longer
    if unknown:
        size = min(size, _UNKNOWN // unknown)
    in_dictionary = [chunk for chunk in repeating if chunk.in_dictionary]
    if size * sum(chunk.written for chunk in in_dictionary) > _UNPACKED:
        # Where rows are long anyway, one by one costs nothing, and a look would unpack the dictionary once more.
        longest = _longest_values(path, number, [chunk.path for chunk in in_dictionary]) if size > _FEW else _UNPACKED
        size = min(size, _UNPACKED // max(1, longest))
    return max(1, size)


def _chunks(file: Any, group: Any) -> Iterator[_Chunk]:
    for place in range(group.num_columns):
        chunk, column = group.column(place), file.schema.column(place)
        encodings, written = set(chunk.encodings), chunk.total_uncompressed_size
        width = max(_VALUE, column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0)
        repeats = column.physical_type == "BYTE_ARRAY" and not encodings <= _ONCE
        in_dictionary = column.max_repetition_level == 0 and "." not in column.path and encodings <= _ONCE | _BY_NUMBER
        yield _Chunk(column.path, max(written, width * chunk.num_values), written, repeats, in_dictionary)


def _is_of(path: str, columns: Sequence[str]) -> bool:
    """Whether a column of values belongs to one of these columns."""
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _longest_values(path: Path, number: int, columns: list[str]) -> int:
    """Bytes of the longest values in the dictionaries of these columns of texts, added up."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, read_dictionary=columns, buffer_size=BLOCK, pre_buffer=False) as file:
        batch = next(file.iter_batches(batch_size=1, row_groups=[number], columns=columns, use_threads=False))
        return sum(map(_longest_value, batch.columns))


def _longest_value(array: Any) -> int:
    from pyarrow import types

    values = getattr(array, "dictionary", array)
    if not (types.is_string(values.type) or types.is_binary(values.type)):
        return int(values.nbytes)
    # Without pyarrow's functions, which take 30 MB to import.
    ends = memoryview(values.buffers()[1]).cast("i")[values.offset : values.offset + len(values) + 1]
    return max(map(sub, ends[1:], ends), default=0)


def _parts(path: Path, batch: Any, before: int) -> Iterator[Any]:
    """A batch in parts that are no larger than need be. `before`: how many rows come before it."""
    size = sum(map(_weight, batch.columns))
    if size <= 4 * CHUNK_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _parts(path, batch.slice(0, half), before)
        yield from _parts(path, batch.slice(half), before + half)
    elif size > LARGEST_ROW:
        raise _too_large(path, f"row {before + 1:,}")
    else:
        yield batch


def _weight(array: Any) -> int:
    """About how many bytes the values of an Arrow array take."""
    from pyarrow import types

    kind, least = array.type, _VALUE * len(array)
    if types.is_struct(kind):
        return least + sum(map(_weight, array.flatten()))
    if types.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return least + sum(_weight(part.slice(first, last - first)) for part in (array.keys, array.items))
    if types.is_nested(kind):
        return least + _weight(array.flatten())
    if types.is_dictionary(kind) and (types.is_large_string(kind.value_type) or types.is_string(kind.value_type)):
        import pyarrow.compute as pc

        return least + int(pc.sum(pc.take(pc.binary_length(array.dictionary), array.indices)).as_py() or 0)
    return max(least, int(array.nbytes))


def _too_large(path: Path, which: str) -> InputError:
    return InputError(
        f"{path}: {which} takes more than {LARGEST_ROW >> 20} MiB once it is unpacked",
        "Leave its column out with --columns, or put such values into files, and their paths into the table.",
    )
