"""How a server is told which JSON is wanted: by schema, as any JSON, or in words only. Pure.

Servers differ in what they understand. The strongest form is tried first; a server that refuses it is asked in
the next one, and if that goes well, so are all rows after that.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .answer import Answer

SCHEMA, JSON, WORDS = "schema", "json", "words"
_ABOUT_FORMAT = re.compile(
    r"response.?format|json.?schema|json.?object|json.?mode|structured.?output|guided|grammar|\bstrict\b|"
    r"extra inputs|unrecognized|unknown (?:field|parameter|argument)|not implemented",
    re.IGNORECASE,
)


def weaker(form: str) -> str | None:
    """The next form to try, if there is one."""
    return {SCHEMA: JSON, JSON: WORDS}.get(form)


def is_refused(answer: Answer) -> bool:
    """Whether the server may have refused the form rather than the question."""
    return answer.status in (400, 404, 415, 422, 500, 501) and _ABOUT_FORMAT.search(answer.text) is not None


def fields_of(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that ask for the form."""
    if form == SCHEMA:
        named = {"name": "reply", "schema": schema, **({"strict": True} if is_strict(schema) else {})}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {"response_format": {"type": "json_object"}} if form == JSON else {}


def format_in_words(form: str, schema: Mapping[str, Any]) -> str | None:
    """What must be added to the prompt, because the form does not carry the schema."""
    if form == SCHEMA:
        return None
    return f"Answer with JSON only, of this JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"


def is_strict(schema: object) -> bool:
    """Whether a schema keeps to what the strict mode of servers allows: every object closed, all of it required,
    and every array with a type of items.
    """
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    kind = schema.get("type")
    kinds = {kind} if isinstance(kind, str) else set(kind or ())
    if "object" in kinds:
        properties = schema.get("properties")
        closed = schema.get("additionalProperties") is False and isinstance(properties, Mapping)
        if not closed or set(schema.get("required") or ()) != set(properties or ()):
            return False
    if "array" in kinds and not isinstance(schema.get("items"), Mapping):
        return False
    return all(is_strict(part) for name, part in schema.items() if name not in ("enum", "const", "default", "required"))
