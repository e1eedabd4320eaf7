"""JSON Schema: is it one, does a value fit it, and if not, where. The one door to the jsonschema library.

Nothing is ever fetched: a schema that refers to another file or address is refused.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batchrun.core.installing import how_to_install_extra
from batchrun.errors import UsageError

_KEYWORDS = frozenset({
    "type", "enum", "const", "properties", "patternProperties", "additionalProperties", "propertyNames", "required",
    "minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "dependencies",
    "unevaluatedProperties", "items", "prefixItems", "additionalItems", "contains", "minContains", "maxContains",
    "minItems", "maxItems", "uniqueItems", "unevaluatedItems", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
    "$ref", "$dynamicRef", "$recursiveRef", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType",
    "contentSchema",
})  # fmt: skip
_FAINT = frozenset({
    "format", "pattern", "contains", "minimum", "maximum", "if", "then", "else", "dependencies",
})  # fmt: skip
"""Keywords that are names of fields, too: beside names that are none, they make no schema."""
_NOTES = frozenset({
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "definitions",
})  # fmt: skip
_INSIDE = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "items", "enum"})
_WRAPPERS: Mapping[str, frozenset[str]] = {
    "response_format": frozenset(), "json_schema": frozenset(), "schema": frozenset(), "input_schema": frozenset(),
    "parameters": frozenset(), "function": frozenset({"parameters"}), "text": frozenset({"format"}),
    "format": _INSIDE | {"schema"}, "response_schema": _INSIDE, "responseSchema": _INSIDE, "guided_json": _INSIDE,
    "structured_outputs": frozenset({"json"}), "json": _INSIDE,
}  # fmt: skip
"""Around a schema: the name under which it stands, and of what something must be in it."""
_AROUND = frozenset({"name", "strict", "description", "type"})
_LOOKS = '{"type": "object", "properties": {"same": {"type": "boolean"}}, "required": ["same"]}'


def checked(text: str, source: str) -> str:
    """The schema, once it is known to be one, out of what services want around it. `source` names it in messages.

    Raises `UsageError`.
    """
    try:
        said = json.loads(text)
        given = json.loads(said) if isinstance(said, str) else said  # a text that holds JSON, written as JSON
    except ValueError as error:
        raise UsageError(f"{source} is not JSON: {error}", "fix the file") from None
    schema = unwrapped(given)
    if why := _no_schema(schema):
        raise UsageError(f"{source} is not a JSON Schema: {why[0]}", why[1])
    jsonschema = _library()
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(
            f"{source} is not a JSON Schema: {error.json_path}: {error.message}", "fix the schema"
        ) from None
    _check_references(schema, source)
    return text if schema is said else json.dumps(schema, ensure_ascii=False)


def unwrapped(given: Any) -> Any:
    """The schema in what a service's request has around it (`response_format`, `json_schema`, a tool); else itself."""
    while isinstance(given, dict) and given.get("type") in (None, "json_schema", "function"):
        inner = next((given[name] for name, needs in _WRAPPERS.items() if _wraps(given, name, needs)), None)
        if inner is None:
            break
        given = inner
    return given


def _wraps(given: dict[str, Any], name: str, needs: frozenset[str]) -> bool:
    """Whether what stands under this name is what matters. (A mere map of fields may have one with such a name.)"""
    inner = given.get(name)
    known = name == "response_format" or given.keys() - {name} <= _AROUND
    return isinstance(inner, dict) and known and (not needs or bool(needs & inner.keys()))


def _no_schema(schema: Any) -> tuple[str, str] | None:
    """Why this says nothing of a reply, and what to do; None if it does."""
    if isinstance(schema, bool) or schema == {}:
        fits = "nothing" if schema is False else "anything"
        return f"{fits} would fit it", f"say what a reply must have: {_LOOKS}"
    if not isinstance(schema, dict):
        return "it holds no object", f"it looks like {_LOOKS}"
    others = [name for name in schema if name not in _KEYWORDS | _NOTES and not name.startswith(("$", "x-"))]
    strong = schema.keys() & _KEYWORDS - _FAINT
    if not strong and (others or not schema.keys() & _KEYWORDS):
        names = ", ".join(map(repr, list(schema)[:5]))
        if not others:
            return f"it says nothing about a reply, with {names} alone", f"say what it must have: {_LOOKS}"
        return f"none of its keys is a keyword ({names})", f"{_hint_for_example(schema)}a schema looks like {_LOOKS}"
    if "properties" not in schema and schema.get("type") == "object":
        lost = [name for name in others if isinstance(schema[name], dict) and schema[name].keys() & _KEYWORDS]
        if lost:
            return f"{lost[0]!r} is next to 'type', where it has no effect", 'put the fields into "properties": {…}'
    return None


def _hint_for_example(example: dict[str, Any]) -> str:
    """If it is an object as replies should be, or a list of fields, how to ask for such ones."""
    if all(isinstance(value, dict) and value.keys() & _KEYWORDS for value in example.values()):
        return 'put these into "properties": {…}; '
    kinds = {str: "str", bool: "bool", int: "int", float: "float", list: "list", dict: "object"}
    words = {*kinds.values()}
    fields = []
    for name, value in example.items():
        kind = value if isinstance(value, str) and value in words else kinds.get(type(value), "str")
        fields.append(name if kind == "str" else f"{name} {kind}")
    plain = all(name.isidentifier() for name in example)
    return f"for replies like this one, give --fields '{', '.join(fields)}'; " if plain and len(fields) <= 12 else ""


def misfit(text: str) -> Callable[[object], str | None]:
    """A function that says where a value does not fit the schema `text`, or None if it does."""
    jsonschema, referencing = _library(), _references()
    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    validator = kind(schema, registry=referencing.Registry())

    def where(value: object) -> str | None:
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        return None if error is None else f"{error.json_path}: {error.message}"

    return where


def _check_references(schema: dict[str, Any], source: str) -> None:
    referencing = _references()
    resource = referencing.Resource.from_contents(schema, default_specification=_latest())
    resolver = referencing.Registry().with_resource("", resource).resolver_with_root(resource)
    for reference in _references_in(schema):
        try:
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            hint = "put what it refers to under $defs in the same file: nothing is fetched"
            raise UsageError(f"{source}: $ref {reference!r} leads nowhere", hint) from None


def _references_in(part: object) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _references_in(item)
    elif isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            yield reference
        for name, item in part.items():
            if name not in ("enum", "const", "default", "examples"):  # data, not schema
                yield from _references_in(item)


def _library() -> Any:
    try:
        import jsonschema
    except ImportError:
        raise UsageError("a schema needs the package jsonschema", how_to_install_extra("llm")) from None
    return jsonschema


def _references() -> Any:
    import referencing
    import referencing.exceptions

    return referencing


def _latest() -> Any:
    import referencing.jsonschema

    return referencing.jsonschema.DRAFT202012
