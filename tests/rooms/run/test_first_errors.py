"""A run whose first attempts all end in the same error of the program's own stops before the others pay for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, lines_of, numbered, records, settled

from batchrun.engine.deal import Ticket
from batchrun.engine.wire import Reply
from batchrun.run.first_errors import ENOUGH, FirstErrors, all_alike, line_of

SAME = ("exception", "KeyError: 'nmae'", "KeyError", None, None)
OTHERS = (
    ("exception", "no such luck", "ValueError", None, None),
    ("connection", "down", "ConnectionError", None, None),
    ("exception", "timed out", "TimeoutError", None, None),
    ("exception", "lost", "urllib3.exceptions.ReadTimeoutError", None, None),
    ("exception", "database is locked", "OperationalError", None, None),
    ("server", "500", "APIError", 500, None),
    ("no_json", "no JSON", "ReplyError", None, None),
)


def end(error=None, outcome="failed", was=0):
    return Ticket(1, 1, b"", (), was=was), Reply(1, outcome, 0.0, error=error)


def told(ends, size):
    """What the watch says of ends that come `size` at a time."""
    watch = FirstErrors()
    return [watch.saw(ends[at : at + size]) for at in range(0, len(ends), size) if watch.open]


@given(st.integers(0, 30), st.integers(1, 12))
def test_ten_attempts_alike_are_enough_and_nine_are_not(number, size):
    assert any(told([end(SAME)] * number, size)) == (number >= ENOUGH)


@given(st.integers(0, ENOUGH - 1), st.sampled_from([end(outcome="done"), end(outcome="skipped"), *map(end, OTHERS)]))
def test_one_other_end_among_the_first_ten_is_enough_to_go_on(at, other):
    ends = [end(SAME)] * 30
    ends.insert(at, other)
    assert not any(told(ends, 5))


@given(st.lists(st.sampled_from([end(SAME, was=3), end(outcome="done", was=3), end(outcome="refused")])))
def test_rows_of_earlier_runs_and_refusals_say_nothing_about_the_others(before):
    assert not any(told([*before, *[end(SAME)] * (ENOUGH - 1)], 4))
    assert any(told([*before, *[end(SAME)] * ENOUGH], 4))


@pytest.mark.parametrize("error", OTHERS[1:])
def test_what_tells_of_a_service_or_a_reply_never_counts(error):
    assert not any(told([end(error)] * 50, 10))


def test_errors_that_differ_in_what_varies_from_row_to_row_are_alike():
    ends = [
        end(("exception", f"invalid literal for int(): 'x{n}' in row {n}", "ValueError", None, None)) for n in range(10)
    ]
    assert any(told(ends, 3))
    unlike = [end(("exception", f"cannot read {word}", "ValueError", None, None)) for word in "abcdefghij"]
    assert not any(told(unlike, 3))


TRACE = """Traceback (most recent call last):
  File "/job/tasks.py", line 3, in outer
    raise KeyError("x")
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/job/tasks.py", line 7, in task
    return read(row)
           ^^^^^^^^^
  File "/job/lib/helpers.py", line 12, in read
    return json.loads(row["t"])
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
  File "/venv/lib/python3.11/site-packages/x.py", line 1, in y
JSONDecodeError: bad
"""


def test_the_line_is_the_last_one_of_the_users_own_code():
    assert line_of(TRACE, ["/job/tasks.py"]) == "/job/tasks.py, line 7: return read(row)"
    assert line_of(TRACE, ["/job/tasks.py", "/job/lib/helpers.py"]).startswith("/job/lib/helpers.py, line 12")
    assert line_of("no traceback") is None
    assert line_of(TRACE, ["/home/me/helpers.py"]).startswith("/home/me/helpers.py, line 12")


@pytest.mark.parametrize(
    ("message", "kind", "hint"),
    [
        ("KeyError: 'nmae'", "KeyError", "Did you mean 'name'? The columns are: id, name"),
        ("KeyError: 'Id'", "KeyError", "Did you mean 'id'?"),
        ("KeyError: 'qqq'", "KeyError", "The columns are: id, name"),
        ("'dict' object has no attribute 'name'", "AttributeError", "row['name']"),
    ],
)
def test_a_name_that_is_no_column_is_held_against_those_there_are(message, kind, hint):
    assert hint in all_alike(("exception", message, kind, None, None), ("id", "name"), ()).hint


@pytest.mark.parametrize("message", ["KeyError: 'name'", "KeyError: 7", "KeyError: (", "KeyError: ('id', 'x')"])
def test_keys_that_are_no_misspelt_column_get_no_such_hint(message):
    assert all_alike(("exception", message, "KeyError", None, None), ("id", "name"), ()).hint.startswith("fix")


TASKS = """
from tasks import note

