"""batchrun in scripts and notebooks: no `__main__` guard, functions and DataFrames, errors as exceptions."""

import json
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from support import environment, kill, lines_of, numbered, wait_for

import batchrun
from batchrun.errors import BatchrunError, InputError, LockedError, StoppedError, UsageError


def python(folder, source):
    """Run a script as a user would."""
    (folder / "script.py").write_text(textwrap.dedent(source))
    command = [sys.executable, "-W", "error", "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env=environment())


def test_a_script_needs_no_main_guard_and_runs_its_own_functions(folder):
    numbered(folder / "data.csv", 30)
    ran = python(
        folder,
        """
        import batchrun

        FACTOR = 3

        def triple(row):
            return {"triple": row["id"] * FACTOR}

        summary = batchrun.process("data.csv", task=triple, jobs=4, progress="none")
        print(summary.done, summary.ran, summary.exit_code, summary.output.name)
        print(batchrun.results("data.csv", task=triple)["triple"].sum())
        """,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["30", "30", "0", "data.results.csv", str(3 * 465)]
    again = python(folder, (folder / "script.py").read_text())
    assert again.stdout.split()[1] == "0"


def test_a_data_frame_is_a_table_and_rows_are_known_again_by_content(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame({"id": range(1, 11), "text": [f"text {n}" for n in range(1, 11)]})

    def double(row):
        return {"double": row["id"] * 2}

    assert batchrun.process(frame, task=double, jobs=2, quiet=True).ran == 10
    more = pd.concat([pd.DataFrame({"id": [99], "text": ["new"]}), frame])
    assert batchrun.process(more, task=double, jobs=2, quiet=True).ran == 1
    found = batchrun.results(more, task=double)
    assert list(found["double"]) == [198, *range(2, 21, 2)]
    assert set(found["batchrun_status"]) == {"done"}


def test_results_go_out_as_the_command_lets_them(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame({"id": range(1, 4), "text": "abc"})

    def double(row):
        return {"double": row["id"] * 2, "half": row["id"] / 2}

    part = {"results_only": True, "result_columns": "double"}
    done = batchrun.process(frame, task=double, quiet=True, output="out", format="json-files", **part)
    assert json.loads((done.output / "2.json").read_text())["result"] == {"double": 4}
    assert batchrun.export(frame, "out.csv", task=double, **part) == 3
    assert (folder / "out.csv").read_text().splitlines()[1] == "1,2,done,value,"
    assert list(batchrun.results(frame, task=double, **part))[:2] == ["batchrun_row", "double"]
    (folder / "mine.csv").write_text("mine")
    with pytest.raises(UsageError, match="did not write it"):
        batchrun.export(frame, "mine.csv", task=double)
    with pytest.raises(InputError, match="a different DataFrame"):
        batchrun.export(frame.head(2), "out.csv", task=double)


def test_what_the_command_says_with_a_higher_exit_code_is_an_exception(folder, monkeypatch):
    monkeypatch.chdir(folder)
    numbered(folder / "data.csv", 40)
    with pytest.raises(InputError, match=r"nothing\.csv"):
        batchrun.process("nothing.csv", quiet=True)
    with pytest.raises(UsageError, match="jobz") as raised:
        batchrun.process("data.csv", jobz=3)
    assert raised.value.hint.startswith("Did you mean 'jobs'?")
    with pytest.raises(StoppedError, match="expired"):
        batchrun.process("data.csv", task="tasks.py:aborting", jobs=1, quiet=True)
    failing = batchrun.process("data.csv", task="tasks.py:failing", jobs=2, retries=0, quiet=True)
    assert (failing.exit_code, failing.failed, failing.left) == (1, 4, 0)


def test_a_stream_that_somebody_has_put_in_place_of_stderr_gets_what_is_said(folder):
    numbered(folder / "data.csv", 5)
    script = """
        import io, sys
        import batchrun

        class Cell(io.StringIO):
            def fileno(self):  # as in a notebook: the terminal that the server was started from
                return 2

        sys.stderr = Cell()
        batchrun.process("data.csv", task="tasks.py:echo")
        print(sys.stderr.getvalue())
    """
    done = python(folder, script)
    assert "5 of 5 done" in done.stdout
    assert done.stderr == ""


def test_current_is_known_only_inside_a_task():
    with pytest.raises(LookupError, match="only while a task is"):
        batchrun.current()


def test_results_of_an_unknown_table_say_what_to_do(folder):
    numbered(folder / "data.csv", 3)
    with pytest.raises(UsageError, match="no checkpoint"):
        batchrun.results(folder / "data.csv")


def test_what_is_neither_a_task_nor_a_table_is_refused_before_anything_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = numbered(folder / "data.csv", 3)
    with pytest.raises(UsageError, match="a task is a function or its name, not int"):
        batchrun.process(table, task=3)
    for use in (batchrun.process, batchrun.results):
        with pytest.raises(InputError, match="a path or a DataFrame, not int"):
            use(5)
    assert not list(folder.rglob("*.sqlite"))


def test_threads_may_process_a_table_at_the_same_time_under_names_of_their_own(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = numbered(folder / "data.csv", 20)
    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(batchrun.process, table, "tasks.py:double", name=f"n{n}", no_output=True, quiet=True)
                for n in range(8)]  # fmt: skip
        assert [run.result().done for run in runs] == [20] * 8


def test_a_data_frame_stays_in_the_folder_that_it_was_given_whatever_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame({"n": [1, 2]})
    kept = batchrun.process(frame, task="repair", name="../up/and away", progress="none").input
    assert kept.parent.parent == folder
    assert len(batchrun.results(frame, name="../up/and away")) == 2


def test_a_data_frame_without_results_is_told_what_gives_it_some(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame({"id": [1, 2]})
    with pytest.raises(UsageError, match="no DataFrame has been processed as 'double'") as raised:
        batchrun.results(frame, task="tasks.py:double")
    assert "batchrun.process(df, " in raised.value.hint
    batchrun.process(frame, task="tasks.py:echo", quiet=True)
    with pytest.raises(BatchrunError):
        batchrun.process(pd.DataFrame({"id": [3]}), task="tasks.py:echo", key="nothing", quiet=True)
    assert len(batchrun.results(frame, task="tasks.py:echo")) == 2
    assert list(folder.glob("*.batchrun")) == [folder / "echo.parquet.batchrun"]


def test_results_are_not_joined_to_another_data_frame_than_was_processed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    frame = pd.DataFrame({"id": [1, 2]})
    batchrun.process(frame, task="tasks.py:echo", quiet=True)
    for other in (frame.head(1), frame.iloc[::-1], frame + 1):
        with pytest.raises(InputError, match="a different DataFrame was processed as 'echo'") as raised:
            batchrun.results(other, task="tasks.py:echo")
        assert "batchrun.process(df, " in raised.value.hint
    assert list(batchrun.results(frame.copy(), task="tasks.py:echo")["id"]) == [1, 2]


def test_a_data_frame_does_not_take_the_place_of_one_that_is_being_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SECONDS", "60")
    script = "import batchrun, pandas as pd; batchrun.process(pd.DataFrame({'id': [1, 2]}), task='tasks.py:short')"
    command = [sys.executable, "-c", script]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        wait_for(lambda: lines_of(folder / "started"))
        kept = folder / "short.parquet.batchrun" / "short.parquet"
        before = kept.read_bytes()
        with pytest.raises(LockedError):
            batchrun.process(pd.DataFrame({"id": [3]}), task="tasks.py:short", quiet=True)
        assert batchrun.process(pd.DataFrame({"id": [4]}), task="repair", name="other", quiet=True).done == 1
        assert kept.read_bytes() == before
    finally:
        kill(run)


def test_a_dry_run_of_a_data_frame_leaves_what_is_kept_as_it_is(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert batchrun.process(pd.DataFrame({"id": [1]}), task="tasks.py:echo", dry_run=True, quiet=True).left == 1
    assert not list(folder.rglob("*.parquet*"))
    frame = pd.DataFrame({"id": [1, 2]})
    assert batchrun.process(frame, task="tasks.py:echo", quiet=True).done == 2
    more = pd.DataFrame({"id": [1, 2, 3]})
    assert batchrun.process(more, task="tasks.py:echo", dry_run=True, quiet=True).left == 1
    assert len(batchrun.results(frame, task="tasks.py:echo")) == 2


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": [1, "two"]}),
        pd.DataFrame({"x": [1 + 2j]}),
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        pd.DataFrame({"x": [2**70, 1]}),
        pd.DataFrame({"x": pd.period_range("2024-01", periods=2, freq="M")}),
    ],
    ids=["mixed", "complex", "two of a name", "huge", "periods"],
)
def test_a_frame_that_parquet_cannot_hold_is_refused_with_the_remedy(folder, monkeypatch, frame):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="cannot be stored as Parquet") as refused:
        batchrun.process(frame, task="tasks.py:echo")
    assert "astype(str)" in refused.value.hint


def test_rows_are_handed_over_as_they_come_and_those_that_are_done_already_come_first(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = numbered(folder / "data.csv", 1200)

    def double(row):
        if row["id"] == 7:
            raise ValueError("no luck")
        return {"double": row["id"] * 2}

    options = {"task": double, "jobs": 2, "retries": 0, "quiet": True}
    first = list(batchrun.iterate(table, **options, limit=20))
    assert sorted(row["row"] for row in first) == list(range(1, 21))
    assert {row["row"]: row["result"] for row in first if row["row"] != 7} == {
        n: {"double": n * 2} for n in range(1, 21) if n != 7
    }
    (bad,) = [row for row in first if row["status"] == "failed"]
    assert (bad["row"], bad["error"]["message"]) == (7, "no luck")
    rest = [row["row"] for row in batchrun.iterate(table, **options)]
    assert rest[:19] == [n for n in range(1, 21) if n != 7]
    assert sorted(rest) == list(range(1, 1201))


def test_whoever_leaves_the_loop_ends_the_run_and_the_same_loop_resumes(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def slow(row):
        import time

        time.sleep(0.05)
        return row["id"]

    rows = [{"id": n} for n in range(60)]
    for row in batchrun.iterate(rows, task=slow, jobs=2, quiet=True):
        assert row["result"] == row["row"] - 1
        break
    found = batchrun.results(rows, task=slow)
    done = int((found["batchrun_status"] == "done").sum())
    assert 1 <= done < 60
    assert len(list(batchrun.iterate(rows, task=slow, jobs=8, quiet=True))) == 60


def test_what_keeps_a_run_from_starting_or_ends_it_is_raised_from_the_loop(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def bad(row):
        raise ValueError("no luck")

    with pytest.raises(InputError):
        list(batchrun.iterate("missing.csv", task=bad, quiet=True))
    seen = []
    with pytest.raises(StoppedError):
        seen += batchrun.iterate(numbered(folder / "data.csv", 40), task=bad, retries=0, quiet=True)
    with pytest.raises(UsageError):
        batchrun.iterate("data.csv", task=bad, no_such_option=1)


def test_a_function_is_told_of_each_row_that_fails_and_what_it_raises_ends_the_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = numbered(folder / "data.csv", 30)

    def some(row):
        if row["id"] % 10 == 3:
            raise ValueError("no luck")
        return row["id"]

    told = []
    summary = batchrun.process(table, task=some, retries=0, quiet=True, on_failed=told.append)
    assert (summary.failed, sorted(row["row"] for row in told)) == (3, [3, 13, 23])
    assert {row["error"]["type"] for row in told} == {"ValueError"}

    def stop(row):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        batchrun.process(table, task=some, retries=0, quiet=True, on_failed=stop)


def test_a_summary_has_its_results_and_is_a_table_in_a_notebook(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def some(row):
        if row["id"] == 3:
            raise ValueError("<b>no luck</b>")
        return {"double": row["id"] * 2}

    summary = batchrun.process(pd.DataFrame({"id": [1, 2, 3]}), task=some, retries=0, quiet=True)
    assert list(summary.results()["double"].dropna()) == [2, 4]
    shown = summary._repr_html_()
    assert "2 done, 1 failed of 3" in shown
    assert "1 × exception: ValueError: &lt;b&gt;no luck" in shown
