"""With `--batch` a call is given many rows: each has its own end, and what one of them does is charged to it alone."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batchrun, lines_of, numbered, records, settled, write_table

from batchrun.checkpoint.inflight import Running
from batchrun.core.states import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT
from batchrun.engine.deal import Deal, halves
from batchrun.engine.events import Returned
from batchrun.engine.local.halves import Halves, by_call
from batchrun.engine.worker.attempt import Row
from batchrun.engine.worker.batches import in_batches

TASKS = """
import asyncio, os, signal, time
import batchrun

def noted(rows):
    ids = [row["id"] for row in rows]
    with open("calls", "a") as file:
        file.write(f"{ids}\\n")
    return ids

def squares(rows):
    return [{"square": number ** 2} for number in noted(rows)]

def yielded(rows):
    for number in noted(rows):
        yield {"square": number ** 2}

def squares_of_frame(frame):
    frame["square"] = frame["id"] ** 2
    return frame[["square"]]

def squares_of_array(frame):
    return frame["id"].to_numpy() ** 2

def poisoned(rows):
    ids = noted(rows)
    if 40 in ids:
        raise ValueError("forty")
    if 100 in ids:
        signal.raise_signal(signal.SIGSEGV)
    return [{"square": number ** 2} for number in ids]

def stuck(rows):
    ids = noted(rows)
    if 7 in ids:
        time.sleep(60)
    return ids

def of_one_row(row):
    return row["id"]

def ends_of_their_own(rows):
    said = {2: batchrun.Skip("even"), 3: ValueError("three")}
    return [said.get(number, {"rows": batchrun.current().rows}) for number in noted(rows)]

def takes_long(rows):
    time.sleep(1.2)
    return noted(rows)

def keys(rows):
    noted(rows)
    return [batchrun.current().fingerprint] * len(rows)

def too_few(rows):
    return noted(rows)[:1]

def too_few_for_five(rows):
    ids = noted(rows)
    return ids[1:] if 5 in ids else ids

def no_list(rows):
    return {"ids": noted(rows)}

def put_off_once(rows):
    ids = noted(rows)
    if len(open("calls").readlines()) == 1:
        raise batchrun.RetryLater(0.05)
    return [batchrun.current().attempt for _ in ids]

def needs_key(rows):
    ids = noted(rows)
    if not os.path.exists("key"):
        raise ConnectionError("wrong key")
    if 21 in ids:
        raise ValueError("twenty-one")
    return ids

def always_raises(rows):
    noted(rows)
    time.sleep(0.01)
    raise ConnectionError("always")

def always_dies(rows):
    noted(rows)
    os._exit(3)

def talks(rows):
    print("first of", len(rows))
    print("no end", end="")
    return noted(rows)

async def waited(rows):
    loops.add(asyncio.get_running_loop())
    await asyncio.sleep(0.001)
    assert len(loops) == 1
    noted(rows)
    return [{"square": batchrun.current().rows[nth] ** 2} for nth in range(len(rows))]

