"""One type for all values of a column, whatever the order in which they come.

Kinds of plain values are words; those of arrays and objects hold the kinds of what is in them. `join` is
commutative and associative, so a column may be looked at page by page.

    nothing < bool
    nothing < int < long        `int` is exact as a double, `long` only as 64 bits
    nothing < int < float       a long beside a float would lose digits: that is json
    nothing < text, time, bytes  the last two in cells of a table alone: results are JSON
    nothing < array, object     joined member by member
    all     < json              no common type: each value is kept as JSON text
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias

NOTHING, BOOL, INT, LONG, FLOAT, TEXT, JSON = "nothing", "bool", "int", "long", "float", "text", "json"
TIME, BYTES = "time", "bytes"

MAX_FIELDS = 500
"""An object with more keys is a dictionary whose keys are data: it is kept as JSON text."""

MAX_DEPTH = 20
_EXACT = 1 << 53
_LONGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """JSON arrays with members of one kind."""

    members: "Kind"


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """JSON objects; each may lack some of the fields."""

    fields: dict[str, "Kind"]


Kind: TypeAlias = str | ArrayOf | ObjectOf

KIND_OF_TYPE: dict[str, Kind] = {"int": INT, "float": FLOAT, "bool": BOOL, "text": TEXT}
"""By the type that a column of a table has."""


def kind_of_values(values: Sequence[Any], depth: int = 0) -> Kind:
    """The kind of values that came out of JSON, or of cells of a table; None has none."""
    found = set(map(type, values))
    if type(None) in found:
        found.remove(type(None))
        values = [value for value in values if value is not None]
    if found == {int, float}:
        return join(FLOAT, _kind_of_integers([value for value in values if type(value) is int]))
    if len(found) != 1:
        return JSON if found else NOTHING
    return _kind_of_one_type(found.pop(), values, depth)


def join(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds the values of both."""
    if one == other or other == NOTHING:
        return one
    if one == NOTHING:
        return other
    if isinstance(one, ArrayOf) and isinstance(other, ArrayOf):
        return ArrayOf(join(one.members, other.members))
    if isinstance(one, ObjectOf) and isinstance(other, ObjectOf):
        return _object({key: join(one.fields.get(key, NOTHING), other.fields.get(key, NOTHING))
                        for key in one.fields | other.fields})  # fmt: skip
    return {frozenset({INT, LONG}): LONG, frozenset({INT, FLOAT}): FLOAT}.get(_pair(one, other), JSON)


def storable(kind: Kind) -> Kind:
    """The kind of a column on disk: no value at all becomes text, objects that are all empty JSON text."""
    if isinstance(kind, ArrayOf):
        return ArrayOf(storable(kind.members))
    if isinstance(kind, ObjectOf):
        fields = {key: storable(field) for key, field in kind.fields.items()}
        return ObjectOf(fields) if fields else JSON
    return TEXT if kind == NOTHING else kind


def is_kept_as_json(kind: Kind) -> bool:
    """Is any part of it kept as JSON text?"""
    if isinstance(kind, ArrayOf):
        return is_kept_as_json(kind.members)
    if isinstance(kind, ObjectOf):
        return any(map(is_kept_as_json, kind.fields.values()))
    return kind == JSON


def _kind_of_one_type(found: type, values: Sequence[Any], depth: int) -> Kind:
    if found is int:
        return _kind_of_integers(values)
    if found in _WORDS:
        return _WORDS[found]
    if depth >= MAX_DEPTH:
        return JSON
    if found is list:
        return ArrayOf(kind_of_values(list(chain.from_iterable(values)), depth + 1))
    return _kind_of_objects(values, depth) if found is dict else JSON


def _kind_of_integers(values: Sequence[int]) -> Kind:
    low, high = min(values), max(values)
    if low >= -_EXACT and high <= _EXACT:
        return INT
    return LONG if low >= -_LONGEST and high < _LONGEST else JSON


def _kind_of_objects(values: Sequence[dict[str, Any]], depth: int) -> Kind:
    members: dict[str, list[Any]] = {}
    for value in values:
        for key, member in value.items():
            members.setdefault(key, []).append(member)
        if len(members) > MAX_FIELDS:
            return JSON
    return _object({key: kind_of_values(found, depth + 1) for key, found in members.items()})


def _object(fields: dict[str, Kind]) -> Kind:
    return ObjectOf(fields) if len(fields) <= MAX_FIELDS else JSON


def _pair(one: Kind, other: Kind) -> frozenset[str]:
    return frozenset(kind for kind in (one, other) if isinstance(kind, str))


_WORDS: dict[type, Kind] = {str: TEXT, float: FLOAT, bool: BOOL, datetime: TIME, bytes: BYTES}