def misspelt(row):
    note(row)
    return {"t": row["txet"].upper()}

async def waits(row):
    return misspelt(row)

def old(row):
    note(row)
    if row["id"] <= 12:
        raise ValueError("bad row")
    return row["id"]
"""


def run(folder, task, *args, rows=200):
    (folder / "bugs.py").write_text(TASKS)
    table = numbered(folder / "data.csv", rows)
    return batchrun("process", table, "--task", f"bugs.py:{task}", "--no-output", "--json", *args, cwd=folder)


@pytest.mark.parametrize("args", [(), ("--retries", 50), ("--threads", 2, "--jobs", 2), ("--jobs", 8)])
@pytest.mark.parametrize("task", ["misspelt", "waits"])
def test_a_misspelt_column_ends_the_run_at_once_with_its_line(folder, task, args):
    ran = run(folder, task, *args)
    assert ran.returncode == 3, ran.stderr
    assert "the first 10 attempts all failed with the same error: KeyError: 'txet'" in ran.stderr
    assert f'{folder / "bugs.py"}, line 6: return {{"t": row["txet"].upper()}}' in ran.stderr
    assert "Did you mean 'text'? The columns are: id, text" in ran.stderr
    assert len(lines_of(folder / "started")) < 100
    assert records(ran.stdout)[-1]["done"] == 0


def test_the_same_command_goes_on_when_the_task_is_fixed(folder):
    assert run(folder, "misspelt").returncode == 3
    (folder / "bugs.py").write_text(TASKS.replace("txet", "text"))
    again = batchrun("process", "data.csv", "--task", "bugs.py:misspelt", "--no-output", cwd=folder)
    assert again.returncode == 0, again.stderr


def test_who_says_how_many_may_fail_has_all_rows_run(folder):
    ran = run(folder, "misspelt", "--max-failures", "100%", "--retries", 0, rows=30)
    assert ran.returncode == 1
    assert len(lines_of(folder / "started")) == 30


@pytest.mark.parametrize("rows", [3, 10])
def test_a_table_that_is_over_before_just_ends(folder, rows):
    ran = run(folder, "misspelt", "--retries", 0, rows=rows)
    assert ran.returncode == 1
    assert len(settled(folder / "data.csv", "misspelt")) == rows


def test_rows_that_stay_bad_do_not_keep_later_runs_from_the_others(folder):
    first = run(folder, "old", "--max-failures", "100%", "--retries", 0)
    assert (first.returncode, records(first.stdout)[-1]["failed"]) == (1, 12)
    with (folder / "data.csv").open("a") as table:
        table.writelines(f"{n},more\n" for n in range(201, 241))
    second = batchrun("process", "data.csv", "--task", "bugs.py:old", "--no-output", "--json", cwd=folder)
    assert (second.returncode, records(second.stdout)[-1]["done"]) == (1, 228)


def test_of_rows_that_take_no_time_none_starts_beside_the_first_ten_and_those_in_flight(folder):
    (folder / "own.py").write_text("from tasks import note\n\ndef wrong(row):\n    note(row)\n    return row['nmae']\n")
    table = numbered(folder / "data.csv", 3000)
    ran = batchrun("process", table, "--task", "own.py:wrong", "--jobs", 2, "--retries", 0, "--no-output", cwd=folder)
    assert ran.returncode == 3
    assert ENOUGH <= len(lines_of(folder / "started")) <= ENOUGH + 1
