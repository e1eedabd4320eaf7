"""Columns of plain values as Arrow arrays, by their kinds."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from batchrun.outcome.export.json_value import json_of, value_of
from batchrun.outcome.export.value_kinds import (
    BOOL,
    BYTES,
    FLOAT,
    INT,
    JSON,
    LONG,
    TEXT,
    TIME,
    ArrayOf,
    Kind,
    ObjectOf,
    is_kept_as_json,
)

_PLAIN = {
    BOOL: pa.bool_(),
    INT: pa.int64(),
    LONG: pa.int64(),
    FLOAT: pa.float64(),
    TEXT: pa.string(),
    JSON: pa.string(),
    TIME: pa.timestamp("us"),
    BYTES: pa.binary(),
}


def arrow_type(kind: Kind) -> Any:
    """The Arrow type of a `storable` kind."""
    if isinstance(kind, ArrayOf):
        return pa.list_(arrow_type(kind.members))
    if isinstance(kind, ObjectOf):
        return pa.struct([pa.field(key, arrow_type(field)) for key, field in kind.fields.items()])
    return _PLAIN[kind]


def array_of(cells: Sequence[Any], kind: Kind) -> Any:
    """An array of values that are of this kind. Raises `OverflowError` for integers beyond 64 bits."""
    if is_kept_as_json(kind):
        cells = [_fitted(cell, kind) for cell in cells]
    try:
        return pa.array(cells, arrow_type(kind))
    except UnicodeEncodeError:
        # Half a surrogate pair in an input cell; results have none any more.
        return pa.array([value_of(json_of(cell), 0) for cell in cells], arrow_type(kind))
    except pa.ArrowInvalid as error:
        if "too large" in str(error):
            raise OverflowError(str(error)) from error
        raise


def _fitted(value: Any, kind: Kind) -> Any:
    """The value, with JSON text wherever the kind says so."""
    if value is None:
        return None
    if isinstance(kind, ArrayOf):
        return [_fitted(member, kind.members) for member in value]
    if isinstance(kind, ObjectOf):
        return {key: _fitted(value[key], field) for key, field in kind.fields.items() if key in value}
    return json_of(value).decode() if kind == JSON else value
