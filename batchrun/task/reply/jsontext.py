"""Strict JSON, read without the standard decoder's three silences.

`json.loads` keeps the last of two equal keys, lets NaN and infinities through, and makes an infinity of
1e999. Here the first is an error and the others become None and are counted.
"""

import json
from json import JSONDecodeError
from math import isfinite

__all__ = ["DuplicateKey", "JSONDecodeError", "decode", "decode_at", "same"]

_SPACE = " \t\n\r"


class DuplicateKey(ValueError):
    """An object gives one key two different values; `str(error)` is the key."""


class _NotFinite(Exception):
    """A NaN or an infinity has come up: the text is read again, this time counting."""


def decode(text: str) -> tuple[object, int]:
    """The value of a text that is JSON as a whole, and how many NaN and infinities became None.

    Raises JSONDecodeError, DuplicateKey, ValueError (an integer of thousands of digits) or RecursionError.
    """
    value, end, nulled = decode_at(text, len(text) - len(text.lstrip(_SPACE)))
    if text[end:].strip(_SPACE):
        raise JSONDecodeError("Extra data", text, end)
    return value, nulled


def decode_at(text: str, start: int) -> tuple[object, int, int]:
    """The value that starts at `start`, where it ends, and how many numbers became None.

    Raises what `decode` raises.
    """
    try:
        value, end = _STRICT.raw_decode(text, start)
    except _NotFinite:
        return _decode_counting(text, start)
    return value, end, 0


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same. Unlike `==`, 1 and true are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _decode_counting(text: str, start: int) -> tuple[object, int, int]:
    lost: list[str] = []

    def number(literal: str) -> float | None:
        value = float(literal)
        if not isfinite(value):
            lost.append(literal)
            return None
        return value

    decoder = json.JSONDecoder(parse_constant=number, parse_float=number, object_pairs_hook=_object)
    value, end = decoder.raw_decode(text, start)
    return value, end, len(lost)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if not same(found[key], value):
                raise DuplicateKey(key)
    return found


def _finite(literal: str) -> float:
    value = float(literal)
    if not isfinite(value):
        raise _NotFinite
    return value


def _constant(_: str) -> None:
    raise _NotFinite


_STRICT = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, object_pairs_hook=_object)
