"""`--arg`: what a function is given beside the row, held against its signature before anything runs."""

import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, numbered, settled

import batchrun as library
from batchrun.errors import BatchrunError, TaskError
from batchrun.options.named_values import arguments
from batchrun.task.load import version_of, with_args
from batchrun.task.signature import check_call

FUNCTIONS = """
import functools

def plain(row, *, model="x", n=1):
    return {"model": model, "n": n}

def needs(row, model):
    return {"model": model}

async def waits(row, model="x"):
    return {"model": model}

class Matcher:
    def __init__(self, model):
        self.model = model
    def __call__(self, row, limit=1):
        return {"model": self.model, "limit": limit}
    def match(self, row, limit=1):
        return {"limit": limit}

matcher = Matcher("m")
half = functools.partial(needs, model="bound")

class Waiting:
    async def __call__(self, row, model):
        return {"model": model}

half_waiting = functools.partial(Waiting(), model="waited")
"""


def run(folder, task, *args, table="data.csv", **options):
    if not (folder / "functions.py").exists():
        (folder / "functions.py").write_text(FUNCTIONS)
        numbered(folder / "data.csv", 3)
    return batchrun("process", table, "--task", task, "--no-output", *args, cwd=folder, **options)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("0012", "0012"),
        ("12", 12),
        ("[1,2", "[1,2"),
        ('"5"', "5"),
        ("", ""),
        ("a=b", "a=b"),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("[" * 100_000, "[" * 100_000),
        ("True", "True"),
    ],
)
def test_a_value_that_is_json_is_that_value_and_any_other_is_text(text, value):
    found = arguments([f"x={text}"])["x"]
    assert found == value
    assert type(found) is type(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda some: st.lists(some)))
def test_every_json_value_arrives_as_it_is_from_a_command_line_and_from_python(value):
    assert arguments([f"x={json.dumps(value)}"]) == arguments({"x": value}) == {"x": value}


@pytest.mark.parametrize(
    "said",
    [["a-b=1"], ["=1"], ["a"], ["class=1"], ["a=1", "a=2"], {"a b": 1}, {"a": {1, 2}}, {"a": float("nan")}, {"a": b""}],
)
def test_what_no_parameter_can_be_given_is_refused(said):
    with pytest.raises(ValueError, match=r"name|twice|JSON"):
        arguments(said)


def test_arguments_are_a_part_of_the_version_whatever_their_order_and_none_leave_it_as_it_was():
    version = version_of("f", (("a.py", "1"),))
    assert with_args(version, {}) == version
    assert with_args(version, {"a": 1, "b": 2}) == with_args(version, {"b": 2, "a": 1})
    assert len({version, *(with_args(version, {"a": value}) for value in (1, "1", None, [1]))}) == 5


def passing(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def giving(function):
    @functools.wraps(function)
    def wrapper(row):
        return function(row, "a client")

    return wrapper


def bare(function):
    return lambda *args, **kwargs: function(*args, **kwargs)


class Callable:
    def __call__(self, row, limit=1): ...

    def method(self, row): ...


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda row: 0, {}),
        (lambda row, *, model="x": 0, {"model": 1}),
        (lambda row, **rest: 0, {"anything": 1}),
        (lambda *rows: 0, {}),
        (lambda row, model="x", /: 0, {}),
        (len, {}),
        (print, {"sep": "-"}),
        (dict.copy, {}),
        (functools.partial(lambda row, model: 0, model=1), {}),
        (functools.partial(lambda row, model: 0, model=1), {"model": 2}),
        (passing(lambda row, model="x": 0), {"model": 1}),
        (giving(lambda row, client: 0), {}),
        (bare(lambda row, model="x": 0), {"model": 1}),
        (Callable(), {"limit": 1}),
        (Callable().method, {}),
        (dict, {}),
    ],
)
def test_what_can_be_called_with_a_row_is_taken(function, args):
    check_call(function, "task", args)


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (lambda: 0, {}, "takes no positional arguments"),
        (lambda *, row: 0, {}, "'row' can be given by name only"),
        (lambda **columns: 0, {}, "takes no positional arguments"),
        (lambda row, model: 0, {}, "--arg model=VALUE"),
        (lambda row, *, model, n: 0, {"n": 1}, "also needs 'model'"),
        (lambda row, model, /: 0, {}, "by position"),
        (lambda row, model="x", /: 0, {"model": 1}, "by position only"),
        (lambda row, model="x": 0, {"modle": 1}, "Did you mean 'model'"),
        (lambda row: 0, {"row": 1}, "is given the row as 'row'"),
        (lambda row: 0, {"x": 1}, "takes only the row"),
        (lambda *rows: 0, {"x": 1}, "has no parameter 'x'"),
        (functools.partial(lambda row, model, n: 0, n=1), {}, "also needs 'model'"),
        (passing(lambda row, model="x": 0), {"modle": 1}, "Did you mean 'model'"),
        (passing(lambda row, model="x": 0), {"row": 1}, "is given the row"),
        (giving(lambda row, client: 0), {"client": 1}, "has no parameter 'client'"),
        (Callable, {}, "is a class"),
        (Callable.method, {}, "is a method"),
    ],
)
def test_what_cannot_be_called_is_said_with_the_remedy(function, args, said):
    with pytest.raises(TaskError) as caught:
        check_call(function, "task", args)
    assert said in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("task", "args", "result"),
    [
        ("plain", ("--arg", "model=big", "--arg", "n=7"), {"model": "big", "n": 7}),
        ("needs", ("--arg", 'model="7"'), {"model": "7"}),
        ("waits", ("--arg", "model=y"), {"model": "y"}),
        ("matcher", ("--arg", "limit=3"), {"model": "m", "limit": 3}),
        ("matcher.match", ("--arg", "limit=3"), {"limit": 3}),
        ("half", (), {"model": "bound"}),
        ("half_waiting", (), {"model": "waited"}),
        ("plain", ("--threads", 2, "--arg", "n=2"), {"model": "x", "n": 2}),
    ],
)
def test_a_task_is_given_its_arguments_however_it_is_made(folder, task, args, result):
    ran = run(folder, f"functions.py:{task}", *args)
    assert ran.returncode == 0, ran.stderr
    assert [value for _, value in settled(folder / "data.csv", task).values()] == [result] * 3


