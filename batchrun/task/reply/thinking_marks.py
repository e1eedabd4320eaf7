"""Where in a reply a model's thinking begins and ends, as models of today mark it.

Tags as DeepSeek, Qwen, Seed, MiniMax, Kimi, Magistral, Command A or Open WebUI write them, the channels of
gpt-oss and Gemma, the words of Granite, fences named `thinking`. A mark in quotes is spoken of, not meant.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# `<seed:think>`, `<|START_THINKING|>`, `</|end_of_thought|>`: any prefix, any bars, any attributes.
_CORE = "think(?:ing)?|thoughts?|reasoning"
_MORE = "reason|reflection|scratch_?pad|analysis|monologue|deliberation"
_TAG = (
    r"(?:[<＜]|&lt;)\s{0,3}[|｜]?(?P<slash>/?)[|｜]?\s{0,3}(?:(?P<edge>begin|start|end)[_▁](?:of[_▁])?)?"
    rf"(?P<name>(?:[a-z]{{1,20}}[:_-]){{0,3}}(?:ant|inner)?(?:(?P<core>{_CORE})|{_MORE}))(?![\w:-])"
    r"(?P<rest>[\s|｜/][^<>＜＞&]{0,200})?(?:[>＞]|&gt;)"
    rf"|\[(?P<slash2>/?)(?P<name2>{_CORE})\](?!\()|◁(?P<slash3>/?)(?P<name3>think)▷"
)
# A header of another channel opens thinking, that of the final one ends it; `assistantfinal` is what is
# left of it where a decoder drops special tokens.
_CHANNEL = (
    r"(?:<\|start\|>\s{0,3}assistant[^<]{0,80})?<\|channel\|>\s{0,3}(?P<channel>\w{1,30})[^<]{0,100}"
    r"(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
    r"|\A(?P<bare>analysis)(?=[^\s:,.;a-z].*?assistantfinal|(?:We|The|User|I|Let|Need|Okay|It|This|So)\b)"
    r"|(?P<barefinal>assistantfinal)(?![a-z])"
)
_PAIRS = {
    "gemma": (r"<\|channel>", r"<channel\|>"),
    "open": (r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>"),
    "inner": (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    "unused": (r"\[unused16\]", r"\[unused17\]"),
}
# An end of these says nothing without its beginning, and a beginning nothing without its end.
_HERE = r"^Here(?:['’]s| is) my "
_BLOCKS = {
    "process": (rf"{_HERE}thought process:", rf"{_HERE}response:"),
    "details": (
        r"<details\b[^<>]{0,200}?(?:type=[\"']?reasoning\b[^<>]{0,200}>|"
        rf">\s{{0,20}}<summary>[^<]{{0,40}}(?i:{_CORE})[^<]{{0,40}}</summary>)",
        r"</details>",
    ),
    "ticks": (rf"^```[ \t]{{0,3}}(?i:{_CORE})[ \t]*$", r"^```[ \t]*$"),
    "tildes": (rf"^~~~[ \t]{{0,3}}(?i:{_CORE})[ \t]*$", r"^~~~[ \t]*$"),
}
_FLAGS = re.MULTILINE | re.DOTALL
_MARK = re.compile(
    "|".join(
        [
            f"(?i:{_TAG})",
            _CHANNEL,
            *(f"(?P<{name}>{begin})|(?P<{name}_end>{end})" for name, (begin, end) in _PAIRS.items()),
            *(f"(?P<{name}>{begin})" for name, (begin, _) in _BLOCKS.items()),
        ]
    ),
    _FLAGS,
)
_TAG_ENDS = ("name", "rest", "name2", "name3")  # the last group that takes part in a tag
_PAIR_ENDS = {f"{name}_end": name for name in _PAIRS}
_ENDS = {name: re.compile(end, _FLAGS) for name, (_, end) in _BLOCKS.items()}
# Where a mark may be, found quickly: each alternative begins with one letter.
_HINT = re.compile(r"<|＜|◁|&lt;|\[/?[TtRru]|```[ \t]*[TtRr]|~~~[ \t]*[TtRr]")
_WORDS = re.compile(rf"{_HINT.pattern}|Here|\Aanalysis|assistantfinal")
_QUOTES = "`\"'“”‘’„«»"


class Mark(NamedTuple):
    """A beginning or an end of thinking. `family`: what both have in common.

    `core`: no other writing is likely to have it. `whole`: a block whose end is known with it.
    """

    family: str
    opens: bool
    start: int
    end: int
    core: bool = True
    whole: bool = False


def marks(text: str) -> Iterator[Mark]:
    """The marks in `text`, in order, but for those in quotes. Linear in the text."""
    position = 0
    missing: set[str] = set()
    has_words = "my thought process:" in text or "assistantfinal" in text or text.startswith("analysis")
    for hint in (_WORDS if has_words else _HINT).finditer(text):
        found = _MARK.match(text, hint.start()) if hint.start() >= position else None
        mark = _mark(found, text, missing) if found else None
        if mark and not _is_quoted(mark, text):
            yield mark
            position = mark.end


def _is_quoted(mark: Mark, text: str) -> bool:
    return mark.start > 0 and text[mark.start - 1] in _QUOTES and text[mark.end : mark.end + 1] in _QUOTES


def _mark(found: re.Match[str], text: str, missing: set[str]) -> Mark | None:
    start, end = found.span()
    last = found.lastgroup or ""
    if last in _TAG_ENDS:
        name = found["name"] or found["name2"] or found["name3"]
        closes = bool(found["slash"] or found["slash2"] or found["slash3"]) or (found["edge"] or "").lower() == "end"
        core = bool(found["core"] or not found["name"])
        return Mark(name.lower(), not closes, start, end, core, (found["rest"] or "").endswith("/"))
    if last in ("bare", "barefinal", "channel"):
        return Mark("channel", last == "bare" or (last == "channel" and found["channel"] != "final"), start, end)
    if last in _BLOCKS:
        return _block(last, text, start, end, missing)
    return Mark(_PAIR_ENDS.get(last, last), last in _PAIRS, start, end)


def _block(family: str, text: str, start: int, end: int, missing: set[str]) -> Mark | None:
    """A block with its end. `missing`: the families that are known to end nowhere behind `start`."""
    closing = None if family in missing else _ENDS[family].search(text, end)
    if closing is None:
        missing.add(family)
        if family == "process":
            return None  # such words alone begin many an answer
    return Mark(family, True, start, closing.end() if closing else len(text), whole=True)
