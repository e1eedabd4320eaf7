"""`--fields 'same bool, reason'`: a JSON Schema in a few words."""

from collections.abc import Mapping
from typing import Any

from batchrun.core.suggest import suggest
from batchrun.errors import UsageError

TYPES: Mapping[str, Mapping[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "object": {"type": "object"},
}

_OTHER_NAMES = {
    "boolean": "bool", "string": "str", "text": "str", "integer": "int", "number": "float", "double": "float",
    "array": "list", "dict": "object", "json": "object", **{name: name for name in TYPES},
}  # fmt: skip
_SIGNS = ":=;{}[]()<>'\"`|?"
_PLAIN = str.maketrans(_SIGNS, " " * len(_SIGNS))


def as_schema(fields: str) -> dict[str, Any]:
    """The schema of an object with exactly these fields, each a name and a type (`str` if none is said).

    Raises `UsageError` for what is not such a list.
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
    if sign := next((sign for sign in part if sign in _SIGNS), None):
        plain = " ".join(part.translate(_PLAIN).split()[:2]) or "same bool"
        hint = f"write the name, a space and the type, and a comma between fields: {plain!r}"
        raise UsageError(f"--fields: {part.strip()!r} has {sign!r} in it", hint)
    if not words:
        raise UsageError("--fields has nothing between two commas, or at an end", "for example: 'same bool, reason'")
    if len(words) > 2:
        hint = "separate fields by commas: 'same bool, reason'"
        raise UsageError(f"--fields: {part.strip()!r} is not a name and a type", hint)
    kind = words[1] if len(words) == 2 else "str"
    if kind in TYPES:
        return words[0], kind
    if words[0] in TYPES or words[0].casefold() in _OTHER_NAMES:
        first = _OTHER_NAMES.get(words[0].casefold(), words[0])
        raise UsageError(
            f"--fields: in {part.strip()!r} the type comes first", f"write the name first: '{kind} {first}'"
        )
    meant = _OTHER_NAMES.get(kind.casefold())
    hint = f"Did you mean {meant!r}? The types are: {', '.join(TYPES)}." if meant else ""
    raise UsageError(
        f"--fields: {words[0]!r} has no type {kind!r}", hint or suggest(kind, tuple(TYPES), "The types are")
    )