def test_other_arguments_are_another_version_and_the_same_ones_are_not(folder):
    assert run(folder, "functions.py:plain", "--arg", "n=1").returncode == 0
    again = run(folder, "functions.py:plain", "--arg", "n=1", "--on-change", "stop")
    assert (again.returncode, "3 done" in again.stderr) == (0, True)
    other = run(folder, "functions.py:plain", "--arg", "n=2", "--on-change", "stop")
    assert other.returncode == 2
    assert "another version" in other.stderr
    none = run(folder, "functions.py:plain", "--on-change", "stop")
    assert none.returncode == 2
    assert "another version" in none.stderr
    by_hand = run(folder, "functions.py:needs", "--arg", "model=a", "--task-version", "1")
    assert by_hand.returncode == 0
    assert (
        run(folder, "functions.py:needs", "--arg", "model=b", "--task-version", "1", "--on-change", "stop").returncode
        == 2
    )


def test_arguments_of_a_function_that_does_not_take_them_are_refused_and_no_row_runs(folder):
    for task in ("functions.py:plain", "repair"):
        refused = run(folder, task, "--arg", "modle=1")
        assert refused.returncode == 2
        assert "has no parameter 'modle'" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert run(folder, "functions.py:plain", "--arg", "n=1").returncode == 0
    later = run(folder, "functions.py:plain", "--arg", "n=1", "--arg", "modle=1")
    assert later.returncode == 2
    assert "has no parameter 'modle'" in later.stderr


@pytest.mark.parametrize("made", [("--command", "echo {id}"), ("--prompt", "{id}", "--model", "m")])
def test_prompts_and_commands_have_no_arguments(folder, made):
    table = numbered(folder / "data.csv", 3)
    refused = batchrun("process", table, *made, "--arg", "x=1", cwd=folder)
    assert refused.returncode == 2
    assert "--arg is for a function's arguments" in refused.stderr


def test_each_argument_comes_from_the_strongest_source_that_says_it(folder):
    (folder / "pyproject.toml").write_text('[tool.batchrun.args]\nmodel = "file"\nn = 1\n')
    assert run(folder, "functions.py:plain", "--arg", "n=2").returncode == 0
    assert settled(folder / "data.csv", "plain")[1][1] == {"model": "file", "n": 2}
    (folder / "batchrun.toml").write_text('[args]\nmodel = "own"\n')
    ran = run(folder, "functions.py:plain", "--on-change", "redo", env={"BATCHRUN_ARGS": '{"n": 5}'})
    assert ran.returncode == 0, ran.stderr
    assert settled(folder / "data.csv", "plain")[1][1] == {"model": "own", "n": 5}


def test_arguments_of_a_weaker_source_do_not_hinder_a_command(folder):
    (folder / "batchrun.toml").write_text('[args]\nmodel = "own"\n')
    table = numbered(folder / "data.csv", 3)
    assert batchrun("process", table, "--command", "echo {id}", "--no-output", cwd=folder).returncode == 0


def test_functions_by_value_take_arguments_from_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = numbered(folder / "data.csv", 3)
    summary = library.process(table, lambda row, k=1: {"k": k}, args={"k": [1, "a"]}, name="by_value", quiet=True)
    assert summary.done == 3
    assert settled(table, "by_value")[2][1] == {"k": [1, "a"]}
    with pytest.raises(BatchrunError, match="has no parameter 'j'"):
        library.process(table, lambda row, k=1: {"k": k}, args={"j": 1}, name="other", quiet=True)


def test_a_run_is_written_down_with_its_arguments_but_for_those_that_are_named_like_secrets(folder):
    (folder / "functions.py").write_text("def f(row, api_key='', n=1):\n    return n\n")
    table = numbered(folder / "data.csv", 1)
    args = ("--arg", "api_key=sk-12345678", "--arg", "n=4")
    assert batchrun("process", table, "--task", "functions.py:f", *args, "--no-output", cwd=folder).returncode == 0
    kept = (folder / "data.csv.batchrun" / "f.sqlite").read_bytes()
    assert b"sk-12345678" not in kept
    assert b"api_key=[redacted], n=4" in kept
