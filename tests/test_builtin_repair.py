"""The built-in task: cells with JSON become values, prose stays prose, and nothing is silently wrong."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, settled, write_table

from batchrun.reply import ReplyError
from batchrun.worker.builtin import repair

F = "```"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
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
        ("<think>hm</think>I cannot tell.", "no_json"),
        ("<think>hm", "empty"),
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
