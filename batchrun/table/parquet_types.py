"""From Arrow arrays to Python values, the same ones whether or not pandas can be imported.

Nanoseconds are the trouble: pyarrow makes them pandas objects if it can. Microseconds are always those of
the standard `datetime`, so nanoseconds are cut to them, also within lists, structs and maps.

The other trouble are the ends of time. Years before 1 and after 9999, which databases use for "always" and "never",
are not dates to Python: such a cell, and no other, becomes text.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

_EPOCH = date(1970, 1, 1).toordinal()
_CYCLE_DAYS, _CYCLE_YEARS = 146_097, 400
"""After so many days the calendar is the same again."""
_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400


def plain_values(array: Any) -> tuple[list[Any], dict[int, str]]:
    """The Python values of an Arrow array; and, by place, what has become text for want of a Python value: ISO 8601.

    Raises what pyarrow raises where neither can be had, such as for a time zone that is not known here.
    """
    array = in_microseconds(array)
    try:
        values: list[Any] = array.to_pylist()
    except OverflowError:
        return _values_one_by_one(array)
    return values, {}


def in_microseconds(array: Any) -> Any:
    """The array with microseconds in place of nanoseconds."""
    wanted = _microseconds(array.type)
    return array if wanted == array.type else array.cast(wanted, safe=False)


def _values_one_by_one(array: Any) -> tuple[list[Any], dict[int, str]]:
    values, spelled = [], {}
    for place, scalar in enumerate(array):
        try:
            values.append(scalar.as_py())
        except OverflowError:
            texts: list[str] = []
            values.append(_spelled(scalar, texts))
            spelled[place] = texts[0]
    return values, spelled


def _spelled(scalar: Any, texts: list[str]) -> Any:
    """The Python value of a scalar in which each time that Python cannot hold is text; `texts`: gets each of them."""
    try:
        return scalar.as_py()
    except OverflowError:
        kind, types = scalar.type, pa.types
        if types.is_dictionary(kind):
            return _spelled(scalar.value, texts)
        if types.is_struct(kind):
            return {field.name: _spelled(scalar[place], texts) for place, field in enumerate(kind)}
        if types.is_map(kind):
            return [(_spelled(pair[0], texts), _spelled(pair[1], texts)) for pair in scalar.values]
        if types.is_nested(kind):
            return [_spelled(member, texts) for member in scalar.values]
        texts.append(_iso(scalar))
        return texts[-1]


def _iso(scalar: Any) -> str:
    """A date, a moment or a duration that Python cannot hold, as ISO 8601 writes it; moments of a zone in UTC."""
    kind = scalar.type
    if pa.types.is_duration(kind):
        seconds, fraction = divmod(abs(scalar.value), _A_SECOND[kind.unit])
        return f"{'-' * (scalar.value < 0)}PT{seconds}{_fraction(fraction, kind.unit)}S"
    if pa.types.is_date32(kind):
        return iso_date(scalar.value)
    if pa.types.is_date64(kind):
        return iso_date(scalar.value // (_DAY * 1000))
    if pa.types.is_timestamp(kind):
        seconds, fraction = divmod(scalar.value, _A_SECOND[kind.unit])
        days, seconds = divmod(seconds, _DAY)
        time = datetime.min.replace(tzinfo=UTC) + timedelta(seconds=seconds)
        zone = "" if kind.tz is None else "+00:00"
        return f"{iso_date(days)}T{time:%H:%M:%S}{_fraction(fraction, kind.unit)}{zone}"
    raise OverflowError(f"a value of type {kind} is out of range")


def iso_date(days: int) -> str:
    """The date so many days after 1970-01-01, in whatever year: `10000-01-01`, `-0001-12-31`."""
    cycles, day = divmod(_EPOCH + days - 1, _CYCLE_DAYS)
    like = date.fromordinal(day + 1)
    year = like.year + cycles * _CYCLE_YEARS
    return f"{'-' * (year < 0)}{abs(year):04}-{like:%m-%d}"


def _fraction(value: int, unit: str) -> str:
    digits = len(str(_A_SECOND[unit])) - 1
    return f".{value:0{digits}}" if value else ""


def _microseconds(kind: Any) -> Any:
    """The type with microseconds in place of nanoseconds."""
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
