"""JSON in and out, as results files need it: exact integers, valid Unicode, any cell of any table."""

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson

from batchrun.errors import DamagedRows
from batchrun.task.encode import encode

# orjson makes a float of an integer beyond 64 bits, which has at least 20 digits, or 19 behind a minus. Digits made all
# the same are found by a plain search, six times as fast as by a regular expression.
_DIGITS_AS_0 = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else byte for byte in range(256))
_LONG_NUMBERS = (b"0" * 20, b"-" + b"0" * 19)
_WITHOUT_FLOATS = frozenset([str, int, bool, type(None)])
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def value_of(body: bytes, row: int) -> Any:
    """The value of a stored result. Raises `DamagedRows`, naming the row, if it is not JSON any more."""
    try:
        return orjson.loads(body) if not _has_long_number(body) else _exactly(body)
    except ValueError:
        return _slowly(body, row)


def values_of(bodies: Sequence[bytes], rows: Sequence[int]) -> list[Any]:
    """The values of stored results, each as by `value_of`; parsed at one go where no number is long."""
    together = b"[%b]" % b",".join(bodies)
    if not _has_long_number(together):
        with suppress(ValueError):
            found: list[Any] = orjson.loads(together)
            if len(found) == len(bodies):  # else one that is damaged holds a comma of its own
                return found
    return list(map(value_of, bodies, rows))


def flat_columns(bodies: Sequence[bytes], keys: Sequence[str]) -> list[list[Any]] | None:
    """The values of stored results by columns, if all are objects with just these keys in this order; else None.

    No object is made: in place of each key but the first, and between two objects, stands a number. In what is left
    such numbers and values take turns. A key within a value, one that is not known, or a line that is no JSON leave
    something that cannot be parsed; keys that are missing, doubled or in another order change the numbers.
    """
    first, *others = (json_of(key) for key in keys)
    text, begin = b",".join(bodies), b"{%b:" % first
    if not text.startswith(begin) or not text.endswith(b"}"):
        return None
    text = text[len(begin) : -1].replace(b"},%b" % begin, b",0,")
    for number, key in enumerate(others, 1):
        text = text.replace(b",%b:" % key, b",%d," % number)
    try:
        found: list[Any] = orjson.loads(b"[%b]" % text)
    except ValueError:
        return None
    values = found[::2]
    if found[1::2] != ([*range(1, len(keys)), 0] * len(bodies))[:-1]:
        return None
    if not _WITHOUT_FLOATS.issuperset(map(type, values)) and _has_long_number(text):
        return None
    return [values[place :: len(keys)] for place in range(len(keys))]


def json_of(value: Any) -> bytes:
    """Compact JSON of an input row or a part of a result: bytes become base64, NaN null."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return encode(value)[0]


def text_of(value: Any) -> str:
    """What a cell of text says: JSON text, but without quotes around what is text by itself."""
    if value is None:
        return ""
    text = json_of(value).decode()
    return str(json.loads(text)) if text.startswith('"') else text


def valid_text(text: str) -> str:
    """The text with U+FFFD in place of half a surrogate pair, which no UTF-8 file can hold."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def _has_long_number(text: bytes) -> bool:
    digits = text.translate(_DIGITS_AS_0)
    return any(number in digits for number in _LONG_NUMBERS)


def _exactly(body: bytes) -> Any:
    return json.loads(valid_text(json.dumps(json.loads(body), ensure_ascii=False)))


def _slowly(body: bytes, row: int) -> Any:
    try:
        return _exactly(body)
    except (ValueError, RecursionError) as error:
        raise DamagedRows(
            f"row {row:,}: its stored result is damaged ({error})",
            "'batchrun process' with --retry damaged runs these rows again; 'batchrun verify' names them all",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError
