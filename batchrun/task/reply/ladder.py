"""From a task's text to one JSON value: a ladder, from certain to likely, and a named failure at its end.

Read `_ladder` first. Each step takes the text only if it leaves no doubt: where two different answers
can be seen, or the text ends inside of one, none is taken.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from batchrun.core.kinds import AMBIGUOUS, EMPTY, NO_JSON, SCHEMA, TRUNCATED

from . import jsontext
from .candidates import Fence, Region, fences, opens, regions
from .mend import close, mend
from .relaxed import Unreadable
from .thinking import SPACE, answer

How = Literal["value", "text", "json", "think", "fence", "embedded", "repaired"]
Fits = Callable[[object], str | None]

_QUOTES = re.compile(r"[\"'“”‘’＂`]")


@dataclass(frozen=True)
class Parsed:
    """The value of a reply, the step that found it, and how many NaN and infinities became None.

    `note`: what else is worth saying of it.
    """

    value: object
    how: How
    nulled: int
    note: str | None = None


class ReplyError(Exception):
    """No one value can be taken from a reply.

    `kind`: one of those of a reply in `core.kinds`; a service may have said that it is filtered or
    refused. `text`: the reply, where only the one who raises this has it.
    """

    def __init__(self, kind: str, message: str, text: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.text = text


class _Found(NamedTuple):
    """A value that may be the answer. `plain`: an empty one, or an array without any object."""

    parsed: Parsed
    plain: bool = False


def parse(
    text: str,
    *,
    strict: bool = False,
    accept_truncated: bool = False,
    fits: Fits | None = None,
) -> Parsed:
    """The one JSON value that `text` is or holds.

    - `strict`: the whole text must be JSON;
    - `accept_truncated`: of an object that the text breaks off in, take what is there;
    - `fits`: says where a value does not fit the schema (None: it fits); values that don't are passed over.

    Raises ReplyError and nothing else (unless `fits` does).
    """
    try:
        return _ladder(text.strip(SPACE), strict, accept_truncated, fits or anything)
    except RecursionError:
        raise ReplyError(NO_JSON, "the reply is nested too deeply") from None


def _ladder(body: str, strict: bool, accept_truncated: bool, fits: Fits) -> Parsed:
    if not body:
        raise ReplyError(EMPTY, "the reply is empty")
    if found := _whole(body, "json"):
        return _only([found], fits)
    if strict:
        raise ReplyError(NO_JSON, f"the reply is not JSON as a whole: {_start(body)}")
    said = answer(body)
    if not said:
        raise ReplyError(EMPTY, "the reply holds nothing but the model's thinking")
    if said != body and (found := _whole(said, "think")):
        return _only([found], fits)
    return search(said, accept_truncated, fits)


def search(said: str, accept_truncated: bool, fits: Fits) -> Parsed:
    """The one JSON value in a text that is none as a whole, and has no thinking before it. Raises ReplyError."""
    seen = _in_fences(said, accept_truncated)
    if all(fits(found.parsed.value) for found in seen):  # none in the fences, or none that fits
        seen += _in_text(said, "embedded", accept_truncated)
    if not seen:
        raise ReplyError(NO_JSON, f"there is no JSON in the reply: {_start(said)}")
    return _only(seen, fits)


def anything(_: object) -> None:
    return None


def _whole(body: str, how: How) -> _Found | None:
    try:
        value, nulled = jsontext.decode(body)
    except jsontext.DuplicateKey as key:
        raise _twice(str(key)) from None
    except (ValueError, RecursionError):
        return None
    return _Found(Parsed(value, how, nulled))


def _in_fences(body: str, accept_truncated: bool) -> list[_Found]:
    """What the fences hold, and what stands behind the first of them: it may correct what is inside.

    A text that itself opens with a bracket has fences only in its strings.
    """
    if opens(body):
        return []
    marked = fences(body)
    seen = [found for fence in marked for found in _in_fence(fence, accept_truncated)]
    ends = [fence.end for fence in marked]
    starts = [fence.start for fence in marked[1:]] + [len(body)]
    gaps = [body[end:start] for end, start in zip(ends, starts, strict=True)] if seen else []
    behind = [found for gap in gaps for found in _in_text(gap, "embedded", accept_truncated)]
    return seen + [found for found in behind if not found.plain]


def _in_fence(fence: Fence, accept_truncated: bool) -> Iterator[_Found]:
    whole = _whole(fence.body, "fence")
    if whole and (fence.is_json or isinstance(whole.parsed.value, dict | list)):
        yield whole
    elif not whole:
        yield from _in_text(fence.body, "fence", accept_truncated)


def _in_text(body: str, how: How, accept_truncated: bool) -> Iterator[_Found]:
    for region in regions(body):
        if region.state == "whole":
            if not _is_footnote(region, body):
                yield _Found(Parsed(region.value, how, region.nulled), _is_plain(region.value))
        elif found := _broken(region, accept_truncated):
            yield found


def _broken(region: Region, accept_truncated: bool) -> _Found | None:
    """The repaired value of a region that is not JSON as it stands; None where it is prose after all."""
    if region.state == "twice":
        raise _twice(_start(region.text))
    if region.state == "more":
        raise ReplyError(AMBIGUOUS, "the reply holds a thousand objects or arrays, or more")
    if region.state == "part":
        raise ReplyError(NO_JSON, f"JSON in the reply is part of something larger: {_start(region.text)}")
    text = region.text if region.state != "cut" else close(region.text) if accept_truncated else ""
    if not text:
        raise ReplyError(TRUNCATED, f"the reply ends inside the JSON that begins {_start(region.text)}")
    # Braces in prose, without a quote in them, are more often a set or a template than an answer.
    guess = region.alone or _QUOTES.search(region.text) is not None
    try:
        value, nulled = mend(text, guess=guess)
    except jsontext.DuplicateKey as key:
        raise _twice(str(key)) from None
    except Unreadable as unreadable:
        if not guess:
            return None
        raise ReplyError(NO_JSON, f"JSON in the reply cannot be read: {unreadable}") from None
    return _Found(Parsed(value, "repaired", nulled), _is_plain(value))


def _only(seen: list[_Found], fits: Fits) -> Parsed:
    """The one value among those seen. Raises ReplyError if there is none, or if two differ."""
    misfits = [fits(found.parsed.value) for found in seen]
    fitting = [found for found, misfit in zip(seen, misfits, strict=True) if misfit is None]
    if not fitting:
        raise ReplyError(SCHEMA, f"the JSON in the reply does not fit the schema: {misfits[0]}")
    weighty = [found.parsed for found in fitting if not found.plain] or [found.parsed for found in fitting]
    if any(not jsontext.same(parsed.value, weighty[0].value) for parsed in weighty[1:]):
        raise ReplyError(AMBIGUOUS, f"the reply holds {len(weighty)} JSON values that differ")
    return weighty[0]


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value if isinstance(item, dict | list)) and not any(
            isinstance(item, dict) for item in value
        )
    return value == {}


def _is_footnote(region: Region, body: str) -> bool:
    """[7] within a line of prose; on a line of its own it may be an answer."""
    value = region.value
    if not (isinstance(value, list) and len(value) == 1 and isinstance(value[0], int)):
        return False
    before = body[: region.start].rpartition("\n")[2]
    after = body[region.start + len(region.text) :].partition("\n")[0]
    return bool(before.strip() or after.strip())


def _twice(key: str) -> ReplyError:
    return ReplyError(AMBIGUOUS, f"an object in the reply gives a key two different values: {_start(key)}")


def _start(text: str) -> str:
    """The beginning of a text, to recognise it by in a message."""
    return repr(text[:60] + ("…" if len(text) > 60 else ""))
