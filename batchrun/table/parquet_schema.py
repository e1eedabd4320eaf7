"""One type for a column whose type differs from file to file, as it does when tools are upgraded.

Types differ without a difference to the rows: text, integers and times have several widths, a column without a value
that day has no type at all. Integers are floats to pandas as soon as a value is missing. A time with a
zone and one without are two things.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from .parquet_types import in_microseconds

_UTC = ("UTC", "Etc/UTC", "Z", "+00:00")
_UNITS = ("s", "ms", "us", "ns")
_WIDEST = 38
"""Digits that 128 bits hold."""


def joined_column(one: Any, other: Any) -> Any:
    """As `joined_schema`; of integers and floats it is a float, which not every integer is: see `check_exact`."""
    import pyarrow as pa

    types = pa.types
    if (types.is_integer(one) and types.is_floating(other)) or (types.is_floating(one) and types.is_integer(other)):
        return pa.float64()
    return joined_schema(one, other)


def check_exact(array: Any, kind: Any) -> None:
    """Raise `pyarrow.ArrowInvalid` for an integer that the float type of its column cannot hold as it is."""
    import pyarrow as pa

    if pa.types.is_integer(array.type) and pa.types.is_floating(kind):
        array.cast(kind)


def joined_schema(one: Any, other: Any) -> Any:
    """The Arrow type that holds the values of both, each as the same Python value as its own; None if there is none."""
    types = pa.types
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_dictionary(one) or types.is_dictionary(other):
        return joined_schema(_values_of(one), _values_of(other))
    for belongs, join in _families(types):
        if belongs(one) and belongs(other):
            return join(one, other)
    return None


def as_type(array: Any, kind: Any) -> Any:
    """An array as a type that is joined from its own. Raises `pyarrow.ArrowInvalid` if a value is beyond it."""
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return in_microseconds(array).cast(kind)


def _families(types: Any) -> list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]]:
    """Which types are of one kind, and how two of it are joined."""
    text = (types.is_string, types.is_large_string, types.is_string_view)
    binary = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    views = (types.is_list_view, types.is_large_list_view)
    return [
        (_any_of(text), lambda *_: pa.large_string()),
        (_any_of(binary), lambda *_: pa.large_binary()),
        (types.is_integer, _integer),
        (types.is_floating, lambda one, other: max(one, other, key=lambda kind: kind.bit_width)),
        (types.is_decimal, _decimal),
        (types.is_date, lambda *_: pa.date32()),
        (types.is_timestamp, _timestamp),
        (types.is_duration, lambda one, other: pa.duration(_unit(one, other))),
        (types.is_time, lambda *_: pa.time64("us")),
        (_any_of((*lists, *views)), _list),
        (types.is_struct, _struct),
        (types.is_map, _map),
    ]


def _any_of(tests: Sequence[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    return lambda kind: any(test(kind) for test in tests)


def _values_of(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _integer(one: Any, other: Any) -> Any:
    signed = [kind for kind in (one, other) if pa.types.is_signed_integer(kind)]
    if len(signed) != 1:
        return max(one, other, key=lambda kind: kind.bit_width)
    return None if pa.uint64() in (one, other) else pa.int64()


def _decimal(one: Any, other: Any) -> Any:
    scale = max(one.scale, other.scale)
    digits = scale + max(kind.precision - kind.scale for kind in (one, other))
    if digits > 2 * _WIDEST:
        return None
    return pa.decimal128(digits, scale) if digits <= _WIDEST else pa.decimal256(digits, scale)


def _timestamp(one: Any, other: Any) -> Any:
    same = one.tz == other.tz or (one.tz in _UTC and other.tz in _UTC)
    return pa.timestamp(_unit(one, other), one.tz) if same else None


def _unit(one: Any, other: Any) -> str:
    """The finer of two units; not nanoseconds, which do not reach the year 2263, beside others."""
    if one.unit == other.unit:
        return str(one.unit)
    return _UNITS[min(_UNITS.index("us"), max(_UNITS.index(one.unit), _UNITS.index(other.unit)))]


def _list(one: Any, other: Any) -> Any:
    members = joined_schema(one.value_type, other.value_type)
    return None if members is None else pa.large_list(members)


def _struct(one: Any, other: Any) -> Any:
    theirs = {field.name: field.type for field in other}
    if theirs.keys() != {field.name for field in one}:
        return None
    fields = [(field.name, joined_schema(field.type, theirs[field.name])) for field in one]
    return None if any(kind is None for _, kind in fields) else pa.struct(fields)


def _map(one: Any, other: Any) -> Any:
    key, item = joined_schema(one.key_type, other.key_type), joined_schema(one.item_type, other.item_type)
    return None if key is None or item is None else pa.map_(key, item)
