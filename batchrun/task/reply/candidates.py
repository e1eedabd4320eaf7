"""Where in a reply JSON may be: fences, and brackets that could open an object or an array."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from . import jsontext
from .json_tokens import end_of_bracket, ends_open

MAX_REGIONS = 1000  # no honest reply has as many; each failure to decode costs a look at the text before it

# An array of numbers goes on with a comma or closes: [12:30], [0, 1) and [2nd] are prose.
_NUMBERS = r"-?\d[\d\s.,eE+-]*(?:[\]\[{\"'“]|true|false|null|None|True|False|NaN|//|/\*|\Z)"
_LITERALS = r"(?:true|false|null|None|True|False|NaN|undefined)\s*,"
_OPENS = re.compile(
    r"\{(?=\s*(?:[\"'“”‘’„`＂}]|[^\W\d][\w$-]*[\"']?\s*[:：]|\d+\s*[:：]\s*[\"'\[{]|//|/\*|\Z)|\s+#[ \t])"
    rf"|\[(?=\s*(?:[{{\[\"'“”‘„＂\]]|{_NUMBERS}|{_LITERALS}|//|/\*|\Z)|\s+#[ \t])"
)
# At the beginning of a line or a word. The look back comes second: a search for one of two characters is quicker.
_FENCE = re.compile(r"(?P<mark>`(?<![^\s:：*].)``+|~(?<![^\s:：*].)~~+)[ \t]*(?P<tag>[\w+-]*)[ \t]*")
_JSON_TAGS = frozenset({"json", "json5", "jsonc", "jsonl", "ndjson"})


class Fence(NamedTuple):
    """What stands between two fence marks; `start` and `end` take in the marks."""

    body: str
    tag: str
    start: int
    end: int

    @property
    def is_json(self) -> bool:
        return self.tag in _JSON_TAGS


class Region(NamedTuple):
    """A stretch of text that is, or was meant to be, one object or array.

    `state`: whole (then `value` is set), damaged, cut (the text ends inside), twice (a key is given two
    values), part (of something that begins before the text does), or more (there are too many regions).
    `nulled` counts NaN and infinities that became None. `alone`: nothing else is in the text.
    """

    text: str
    start: int
    state: str
    value: object = None
    nulled: int = 0
    alone: bool = False


def could_open(text: str) -> bool:
    """Whether any bracket in `text` could open JSON."""
    return _OPENS.search(text) is not None


def next_bracket(text: str, start: int, end: int) -> int | None:
    """Where the next bracket that could open JSON is, from `start` on and before `end`."""
    found = _OPENS.search(text, start, end)
    return found.start() if found else None


def opens(text: str) -> bool:
    """Whether `text` begins with a bracket that could open JSON."""
    return _OPENS.match(text) is not None


def fences(text: str) -> list[Fence]:
    """The fences of `text`; if any is marked as JSON, only those."""
    found = list(all_fences(text))
    return [fence for fence in found if fence.is_json] or found


def all_fences(text: str) -> Iterator[Fence]:
    """Every fence of `text`, in order."""
    next_bracket = _FENCE.search(text)
    while next_bracket:
        body, end = _closing(text, next_bracket["mark"], next_bracket.end())
        yield Fence(text[next_bracket.end() : body].strip(), next_bracket["tag"].lower(), next_bracket.start(), end)
        next_bracket = _FENCE.search(text, end)


def _closing(text: str, mark: str, start: int) -> tuple[int, int]:
    """Where the body ends and where the fence does: on the same line, else on a line of its own."""
    newline = text.find("\n", start)
    inline = text.find(mark, start, newline if newline >= 0 else len(text))
    if inline >= 0:
        return inline, inline + len(mark)
    line = _on_its_own_line(mark).search(text, start)
    if line:
        return line.start(), line.end()
    inline = text.find(mark, start)
    return (len(text), len(text)) if inline < 0 else (inline, inline + len(mark))


@lru_cache
def _on_its_own_line(mark: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{mark}", re.MULTILINE)


def regions(text: str) -> Iterator[Region]:
    """The outermost objects and arrays in `text`, whole or not, left to right, in linear time.

    Nothing inside a damaged region counts by itself: half of an answer may look like a whole one.
    """
    position = 0
    for _ in range(MAX_REGIONS):
        next_bracket = _OPENS.search(text, position)
        if next_bracket is None:
            return
        region = _region(text, next_bracket.start())
        position = region.start + len(region.text)
        if not _is_link(text, region, position):
            yield region
    if could_open(text[position:]):
        yield Region(text[position:], position, "more")


def _region(text: str, start: int) -> Region:
    try:
        value, end, nulled = jsontext.decode_at(text, start)
    except (ValueError, RecursionError) as error:
        state = "twice" if isinstance(error, jsontext.DuplicateKey) else "damaged"
        return _broken(text, start, state)
    if _is_part(text, start, end):
        return Region(text[start:end], start, "part")
    return Region(text[start:end], start, "whole", value, nulled, end - start == len(text))


def _broken(text: str, start: int, state: str) -> Region:
    end = end_of_bracket(text, start)
    if end is None:
        return Region(text[start:], start, "cut" if ends_open(text, start) else "damaged", alone=start == 0)
    return Region(text[start:end], start, state, alone=end - start == len(text))


_MEMBER_BEFORE = re.compile(r"[\"'”]\s*[:：]\s*\Z")
_MEMBER_AFTER = re.compile(r"\s*(?:[}\]]|,\s*(?:[\"'“}\]]|\Z))")


def _is_part(text: str, start: int, end: int) -> bool:
    """Whether this is a member of something whose beginning is missing, or ends at a quote in its text."""
    if _MEMBER_BEFORE.search(text[max(0, start - 20) : start]) and _MEMBER_AFTER.match(text, end):
        return True
    quote = text[end : end + 1]
    return quote in ('"', "”") and text[max(0, start - 1) : start] not in ('"', "“")


def _is_link(text: str, region: Region, end: int) -> bool:
    """[text](address) and [text][1]: a link, whatever the text."""
    return region.text.startswith("[") and text[end : end + 1] in ("(", "[") and region.state != "cut"
