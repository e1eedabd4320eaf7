"""JSON Schema: is it one, does a value fit it, and if not, where. The one door to the jsonschema library.

Nothing is ever fetched: a schema that refers to another file or address is refused.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from batchrun.errors import UsageError
from batchrun.installing import how_to_install_extra


def checked(text: str, source: str) -> str:
    """The schema, once it is known to be one. `source` names it in messages. Raises `UsageError`."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is no JSON: {error}", "mend the file") from None
    jsonschema = _library()
    if not isinstance(schema, dict):
        raise UsageError(f"{source} is no JSON Schema: it holds no object", 'it looks like {"type": "object", …}')
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"{source} is no JSON Schema: {error.json_path}: {error.message}", "mend the schema") from None
    _check_references(schema, source)
    return text


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
