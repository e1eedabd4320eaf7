"""A repair keeps every character of every value, in its place, or it is none."""

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from replies import ended

from batchrun.task.reply import Parsed, ReplyError, parse
from batchrun.task.reply.faithful import says_exactly
from batchrun.task.reply.jsontext import same

LETTERS = "abz09 -_.,;:!?'()[]{}#/\\+*=%$€°<>|&~@^“”‘’„…、，。中文äß\n\t"
WORDS = st.text("abcxyz中文äß019", min_size=1, max_size=6)
TEXTS = st.text(LETTERS, max_size=12) | WORDS
LEAVES = (
    st.none() | st.booleans() | st.integers(-10_000, 10**20) | st.floats(-1e6, 1e6).map(lambda f: round(f, 3)) | TEXTS
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True) | TEXTS.filter(bool)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)
QUOTES = [('"', '"'), ("'", "'"), ("“", "”"), ("`", "`")]
DAMAGES = (
    "quotes",
    "keys",
    "commas",
    "trailing",
    "comments",
    "literals",
    "newlines",
    "unescaped",
    "closed",
    "fullwidth",
)


class Writer:
    """Writes a value as people and models do. What is written says the same as the value, to a careful reader."""

    def __init__(self, data: st.DataObject, damages: set[str]) -> None:
        self.draw, self.damages = data.draw, damages

    def some(self, damage: str) -> bool:
        return damage in self.damages and self.draw(st.booleans())

    def value(self, value: object) -> str:
        if isinstance(value, dict):
            return self.bracketed("{}", [f"{self.key(key)}: {self.value(item)}" for key, item in value.items()])
        if isinstance(value, list):
            return self.bracketed("[]", [self.value(item) for item in value])
        if isinstance(value, str):
            return self.text(value)
        return str(value) if self.some("literals") else json.dumps(value)

    def bracketed(self, brackets: str, members: list[str]) -> str:
        written = brackets[0]
        for index, member in enumerate(members):
            if index:
                written += ("，" if self.some("fullwidth") else ",") if not self.some("commas") else "\n"
            written += self.gap() + member
        if members and self.some("trailing"):
            written += self.draw(st.sampled_from([",", " ,", ",\n"]))
        return written + self.gap() + brackets[1]

    def gap(self) -> str:
        if not self.some("comments"):
            return self.draw(st.sampled_from([" ", "\n  "]))
        return self.draw(st.sampled_from([" // why, {not}\n", " /* 'or' \n */ ", "\n# so\n"]))

    def key(self, key: str) -> str:
        return (
            key
            if self.some("keys") and re.fullmatch("[a-z_]+", key) and key not in ("true", "null")
            else self.text(key)
        )

    def text(self, text: str) -> str:
        opening, closing = self.draw(st.sampled_from(QUOTES[1:])) if self.some("quotes") else QUOTES[0]
        inner = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
        if self.some("newlines"):
            inner = inner.replace("\\n", "\n").replace("\\t", "\t")
        if not self.some("unescaped"):
            inner = re.sub(f"[{opening}{closing}]", lambda match: "\\" + match[0], inner)
        return opening + inner + closing


@given(
    OBJECTS | st.lists(VALUES, min_size=1).map(lambda items: {"items": items}),
    st.sets(st.sampled_from(DAMAGES)),
    st.data(),
)
def test_a_repair_says_what_was_written_or_fails(value: object, damages: set[str], data: st.DataObject) -> None:
    text = Writer(data, damages).value(value)
    end = ended(text)
    if isinstance(end, Parsed):
        assert same(end.value, value), text
    else:
        assert end.kind in ("no_json", "ambiguous", "truncated")


