"""What is read without being cut into tokens is read as tokens say."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.task.reply.clear_json import clear_as_strict, clear_end
from batchrun.task.reply.json_tokens import end_by_tokens
from batchrun.task.reply.jsontext import decode, same
from batchrun.task.reply.relaxed import strict_by_tokens

CLEAR = ["[", "]", "{", "}", ",", ":", " ", "\n", "1", "-2.5e3", "true", "False", "None", "null", '"a"', "'b'", '""']
ODD = [
    '"',
    "'",
    "\\",
    "“",
    "”",
    "„",
    "‘",
    "’",
    "＂",
    "`",
    "//",
    "/*",
    "# ",
    "01",
    "+1",
    ".5",
    "NaN",
    "key",
    "\x1f",
    "，",
]
STRINGS = ['"a,]"', "'{b'", '"\\"}"', '"\\\\"', '"\\n\\/"', '"\\u00e9"', '"\\ud800"', '"\\frac"', '"it\'s"', "'say \"'"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def pieces(odd: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(CLEAR + STRINGS + odd), max_size=20).map("".join)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A value as JSON or as Python writes it, with or without a comma before each bracket, and a piece somewhere."""
    text = draw(st.sampled_from([json.dumps, repr]))(draw(VALUES))
    if draw(st.booleans()):
        text = text.replace("}", ",}").replace("]", ", ]")
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "", *CLEAR, *STRINGS, *ODD])) + text[at:]


TEXTS = st.sampled_from("[{").flatmap(lambda bracket: (pieces([]) | pieces(ODD) | written()).map(bracket.__add__))


def meaning(text: str) -> tuple[object, int] | None:
    try:
        return decode(text)
    except ValueError:
        return None


@given(TEXTS)
def test_a_bracket_ends_where_it_ends_for_tokens(text: str) -> None:
    end = clear_end(text, 0)
    assert end is None or end == end_by_tokens(text, 0)


@given(TEXTS)
@example("[,]")
@example('{"a":}')
@example('{"a": ,}')
@example('{"a" "b": 1}')
@example("{1: 2}")
@example("[1 2]")
@example("[1],")
@example('["a" // b\n]')
def test_it_says_as_strict_json_what_tokens_say(text: str) -> None:
    clear = clear_as_strict(text)
    if clear is not None:
        assert same(meaning(clear), meaning(strict_by_tokens(text)))


@pytest.mark.parametrize(
    "text",
    [
        "{'id': 1, 'same': True, 'near': None, 'why': 'one city',}",
        '{"why": "It\'s a \\"city\\",\\n]", "places": [1.5, {"a": {}, }, ], }',
        '[\n\t{"a": -1e-3,},\n\t[],\n]\n',
    ],
)
def test_what_models_write_is_clear(text: str) -> None:
    assert clear_end(text, 0) == len(text.rstrip())
    assert clear_as_strict(text) is not None


@pytest.mark.parametrize(
    "text", ['{"a": 1 "b": 2}', "{a: 1}", "{'a': 'it's'}", '{"a": “b”}', '["a\nb"]', '["\\b"]', "[+1]"]
)
def test_what_leaves_a_doubt_is_cut_into_tokens(text: str) -> None:
    assert clear_end(text, 0) is None
    assert clear_as_strict(text) is None
