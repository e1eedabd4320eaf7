"""The built-in task: cells with JSON become values, prose stays prose, and nothing is silently wrong."""

import contextlib
import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, settled, write_table

from batchrun.task.repair import repair as repaired
from batchrun.task.reply import ReplyError

F = "```"


def repair(row: dict[str, object]) -> object:
    return repaired(row).value


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
        ("[1, 2, 3,]", [1, 2, 3]),
        (" ['a', 'b']\n", ["a", "b"]),
        (f"{F}\n[1, 2,]\n{F}", [1, 2]),
        ('[{"a": 1},]', [{"a": 1}]),
        ("{'a': None,}", {"a": None}),
        (f'Sure!\n{F}json\n{{"a": 1}}\n{F}', {"a": 1}),
        (f"{F}json\n42\n{F}", 42),
        ('<think>hm</think>{"a": 1}', {"a": 1}),
        ('The answer is {"a": 1}.', {"a": 1}),
    ],
)
def test_a_cell_that_holds_json_becomes_the_value(cell: str, value: object) -> None:
    assert repair({"id": 7, "answer": cell}) == {"id": 7, "answer": value}


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "42",
        "true",
        "null",
        '"quoted"',
        "plain words",
        "see [1]",
        "Smith et al. [1, 2] show it",
        "Smith (2020) {sic}",
        "the set {} is empty",
        "[this](url)",
        "on [0, 1) and {x: x > 0}",
        "[sic] he wrote",
        "~20 km",
        "a < b",
        f"{F}\nprint(1)\n{F}",
        "Dear {name}, thanks",
        "<think>hm</think>I cannot tell.",
        "<think>hm",
        "[1, 2] and [3, 4,]",
        "{name} owes [1, 2] and [3, 4]",
        f"{F}python\ndef f(x):\n    return {{'a': x}}\n{F}",
        'Colours: ["red", "blue"]',
        "I cannot tell whether these are the same.",
    ],
)
def test_prose_and_plain_values_stay_text(cell: str) -> None:
    assert repair({"note": cell}) == {"note": cell}


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ('{"a": tru', "truncated"),
        ("{same: tr", "truncated"),
        ('Here you go: {"a": "b', "truncated"),
        ('["a", "b', "truncated"),
        ("{", "truncated"),
        ('{"a": 1} or {"a": 2}', "ambiguous"),
        ('{"a": 5 km}', "no_json"),
        (f"{F}json\nnone\n{F}", "no_json"),
        ("[1, 2, ", "truncated"),
        ("[1,,2]", "no_json"),
    ],
)
def test_a_cell_that_was_meant_to_be_json_fails_by_name(cell: str, kind: str) -> None:
    with pytest.raises(ReplyError, match="column 'answer': ") as caught:
        repair({"id": 7, "answer": cell})
    assert caught.value.kind == kind


def test_options_that_say_how_replies_are_read_hold_for_cells(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data.csv", [(1, '{"a": "b'), (2, "{'a': 1}"), (3, '{"a": 1}')])
    assert batchrun("process", table, "--retries", 0).returncode == 1
    shown = batchrun("show", table, 1).stdout
    assert "truncated" in shown
    assert ".py" not in shown, "there is no code of the user's in it"
    assert batchrun("process", table, "--accept-truncated").returncode == 0
    assert settled(table, "repair")[1] == (1, {"id": 1, "text": {"a": "b"}})
    assert batchrun("process", table, "--strict-json", "--retries", 0, "--fresh").returncode == 1
    assert {row: status for row, (status, _) in settled(table, "repair").items()} == {1: 2, 2: 2, 3: 1}


@pytest.mark.parametrize(
    ("row", "how", "note"),
    [
        ({"a": "x", "b": 1}, "value", None),
        ({"a": '{"k": 1}', "b": "see [1]"}, "json", None),
        ({"a": '{"k": 1}', "b": f"{F}json\n[1]\n{F}"}, "fence", None),
        ({"a": 'so {"k": 1}', "b": '<think>hm</think>{"k": 1}'}, "embedded", None),
        ({"a": "{'k': 1}", "b": 'so {"k": 1}'}, "repaired", "repaired in column 'a'"),
        ({"a": "{'k': 1}", "b": '{"k": 1}', "c d": "[1,]"}, "repaired", "repaired in columns 'a', 'c d'"),
        ({"a": "{'k': NaN}", "b": '{"k": NaN}'}, "repaired", "repaired in column 'a'"),
    ],
)
def test_a_row_is_told_by_the_cell_that_needed_most(row: dict[str, object], how: str, note: str | None) -> None:
    assert (repaired(row).how, repaired(row).note) == (how, note)


def test_rows_say_what_was_repaired_and_none_is_tried_again(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data.csv", [(1, '{"a": "b'), (2, "{'a': NaN}"), (3, '{"a": 1}'), (4, "words")])
    ended = batchrun("process", table, "--json", "--retries", 5)
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1])["ran"] == 4
    out = table.with_name("out.jsonl")
    batchrun("export", table, "-o", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["how"] for row in rows] == [None, "repaired", "json", "value"]
    assert rows[1]["note"] == "repaired in column 'text'; 1 NaN or infinite number(s) became null"
    found = csv.DictReader(table.with_name("data.results.csv").read_text().splitlines())
    assert [row["batchrun_how"] for row in found] == ["", "repaired", "json", "value"]


def test_cells_that_are_no_text_stay_as_they_are() -> None:
    row: dict[str, object] = {"n": 1, "x": 0.5, "b": True, "none": None, "list": [1], "bytes": b"{}"}
    assert repair(row) == row


@given(st.dictionaries(st.text(), st.text(st.characters(exclude_characters="[{`~<")) | st.integers()))
def test_a_row_without_brackets_never_changes(row: dict[str, object]) -> None:
    assert repair(row) == row


@given(st.text())
def test_no_cell_raises_anything_but_a_named_failure(cell: str) -> None:
    with contextlib.suppress(ReplyError):
        assert set(repair({"cell": cell})) == {"cell"}
