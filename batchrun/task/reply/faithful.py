"""Whether a text, however damaged, says just what a repaired value says.

The text is read along the value: each bracket, key, colon and leaf must come next, with nothing between them
but white space, comments and commas. So nothing can have been dropped, moved, split or merged.
"""

import re
from math import isfinite

from .json_tokens import CLOSERS, COMMENT
from .relaxed import LITERALS, PHONE, has_clear_escapes, is_one_text

_GAP = re.compile(rf"(?:\s+|{COMMENT})*", re.DOTALL)
_COMMAS = ",，;；、"
_AFTER = re.compile(rf"[\s{_COMMAS}:：{{}}\[\]]|//|/\*|\Z")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_LITERAL = re.compile(r"\w+")
_BARE = re.compile(r"[^\W\d][\w$-]*")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\"'\\/bfnrt`“”‘’„＂]))")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {True: ("true",), False: ("false",), None: ("null", "none")}


class _Differs(Exception):
    """The text says something else here."""


def says_exactly(value: object, text: str) -> bool:
    """Whether `text`, from bracket to bracket, says `value` and nothing else."""
    try:
        return _past(value, text, 0) == len(text)
    except _Differs:
        return False


def _past(value: object, text: str, at: int) -> int:
    """The place in `text` behind `value`, which begins at `at`. Raises _Differs."""
    if isinstance(value, dict):
        return _past_object(value, text, at)
    if isinstance(value, list):
        return _past_array(value, text, at)
    if isinstance(value, str):
        return _past_text(value, text, at)
    if value is None or isinstance(value, bool):
        return _past_literal(value, text, at)
    return _past_number(value, text, at)


def _past_object(value: dict[str, object], text: str, at: int) -> int:
    at = _expect("{", text, at)
    for index, (key, item) in enumerate(value.items()):
        at = _past_comma(text, at) if index else _gap(text, at)
        at = _gap(text, _past_text(key, text, at))
        at = _gap(text, _expect(":：", text, at))
        at = _past(item, text, at)
    return _past_close("}", text, at)


def _past_array(value: list[object], text: str, at: int) -> int:
    at = _expect("[", text, at)
    for index, item in enumerate(value):
        at = _past(item, text, _past_comma(text, at) if index else _gap(text, at))
    return _past_close("]", text, at)


def _expect(any_of: str, text: str, at: int) -> int:
    if not text[at : at + 1] or text[at] not in any_of:
        raise _Differs
    return at + 1


def _gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _past_comma(text: str, at: int) -> int:
    """Behind one comma; where there is none, two values must stand apart: `"a""b"` may be one of them."""
    after = _gap(text, at)
    if text[after : after + 1] and text[after] in _COMMAS:
        return _gap(text, after + 1)
    if after == at and text[at - 1 : at] not in ("}", "]") and text[at : at + 1] not in ("{", "["):
        raise _Differs
    return after


def _past_close(bracket: str, text: str, at: int) -> int:
    at = _gap(text, at)
    if text[at : at + 1] and text[at] in _COMMAS:
        at = _gap(text, at + 1)
    if text[at : at + 1] == bracket:
        return at + 1
    if at == len(text) - 1 and text[at] in "}]":
        return at  # the last bracket closes those that were left open, too
    raise _Differs


def _past_text(value: str, text: str, at: int) -> int:
    closers = CLOSERS.get(text[at : at + 1])
    if closers is None:
        if value in LITERALS or not _BARE.fullmatch(value) or not text.startswith(value, at):
            raise _Differs
        return _ended(text, at + len(value))
    end = _past_characters(value, text, at + 1)
    inner = text[at + 1 : end]
    if not text[end : end + 1] or text[end] not in closers:
        raise _Differs
    if not is_one_text(inner, text[at]) or not has_clear_escapes(inner):
        raise _Differs
    return _ended(text, end + 1)


def _past_characters(value: str, text: str, at: int) -> int:
    if "\\" not in value and text.startswith(value, at):
        return at + len(value)
    for character in value:
        escape = _ESCAPE.match(text, at)
        if escape and _meant(escape) == character:
            at = escape.end()
        elif text[at : at + 1] == character:
            at += 1
        else:
            raise _Differs
    return at


def _meant(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2]
    return chr(int(digits, 16)) if digits else _ESCAPED.get(escape[3], escape[3])


def _past_literal(value: bool | None, text: str, at: int) -> int:
    word = _LITERAL.match(text, at)
    if word is None or word[0].lower() not in _WORDS[value]:
        raise _Differs
    return _ended(text, word.end())


def _past_number(value: object, text: str, at: int) -> int:
    number = _NUMBER.match(text, at)
    if number is None or not number[0].strip("+-.eE") or PHONE.fullmatch(number[0]):
        raise _Differs
    found = int(number[0]) if re.fullmatch(r"[+-]?\d+", number[0]) else float(number[0])
    if found != value or not isfinite(found):
        raise _Differs
    return _ended(text, number.end())


def _ended(text: str, at: int) -> int:
    """`at`, where a value may end: no sign, unit or letter of it is left."""
    if not _AFTER.match(text, at):
        raise _Differs
    return at
