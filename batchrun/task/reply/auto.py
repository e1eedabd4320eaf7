"""What a task's text is, as `--reply` says: always JSON, never, or (`auto`) where JSON was meant.

In `auto`, prose with brackets in it, code and lists of numbers are not JSON that cannot be read: they are kept.
"""

import re

from batchrun.core.kinds import EMPTY, NO_JSON
from batchrun.task.spec import Reading

from . import jsontext
from .candidates import all_fences, could_open, fences, opens, regions
from .ladder import Fits, How, Parsed, ReplyError, anything, parse, search
from .thinking import SPACE, answer

_JSON_FENCE = re.compile(r"(?:```|~~~)[ \t]*json", re.IGNORECASE)
# A brace before a key: in quotes, with its colon, or where the text breaks off within the key.
_KEYED = re.compile(r"\{\s*[\"'“”‘’„＂`](?:[^\"“”＂{}\n]{0,200}[\"'”’＂`]\s*[:：]|[^\"”＂}]*\Z)")


def read_reply(
    text: str,
    reply: Reading = "auto",
    *,
    strict: bool = False,
    accept_truncated: bool = False,
    fits: Fits | None = None,
) -> Parsed:
    """The value of a text that a task returned; `how` is `text` where it is the text itself.

    `strict`, `accept_truncated`, `fits`: as for `parse`. Raises ReplyError and nothing else (unless `fits` does).
    """
    if reply == "json":
        return parse(text, strict=strict, accept_truncated=accept_truncated, fits=fits)
    if reply == "text":
        return Parsed(text, "text", 0)
    if reply == "answer":
        return _kept(text)
    try:
        return _whole(text, "json") or _found(text, strict=strict, accept_truncated=accept_truncated) or _kept(text)
    except RecursionError:
        raise ReplyError(NO_JSON, "the reply is nested too deeply") from None


def _kept(text: str) -> Parsed:
    """The text, without what the model thought before."""
    body = text.strip(SPACE)
    said = answer(body, prose=True) if body else body
    if body and not said:
        raise ReplyError(EMPTY, "the reply holds nothing but the model's thinking")
    return Parsed(text if said == body else said, "text", 0)


def _whole(text: str, how: How) -> Parsed | None:
    """An object or an array, and nothing else."""
    body = text.strip(SPACE)
    if body[:1] not in ("{", "["):
        return None
    try:
        value, nulled = jsontext.decode(body)
    except jsontext.DuplicateKey:
        return parse(body)  # which says so
    except (ValueError, RecursionError):
        return None
    return Parsed(value, how, nulled)


def _found(text: str, *, strict: bool, accept_truncated: bool) -> Parsed | None:
    """What stands in the text as JSON; None where nothing was meant as JSON. Raises ReplyError if it cannot be read."""
    body = text.strip(SPACE)
    said = answer(body)
    if said != body and (whole := _whole(said, "think")):
        return whole
    rest = _without_code(said)
    if not (could_open(rest) or _JSON_FENCE.search(rest)):
        return None
    try:
        parsed = search(rest, accept_truncated, anything)
    except ReplyError:
        if _was_meant(rest):
            raise
        return None
    if _is_prose(parsed, rest):
        return None
    if strict:
        raise ReplyError(NO_JSON, "the reply is not JSON as a whole, but holds some")
    return parsed


def _without_code(text: str) -> str:
    """The text without its fences of another language than JSON, but for those that hold nothing but an object."""
    if "```" not in text and "~~~" not in text:
        return text
    pieces, position = [], 0
    for fence in all_fences(text):
        if fence.tag and not fence.is_json and not _stands_alone(fence.body):
            pieces.append(text[position : fence.start])
            position = fence.end
    return "\n".join([*pieces, text[position:]]).strip(SPACE) if pieces else text


def _was_meant(text: str) -> bool:
    """Whether what is not JSON as it stands was meant as such, and is not prose or code with brackets in it."""
    return bool(_JSON_FENCE.search(text) or _KEYED.search(text)) or _has_nothing_else(text)


def _is_prose(parsed: Parsed, text: str) -> bool:
    """Whether what was found is a plain value, or between words an array of them, an empty or a doubtful object."""
    if not isinstance(parsed.value, dict | list):
        return parsed.how != "fence"
    if _has_members(parsed.value):
        return parsed.how == "repaired" and not _was_meant(text)
    return not _has_nothing_else(text)


def _has_nothing_else(text: str) -> bool:
    """Whether the text, or what stands in a fence of it, is nothing but one object or array."""
    return any(map(_stands_alone, (text, *(fence.body for fence in fences(text)))))


def _stands_alone(text: str) -> bool:
    """Whether a text is nothing but one object or array, whole, broken or cut off."""
    region = next(regions(text), None) if opens(text) else None
    return region is not None and region.alone


def _has_members(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_has_members, value))
    return isinstance(value, dict) and bool(value)
