"""The ladder from a reply to its one JSON value: the right one, or a named failure, never a guess."""

import json
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from replies import ended, failure

from batchrun.task.encode import encode
from batchrun.task.reply import ReplyError, parse
from batchrun.task.reply.jsontext import same

KINDS = {"empty", "no_json", "ambiguous", "truncated", "schema"}
F = "```"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4)
PIECES = st.sampled_from(
    [
        '{"a": ',
        '"',
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "1",
        "tru",
        "null",
        "NaN",
        F,
        F + "json\n",
        "\n",
        "<think>",
        "</think>",
        "\\",
        "//",
        "/*",
        "“",
        "...",
        "word ",
        "\ud800",
        "{a: b}",
        "[1]",
        " ",
        "#",
        "-",
        "1e999",
        "~~~",
    ]
)


def taken(text: str, **options: bool) -> tuple[object, str]:
    parsed = parse(text, **options)
    return parsed.value, parsed.how


@given(JSON)
def test_every_json_value_comes_back_as_it_was(value: object) -> None:
    parsed = parse(encode(value)[0].decode())
    assert same(parsed.value, value)
    assert (parsed.how, parsed.nulled) == ("json", 0)


@given(
    OBJECTS,
    st.sampled_from(["Sure: {}", "{}\nHope this helps!", "In [1], see [this](url):\n{} done {{smile}}"]),
)
def test_an_object_in_prose_is_found(value: dict[str, object], prose: str) -> None:
    assert taken(prose.format(json.dumps(value, indent=2))) == (value, "embedded")


@given(OBJECTS, st.sampled_from(["json", "JSON", ""]), st.sampled_from([F, "~~~"]), st.booleans())
def test_an_object_in_a_fence_is_found(value: object, tag: str, mark: str, closed: bool) -> None:
    body = json.dumps(value)
    assume(F not in body and "~~~" not in body)  # a mark inside the value may end an open fence
    text = f"Here it is:\n{mark}{tag}\n{body}\n" + (f"{mark}\nAnything else?" if closed else "")
    assert taken(text) == (value, "fence")


