"""`--prompt` against a real server on loopback: what is sent, what comes of each answer, who is paid for what."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from llm_server import Server, served
from support import batchrun, database, kill, lines_of, numbered, start, wait_for, write_table

from batchrun import process
from batchrun.core.processes import cpus
from batchrun.errors import BatchrunError

KEY = "sk-not-to-be-seen-0123456789"


@pytest.fixture
def server():
    with served() as one:
        yield one


def ask(table: Path, server: Server, *args: object, prompt: str = "Double {id}", env: dict[str, str] | None = None):
    """Run a prompt over a table; its results in JSON Lines beside it."""
    options = ["--prompt", prompt, "--model", "loopback", "--base-url", server.url, "--overwrite"]
    keyed = {"OPENAI_API_KEY": KEY, **(env or {})}
    return batchrun("process", table, *options, "-o", results_of(table), *args, cwd=table.parent, env=keyed)


def results_of(table: Path) -> Path:
    return table.with_suffix(".results.jsonl")


def told(table: Path) -> list[dict]:
    return [json.loads(line) for line in lines_of(results_of(table))]


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_prompt_asks_about_each_row_and_sends_nothing_that_was_not_asked_for(tmp_path, server):
    done = ask(numbered(tmp_path / "data.csv", 3), server, prompt="Double {id}, called {text}")
    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in told(tmp_path / "data.csv")] == [{"double": 2}, {"double": 4}, {"double": 6}]
    messages = [{"role": "user", "content": "Double 2, called text 2"}]
    assert {"model": "loopback", "messages": messages} in server.books.requests
    assert all(headers["authorization"] == f"Bearer {KEY}" for headers in server.books.headers)
    assert server.books.connections <= 3


def test_show_has_the_prompt_as_it_was_sent_though_its_file_has_changed_and_what_it_used(tmp_path, server):
    (tmp_path / "ask.txt").write_text("Double {id}, called {text}")
    table = numbered(tmp_path / "data.csv", 2)
    ask(table, server, "--price-in", 1, prompt=f"@{tmp_path / 'ask.txt'}")
    (tmp_path / "ask.txt").write_text("something else")
    found = json.loads(batchrun("show", table, 2, "--json").stdout)
    assert (found["sent"], found["model"]) == ("Double 2, called text 2", "loopback")
    assert found["tokens"]["prompt"] > 0
    assert found["cost"] == pytest.approx(found["tokens"]["prompt"] / 1e6)
    assert "model loopback, on average" in batchrun("show", table, 2).stdout


def test_a_prompt_that_asks_the_same_of_every_row_is_said_before_anything_is_asked(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 2)
    note = "note: the prompt names no column: every row gets the same question (the columns are: id, text)"
    told = ask(table, server, "--dry-run", prompt="Double 7")
    assert note in told.stderr.splitlines()
    assert not server.books.requests
    assert "note" not in ask(table, server, "--dry-run").stderr
    assert ask(table, server, prompt="Double 7").returncode == 0
    assert "note" not in ask(table, server, prompt="Double 7").stderr  # nothing is left to be asked


def test_system_text_parameters_and_files_are_sent_as_they_are(tmp_path, server):
    (tmp_path / "prompt.txt").write_text("Double {id}", encoding="utf-8-sig")
    (tmp_path / "system.txt").write_text("Be {brief}, 很短.")
    options = ["--system", "@system.txt", "--param", "temperature=0", "--param", "stop=[1]", "--param", "user=u1"]
    done = ask(numbered(tmp_path / "data.csv", 1), server, *options, prompt="@prompt.txt")
    assert done.returncode == 0, done.stderr
    (request,) = server.books.requests
    assert request["messages"][0] == {"role": "system", "content": "Be {brief}, 很短."}
    assert request["messages"][1] == {"role": "user", "content": "Double 1"}
    assert (request["temperature"], request["stop"], request["user"]) == (0, [1], "u1")


def test_a_server_of_ones_own_needs_no_key_and_gets_none(tmp_path, server):
    done = ask(numbered(tmp_path / "data.csv", 1), server, env={"OPENAI_API_KEY": ""})
    assert done.returncode == 0, done.stderr
    assert "authorization" not in server.books.headers[0]


def test_rows_without_a_value_are_skipped_and_not_asked_about(tmp_path, server):
    table = write_table(tmp_path / "data.csv", [(1, "one"), (2, ""), (3, "  ")])
    assert ask(table, server, "--skip-empty", "text").returncode == 0
    assert [row["status"] for row in told(table)] == ["done", "skipped", "skipped"]
    assert set(server.books.calls) == {1}


def test_a_dry_run_shows_the_first_prompt_and_asks_nobody(tmp_path, server):
    done = ask(
        numbered(tmp_path / "data.csv", 2), server, "--dry-run", "--system", "Be brief.", env={"OPENAI_API_KEY": ""}
    )
    assert done.returncode == 0
    assert "Be brief." in done.stderr
    assert "Double 1" in done.stderr
    assert not server.books.calls
    assert not (tmp_path / "data.csv.batchrun").exists()


# --- what comes of each answer ------------------------------------------------------------------------------------

GOOD_IN_THE_END = {
    "well": 1, "parts": 1, "example-first": 1,
    "reset": 2, "timeout-408": 2, "conflict": 2, "broken": 2, "overloaded": 2,
    "html": 2, "half": 2, "nothing": 2, "error-inside": 2, "error-text": 2, "wrong-fields": 2,
}  # fmt: skip
"""Manner -> the number of calls until the answer is good."""

BAD = {
    "bad-request": ("bad_request", 1), "unprocessable": ("bad_request", 1), "echo-key": ("bad_request", 1),
    "too-long": ("context_length", 1), "filter-400": ("filtered", 1), "flagged": ("filtered", 1),
    "cut": ("truncated", 1), "cut-whole": ("truncated", 1), "filtered": ("filtered", 1), "refusal": ("refused", 1),
    "no-choices": ("empty", 2), "null-choices": ("empty", 2), "no-message": ("empty", 2), "null-content": ("empty", 2),
    "reasoning": ("empty", 2), "tool": ("empty", 2), "thought-cut": ("truncated", 1), "wrong-charset": ("server", 2),
    "an-array": ("server", 2), "just-text": ("server", 2), "never-fits": ("schema", 2),
}  # fmt: skip
"""Manner -> the kind of failure, and the number of calls after which it is settled."""


def test_every_kind_of_answer_ends_as_a_result_or_as_a_failure_with_a_name(tmp_path, server):
    manners = [*GOOD_IN_THE_END, *BAD]
    table = write_table(tmp_path / "data.csv", enumerate(manners, 1), ("id", "manner"))
    options = ["--retries", 1, "--jobs", 8, "--fields", "double int", "--max-failures", 1000]
    done = ask(table, server, *options, prompt="Double {id}, manner: {manner}")
    assert done.returncode == 1, done.stderr
    rows = {row["input"]["manner"]: row for row in told(table)}
    numbers = dict(zip(manners, range(1, 1000), strict=False))
    for manner, calls in GOOD_IN_THE_END.items():
        assert rows[manner]["result"] == {"double": 2 * numbers[manner]}, (manner, rows[manner])
        assert server.books.calls[numbers[manner]] == calls, manner
    for manner, (kind, calls) in BAD.items():
        assert (rows[manner]["status"], rows[manner]["error"]["kind"]) == ("failed", kind), (manner, rows[manner])
        assert server.books.calls[numbers[manner]] == calls, manner
        assert "openai" not in (rows[manner]["error"]["traceback"] or ""), manner
    assert_unseen(KEY, tmp_path, done)


@pytest.mark.parametrize("manner", ["latin-1", "utf-16", "marked", "unknown-charset", "gzip"])
def test_an_answer_is_read_in_the_charset_that_it_names(tmp_path, server, manner):
    server.manner = manner
    assert ask(numbered(tmp_path / "data.csv", 1), server).returncode == 0
    assert told(tmp_path / "data.csv")[0]["result"] == {"city": "Málaga"}


def test_what_was_thought_is_kept_but_never_a_result_and_a_tools_arguments_can_be_taken(tmp_path, server):
    manners = ["reasoning", "tool", "thought-cut"]
    table = write_table(tmp_path / "data.csv", enumerate(manners, 1), ("id", "manner"))
    prompt = "Double {id}, manner: {manner}"
    assert ask(table, server, "--retries", 0, prompt=prompt).returncode == 1
    shown = [json.loads(batchrun("show", table, n, "--json", cwd=tmp_path).stdout) for n in (1, 2, 3)]
    assert [row["raw"] for row in shown] == ['{"double": 4}', '{"double": 4}', "Let me see"]
    assert "reasoning_content has: {" in shown[0]["error"]["message"]
    ask(table, server, "--reparse", "--accept-truncated", prompt=prompt)
    assert [row["result"] for row in told(table)] == [None, {"double": 4}, None]


def assert_unseen(key: str, folder: Path, done) -> None:
    """The key is nowhere on disk, and was not printed."""
    for path in folder.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path
    assert key not in done.stdout + done.stderr


@pytest.mark.parametrize("manner", ["trickle", "hang"])
def test_an_answer_that_never_ends_is_ended_by_the_timeout(tmp_path, server, manner):
    server.manner = manner
    done = ask(numbered(tmp_path / "data.csv", 2), server, "--timeout", 1, "--retries", 0, "--jobs", 2)
    assert done.returncode == 1, done.stderr
    ends = [(row["status"], row["error"]["kind"]) for row in told(tmp_path / "data.csv")]
    assert ends == [("timed_out", "timeout")] * 2


@pytest.mark.parametrize(
    ("manner", "remedy"),
    [
        ("keyed", "put a valid one into OTHER_NAME"),
        ("no-credit", "no credit left"),
        ("payment", "There is no credit left: top it up"),
        ("forbidden", "is not allowed to do this: use another one"),
        ("no-model", "Name a --model"),
        ("no-model-400", "Name a --model"),
    ],
)
def test_what_no_row_can_mend_stops_the_run_with_the_remedy_and_leaves_the_rows(tmp_path, server, manner, remedy):
    server.manner, server.key = manner, "another key"
    env = {"OTHER_NAME": KEY, "OPENAI_API_KEY": ""}
    done = ask(numbered(tmp_path / "data.csv", 200), server, "--api-key-env", "OTHER_NAME", "--jobs", 4, env=env)
    assert done.returncode == 3, done.stderr
    assert remedy in done.stderr
    assert sum(server.books.calls.values()) < 50
    assert {row["status"] for row in told(tmp_path / "data.csv")} == {"left"}
    assert_unseen(KEY, tmp_path, done)


def test_a_busy_server_is_not_asked_again_before_the_time_that_it_named(tmp_path, server):
    server.manner = "busy"
    done = ask(numbered(tmp_path / "data.csv", 5), server, "--jobs", 1, "--retries", 0)
    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in told(tmp_path / "data.csv")] == [{"double": 2 * n} for n in range(1, 6)]
    assert server.books.too_early == 0
    assert server.books.again == []


ASKING = """
import os
import httpx2

