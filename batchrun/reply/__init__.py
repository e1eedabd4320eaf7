"""From the text that a task returned to one JSON value. Read `ladder` first.

ladder      the steps, from certain to likely, and a named failure at the end
candidates  what could be the JSON in a text: fences, embedded objects
mend        nearly JSON to JSON: own exact rules first (`relaxed`), then json-repair, checked by `faithful`
jsontext    strict reading and comparing of JSON; `scan` cuts nearly-JSON into tokens
"""

from .ladder import Parsed, ReplyError, parse

__all__ = ["Parsed", "ReplyError", "parse"]
