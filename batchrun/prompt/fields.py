"""`--fields 'same bool, reason'`: a JSON Schema in a few words."""

from collections.abc import Mapping
from typing import Any

from batchrun.errors import UsageError
from batchrun.suggest import suggest

TYPES: Mapping[str, Mapping[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "object": {"type": "object"},
}


def as_schema(fields: str) -> dict[str, Any]:
    """The schema of an object with exactly these fields, each a name and a type (`str` if none is said).

    Raises `UsageError` for what is no such list.
    """
    properties: dict[str, Any] = {}
    for part in fields.split(","):
        name, kind = _name_and_type(part)
        if name in properties:
            raise UsageError(f"--fields names {name!r} twice", "name each field once")
        properties[name] = dict(TYPES[kind])
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _name_and_type(part: str) -> tuple[str, str]:
    words = part.split()
    if not 1 <= len(words) <= 2:
        raise UsageError(f"--fields: {part.strip()!r} is not a name and a type", "for example: 'same bool, reason'")
    kind = words[1] if len(words) == 2 else "str"
    if kind not in TYPES:
        raise UsageError(f"--fields: {words[0]!r} has no type {kind!r}", suggest(kind, tuple(TYPES), "The types are"))
    return words[0], kind
