"""Whether a repaired value says what the text says.

The same words and numbers, in order, none missing; and as many objects, arrays and keys as the text has
brackets and colons, in the same nesting. Else a repair has moved a member, or made two of one.
"""

import re
from collections.abc import Iterator
from math import isfinite

from .relaxed import LITERALS
from .scan import PAIRS, tokens

_WORD = re.compile(r"\w+")
# What may stand around a number or a literal, and says nothing: a sign or a unit there would be lost.
_BEFORE = re.compile(r"[\s{}\[\],:，：;\"'“”‘’`＂]*")
_AFTER_NUMBER = re.compile(r"\s*(?:[,:，：;{}\[\]\"'“”‘’`＂]|\Z)|\s+[+-]?\.?\w")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[bfnrt])")
_LITERALS = {True: ("true",), False: ("false",), None: ("null", "none")}


def says(value: object, text: str) -> bool:
    """Whether walking through `value` passes each word of `text` but its comments, and nothing else."""
    if _written_shape(text) != _shape(value):
        return False
    said = _without_comments(text)
    position = 0
    for leaf in _leaves(value):
        after = _pass(leaf, said, position)
        if after is None:
            return False
        position = after
    return not _WORD.search(said, position)


def _leaves(value: object) -> Iterator[object]:
    """Keys and values in the order in which they were written."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _pass(leaf: object, said: str, position: int) -> int | None:
    """The position after `leaf` in `said`, if that is what comes next; else None."""
    if isinstance(leaf, str):
        return _pass_text(leaf, said, position)
    if leaf is None or isinstance(leaf, bool):
        word = _WORD.match(said, _after_gap(said, position))
        return word.end() if word and word[0].lower() in _LITERALS[leaf] else None
    return _pass_number(leaf, said, position)


def _pass_text(leaf: str, said: str, position: int) -> int | None:
    if leaf in LITERALS:
        return None  # a NaN or an undefined made text
    words = _WORD.findall(leaf)
    if not words and not re.match(r"\W*?([\"'“”‘’`＂])\W*?[\"'“”‘’`＂]", said[position : position + 200]):
        return None  # an empty text that nobody wrote
    for word in words:
        found = _WORD.search(said, position)
        if found is None or found[0] != word:
            return None
        position = found.end()
    # What is behind the last word belongs to this text (`($)` of `price ($)`), and is no sign of what comes next.
    rest = leaf[leaf.rindex(words[-1]) + len(words[-1]) :] if words else leaf
    at = position if words else _after_gap(said, position)
    return at + len(rest) if rest and said.startswith(rest, at) else position


def _pass_number(leaf: object, said: str, position: int) -> int | None:
    number = _NUMBER.match(said, _after_gap(said, position))
    if number is None or not number[0].strip("+-.eE") or not _AFTER_NUMBER.match(said, number.end()):
        return None
    found = float(number[0])
    return number.end() if isfinite(found) and found == leaf else None


def _after_gap(said: str, position: int) -> int:
    gap = _BEFORE.match(said, position)
    return gap.end() if gap else position


def _without_comments(text: str) -> str:
    pieces, position = [], 0
    for token in tokens(text):
        if token.kind == "comment":
            pieces.append(text[position : token.start])
            position = token.end
    plain = "".join(pieces) + text[position:]
    return _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "u" else "\n", plain)


def _shape(value: object) -> tuple[int, int, int]:
    """How many objects, arrays and keys there are in a value."""
    if isinstance(value, dict):
        inner, own = [_shape(item) for item in value.values()], (1, 0, len(value))
    elif isinstance(value, list):
        inner, own = [_shape(item) for item in value], (0, 1, 0)
    else:
        return 0, 0, 0
    objects, arrays, keys = zip(own, *inner, strict=True)
    return sum(objects), sum(arrays), sum(keys)


def _written_shape(text: str) -> tuple[int, int, int] | None:
    """The same for a text from bracket to bracket; None if its nesting is unclear before its last bracket."""
    counts, stack = {"{": 0, "[": 0, ":": 0}, [""]
    for token in tokens(text):
        if token.kind == "open":
            stack.append(text[token.start])
            counts[stack[-1]] += 1
        elif token.kind == "colon":
            counts[":"] += 1
            if stack[-1] != "{":
                return None
        elif token.kind == "close" and token.end < len(text) and stack.pop() != PAIRS[text[token.start]]:
            return None
    return counts["{"], counts["["], counts[":"]