loops = set()
"""


@pytest.fixture
def tasks(tmp_path):
    (tmp_path / "batches.py").write_text(TASKS)
    return tmp_path


def process(folder, table, task, *options):
    """Run it, without further attempts."""
    return batchrun("process", table, "--task", f"batches.py:{task}", "--retries", 0, *options, cwd=folder)


def calls(folder):
    """The rows of each call."""
    return [eval(line) for line in lines_of(folder / "calls")]


def squares(numbers):
    """What is settled of rows that are done."""
    return {number: (DONE, {"square": number**2}) for number in numbers}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("task", ["squares", "yielded", "waited"])
def test_each_row_has_its_own_result_and_batches_are_filled_in_order(tasks, task, threads):
    table = numbered(tasks / "data.csv", 100)
    ran = process(tasks, table, task, "--batch", 16, "--jobs", 2, "--threads", threads)
    assert ran.returncode == 0, ran.stderr
    assert "2 jobs" in ran.stderr
    assert settled(table, task) == squares(range(1, 101))
    assert sorted(calls(tasks)) == [list(range(first, min(first + 16, 101))) for first in range(1, 101, 16)]


@pytest.mark.parametrize("task", ["squares_of_frame", "squares_of_array"])
def test_a_batch_may_be_a_frame_and_its_results_a_frame_or_an_array(tasks, task):
    table = numbered(tasks / "data.csv", 10)
    ran = process(tasks, table, task, "--batch", 4, "--batch-frame", "--jobs", 1)
    assert ran.returncode == 0, ran.stderr
    found = {number: result for number, (_, result) in settled(table, task).items()}
    assert {number: result if task == "squares_of_array" else result["square"] for number, result in found.items()} == {
        number: number**2 for number in range(1, 11)
    }


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_that_raise_and_that_kill_are_charged_alone_after_few_further_calls(tasks, threads):
    table = numbered(tasks / "data.csv", 200)
    ran = process(tasks, table, "poisoned", "--batch", 16, "--jobs", 3, "--threads", threads)
    assert ran.returncode == 1, ran.stderr
    found = settled(table, "poisoned")
    assert {row: state for row, (state, _) in found.items() if state != DONE} == {40: FAILED, 100: CRASHED}
    assert {row: end for row, end in found.items() if end[0] == DONE} == squares(set(range(1, 201)) - {40, 100})
    again = (threads > 1) * 2 * math.log2(16) + threads - 1  # calls that ran beside the one that killed the worker
    assert len(calls(tasks)) <= math.ceil(200 / 16) + 2 * (2 * math.log2(16) + 1) + again
    ends = Counter(row for call in calls(tasks) for row in call)
    if threads == 1:
        assert all(ends[row] == 1 for row in (*range(1, 33), *range(49, 97), *range(113, 201)))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_that_never_ends_is_timed_out_alone(tasks, threads):
    table = numbered(tasks / "data.csv", 32)
    ran = process(tasks, table, "stuck", "--batch", 8, "--jobs", threads, "--threads", threads, "--timeout", 0.6)
    assert ran.returncode == 1, ran.stderr
    assert {row for row, (state, _) in settled(table, "stuck").items() if state == TIMED_OUT} == {7}
    assert len(settled(table, "stuck")) == 32


def test_a_multiple_of_the_median_is_one_of_a_call(tasks):
    table = numbered(tasks / "data.csv", 75)
    ran = process(tasks, table, "takes_long", "--batch", 25, "--jobs", 2, "--timeout", "10x")
    assert ran.returncode == 0, ran.stderr
    assert sorted(map(len, calls(tasks))) == [25, 25, 25]


def test_each_call_has_a_key_of_its_own_and_a_single_row_its_own(tasks):
    table = numbered(tasks / "data.csv", 5)
    assert process(tasks, table, "keys", "--batch", 4, "--jobs", 1, "--limit", 4).returncode == 0
    assert process(tasks, table, "keys", "--batch", 1, "--jobs", 1, "--redo", "--limit", 2).returncode == 0
    found = {row: result for row, (_, result) in settled(table, "keys").items()}
    assert found[3] == found[4]
    assert len({*found.values()}) == 3
    assert {len(key) for key in found.values()} == {32}


def test_an_element_may_skip_its_row_or_fail_it(tasks):
    table = numbered(tasks / "data.csv", 4)
    ran = process(tasks, table, "ends_of_their_own", "--batch", 4, "--jobs", 1)
    assert ran.returncode == 1, ran.stderr
    found = settled(table, "ends_of_their_own")
    assert [found[row][0] for row in range(1, 5)] == [DONE, SKIPPED, FAILED, DONE]
    assert found[1][1] == {"rows": [1, 2, 3, 4]}
    assert "1 x exception: ValueError: three" in ran.stderr
    assert len(calls(tasks)) == 1


@pytest.mark.parametrize(("task", "said"), [("too_few", "1 result for 16 rows"), ("no_list", "dict for 16 rows")])
def test_a_task_that_never_returns_a_result_for_each_row_stops_the_run_with_the_numbers(tasks, task, said):
    table = numbered(tasks / "data.csv", 64)
    ran = process(tasks, table, task, "--batch", 16, "--jobs", 1)
    assert ran.returncode == 3
    assert said in ran.stderr
    assert not settled(table, task)


@pytest.mark.parametrize("task", ["always_raises", "always_dies"])
def test_a_task_that_always_fails_stops_the_run_after_few_calls(tasks, task):
    table = numbered(tasks / "data.csv", 500)
    ran = process(tasks, table, task, "--batch", 64, "--jobs", 1)
    assert ran.returncode == 3
    assert "stopped early" in ran.stderr
    assert list(map(len, calls(tasks)))[:8] == [64, 32, 16, 8, 4, 2, 1, 1]
    assert len(calls(tasks)) < 64


def test_a_task_for_one_row_is_told_that_it_gets_a_list(tasks):
    ran = process(tasks, numbered(tasks / "data.csv", 30), "of_one_row", "--batch", 8, "--jobs", 1)
    assert ran.returncode == 3
    assert "not str (with --batch a task gets a list of rows)" in ran.stderr


def test_rows_that_an_earlier_run_has_settled_are_called_together_again(tasks):
    table = numbered(tasks / "data.csv", 32)
    assert process(tasks, table, "needs_key", "--batch", 16, "--jobs", 1, "--max-failures", "100%").returncode == 1
    (tasks / "key").touch()
    (tasks / "calls").unlink()
    ran = batchrun(
        *("process", table, "--task", "batches.py:needs_key", "--batch", 16, "--jobs", 1, "--retry", "failed"),
        *("--retries", 1),
        cwd=tasks,
    )
    assert ran.returncode == 1, ran.stderr
    found = settled(table, "needs_key")
    assert {row for row, (state, _) in found.items() if state != DONE} == {21}
    assert list(map(len, calls(tasks))) == [16, 16, 8, 4, 4, 2, 1, 1, 2, 8, 1]
    assert calls(tasks)[-1] == [21]


def test_a_row_for_which_there_is_no_result_is_found(tasks):
    table = numbered(tasks / "data.csv", 32)
    ran = process(tasks, table, "too_few_for_five", "--batch", 8, "--jobs", 1)
    assert ran.returncode == 1, ran.stderr
    found = settled(table, "too_few_for_five")
    assert {row for row, (state, _) in found.items() if state != DONE} == {5}
    assert all(result == row for row, (state, result) in found.items() if state == DONE)


def test_a_batch_that_is_put_off_rests_as_a_whole_and_nobody_is_charged(tasks):
    table = numbered(tasks / "data.csv", 8)
    ran = process(tasks, table, "put_off_once", "--batch", 8, "--jobs", 1)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "put_off_once") == dict.fromkeys(range(1, 9), (DONE, 1))
    assert calls(tasks) == [list(range(1, 9))] * 2


def test_what_a_call_prints_is_shown_for_each_of_its_rows(tasks):
    table = numbered(tasks / "data.csv", 12)
    assert process(tasks, table, "talks", "--batch", 8, "--jobs", 1).returncode == 0
    for row, rows in ((1, 8), (5, 8), (12, 4)):
        shown = records(batchrun("show", table, "--json", row).stdout)[0]
        assert shown["printed"] == [f"first of {rows}", "no end"]


def test_a_worker_is_replaced_between_calls(tasks):
    table = numbered(tasks / "data.csv", 100)
    ran = process(tasks, table, "squares", "--batch", 8, "--jobs", 1, "--worker-rows", 20)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "squares") == squares(range(1, 101))
    assert Counter(row for call in calls(tasks) for row in call) == Counter(range(1, 101))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--task", "batches.py:squares", "--batch-frame"), "give --batch N as well"),
        (("--command", "echo {id}", "--batch", 4), "--batch cannot be combined with --command"),
    ],
)
def test_what_has_no_batches_is_refused(tasks, options, said):
    table = write_table(tasks / "data.csv", [(1, "a"), (2, "b")])
    ran = batchrun("process", table, *options, cwd=tasks)
    assert ran.returncode == 2
    assert said in ran.stderr


ROWS = st.lists(st.booleans(), max_size=60).map(
    lambda again: [Row(number, 2, b"", {}, 1, tried) for number, tried in enumerate(again, 1)]
)


@given(ROWS, st.integers(1, 10))
def test_every_row_is_in_one_batch_in_order_and_a_suspect_in_one_of_its_own(rows, most):
    batches = list(in_batches(rows, most))
    assert [row for batch in batches for row in batch] == rows
    assert all(len(batch) <= (1 if batch[0].again else most) for batch in batches)


@given(st.sets(st.integers(0, 63), min_size=1, max_size=5), st.integers(1, 64))
def test_culprits_are_alone_after_few_further_calls(bad, rows):
    bad = {row % rows for row in bad}
    waiting, found, further = [range(rows)], set(), -1
    while waiting:
        call = waiting.pop(0)
        further += 1
        if bad.isdisjoint(call):
            continue
        if len(call) == 1:
            found.update(call)
        else:
            waiting += halves(call)
    assert found == bad
    assert further <= len(bad) * (2 * math.ceil(math.log2(rows)) + 1)


@given(st.integers(2, 40), st.data())
def test_suspects_stay_in_two_groups_and_all_others_go_back(rows, data):
    suspects = data.draw(st.sets(st.integers(1, rows), min_size=2))
    cut = data.draw(st.integers(1, rows))
    whole = Deal(range(1, rows + 1), 1, bytes(16 * rows), [range(1, rows + 1)])
    kept = Halves()
    running = [Running(1.0, 1, b"", row) for row in range(1, rows + 1)]
    told = kept.keep([Returned(0, (whole.part(0, cut), whole.part(cut, rows)))], by_call(running, suspects))
    first, second = ([row for deal in kept.next() for row in deal.positions] for _ in range(2))
    assert [*first, *second] == sorted(suspects)
    assert len(first) - len(second) in (0, 1)
    back = [row for event in told for deal in event.deals for row in deal.positions]
    assert back == [row for row in range(1, rows + 1) if row not in suspects]
    assert not kept.rows
