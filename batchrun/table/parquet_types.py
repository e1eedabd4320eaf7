"""From Arrow arrays to Python values, the same ones whether or not pandas can be imported.

Nanoseconds are the trouble: pyarrow makes them pandas objects if it can. Microseconds are always those of
the standard `datetime`, so nanoseconds are cut to them, also within lists, structs and maps.
"""

from typing import Any


def plain_values(array: Any) -> list[Any]:
    """The Python values of an Arrow array."""
    wanted = _microseconds(array.type)
    if wanted != array.type:
        array = array.cast(wanted, safe=False)
    values: list[Any] = array.to_pylist()
    return values


def _microseconds(kind: Any) -> Any:
    """The type with microseconds in place of nanoseconds."""
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if types.is_dictionary(kind):
        inner = _microseconds(kind.value_type)
        return kind if inner == kind.value_type else inner
    return _microseconds_within(kind) if types.is_nested(kind) else kind


def _microseconds_within(kind: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return pa.struct([field.with_type(_microseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_microseconds(kind.key_type), _microseconds(kind.item_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(_microseconds(kind.value_type), kind.list_size)
    if types.is_large_list(kind):
        return pa.large_list(_microseconds(kind.value_type))
    return pa.list_(_microseconds(kind.value_type)) if types.is_list(kind) else kind
