"""The built-in task `repair`: text cells that hold JSON, however broken, become the JSON they hold."""

import re
from collections.abc import Callable
from functools import partial

from batchrun.reply import Parsed, ReplyError, parse
from batchrun.reply.candidates import could_open

_FENCE_OR_THOUGHT = re.compile(r"```|~~~|</?think(?:ing)?>", re.IGNORECASE)
_MARKED = re.compile(r"(?:```|~~~)[ \t]*json|</?think(?:ing)?>", re.IGNORECASE)
_QUOTED = re.compile(r"\{\s*[\"'“”＂]|\[\s*\{")
_AT_START = re.compile(r"\s*(?:\{\s*[\w\"'“”＂}]|\[\s*[\[{\"'“”＂\]])|\s*[{\[]\s*\Z")


def repair(row: dict[str, object], *, strict: bool = False, accept_truncated: bool = False) -> dict[str, object]:
    """The row, each text cell that holds JSON replaced by the value.

    A cell *counts* if it has a bracket that could open JSON, a fence or a `<think>` tag; `42`, `true`
    and `[sic]` stay text. A cell that counts is read as any reply is (see `batchrun.reply`), and then:

    - one value was found: it is the cell's new value. The exception is an array of plain numbers or words,
      or an empty object, in the midst of prose, as in `Smith et al. [1, 2]`: that is prose.
    - none was found, and the cell was *meant* to hold JSON (it begins with such a bracket, has a bracket
      before a quote or an array of objects anywhere, a fence marked `json`, or a `<think>` tag): the row
      fails, with the reason as its kind (truncated, ambiguous, no_json, …) and the column's name.
    - none was found otherwise: prose, which stays as it is. So does a model's answer without any JSON:
      one row cannot know that other rows have objects there, and a text is never mistaken for one.

    `strict`, `accept_truncated`: as for a reply. Raises ReplyError for the first such column.
    """
    read = partial(parse, strict=strict, accept_truncated=accept_truncated)
    return {name: _cell(name, value, read) if isinstance(value, str) else value for name, value in row.items()}


def _cell(name: str, text: str, read: Callable[[str], Parsed]) -> object:
    if not _counts(text):
        return text
    try:
        parsed = read(text)
    except ReplyError as error:
        if _was_meant(text):
            raise ReplyError(error.kind, f"column {name!r}: {error.message}") from None
        return text
    return text if _is_prose(parsed) else parsed.value


def _counts(text: str) -> bool:
    # Most cells have none of these characters: two searches for them cost less than one pattern.
    if "{" not in text and "[" not in text and "`" not in text and "~" not in text and "<" not in text:
        return False
    return could_open(text) or _FENCE_OR_THOUGHT.search(text) is not None


def _was_meant(text: str) -> bool:
    return bool(_MARKED.search(text) or _AT_START.match(text) or (_QUOTED.search(text) and could_open(text)))


def _is_prose(parsed: Parsed) -> bool:
    """A plain array, or an empty object, found between words."""
    return parsed.how in ("embedded", "repaired") and not _has_members(parsed.value)


def _has_members(value: object) -> bool:
    if isinstance(value, list):
        return any(_has_members(item) for item in value)
    return isinstance(value, dict) and bool(value)