@given(OBJECTS, st.sets(st.sampled_from(DAMAGES)), st.data())
def test_whatever_is_cut_off_is_no_answer(value: object, damages: set[str], data: st.DataObject) -> None:
    text = Writer(data, damages).value(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    end = ended(cut)
    assume(not (isinstance(end, Parsed) and cut.rstrip().endswith("}") and says_exactly(end.value, cut.strip())))
    assert isinstance(end, ReplyError), cut


@given(
    st.lists(WORDS, min_size=2, max_size=4),
    st.text(" ;、/|+&-.·→=~*和与andor", max_size=4),
    st.sampled_from(['""', "''", "“”", "„“", "＂＂"]),
)
def test_two_texts_side_by_side_never_become_one(words: list[str], between: str, quotes: str) -> None:
    assume(quotes != "''" or not (between[:1].isalpha() and between[-1:].isalpha()))  # like those of it's
    items = between.join(f"{quotes[0]}{word}{quotes[1]}" for word in words)
    for text, value in (
        (f"[{items}]", words),
        (f'{{"tags": [{items}], "n": 2}}', {"tags": words, "n": 2}),
        (f'{{"t": {items}}}', None),
    ):
        end = ended(text)
        assert isinstance(end, ReplyError) or same(end.value, value), text


_JUNK = r"""
5 kg
5kg
−5
– 5
$5
€ 5
5 €
5%
±5
~5
<5
>= 5
5+
#5
!true
not true
0x1F
1_000
1,000
1 000
01234
1/2
12:30
2024-01-15
2024-01-15T12:30:00Z
1e
--5
(1, 2)
{1, 2}
...
…
[...]
"a" + "b"
"a" "b"
"a"; "b"
"a" or "b"
'a' 'b'
"a""b"
"a".
say "hi"
"5" tall"
"a"b"c"
'it's' 's
b'x'
f"x"
Decimal('1.5')
datetime.date(2024, 1, 2)
<NA>
New York
http://x.y/z
a@b.c
C:\Users\new
"C:\Users\new"
"\alpha \beta"
"\frac{1}{2}"
-
+491701234567
"x"y
"x" y
y "x"
"x
x"
'x"
“x"
"x”
1 2
1; 2
true false
null 0
a: 1
"a": 1
/x/
=> 5
"""
JUNK = [*_JUNK.strip().split("\n"), ""]  # the last: a value that is not there
SYNTAX = re.compile(r"[\s\"'“”`{}\[\],，:;、]")


def said(value: object) -> str:
    if isinstance(value, dict):
        return "".join(said(key) + said(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(map(said, value))
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(
    "around",
    [
        "{{'k': {}}}",
        '{{"k": {}, "l": "m"}}',
        '{{"a": "b" "k": {}}}',
        "['a', {}, 'z']",
        '[{}, {{"k": {},}}]',
        "{{k: {}}}",
    ],
)
def test_what_no_repair_can_know_is_no_json_and_loses_nothing(junk: str, around: str) -> None:
    text = around.format(junk, junk)
    end = ended(text)
    if isinstance(end, Parsed) and end.how == "repaired":
        assert SYNTAX.sub("", said(end.value)) == SYNTAX.sub("", text), end.value
        assert not re.search(r"[\"'] *[;+]| or ", json.dumps(end.value)[1:-1].replace('", "', "")), end.value
    elif (
        isinstance(end, ReplyError)
        and junk.count('"') % 2 == 0
        and "#" not in junk
        and "'" not in junk
        and "“" not in junk
    ):
        assert end.kind != "truncated", end.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a" "b"]', ["a", "b"]),
        ("[“red” “blue”]", ["red", "blue"]),
        ("[“red”、“blue”]", ["red", "blue"]),
        ('["red"，"blue",]', ["red", "blue"]),
        ('{"a": "他说"好"了"}', {"a": '他说"好"了'}),
        ('{"h": "<a href="x">t</a>"}', {"h": '<a href="x">t</a>'}),
        ("{'a': 'rock 'n' roll', 'b': 'O'Brien'}", {"a": "rock 'n' roll", "b": "O'Brien"}),
        ('{"a": 5. "b": [.5 -2]}', {"a": 5.0, "b": [0.5, -2]}),
        ('{"a": +5, "b": Paris}', {"a": 5, "b": "Paris"}),
        ('{"a": 1; "b": [1, 2}', {"a": 1, "b": [1, 2]}),
        ('{{"a": 1}}', {"a": 1}),
        ("{'p': 'C:\\\\Users\\\\new'}", {"p": "C:\\Users\\new"}),
    ],
)
def test_a_repair_that_loses_nothing_is_made(text: str, value: object) -> None:
    assert same(parse(text).value, value)


@pytest.mark.parametrize(
    "text",
    ['{"a": "b";x}', '{"a": "12"px}', '{"a": 1 // one }', '["5"x]', '{"tags": ["red"。]}', '{"a": "x" # y }'],
)
def test_a_text_whose_brackets_are_closed_is_not_called_cut_off(text: str) -> None:
    end = ended(text)
    assert isinstance(end, ReplyError)
    assert end.kind == "no_json"
