"""One damaged object or array made whole: by our own rules first, by json-repair where these end.

json-repair always answers something: it drops the "km" of `{"a": 5 km}`, keeps the last of two objects,
and makes an empty text of a missing value, all without a word. So its answer counts only if it says
what the text says: the same words and numbers, in the same order, none missing.
"""

import json
from collections.abc import Iterator
from typing import Any

from . import jsontext
from .faithful import says_exactly
from .json_tokens import Token, json_tokens
from .relaxed import Unreadable, strict

MAX_CHARACTERS = 64 * 1024
_READS = 1_000_000  # characters that json-repair may look at; honest replies need up to 10 for each they have


class _OutOfReads(Exception):
    """json-repair has looked at more characters than any honest reply needs."""


class _Metered(str):
    """A text that can be read a limited number of times, together with all texts that are made of it."""

    left: list[int]

    @classmethod
    def of(cls, text: str, left: list[int]) -> "_Metered":
        metered = cls(text)
        metered.left = left
        return metered

    def __getitem__(self, key: Any) -> str:
        found = super().__getitem__(key)
        self.left[0] -= len(found)
        if self.left[0] < 0:
            raise _OutOfReads
        return _Metered.of(found, self.left) if isinstance(key, slice) else found

    def __add__(self, other: str) -> str:
        return _Metered.of(super().__add__(other), self.left)

    def __radd__(self, other: str) -> str:
        return _Metered.of(other + str.__str__(self), self.left)


def mend(text: str, *, guess: bool = True) -> tuple[object, int]:
    """The object or array in `text`, which is a damaged one from bracket to bracket, and NaNs made None.

    Without `guess`, only our own rules are tried. Takes about a second at most, whatever the text.
    Raises Unreadable, or DuplicateKey.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("it is longer than 64 KB", hopeless=True)
    try:
        return jsontext.decode(strict(text))
    except jsontext.DuplicateKey:
        raise
    except Unreadable as unreadable:
        if unreadable.hopeless or not guess:
            raise
    except (ValueError, RecursionError):
        if not guess:
            raise Unreadable("it is not JSON") from None
    return _checked(_repair(text), text), 0


def is_mendable(text: str) -> bool:
    """Whether our own rules can read `text`, from bracket to bracket."""
    try:
        mend(text, guess=False)
    except (ValueError, RecursionError):
        return False
    return True


def close(text: str) -> str:
    """A cut-off object or array, without its unfinished last member, closed; '' if nothing would be left.

    A bare word or number at the end goes, since `12` may have been 1200; a text stays as far as it came.
    """
    kept = [token for token in json_tokens(text) if token.kind != "comment"]
    if kept and kept[-1].kind == "bare":
        kept.pop()
    while kept and not _finished(kept, text):
        kept.pop()
    if not kept:
        return ""
    quote = text[kept[-1].start] if kept[-1].kind == "cut" else ""
    return text[: kept[-1].end] + quote + "".join(_open_brackets(kept, text))


def _finished(kept: list[Token], text: str) -> bool:
    """Whether the last token may stay: a comma, a colon or a bracket waits for more, a key for its value."""
    if kept[-1].kind in ("string", "cut"):
        return kept[-2].kind == "colon" or next(_open_brackets(kept, text), "") == "]"
    return kept[-1].kind in ("bare", "close")


def _open_brackets(kept: list[Token], text: str) -> Iterator[str]:
    """The brackets that would close what is open, innermost first."""
    stack: list[str] = []
    for token in kept:
        if token.kind == "open":
            stack.append("}" if text[token.start] == "{" else "]")
        elif token.kind == "close" and stack:
            stack.pop()
    return reversed(stack)


def _repair(text: str) -> object:
    from json_repair import repair_json  # few replies get here, and the import costs 30 ms

    try:
        repaired = repair_json(_Metered.of(text, [_READS]), return_objects=True, skip_json_loads=True)
        return json.loads(json.dumps(repaired))  # which leaves no metered texts in it
    except _OutOfReads:
        raise Unreadable("it is too damaged to repair in reasonable time") from None
    except (RecursionError, ValueError, IndexError, KeyError, TypeError, AttributeError):
        raise Unreadable("it is too damaged to repair") from None


def _checked(value: object, text: str) -> object:
    """`value` if it says exactly what `text` says. Raises Unreadable."""
    if not value or not isinstance(value, dict if text.startswith("{") else list):
        raise Unreadable("it is not what its first bracket says")
    if not says_exactly(value, text):
        raise Unreadable("a repair would change what it says")
    return value