limits = httpx2.Limits(max_connections=None)
client = httpx2.AsyncClient(base_url=os.environ["SERVER"], limits=limits, timeout=60)


async def double(row):
    answer = await client.post("/chat/completions", json={"messages": [{"content": str(row["id"])}]})
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""


# By hand, rows in flight double with time: most refusals come while the first is still on its way, however few rows.
@pytest.mark.parametrize(("by_hand", "rows"), [(False, 600), (True, 2000)])
def test_many_jobs_learn_what_a_server_takes_and_lose_nothing_to_its_refusals(tmp_path, server, by_hand, rows):
    table, jobs = numbered(tmp_path / "data.csv", rows), ("--jobs", 200, "--retries", 0)
    server.manner, server.most, server.seconds = "at-most", 20, 0.05
    if by_hand:
        (tmp_path / "tasks.py").write_text(ASKING)
        options = ("--task", "tasks.py:double", "-o", results_of(table), *jobs)
        done = batchrun("process", table, *options, cwd=tmp_path, env={"SERVER": server.url})
    else:
        done = ask(table, server, *jobs)
    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in told(table)] == [{"double": 2 * n} for n in range(1, rows + 1)]
    books = server.books
    assert len(books.times) == rows + books.refusals  # nothing was paid for twice
    # Who learns nothing sends 200 at once again and again, and 180 of them are refused. How many refusals it takes to
    # find out, and to stay there, depends on how quick the machine is, but not that the answer is found.
    assert 0 < books.refusals < 0.5 * rows
    learnt = books.at_once[len(books.at_once) // 2 :]
    assert server.most / 2 < max(learnt) < 3 * server.most
    assert books.too_early < server.most  # on a busy machine a call may be on its way for long


@pytest.mark.parametrize("by_hand", [False, True])
def test_rows_that_wait_for_a_service_are_32_at_once_unless_said_otherwise(tmp_path, server, by_hand):
    table = numbered(tmp_path / "data.csv", 150)
    server.seconds = 0.2
    if by_hand:
        (tmp_path / "tasks.py").write_text(ASKING + "\n\ndef plain(row):\n    return 1\n")
        options = ("--task", "tasks.py:double", "-o", results_of(table))
        for version in ((), ("--task-version", 2, "--fresh")):  # known from the worker's first word, or not yet
            done = batchrun("process", table, *options, *version, cwd=tmp_path, env={"SERVER": server.url})
            assert "task double, 32 jobs: 150 rows" in done.stderr
        plain = batchrun("process", table, "--task", "tasks.py:plain", "--no-output", cwd=tmp_path, env={"SERVER": "x"})
        assert f"task plain, {cpus()} job" in plain.stderr
    else:
        done = ask(table, server)
        assert "task prompt, 32 jobs: 150 rows" in done.stderr
    assert done.returncode == 0, done.stderr
    assert 10 < server.books.most_in_flight <= 32


@pytest.mark.parametrize("by_hand", [False, True])
def test_while_a_model_is_being_loaded_all_rows_wait_and_none_is_charged(tmp_path, server, by_hand):
    table, jobs = numbered(tmp_path / "data.csv", 30), ("--jobs", 8, "--retries", 0)
    server.manner, server.most = "loading", 15
    if by_hand:
        (tmp_path / "tasks.py").write_text(ASKING)
        options = ("--task", "tasks.py:double", "-o", results_of(table), *jobs)
        done = batchrun("process", table, *options, cwd=tmp_path, env={"SERVER": server.url})
    else:
        done = ask(table, server, *jobs)
    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in told(table)] == [{"double": 2 * n} for n in range(1, 31)]
    assert len(server.books.times) == 30 + 15  # each burst is a handful, then everyone waits
    times = server.books.times
    assert times[15] - times[0] > 0.7


