"""What a task returned, as JSON bytes.

`encode` tries orjson as it is, which takes a microsecond for the usual dict of texts and numbers.
What orjson refuses, or would change without a word, goes through `plain` first, which turns a value
into dicts, lists, texts and numbers, and names the place of what it cannot turn.

This runs in every worker process, so nothing heavy is imported: numpy, pandas and pydantic values are
known by the names of their types and by the methods they offer (see `foreign.py`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite, nan
from pathlib import PurePath
from uuid import UUID

import orjson

from .foreign import NOT_FOREIGN, unwrap

MAX_DEPTH = 150  # four calls a level stay well inside Python's recursion limit
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_NO_ATOM: object = object()
_ATOMS = frozenset({str, int, bool, type(None)})


class Unencodable(Exception):
    """A value that JSON cannot hold.

    `path` is its place (`result.items[3].price`), `reason` says what was found there and what to do.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class _Refused(Exception):
    """An `Unencodable` on its way up; each level adds its step, so that good values pay for no path."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []


def encode(value: object) -> tuple[bytes, int]:
    """Compact UTF-8 JSON of `value`, and how many NaN and infinities in it became null.

    - numbers: integers of any size stay exact; Decimal becomes text; a timedelta its seconds;
    - datetime, date and time become ISO 8601 text, UUID and paths text, an Enum its value;
    - dataclasses, pydantic models and mappings become objects; tuples, sets (sorted) and arrays arrays;
    - numpy and pandas values become what they hold; NaT and pandas.NA become null and are not counted;
    - keys that are int, float, bool or None become their JSON text, as the standard json does.

    Raises Unencodable for anything else: bytes, generators, functions, other objects, other keys, two
    keys with one text, cycles, and more than 150 levels (250 where orjson can take all as it is).
    """
    try:
        body = orjson.dumps(value, option=_OPTIONS)
    except TypeError:  # orjson.JSONEncodeError is one
        return _encode_slowly(value)
    # orjson writes NaN as null and says nothing: only a body with a null in it needs a second look. (`in` would first
    # try whether the bytes are a number, which takes longer than the search.)
    return (body, 0) if body.find(b"null") < 0 else (body, _count_lost(value))


def _encode_slowly(value: object) -> tuple[bytes, int]:
    walk = _Walk()
    try:
        return _dump(walk.plain(value)), walk.lost
    except _Refused as refused:
        raise Unencodable("result" + "".join(reversed(refused.steps)), refused.reason) from refused.__cause__
    except RecursionError:
        raise Unencodable("result", "is nested too deeply") from None


def _dump(plain: object) -> bytes:
    """JSON of a value made of plain types: by orjson, else (big integers, lone surrogates) by json."""
    try:
        return orjson.dumps(plain)
    except TypeError:
        pass
    try:
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()


def _count_lost(value: object) -> int:
    """NaN and infinities in a value that orjson has taken, so without cycles and not too deep."""
    if isinstance(value, float):
        return 0 if isfinite(value) else 1
    if isinstance(value, dict):
        return _count_all(value.values())
    if isinstance(value, list | tuple):
        return _count_all(value)
    return _count_lost(value.value) if isinstance(value, Enum) else 0


def _count_all(items: Iterable[object]) -> int:
    lost = 0
    for item in items:
        if type(item) not in _ATOMS:
            lost += _count_lost(item)
    return lost


class _Walk:
    """One pass over a value: what it has lost so far, and which containers it is inside of."""

    def __init__(self) -> None:
        self.lost = 0
        self._inside: set[int] = set()

    def plain(self, value: object) -> object:
        """The same value made of dict, list, str, int, float, bool and None. Raises _Refused."""
        if type(value) in (str, bool, type(None)):
            return value
        if isinstance(value, Enum):
            return self.plain(value.value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return _readable(int(value))
        if isinstance(value, float):
            return self._number(float(value))
        atom = _atom(value)
        return self._nested(value) if atom is _NO_ATOM else self._number(atom) if type(atom) is float else atom

    def _number(self, number: float) -> float | None:
        if isfinite(number):
            return number
        self.lost += 1
        return None

    def _nested(self, value: object) -> object:
        """Whatever holds other values: these are counted in depth, and must not hold themselves."""
        if id(value) in self._inside:
            raise _Refused(f"{_name(value)} that contains itself")
        if len(self._inside) >= MAX_DEPTH:
            raise _Refused(f"nested more than {MAX_DEPTH} levels deep")
        self._inside.add(id(value))
        try:
            return self._container(value)
        finally:
            self._inside.discard(id(value))

    def _container(self, value: object) -> object:
        if isinstance(value, Mapping):
            return self._object(value.items())
        if isinstance(value, Set):
            return self._array(_ordered(value))
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return self._array(value)
        if is_dataclass(value) and not isinstance(value, type):
            return self._object((field.name, getattr(value, field.name)) for field in fields(value))
        return self._unwrapped(value)

    def _unwrapped(self, value: object) -> object:
        try:
            inner = unwrap(value)
        except Exception as error:  # the value's own code: whatever it raises, the row has to name the place
            raise _Refused(f"{_name(value)} that cannot be read ({type(error).__name__}: {error})") from error
        if inner is NOT_FOREIGN:
            raise _Refused(f"{_name(value)} is not JSON{_advice(value)}")
        return self.plain(inner)

    def _array(self, items: Iterable[object]) -> list[object]:
        done: list[object] = []
        try:
            for item in items:
                done.append(self.plain(item))  # noqa: PERF401 -- after a refusal, its length is the index
        except _Refused as refused:
            refused.steps.append(f"[{len(done)}]")
            raise
        return done

    def _object(self, items: Iterable[tuple[object, object]]) -> dict[str, object]:
        done: dict[str, object] = {}
        for key, item in items:
            text = _key(key)
            if text in done:
                raise _Refused(f"two keys that are both {text!r} in JSON")
            try:
                done[text] = self.plain(item)
            except _Refused as refused:
                refused.steps.append(f".{text}" if text.isidentifier() else f"[{text!r}]")
                raise
        return done


def _atom(value: object) -> object:
    """The text or number that stands for a value of the standard library, else _NO_ATOM."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return None  # "missing" already, where NaN may be a computation gone wrong
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else nan
    return str(value) if isinstance(value, UUID | PurePath) else _NO_ATOM


def _key(key: object) -> str:
    """A key as text, as the standard json writes it."""
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if type(key).__module__ == "numpy":
        key = unwrap(key)
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise _Refused(f"a key of type {_name(key)}: keys must be text, a number, a bool or None")


def _ordered(items: Set[object]) -> list[object]:
    """A set has no order: sort it, so that the same set gives the same bytes in each process."""
    try:
        return sorted(items)  # type: ignore[type-var]
    except TypeError:
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)))


def _readable(number: int) -> int:
    """`number`, unless it has more digits than Python agrees to write or read back."""
    if number.bit_length() > 14_000:  # 4,300 digits, Python's default limit, are 14,285 bits
        raise _Refused("an integer of more than 4,000 digits")
    return number


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return " (decode it, or use base64)"
    if type(value).__name__ in ("generator", "map", "filter", "zip"):
        return " (make it a list)"
    if type(value).__name__ == "coroutine":
        return " (an await is missing)"
    return ' (return .to_dict("records") of it)' if type(value).__name__ == "DataFrame" else ""


MAX_RESULT_BYTES = 512 << 20
