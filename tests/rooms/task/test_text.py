"""What text that a task returns is: a value where JSON was meant, else itself; and nothing that was meant is lost."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, numbered, records, write_table

from batchrun import process
from batchrun.errors import UsageError
from batchrun.outcome.failures import groups
from batchrun.task.reply import ReplyError, read_reply

F = "```"
OBJECTS = st.dictionaries(
    st.text("abcxyz", min_size=1), st.integers() | st.text("xyz ,.'") | st.none() | st.lists(st.integers()), min_size=1
)

KEPT = [
    *("42", "007", "NaN", "true", "null", "-1.5e3", "", " ", "\n", '"quoted"', "hello world", "Zürich – 東京"),
    "see [link](https://example.org/a) and ![image][1]",
    "as shown [1], and by others [2, 3]",
    "[1] Smith 1990\n[2] Jones 1991, pages [3-7]",
    "- [ ] to do\n- [x] done",
    "Dear {name}, your {item} has come",
    "{name}: {count}",
    "{{ name }} {% if x %}",
    "the set {x | x > 0}, the set {} and on [0, 1)",
    'the words are {"a", "b"}',
    "int main() { return 0; }",
    'if (x) { "use strict"; run(a[0], b[1]); }',
    'function f() { return {a: 1, b: "x"}; }',
    "a { color: red; }\nb { margin: 0 }",
    "const x = {a: 1, b: [2]};",
    "for {x: 1, y: 2} it holds",
    "fn f(x: [u8; 4]) -> Vec<[i32; 2]> {}",
    r"\frac{a}{b}, G{\"o}del",
    'G{"o}del und {"u}ber',
    'The colours: ["red", "green", "blue"]',
    "primes [2, 3, 5] and squares [1, 4, 9]",
    'id,name\n1,"a, b"\n2,[x]',
    "[2024-05-01 12:00] INFO started",
    f"{F}python\nprint('hi')\n{F}",
    f"So:\n{F}python\ndef f(x):\n    return {{'a': x}}\n{F}\nThat is it.",
    f'{F}js\nconst a = {{}}; f({{"a": 1}})\n{F}',
    f"{F}\nx = [1, 2]\nprint(x)\n{F}",
    "~5 km < 10 km",
    "half a bracket [1, 2",
    "int main()\n{",
]


@pytest.mark.parametrize("text", KEPT)
def test_text_in_which_nothing_was_meant_as_json_is_kept_as_it_is(text: str) -> None:
    parsed = read_reply(text)
    assert (parsed.value, parsed.how) == (text, "text")


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ('{"a": 1}', {"a": 1}, "json"),
        (' \ufeff{"a": NaN}\r\n', {"a": None}, "json"),
        ("[1, 2]", [1, 2], "json"),
        ("[]", [], "json"),
        ("{}", {}, "json"),
        ("[1, 2, 3,]", [1, 2, 3], "repaired"),
        ("{'a': None,}", {"a": None}, "repaired"),
        ('Set {"a": 1} in the settings', {"a": 1}, "embedded"),
        ('Both: [{"a": 1}, {"a": 2}].', [{"a": 1}, {"a": 2}], "embedded"),
        (f'Sure!\n{F}json\n{{"a": 1}}\n{F}\nAs in [1].', {"a": 1}, "fence"),
        (f"{F}\n[1, 2]\n{F}", [1, 2], "fence"),
        (f"{F}json\n42\n{F}", 42, "fence"),
        (f"{F}python\n{{'a': True}}\n{F}", {"a": True}, "repaired"),
        (f'{F}python\nprint({{"b": 2}})\n{F}\nIt prints {{"a": 1}}.', {"a": 1}, "embedded"),
        ('<think>Or {"b": 2}?</think>{"a": 1}', {"a": 1}, "think"),
    ],
)
def test_an_object_or_array_that_was_meant_is_the_value(text: str, value: object, how: str) -> None:
    parsed = read_reply(text)
    assert (parsed.value, parsed.how) == (value, how)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1, "b": "half', "truncated"),
        ('Here it is: {"a": 1, "b', "truncated"),
        ('So [{"a": 1}, {"a"', "truncated"),
        ("[1, 2, ", "truncated"),
        ('{"a": 5 km}', "no_json"),
        ("[1,,2]", "no_json"),
        (f"{F}json\nnone\n{F}", "no_json"),
        ('{"a": 1} or {"a": 2}', "ambiguous"),
        ('{"a": 1, "a": 2}', "ambiguous"),
        ("<think>hm</think>", "empty"),
    ],
)
def test_what_was_meant_as_json_and_cannot_be_read_fails(text: str, kind: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read_reply(text)
    assert caught.value.kind == kind
    if kind != "empty":
        assert read_reply(text, "text").value == text


@given(OBJECTS, st.sampled_from(["{}", "Sure: {}", "{}\nAnything else?", "See [1] {}", f"{F}json\n{{}}\n{F}"]))
def test_no_object_passes_for_text(value: dict[str, Any], around: str) -> None:
    assert read_reply(around.replace("{}", json.dumps(value))).value == value


@given(OBJECTS, st.data())
def test_half_an_object_is_neither_a_value_nor_text(value: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps(value)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(ReplyError):
        read_reply(cut)


@given(st.text(st.characters(exclude_characters="{[`~<＜&◁"), max_size=40))
def test_text_without_a_bracket_is_kept_to_the_last_character(text: str) -> None:
    if "Here" not in text and "final" not in text:
        assert read_reply(text).value == text


@given(st.text())
def test_a_text_is_itself_where_it_is_said_to_be(text: str) -> None:
    assert read_reply(text, "text").value == text


@pytest.mark.parametrize(
    ("text", "end"),
    [("words", "text"), ("42", "text"), ('{"a": 1}', "json"), ("{'a': 1}", "no_json"), ('so {"a": 1}', "no_json")],
)
def test_strict_keeps_text_and_searches_for_nothing(text: str, end: str) -> None:
    if end != "no_json":
        assert read_reply(text, strict=True).how == end
        return
    with pytest.raises(ReplyError, match="not JSON as a whole"):
        read_reply(text, strict=True)


def test_thinking_is_dropped_from_text_that_is_kept() -> None:
    assert read_reply('<think>Perhaps {"a": 1}?</think>\nIt is Ulm. ').value == "It is Ulm."
    assert read_reply("<think>hm</think>42").value == "42"
    assert read_reply("<think>hm</think>It is Ulm.", "answer").value == "It is Ulm."
    assert read_reply("<think>hm</think>It is Ulm.", "text").value == "<think>hm</think>It is Ulm."
    assert read_reply('{"a": 1} or {"a": 2}', "answer").how == "text"
    with pytest.raises(ReplyError, match="nothing"):
        read_reply("<think>hm</think>", "answer")


# --- with the command


def rows_of(folder: Path, *args: object) -> tuple[int, list[tuple[object, object]]]:
    """Exit code, and result or kind of error of each row, with how it was found."""
    ended = batchrun("process", "data.csv", "-o", "out.jsonl", "--retries", 0, *args, cwd=folder)
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return ended.returncode, [((row["error"] and row["error"]["kind"]) or row["result"], row["how"]) for row in lines]


def test_functions_may_return_text_of_any_kind(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "class Word(str):\n    pass\n\n"
        "def text(row):\n"
        "    return [row['text'].strip(), Word('007'), 'a\\x00b', '\\ud800', b'bytes', None, ''][row['id'] - 1]\n"
    )
    write_table(tmp_path / "data.csv", [(n, " A [b] ") for n in range(1, 8)])
    code, rows = rows_of(tmp_path, "-t", "tasks.py:text")
    assert code == 1
    assert rows == [
        ("A [b]", "text"), ("007", "text"), ("a\0b", "text"), ("\ud800", "text"),
        ("unencodable", None), (None, "value"), ("", "text"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "result", "how"),
    [
        ("true", None, "value"),
        ("echo", "", "text"),
        ("printf ' '", " ", "text"),
        ("printf 'a\\nb\\n'", "a\nb", "text"),
        ("printf 'a\\r\\nb\\r\\n'", "a\r\nb", "text"),
        ("printf 'a\\n\\n'", "a\n", "text"),
        ("echo null", "null", "text"),
        ("echo 42", "42", "text"),
        ("""echo '"quoted"'""", '"quoted"', "text"),
        ("""echo '{"a": 1}'""", {"a": 1}, "json"),
        ("printf '\\377'", "exception", None),
    ],
)
def test_what_a_program_writes_is_its_result(tmp_path: Path, script: str, result: object, how: str) -> None:
    write_table(tmp_path / "data.csv", [(1, "x")])
    (tmp_path / "run").write_text(f"#!/bin/sh\n{script}\n")
    command = f"sh {shlex.quote(str(tmp_path / 'run'))} {{id}}"
    assert rows_of(tmp_path, "--command", command)[1] == [(result, how)]


@pytest.mark.parametrize("reply", ["auto", "json", "text"])
def test_a_program_without_output_is_done_and_runs_once(tmp_path: Path, reply: str) -> None:
    table = write_table(tmp_path / "data.csv", [(1, "x"), (2, "y")])
    command = ("process", table, "--command", "gzip {id}", "--reply", reply, "--no-output", "--json")
    for name in ("1", "2"):
        (tmp_path / name).write_text("text")
    ended = batchrun(*command, cwd=tmp_path)
    done = records(ended.stdout)[1]
    assert (ended.returncode, done["done"], done["ran"]) == (0, 2, 2), ended.stderr
    assert (tmp_path / "2.gz").exists()


def test_reply_says_what_text_is_and_may_be_said_of_kept_replies(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "def mixed(row):\n"
        "    open('calls', 'a').write('x')\n"
        "    return '{\"a\": 1}' if row['id'] % 2 else 'I cannot tell.'\n"
    )
    write_table(tmp_path / "data.csv", [(n, "x") for n in range(1, 5)])
    command = ("-t", "tasks.py:mixed")
    text = ("I cannot tell.", "text")
    assert rows_of(tmp_path, *command) == (0, [({"a": 1}, "json"), text] * 2)
    assert rows_of(tmp_path, *command, "--reparse", "--reply", "json") == (
        1,
        [({"a": 1}, "json"), ("no_json", None)] * 2,
    )
    assert (tmp_path / "calls").read_text() == "xxxx"
    assert rows_of(tmp_path, *command, "--reply", "json")[0] == 1
    assert (tmp_path / "calls").read_text() == "xxxxxx", "those that fail now are tried again, and only they"
    assert rows_of(tmp_path, *command, "--reparse", "--reply", "text") == (0, [('{"a": 1}', "text"), text] * 2)
    assert rows_of(tmp_path, *command, "--reparse")[1] == [({"a": 1}, "json"), text] * 2


def test_reply_may_stand_in_the_configuration_and_is_one_of_three_words(tmp_path: Path) -> None:
    (tmp_path / "batchrun.toml").write_text('reply = "text"\ncommand = "echo [{id}]"\n')
    write_table(tmp_path / "data.csv", [(1, "x")])
    assert rows_of(tmp_path)[1] == [("[1]", "text")]
    refused = batchrun("process", "data.csv", "--reply", "txt", cwd=tmp_path)
    assert refused.returncode == 2
    assert "not one of auto, json, text" in refused.stderr


def test_the_summary_counts_replies_by_how_and_says_where_some_are_text(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def mixed(row):\n    return ['words', '{\"a\": 1}', {}][row['id'] % 3]\n")
    table = write_table(tmp_path / "data.csv", [(n, "x") for n in range(1, 7)])
    ended = batchrun("process", table, "-t", "tasks.py:mixed", "--no-output", "--json", "--limit", 4, cwd=tmp_path)
    assert records(ended.stdout)[1]["how"] == {"json": 2, "text": 1, "value": 1}
    ended = batchrun("process", table, "-t", "tasks.py:mixed", "--no-output", "--json", cwd=tmp_path)
    assert records(ended.stdout)[1]["how"] == {"json": 2, "text": 2, "value": 2}, "those of the whole table"
    assert "replies  2 json, 2 text, 2 value" in ended.stderr
    assert "2 with JSON, 2 kept as text; --reparse --reply json turns the texts into failures" in ended.stderr
    (command,) = re.findall(r"turn the 2 texts into failures: python -m batchrun (.+)", ended.stderr)
    again = batchrun(*shlex.split(command), cwd=tmp_path)
    assert records(again.stdout)[1]["failed"] == 2
    (command,) = re.findall(r"try again: python -m batchrun (.+)", again.stderr)
    assert "--reply json" in command
    assert records(batchrun(*shlex.split(command), cwd=tmp_path).stdout)[1]["ran"] == 6


def test_values_alone_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def value(row):\n    return {'a': 1}\n")
    table = write_table(tmp_path / "data.csv", [(1, "x")])
    ended = batchrun("process", table, "-t", "tasks.py:value", "--no-output", "--json", cwd=tmp_path)
    assert "how" not in records(ended.stdout)[1]
    assert "replies" not in ended.stderr


# --- no task at all


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["words", "see [1] and {name}", "42"], 2),
        (["words"] * 3000 + ["[1, 2,]"], 0),
        (["words", '{"a": "b'], 1),
        ([], 0),
    ],
)
def test_without_a_task_repair_runs_only_where_a_cell_holds_json(tmp_path: Path, cells: list[str], code: int) -> None:
    table = write_table(tmp_path / "data.csv", enumerate(cells))
    ended = batchrun("process", table, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    if code == 2:
        assert "no task is named" in ended.stderr
        assert all(way in ended.stderr for way in ("--task", "--command", "--prompt"))
        assert [path.name for path in tmp_path.iterdir()] == ["data.csv"], "nothing is left behind"
        assert batchrun("process", table, "--task", "repair", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("task", ["mine.py", "mine.py:"])
def test_a_file_without_a_function_is_told_which_it_has(tmp_path: Path, task: str) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('this does not run')\n\n\ndef one(row):\n    pass\n")
    ended = batchrun("process", numbered(tmp_path / "data.csv", 1), "--task", task, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"{task!r} names a file, but no function in it\n  → give --task mine.py:one\n" in ended.stderr


def test_a_frame_without_a_task_is_refused_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no text cell of the DataFrame holds JSON"):
        process(pandas.DataFrame({"a": ["x", "[1]."], "n": [1, 2]}), progress="none")
    assert not list(tmp_path.iterdir())


def test_only_replies_of_prompts_are_to_be_asked_for_more_firmly() -> None:
    for task, firmly in (("prompt for m", True), ("tasks.py:f", False), ("command jq", False), ("repair", False)):
        for kind in ("no_json", "ambiguous", "empty", "truncated"):
            (group,) = groups([(1, kind, "message", None, None)], task)
            assert ("ask for" in group.remedy) == (firmly and kind in ("no_json", "ambiguous"))