def test_calls_by_the_minute_are_spread_over_the_minute_from_the_first_on(tmp_path, server):
    done = ask(numbered(tmp_path / "data.csv", 25), server, "--rpm", 600, "--jobs", 50, "--fields", "double int")
    assert done.returncode == 0, done.stderr
    assert len(server.books.times) == 25
    assert server.books.most_within(1.0) <= 13
    assert server.books.most_within(0.25) <= 5


def test_a_reply_that_was_cut_off_is_kept_and_can_be_taken_later(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 1)
    server.manner = "cut"
    assert ask(table, server).returncode == 1
    assert ask(table, server, "--reparse").returncode == 1
    assert ask(table, server, "--reparse", "--accept-truncated").returncode == 0
    assert told(table)[0]["result"] == {"double": 4, "more": [1]}  # the last number may have gone on
    assert server.books.calls[1] == 1


# --- the schema ---------------------------------------------------------------------------------------------------


def test_fields_become_a_schema_that_is_sent_and_that_replies_must_fit(tmp_path, server):
    assert ask(numbered(tmp_path / "data.csv", 1), server, "--fields", "double int").returncode == 0
    (request,) = server.books.requests
    sent = request["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"] == {
        "type": "object",
        "properties": {"double": {"type": "integer"}},
        "required": ["double"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(("manner", "form"), [("no-schema", {"type": "json_object"}), ("no-format", None)])
def test_a_server_that_takes_no_schema_is_told_it_in_words_and_keeps_being_asked_so(tmp_path, server, manner, form):
    server.manner = manner
    table = numbered(tmp_path / "data.csv", 12)
    (tmp_path / "schema.json").write_text(json.dumps({"type": "object", "required": ["double"]}))
    done = ask(table, server, "--jobs", 1, "--schema", "schema.json")
    assert done.returncode == 0, done.stderr
    assert sum(server.books.calls.values()) <= 12 + 4
    last = server.books.requests[-1]
    assert last.get("response_format") == form
    assert '"required": ["double"]' in last["messages"][0]["content"]
    assert done.stderr.count("the server rejects the JSON Schema") == 1


# --- again --------------------------------------------------------------------------------------------------------


def test_an_edited_prompt_stops_before_anything_is_paid_for_again(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 3)
    assert ask(table, server).returncode == 0
    edited = ask(table, server, prompt="Please double {id}")
    assert edited.returncode == 2
    for way_out in ("--on-change keep", "redo", "--name"):
        assert way_out in edited.stderr
    assert ask(table, server, "--param", "temperature=1").returncode == 2
    assert sum(server.books.calls.values()) == 3
    assert ask(table, server, "--on-change", "keep", prompt="Please double {id}").returncode == 0
    assert sum(server.books.calls.values()) == 3
    assert ask(table, server, "--on-change", "redo", prompt="Please double {id}").returncode == 0
    assert sum(server.books.calls.values()) == 6


def test_another_address_and_another_key_are_the_same_task(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 3)
    assert ask(table, server).returncode == 0
    with served() as moved:
        assert ask(table, moved, env={"OPENAI_API_KEY": "sk-another-one"}).returncode == 0
        assert not moved.books.calls


def test_after_kill_9_only_rows_that_were_in_flight_are_asked_about_again(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 300)
    server.seconds = 0.01
    command = ["--prompt", "Double {id}", "--model", "loopback", "--base-url", server.url, "--jobs", 8]
    run = start("process", table, *command, cwd=tmp_path, env={"OPENAI_API_KEY": KEY})
    try:
        wait_for(lambda: len(server.books.answered) >= 150, 90)
    finally:
        kill(run)
    answered = set(server.books.answered)
    done = ask(table, server, "--jobs", 8)
    assert done.returncode == 0, done.stderr
    assert [row["result"] for row in told(table)] == [{"double": 2 * n} for n in range(1, 301)]
    assert len(answered) < 300
    # In flight: executing, or answered and not yet committed.
    assert len(server.books.again) <= 8 + 50
    assert max(server.books.calls.values()) <= 2


# --- what is refused before anything runs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prompt": "Double {idd}"}, "Did you mean 'id'?"),
        ({"model": None}, "needs a --model"),
        ({"task": "repair"}, "cannot be combined"),
        ({"prompt": "@missing.txt"}, "missing.txt cannot be read"),
        ({"prompt": " "}, "--prompt is empty"),
        ({"prompt": None}, "belongs to --prompt"),
        ({"fields": "same boolean"}, "has no type 'boolean'"),
        ({"fields": "a, a"}, "twice"),
        ({"fields": "a", "schema": "s.json"}, "cannot be combined"),
        ({"schema": "s.json"}, "s.json is not a JSON Schema"),
        ({"schema": "r.json"}, "leads nowhere"),
        ({"param": ["stream=true"]}, "taken as a whole"),
        ({"param": ["temperature"]}, "is not name=value"),
        ({"base_url": "localhost:8000"}, "is not an address"),
        ({"base_url": "http://[::1/v1"}, "is not an address"),
        ({"base_url": "http://localhost:port/v1"}, "is not an address"),
        ({"base_url": "http://u:p@localhost/v1"}, "holds a password"),
        ({"api_key_env": "sk-abc"}, "not the key"),
        ({"skip_empty": "txt"}, "Did you mean 'text'?"),
        ({}, "OPENAI_API_KEY holds no key"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused_with_the_remedy(tmp_path, monkeypatch, options, says):
    (tmp_path / "s.json").write_text('{"type": "objekt"}')
    (tmp_path / "r.json").write_text('{"$ref": "https://example.com/schema.json"}')
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    table = numbered(tmp_path / "data.csv", 1)
    with pytest.raises(BatchrunError) as refused:
        process(table, **{"prompt": "Double {id}", "model": "m", "progress": "none", **options})
    assert refused.value.exit_code == 2
    assert says in f"{refused.value} {refused.value.hint}"
    assert not database(table, "prompt").exists()


def test_a_column_that_is_not_there_is_said_on_one_line_with_exit_code_2(tmp_path):
    table = numbered(tmp_path / "data.csv", 1)
    done = batchrun("process", table, "--prompt", "Double {Id}", "--model", "m", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the prompt inserts {Id}, but the task is given no column 'Id'\n")
    assert "Did you mean 'id'? The columns are: id, text. {{Id}} stands for the text {Id}." in done.stderr
    assert not (tmp_path / "data.csv.batchrun").exists()


def test_without_the_package_it_is_said_how_to_install_it(tmp_path):
    (tmp_path / "openai.py").write_text("raise ImportError('no openai here')")
    table = numbered(tmp_path / "data.csv", 1)
    done = batchrun(
        "process", table, "--prompt", "{id}", "--model", "m",
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "OPENAI_API_KEY": KEY},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "-m pip install " in done.stderr
    assert "[llm]'" in done.stderr


def test_a_proxy_that_is_none_is_said_before_any_row_has_failed_over_it(tmp_path):
    table = numbered(tmp_path / "data.csv", 1)
    env = {"HTTPS_PROXY": "foo://me:password@localhost:1", "OPENAI_API_KEY": KEY}
    done = batchrun("process", table, "--prompt", "{id}", "--model", "m", cwd=tmp_path, env=env)
    assert done.returncode == 2, done.stderr
    assert "HTTPS_PROXY" in done.stderr
    assert "1 left" in done.stderr
    assert "password" not in done.stderr


# --- where else the options may be said ---------------------------------------------------------------------------


def test_the_configuration_may_hold_the_prompt_and_the_command_line_another_task(tmp_path, server):
    (tmp_path / "sub").mkdir()
    (tmp_path / "ask.txt").write_text("Double {id}")
    (tmp_path / "batchrun.toml").write_text(
        f'prompt = "@ask.txt"\nmodel = "loopback"\nbase-url = "{server.url}"\nfields = ["double int"]\n'
        "[param]\ntemperature = 0.5\n"
    )
    table = numbered(tmp_path / "sub/data.csv", 2)
    done = batchrun("process", table, cwd=tmp_path / "sub", env={"OPENAI_API_KEY": KEY})
    assert done.returncode == 0, done.stderr
    assert server.books.requests[0]["temperature"] == 0.5
    other = batchrun("process", table, "--task", "repair", "--overwrite", cwd=tmp_path / "sub")
    assert other.returncode == 0, other.stderr
    assert sum(server.books.calls.values()) == 2


def test_in_python_the_options_are_arguments_and_a_schema_may_be_a_dict(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 2)
    code = (
        "import batchrun, sys\n"
        f"summary = batchrun.process({str(table)!r}, prompt='Double {{id}}', model='loopback', "
        f"base_url={server.url!r}, schema={{'type': 'object'}}, param={{'seed': 3}}, progress='none')\n"
        "assert summary.done == 2\n"
        "assert 'openai' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=90, cwd=tmp_path)
    assert server.books.requests[0]["seed"] == 3


def test_the_checkpoint_keeps_what_was_asked_for_but_no_secret(tmp_path, server):
    table = numbered(tmp_path / "data.csv", 1)
    assert ask(table, server).returncode == 0
    with sqlite3.connect(database(table, "prompt")) as db:
        (options,) = db.execute("SELECT options FROM run").fetchone()
        (spec,) = db.execute("SELECT spec FROM task").fetchone()
    db.close()
    assert json.loads(options)["prompt"] == "Double {id}"
    assert spec == "prompt for loopback"


def test_a_run_that_makes_no_sense_ends_within_seconds_though_other_calls_hang(tmp_path, server):
    table = write_table(tmp_path / "data.csv", [(1, "manner: hang"), (2, "manner: hang"), (3, "manner: keyed")])
    started = time.monotonic()
    done = ask(table, server, "--jobs", 3, prompt="Double {id}. {text}")
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - started < 60  # a call has ten minutes
    assert "OPENAI_API_KEY" in done.stderr
    status = json.loads(batchrun("status", table, "--json").stdout)["tasks"][0]
    assert (status["left"], status["failed"]) == (3, 0)