@given(OBJECTS, st.data())
def test_an_object_cut_anywhere_is_never_taken_for_a_whole_one(value: object, data: st.DataObject) -> None:
    text = json.dumps(value)
    assume(F not in text and "~~~" not in text)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert failure(cut) == "truncated"
    assert failure(f"{F}json\n{cut}") == "truncated"


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(), st.booleans(), st.booleans())
def test_no_text_raises_anything_else_or_yields_garbage(text: str, strict: bool, accept: bool) -> None:
    end = ended(text, strict=strict, accept_truncated=accept)
    if isinstance(end, ReplyError):
        assert end.kind in KINDS
    else:
        assert end.how in ("json", "think", "fence") or isinstance(end.value, dict | list)
        json.dumps(end.value, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ('\ufeff {"a": 1} ', {"a": 1}, "json"),
        ('"{\\"a\\": 1}"', '{"a": 1}', "json"),
        ('{"a": 1, "a": 1}', {"a": 1}, "json"),
        ('<think>try {"b": 2}</think>\n{"a": 1}', {"a": 1}, "think"),
        ('no opening tag</think>{"a": 1}', {"a": 1}, "think"),
        ('<think>hm</think>So: {"a": 1}.', {"a": 1}, "embedded"),
        (f'{F}json {{"a": 1}}{F}', {"a": 1}, "fence"),
        (f'Given {{"in": 0}}:\n{F}json\n{{"a": 1}}\n{F}', {"a": 1}, "fence"),
        (f'{F}bash\nls [0-9]\n{F}\n{F}json\n{{"a": 1}}\n{F}', {"a": 1}, "fence"),
        ('{"md": "' + F + "json\\n{}\\n" + F + '",}', {"md": f"{F}json\n{{}}\n{F}"}, "repaired"),
        ('see [1] and {curly}: {"a": 1} [2]', {"a": 1}, "embedded"),
        ('for x in [0, 1) at [12:30:05]: {"a": 1}', {"a": 1}, "embedded"),
        ('{"a": 1}\nagain:\n{"a": 1}', {"a": 1}, "embedded"),
        ("The primes are [2, 3, 5].", [2, 3, 5], "embedded"),
        ('{"a": 1}}', {"a": 1}, "embedded"),
        ('{"a": [1, 2,], // why\n}', {"a": [1, 2]}, "repaired"),
        ('{"a": "b" // "c"\n}', {"a": "b"}, "repaired"),
        ('{"u": "http://x.y/z",}', {"u": "http://x.y/z"}, "repaired"),
        ("{'a': 'it's', 'b': True, 'c': None}", {"a": "it's", "b": True, "c": None}, "repaired"),
        ('{"a": "he said "hi" to me"}', {"a": 'he said "hi" to me'}, "repaired"),
        ("{“a”： “b”，＂c＂: 1}", {"a": "b", "c": 1}, "repaired"),
        ('{"a": "x" "b": 2}', {"a": "x", "b": 2}, "repaired"),
        ('["a" "b"]', ["a", "b"], "repaired"),
        ('{"a": [1 2 3]}', {"a": [1, 2, 3]}, "repaired"),
        ('{"a": true "b": false}', {"a": True, "b": False}, "repaired"),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}, "repaired"),
        ('{"path": "C:\\Users"}', {"path": "C:\\Users"}, "repaired"),
        ("{same: true, n: .5}", {"same": True, "n": 0.5}, "repaired"),
        ('{"a": 5 "b": 6}', {"a": 5, "b": 6}, "repaired"),
        ('{"a": 5 "b": -6}', {"a": 5, "b": -6}, "repaired"),
        ('{"price ($)": 5 "b": 6}', {"price ($)": 5, "b": 6}, "repaired"),
        ('{"valid?": true "€": -6}', {"valid?": True, "€": -6}, "repaired"),
        ('{"a": [1 -2 .5]}', {"a": [1, -2, 0.5]}, "repaired"),
        ('{"a": 5.5; "b": None}', {"a": 5.5, "b": None}, "repaired"),
        ("{'x': 5 // five\n}", {"x": 5}, "repaired"),
        ('{"n": 123456789012345678901234567890,}', {"n": 123456789012345678901234567890}, "repaired"),
    ],
)
def test_each_step_takes_what_leaves_no_doubt(text: str, value: object, how: str) -> None:
    assert taken(text) == (value, how)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        (" \n\t\ufeff", "empty"),
        ("<think>done</think>", "empty"),
        ("<think>still {", "empty"),
        ('<think>draft {"a": 1}', "empty"),
        ("I cannot tell.", "no_json"),
        ("tru", "no_json"),
        ("see [1].", "no_json"),
        ("[this](url)", "no_json"),
        ('["this"](url)', "no_json"),
        ("the set {x: x > 0}", "no_json"),
        ('{"a": 1, "a": 2}', "ambiguous"),
        ('so {"a": 1, "a": true}', "ambiguous"),
        ("{'a': 1, 'a': 2}", "ambiguous"),
        ('{"a": 1}\n{"a": 2}\n{"a": 3}', "ambiguous"),
        ('For example {"a": 1}. The answer: {"a": 2}', "ambiguous"),
        ('{"a": 1} or rather {"a": 2,}', "ambiguous"),
        ('{"a": 1} or {"a": true}', "ambiguous"),
        (f'{F}json\n{{"a": 1}}\n{F}\nCorrection: {{"a": 2}}', "ambiguous"),
        (f'{F}json {{"a": 1}}{F} or\n{F}json\n{{"a": 2}}\n{F}', "ambiguous"),
        ('{"a": tru', "truncated"),
        ('{"a": "b', "truncated"),
        ('{"a": {"b": 1}', "truncated"),
        ('[{"a": 1}, {"a"', "truncated"),
        ('Here: {"a": 1, "b": {"c": 2}', "truncated"),
        (f'{F}json\n{{"a": 1,\n{F}\n', "truncated"),
        ('"result": {"same": true}, "x": 1}', "no_json"),
        ('{"a": "use "}" here"}', "no_json"),
        ('{"a": 5 km}', "no_json"),
        ('{"a": -}', "no_json"),
        ('{"a": , "b": 1}', "no_json"),
        ("[1,,2]", "no_json"),
        ("{““““““}", "no_json"),
        ('{k": null, "m": {"a": 1}}', "no_json"),
        ('{"k: 1, "m": 2}', "no_json"),
        ('{"k" false, "m": 2}', "no_json"),
        ('{"k": 1", "m": 2}', "no_json"),
        ('{"k": {"a": [1}, "m": 2}', "no_json"),
        ('{"k": [[] 2]}', "no_json"),
        ('{"a", "b"}', "no_json"),
        ('{"a": [1, 2, ...]}', "no_json"),
        ('{"zip": 01234}', "no_json"),
        ('{"tex": "\\alpha \\beta"}', "no_json"),
        ("[" * 100_000 + "]" * 100_000, "no_json"),
        ("9" * 5000, "no_json"),
    ],
)
def test_what_leaves_a_doubt_is_a_named_failure(text: str, kind: str) -> None:
    assert failure(text) == kind


