"""Where strings, brackets and comments lie in JSON that was written by hand or by a model.

Single, curly and full-width quotes, comments and bare words are known, and quotes inside strings that
nobody escaped. One pass, linear in the text, and never an error: broken text has tokens too.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .clear_json import PAIRS, clear_end

# A quote ends a string only where a string can end: before a comma, colon, bracket, comment or the end.
_AFTER = r"\s*(?:[,:}\]，：]|\Z|//|/\*)"
CLOSERS = {
    **{quote: quote for quote in "\"'`＂"},
    **dict.fromkeys("“”", "”“"),
    **dict.fromkeys("‘’", "’‘"),
    "„": "“”",
}
COMMENT = r"(?<![:\w])//[^\n]*|/\*.*?(?:\*/|\Z)|(?<!\S)#[ \t][^\n]*"


def _to_end_of_string(closers: str) -> re.Pattern[str]:
    inside = rf"[^\\{closers}]*"
    return re.compile(
        rf"({inside}(?:(?:\\.|[{closers}](?!{_AFTER})){inside})*)(?:[{closers}](?={_AFTER})|\Z)", re.DOTALL
    )


_STRINGS = {opener: _to_end_of_string(closers) for opener, closers in CLOSERS.items()}
_TOKEN = re.compile(
    r"\s+"
    r"|(?P<open>[{\[])|(?P<close>[}\]])|(?P<comma>[,，])|(?P<colon>[:：])"
    rf"|(?P<comment>{COMMENT})"
    rf"|(?P<quote>[{''.join(CLOSERS)}])"
    r"|(?P<bare>[^\s{}\[\],:，：]+)",
    re.DOTALL,
)
# A string begins where one may, and after another value too: there, only the comma is missing.
_BEFORE_STRING = frozenset({"", "open", "comma", "colon", "close", "value"})
_VALUE = re.compile(r"-?\d[\d.eE+-]*|true|false|null|True|False|None", re.ASCII)


class Token(NamedTuple):
    """`kind` is open, close, comma, colon, comment, string, cut (a string without an end) or bare."""

    kind: str
    start: int
    end: int


def json_tokens(text: str, start: int = 0) -> Iterator[Token]:
    """The tokens of `text` from `start` on. Reads on to the end: the caller stops when it has enough."""
    position, before = start, ""
    while match := _TOKEN.match(text, position):
        kind, end = match.lastgroup, match.end()
        if kind == "quote" and before in _BEFORE_STRING:
            kind, end = _string(text, position)
        if kind:  # else white space
            if kind != "comment":
                before = "value" if kind == "bare" and _VALUE.fullmatch(match[0]) else kind
            yield Token("bare" if kind == "quote" else kind, position, end)
        position = end


def _string(text: str, start: int) -> tuple[str, int]:
    match = _STRINGS[text[start]].match(text, start + 1)
    end = match.end() if match else len(text)
    return ("cut" if match is None or match.end(1) == end else "string"), end


def end_of_bracket(text: str, start: int) -> int | None:
    """Where the bracket at `start` is closed (the index after it), or None if the text ends before."""
    return clear_end(text, start) or end_by_tokens(text, start)


def end_by_tokens(text: str, start: int) -> int | None:
    """The same for any text, clear or not."""
    stack: list[str] = []
    unclosed = {"{": 0, "[": 0}
    for token in json_tokens(text, start):
        bracket = text[token.start]
        if token.kind == "open":
            stack.append(bracket)
            unclosed[bracket] += 1
        elif token.kind == "close" and unclosed[PAIRS[bracket]]:
            _close(PAIRS[bracket], stack, unclosed)
            if not stack:
                return token.end
    return None


def ends_open(text: str, start: int) -> bool:
    """Whether a text in which the bracket at `start` is not closed breaks off, and is not complete but confused.

    It is confused if all brackets are closed behind a quote that does not fit (`{"a": "b";}`, `["5"x]`), or in
    a comment that takes the rest of its line.
    """
    last = max(json_tokens(text, start), key=lambda token: token.end)
    if last.kind not in ("cut", "comment"):
        return True
    inside = re.sub(r"\\.", "", text[last.start + 1 : last.end], flags=re.DOTALL)
    if last.kind == "cut" and not set(inside) & set(CLOSERS[text[last.start]]):
        return True
    counts = Counter(text[start:])
    return counts["{"] > counts["}"] or counts["["] > counts["]"]


def _close(opener: str, stack: list[str], unclosed: dict[str, int]) -> None:
    """Ends the innermost `opener`, and with it the brackets inside of it that were left open."""
    popped = ""
    while popped != opener:
        popped = stack.pop()
        unclosed[popped] -= 1
