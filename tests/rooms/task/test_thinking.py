"""What a model thought before it answered is never its answer, whatever it is wrapped in."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replies import failure

from batchrun.task.reply import parse
from batchrun.task.reply.thinking import answer

F = "```"
DRAFT = 'Perhaps {"same": false, "why": "other name"}? No.'
ANSWER = {"same": True}
WRAPPERS = [
    ("<think>", "</think>"),
    ("<think>\n\n", "\n\n</think>\n\n"),
    ("", "\n</think>\n\n"),
    ("<THINK>", "</THINK>"),
    ('<think type="deep" n=5>', "</think>"),
    ("<thinking>", "</thinking>"),
    ("<think>", "</thinking>"),
    ("<thought>\n", "\n</thought>\n"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<antThinking>", "</antThinking>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<analysis>", "</analysis>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("<｜think｜>", "<｜/think｜>"),
    ("[THINK]", "[/THINK]"),
    ("", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("[unused16]", "[unused17]"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"),
    ("", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysisWe need to compare. ", "assistantfinal"),
    ("Here is my thought process: ", "\n\nHere is my response:\n"),
    ("Here's my thought process:\n", "\nHere's my response:\n"),
    (f"{F}thinking\n", f"\n{F}\n"),
    ('<details type="reasoning" done="true">\n', "\n</details>\n"),
    ("<details>\n<summary>Thinking…</summary>\n", "</details>\n"),
    ("<think>I should <think>again</think> and ", "</think>"),
    ("<think>\n<think>\n", "</think>"),
    ("<think>It could say <think> </think>", "</think>"),
    ("<think>a</think>So far: ", "</think>"),
    ("<think>Never `</think>` as they say. ", "</think>"),
]


@pytest.mark.parametrize(("before", "after"), WRAPPERS)
def test_the_answer_after_the_thinking_is_the_result(before: str, after: str) -> None:
    assert parse(f'{before}{DRAFT}{after}{{"same": true}}').value == ANSWER
    assert parse(f"{before}{DRAFT}{after}\n{F}json\n{{'same': True,}}\n{F}").value == ANSWER
    assert parse(f'{F}\n{before}{DRAFT}{after}\n{{"same": true}}\n{F}').value == ANSWER or before.startswith(F)


@pytest.mark.parametrize(("before", "after"), WRAPPERS)
def test_thinking_alone_is_empty_and_a_draft_is_no_answer_of_an_answer_in_words(before: str, after: str) -> None:
    assert failure(before + DRAFT + after) == "empty"
    assert failure(f"{before}{DRAFT}{after}They are the same airport.") == "no_json"
    assert answer(f"{before}{DRAFT}{after}They are the same airport.") == "They are the same airport."


@pytest.mark.parametrize("before", sorted({before for before, _ in WRAPPERS if before and "Here" not in before}))
@given(cut=st.integers(0, len(DRAFT)))
def test_a_reply_that_is_cut_off_while_it_thinks_is_empty(before: str, cut: int) -> None:
    if before.startswith("<think>a</think>"):
        return  # what follows is an answer until another end comes
    assert failure(before + DRAFT[:cut]) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        '{"same": false} or not?</think>{"same": true}',
        '<think>{"same": false, "why": "they</think>{"same": true}',
        f'{{"same": true}}\n<think>Was that right? {DRAFT}</think>',
        f'Sure. <think> {DRAFT} </think> {{"same": true}}',
        f'<think>{DRAFT}</think>\n<answer>\n{{"same": true}}\n</answer>',
        f'<|begin_of_thought|>{DRAFT}<|end_of_thought|><|begin_of_solution|>{{"same": true}}<|end_of_solution|>',
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>commentary to=functions.f "
        '<|constrain|>json<|message|>{"x": 1}<|call|><|start|>assistant<|channel|>final<|message|>'
        '{"same": true}<|return|>',
        '<think/>{"same": true}',
    ],
)
def test_wherever_a_model_thinks_its_answer_is_what_remains(text: str) -> None:
    assert parse(text).value == ANSWER


@given(st.sampled_from(WRAPPERS), st.sampled_from(["{}", "So: {}", f"{F}json\n{{}}\n{F}"]), st.booleans())
def test_an_answer_that_quotes_such_a_tag_keeps_it(wrapper: tuple[str, str], around: str, commas: bool) -> None:
    quoted = "".join(wrapper).replace("\n", " ").replace('"', "'").replace(F, "")
    text = f'{{"html": "a {quoted} b", "n": [1]{"," * commas}}}'
    assert parse(around.replace("{}", text)).value == {"html": f"a {quoted} b", "n": [1]}


@pytest.mark.parametrize(
    "text",
    [
        'The `<think>` tag: {"same": true}',
        'Without "</think>" then: {"same": true}',
        'see [Reasoning](http://x.y) {"same": true}',
        'Here is my thought process: they share a city. {"same": true}',
    ],
)
def test_a_tag_that_is_spoken_of_is_no_thinking(text: str) -> None:
    assert parse(text).value == ANSWER


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>hm</think>Paris", "Paris"),
        ("hm\n</think>\n\nParis", "Paris"),
        ("<think>hm</think>\n<answer>Paris</answer>", "Paris"),
        ("<think>hm</think><response>\nParis\n</response>\n", "Paris"),
        ("Sure.\n<think>hm</think>\nParis", "Sure.\n\nParis"),
        ("analysisWe need a city.assistantfinalParis", "Paris"),
        ("<|channel|>final<|message|>Paris<|return|>", "Paris"),
        ("<think>hm", ""),
        ("hm</think>", ""),
    ],
)
def test_thinking_is_dropped_from_an_answer_in_words(text: str, said: str) -> None:
    assert answer(text, prose=True) == said


@pytest.mark.parametrize(
    "text",
    [
        " kept as it is \n",
        "The <think> tag is closed by </think>, as HTML is.",
        "Use <think> always",
        "In `<think>` and `</think>`",
        "<review>\n<analysis>good</analysis>\n<score>5</score>\n</review>",
        "<answer>Paris</answer>",
        "analysis of the data",
        "Here is my thought process: none.",
        "a < b, [think](x), <thinker>",
    ],
)
def test_words_about_thinking_stay_as_they_are(text: str) -> None:
    assert answer(text, prose=True) == text


PIECES = [
    *(before for before, _ in WRAPPERS if before),
    *(after for _, after in WRAPPERS),
    *('{"</think>', "{'a': '</think>'},", '["</think>", ', "<think", "<think" + " " * 50, "<details ", "&lt;", "<a:b-"),
]


@pytest.mark.parametrize("piece", sorted(set(PIECES)))
def test_hostile_marks_are_read_in_bounded_time(piece: str) -> None:
    for before in ("", "<think>", "{'a': '"):
        started = time.process_time()
        answer(before + piece * (300_000 // len(piece)))
        assert time.process_time() - started < 3