@pytest.mark.parametrize(
    "value", ["−5", "– 5", "<0.01", "≥18", ">=18", "~5", "±5", "$5", "5%", "5 %", "5°", "5+", "!true", "~null"]
)
def test_a_repair_does_not_drop_a_sign_or_a_unit(value: str) -> None:
    assert failure(f'{{"n": {value}}}') == "no_json"
    assert failure(f'{{"a": "x" "n": {value}, "b": 1}}') == "no_json"


@pytest.mark.parametrize(
    ("text", "nulled"),
    [('{"a": NaN, "b": -Infinity}', 2), ('{"a": 1e999}', 1), ("{'a': nan,}", 1), ('x {"a": NaN}', 1)],
)
def test_numbers_that_json_lacks_become_null_and_are_counted(text: str, nulled: int) -> None:
    parsed = parse(text)
    assert set(parsed.value.values()) == {None}  # type: ignore[attr-defined]
    assert parsed.nulled == nulled


@pytest.mark.parametrize("text", ['{"a": 1,}', 'so {"a": 1}', f'{F}json\n{{"a": 1}}\n{F}', '<think></think>{"a": 1}'])
def test_strict_takes_nothing_but_json(text: str) -> None:
    assert failure(text, strict=True) == "no_json"
    assert taken('{"a": 1}', strict=True) == ({"a": 1}, "json")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "b": "half a sent', {"a": 1, "b": "half a sent"}),
        ('{"a": 1, "b": tru', {"a": 1}),
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": [1, 2, 3', {"a": [1, 2]}),
        ('[{"a": 1}, {"a"', [{"a": 1}]),
        ('{"a": {"b": 1}', {"a": {"b": 1}}),
    ],
)
def test_a_cut_reply_can_be_taken_as_far_as_it_is_certain(text: str, value: object) -> None:
    assert taken(text, accept_truncated=True) == (value, "repaired")


def test_a_cut_reply_without_any_whole_member_stays_a_failure() -> None:
    assert failure('{"a": tru', accept_truncated=True) == "truncated"


def test_values_that_do_not_fit_are_passed_over() -> None:
    def fits(value: object) -> str | None:
        return None if isinstance(value, dict) and "same" in value else "it has no 'same'"

    assert parse('In {"x": 1}, so {"same": true}', fits=fits).value == {"same": True}
    for text in ('{"x": 1}', 'In {"x": 1} and {"y": 1}', "42"):
        with pytest.raises(ReplyError) as caught:
            parse(text, fits=fits)
        assert caught.value.kind == "schema"


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "{",
        '{"a":',
        '{"',
        "{'",
        "{a:b,",
        "{a:b c ",
        "]}[{",
        "{ /* ",
        "// ",
        '{"a":1} ',
        "[] ",
        '{x:"',
        "“",
        F,
        "\\",
        "<think>",
        "</think>",
        F + "json\n[",
    ],
)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("{", "}"), ("[", "]"), ('so {"x": "', '"}')])
def test_hostile_replies_are_settled_in_bounded_time(piece: str, before: str, after: str) -> None:
    for size in (60_000, 1_000_000):
        started = time.process_time()
        ended(before + piece * (size // len(piece)) + after)
        assert time.process_time() - started < 5
