"""From the text that a task returned to its value. Read `ladder` first.

ladder      the steps, from certain to likely, and a named failure at the end
auto        what text is: JSON, or text that is kept (`--reply`)
thinking    the reply without what the model thought before; `thinking_marks` knows how models mark it
candidates  what could be the JSON in a text: fences, embedded objects
schema      which values count, where a JSON Schema is given
mend        nearly JSON to JSON: own exact rules first (`relaxed`), then json-repair, checked by `faithful`
jsontext    strict reading and comparing of JSON; `json_tokens` cuts nearly-JSON into tokens
clear_json  nearly JSON in which no token has a second meaning, read without cutting it
"""

from collections.abc import Callable

from .auto import read_reply
from .ladder import Parsed, ReplyError, parse

__all__ = ["Parsed", "ReplyError", "fitting", "parse", "read_reply"]


def fitting(schema: str | None) -> Callable[[object], str | None] | None:
    """For `parse`: where a value does not fit a JSON Schema (text), or None if it does. Without a schema, None."""
    if schema is None:
        return None
    from .schema import misfit  # with a schema only: its library is large

    return misfit(schema)
