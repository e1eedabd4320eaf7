"""The main job from the outside: the command, its streams, its files, its exit codes."""

import csv
import json
import multiprocessing
import os
import signal
import sqlite3
import stat
import sys
from contextlib import closing

import pytest
from support import ROOT, batchrun, database, lines_of, numbered, records, settled, start, wait_for, write_table


def results_of(table):
    with table.with_name(f"{table.stem}.results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_row_gets_its_own_result_and_a_second_run_runs_nothing(folder):
    table = numbered(folder / "data.csv", 300)
    first = batchrun("process", table, "--task", "tasks.py:double", "--jobs", 4, "--json", cwd=folder)
    assert first.returncode == 0, first.stderr
    begin, done = records(first.stdout)
    assert (begin["event"], begin["rows"], begin["done"], begin["to_run"]) == ("start", 300, 0, 300)
    assert (done["event"], done["done"], done["left"], done["ran"], done["exit"]) == ("done", 300, 0, 300, 0)
    assert [row["double"] for row in results_of(table)] == [str(2 * n) for n in range(1, 301)]
    again = batchrun("process", table, "--task", "tasks.py:double", "--jobs", 4, "--json", cwd=folder)
    assert records(again.stdout)[1]["ran"] == 0
    assert len(lines_of(folder / "started")) == 300


def test_the_built_in_task_needs_no_configuration(folder):
    table = write_table(folder / "data.csv", [(1, '```json\n{"same": true,}\n```'), (2, "42")])
    ran = batchrun("process", table, "-t", "repair", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    found = settled(table, "repair")
    assert found[1][1] == {"id": 1, "text": {"same": True}}
    assert found[2][1] == {"id": 2, "text": "42"}


def test_the_sample_match_agrees_with_the_truth(tmp_path):
    table = tmp_path / "airport_pairs.csv"
    table.write_bytes((ROOT / "sample_data/airport_pairs.csv").read_bytes())
    ran = batchrun("process", table, "--task", f"{ROOT}/sample_data/tasks.py:match", "--jobs", 8)
    assert ran.returncode == 0, ran.stderr
    rows = results_of(table)
    agree = sum((row["result_same"] == "true") == (row["same"] == "1") for row in rows)
    assert len(rows) == 1000
    assert agree >= 990


def test_every_sample_answer_is_right_or_a_named_failure(tmp_path):
    table = tmp_path / "llm_answers.csv"
    table.write_bytes((ROOT / "sample_data/llm_answers.csv").read_bytes())
    ran = batchrun("process", table, "--jobs", 50, "--retries", 0)
    assert ran.returncode in (0, 1), ran.stderr
    with table.open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    found = settled(table, "repair")
    right = 0
    for number, row in enumerate(truth, start=1):
        status, result = found[number]
        reply = result["reply"] if result else None
        if isinstance(reply, dict):
            assert row["expect"] == "right", (number, row, reply)
            assert bool(reply["same"]) == (row["same"] == "1"), (number, row, reply)
            right += 1
        elif result:
            assert row["style"] in ("refusal", "prose_only", "empty"), (number, row, status)
    assert right >= 240


@pytest.mark.parametrize("arguments", [["--retries", "0"], ["--retries", "1"]])
def test_failed_rows_are_named_and_taken_up_again_by_the_next_run(folder, arguments):
    table = numbered(folder / "data.csv", 40)
    command = ("process", table, "--task", "tasks.py:failing", "--jobs", 4, "--json", *arguments)
    ran = batchrun(*command, cwd=folder)
    assert ran.returncode == 1
    done = records(ran.stdout)[1]
    assert (done["done"], done["failed"]) == (36, 4)
    errors = {row["id"]: row["batchrun_error"] for row in results_of(table) if row["batchrun_status"] == "failed"}
    assert errors == {str(n): f"no luck with {n}" for n in (3, 13, 23, 33)}
    again = records(batchrun(*command, cwd=folder).stdout)
    assert again[0]["to_run"] == 4
    kept = records(batchrun(*command, "--retry", "none", cwd=folder).stdout)
    assert (kept[0]["to_run"], kept[1]["exit"]) == (0, 1)


def test_a_task_may_skip_a_row_and_count_its_attempts(folder):
    table = numbered(folder / "data.csv", 4)
    ran = batchrun("process", table, "--task", "tasks.py:choosy", "--jobs", 2, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    found = settled(table, "choosy")
    assert found[2] == (5, None)
    assert found[3] == (1, {"attempt": 3, "row": 3})


def test_a_task_may_end_the_run(folder):
    table = numbered(folder / "data.csv", 100)
    ran = batchrun("process", table, "--task", "tasks.py:aborting", "--jobs", 1, cwd=folder)
    assert ran.returncode == 3
    assert "the key has expired" in ran.stderr
    assert 5 not in settled(table, "aborting")


def test_the_run_stops_when_the_first_25_rows_all_fail_and_says_why(folder):
    table = numbered(folder / "data.csv", 500)
    ran = batchrun("process", table, "--task", "tasks.py:always", "--jobs", 2, "--retries", 0, cwd=folder)
    assert ran.returncode == 3
    assert "the service is down" in ran.stderr
    assert 25 <= len(settled(table, "always")) < 500


def test_what_tasks_print_goes_to_the_log_with_its_row_and_never_to_stdout(folder):
    table = numbered(folder / "data.csv", 3)
    ran = batchrun("process", table, "--task", "tasks.py:chatty", "--jobs", 1, "--json", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert len(records(ran.stdout)) == 2
    assert "hello" not in ran.stderr
    log = (folder / "data.csv.batchrun/chatty.log").read_text()
    assert "[row 2] hello from 2" in log
    assert "[row 3] and an error line" in log
    assert "raw bytes" in log


def test_rows_and_replies_are_private(folder):
    table = numbered(folder / "data.csv", 3)
    batchrun("process", table, "--task", "tasks.py:chatty", cwd=folder)
    checkpoint = database(table, "chatty")
    assert stat.S_IMODE(checkpoint.parent.stat().st_mode) == 0o700
    for path in checkpoint.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv"], "missing.csv"),
        (["data.csv", "--task", "tasks.py:dubble"], "double"),
        (["data.csv", "--task", "nothing.py:f"], "nothing.py"),
        (["data.csv", "--task", "tasks"], "file.py:function"),
        (["data.csv", "--jobs", "many"], "--jobs"),
        (["data.csv", "--columns", "idd"], "id"),
        (["data.csv", "--rows", "7-3"], "--rows"),
        (["data.csv", "-t", "repair", "--rows", "99"], "99"),
        (["data.csv", "-t", "repair", "--output", "nowhere/out.csv"], "nowhere"),
        (["data.csv", "--output", "tasks.py"], "tasks.py"),
    ],
)
def test_a_tired_users_mistakes_are_told_with_exit_code_2_before_anything_runs(folder, arguments, said):
    numbered(folder / "data.csv", 5)
    ran = batchrun("process", *arguments, cwd=folder)
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (folder / "started").exists()
    assert not list(folder.rglob("*.sqlite"))


def test_a_module_that_cannot_be_imported_shows_the_users_own_traceback(folder):
    numbered(folder / "data.csv", 5)
    (folder / "broken.py").write_text("import json\n\nvalue = json.loads('{')\n\ndef f(row):\n    return row\n")
    ran = batchrun("process", "data.csv", "--task", "broken.py:f", cwd=folder)
    assert ran.returncode == 2
    assert 'broken.py", line 3' in ran.stderr
    assert "loading.py" not in ran.stderr


def test_a_relative_import_says_what_to_write_instead(folder):
    numbered(folder / "data.csv", 5)
    (folder / "near.py").write_text("from .tasks import double\n")
    ran = batchrun("process", "data.csv", "--task", "near.py:double", cwd=folder)
    assert ran.returncode == 2
    assert "without the dot" in ran.stderr


@pytest.mark.parametrize("method", [None, "fork", "spawn", "forkserver"])
def test_a_row_may_start_processes_of_its_own_in_every_way_that_python_has(folder, method):
    """Not as the lanes were started: that way is unknown to the children, which die at once, for ever."""
    table = numbered(folder / "data.csv", 2)
    (folder / "parallel.py").write_text(
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n\n"
        "def total(row):\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    with ProcessPoolExecutor(2, mp_context=context) as pool:\n"
        "        return {'total': sum(pool.map(abs, [-1, 2])), 'how': multiprocessing.get_start_method()}\n"
    )
    ran = batchrun("process", table, "--task", "parallel.py:total", "--retries", 0, "--timeout", 60, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    usual = multiprocessing.get_context().get_start_method()
    assert {(row["total"], row["how"]) for row in results_of(table)} == {("3", usual)}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return row['nmae']", "KeyError: 'nmae'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('no such name')", "exception: ValueError: no such name"),
    ],
)
def test_an_exception_whose_message_is_a_mere_value_is_told_with_its_type(folder, body, said):
    table = numbered(folder / "data.csv", 1)
    (folder / "terse.py").write_text(f"def f(row):\n    {body}\n")
    ran = batchrun("process", table, "--task", "terse.py:f", "--retries", 0, cwd=folder)
    assert ran.returncode == 1
    assert said in ran.stderr


def test_a_results_file_that_batchrun_did_not_write_is_not_replaced(folder):
    table = numbered(folder / "data.csv", 3)
    results = folder / "data.results.csv"
    results.write_text("mine")
    command = ("process", table, "--task", "tasks.py:double")
    refused = batchrun(*command, cwd=folder)
    assert refused.returncode == 2
    assert results.read_text() == "mine"
    assert not (folder / "started").exists()
    assert batchrun(*command, "--overwrite", cwd=folder).returncode == 0
    table.write_text(table.read_text() + "4,more\n")
    assert batchrun(*command, cwd=folder).returncode == 0
    assert len(results_of(table)) == 4


def test_limit_and_rows_run_only_what_was_asked_for(folder):
    table = numbered(folder / "data.csv", 20)
    assert batchrun("process", table, "--task", "tasks.py:double", "--limit", 3, cwd=folder).returncode == 0
    assert sorted(settled(table, "double")) == [1, 2, 3]
    assert batchrun("process", table, "--task", "tasks.py:double", "--rows", "2,18-19", cwd=folder).returncode == 0
    assert sorted(settled(table, "double")) == [1, 2, 3, 18, 19]
    assert len(lines_of(folder / "started")) == 5


def test_a_dry_run_prints_the_plan_and_leaves_nothing_behind(folder):
    table = numbered(folder / "data.csv", 20)
    ran = batchrun("process", table, "--task", "tasks.py:double", "--dry-run", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert "20 rows" in ran.stderr
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == [
        "data.csv",
        "tasks.py",
    ]


def test_a_dry_run_counts_the_rows_of_the_table_as_it_is_now(folder):
    table = numbered(folder / "data.csv", 10)
    command = ("process", table, "--task", "tasks.py:double", "--json")
    assert batchrun(*command, cwd=folder).returncode == 0
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[:5], "11,new"]) + "\n")
    begin, done = records(batchrun(*command, "--dry-run", cwd=folder).stdout)
    assert (begin["rows"], begin["done"], begin["to_run"]) == (6, 5, 1)
    assert (done["rows"], done["done"], done["left"], done["ran"]) == (6, 5, 1, 0)


def test_some_of_some_rows_that_ran_well_are_a_success(folder):
    table = numbered(folder / "data.csv", 9)
    command = ("process", table, "--task", "tasks.py:double", "--rows", "1-5", "--limit", 2, "--json")
    for ran in (2, 2, 1, 0):
        run = batchrun(*command, cwd=folder)
        assert (run.returncode, records(run.stdout)[1]["ran"]) == (0, ran), run.stderr


def test_a_fresh_start_that_comes_to_nothing_leaves_the_old_checkpoint_where_it_was(folder):
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "--name", "mine", "--json")
    assert batchrun(*command, "--task", "tasks.py:double", cwd=folder).returncode == 0
    before = settled(table, "mine")
    assert batchrun(*command, "--task", "tasks.py:dubble", "--fresh", cwd=folder).returncode == 2
    assert not list((folder / "data.csv.batchrun").glob("*.old*"))
    assert settled(table, "mine") == before
    again = batchrun(*command, "--task", "tasks.py:double", cwd=folder)
    assert (again.returncode, records(again.stdout)[1]["ran"]) == (0, 0), again.stderr


def test_fresh_starts_over_and_keeps_the_old_checkpoint(folder):
    table = numbered(folder / "data.csv", 5)
    for extra in ([], ["--fresh"]):
        assert batchrun("process", table, "--task", "tasks.py:double", *extra, cwd=folder).returncode == 0
    assert len(lines_of(folder / "started")) == 10
    assert len(list((folder / "data.csv.batchrun").glob("double.*.old"))) == 1


def test_options_come_from_the_command_line_then_the_environment_then_the_file(folder):
    numbered(folder / "data.csv", 9)
    (folder / "batchrun.toml").write_text('task = "tasks.py:double"\nlimit = 2\nname = "from-file"\n')
    command = ("process", "data.csv", "--json")
    assert records(batchrun(*command, cwd=folder).stdout)[1]["ran"] == 2
    assert records(batchrun(*command, cwd=folder, env={"BATCHRUN_LIMIT": "3"}).stdout)[1]["ran"] == 3
    assert records(batchrun(*command, "--limit", 1, cwd=folder, env={"BATCHRUN_LIMIT": "3"}).stdout)[1]["ran"] == 1
    assert (folder / "data.csv.batchrun/from-file.sqlite").exists()


def test_an_edited_task_is_noticed_and_done_as_asked(folder):
    table = numbered(folder / "data.csv", 6)
    command = ("process", table, "--task", "tasks.py:double", "--json")
    batchrun(*command, cwd=folder)
    tasks = folder / "tasks.py"
    tasks.write_text(tasks.read_text() + "\n# edited\n")
    kept = batchrun(*command, cwd=folder)
    assert records(kept.stdout)[1]["ran"] == 0
    assert "another version" in kept.stderr
    assert batchrun(*command, "--on-change", "stop", cwd=folder).returncode == 2
    assert records(batchrun(*command, "--on-change", "redo", cwd=folder).stdout)[1]["ran"] == 6


def test_a_task_edited_within_the_same_second_is_not_the_old_one(folder):
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "--task", "own.py:double", "--on-change", "redo")
    own, before = folder / "own.py", ""
    for times in (2, 3):
        own.write_text(f"def double(row):\n    return {times} * row['id']\n")
        os.utime(own, (10**9, 10**9))
        assert batchrun(*command, cwd=folder).returncode == 0
        now = (folder / "data.results.csv").read_text()
        assert now != before
        before = now


def test_status_export_and_verify_tell_the_same(folder):
    table = numbered(folder / "data.csv", 12)
    before = batchrun("status", table, "--json", cwd=folder)
    assert json.loads(before.stdout)["tasks"] == []
    batchrun("process", table, "--task", "tasks.py:failing", "--retries", 0, cwd=folder)
    (record,) = json.loads(batchrun("status", table, "--json", cwd=folder).stdout)["tasks"]
    assert (record["done"], record["failed"], record["left"], record["running"]) == (11, 1, 0, False)
    assert record["last_run"]["exit"] == 1
    proof = batchrun("verify", table, cwd=folder)
    assert proof.returncode == 0, proof.stdout
    lines = batchrun("export", table, "-o", "-", "--format", "jsonl", cwd=folder).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["row"] for row in rows] == list(range(1, 13))
    assert rows[0]["result"] == {"double": 2}
    assert rows[2]["status"] == "failed"
    assert rows[2]["error"]["type"] == "ValueError"


def test_a_table_without_rows_is_fine(folder):
    (folder / "data.csv").write_text("id,text\n")
    ran = batchrun("process", "data.csv", "--task", "tasks.py:double", cwd=folder)
    assert ran.returncode == 0, ran.stderr


def test_reparse_reads_kept_replies_again_without_calling_the_task(folder):
    (folder / "replies.py").write_text(
        "def reply(row):\n    open('called', 'a').write('x')\n    return '{\"same\": true, \"why\": \"cut'\n"
    )
    table = numbered(folder / "data.csv", 3)
    command = ("process", table, "--task", "replies.py:reply", "--retries", 0, "--json")
    assert records(batchrun(*command, cwd=folder).stdout)[1]["failed"] == 3
    done = records(batchrun(*command, "--reparse", "--accept-truncated", cwd=folder).stdout)[1]
    assert (done["done"], done["failed"], done["ran"]) == (3, 0, 0)
    assert (folder / "called").read_text() == "xxx"
    assert settled(table, "reply")[1][1]["same"] is True


def replies(folder, table, *options):
    """Keep a reply for each row that a lenient parser takes; returns the command."""
    (folder / "replies.py").write_text('def reply(row):\n    return f\'So: {{"n": {row["id"]}}}\'\n')
    command = ("process", table, "--task", "replies.py:reply", "--retries", 0, "--no-output", "--json", *options)
    assert batchrun(*command, cwd=folder).returncode == 0
    return command


def test_reparse_does_not_forget_that_the_content_of_a_row_has_changed(folder):
    table = numbered(folder / "data.csv", 3)
    command = replies(folder, table, "--key", "id")
    write_table(table, [(1, "text 1"), (2, "edited"), (3, "text 3")])
    batchrun(*command, "--limit", 0, cwd=folder)
    for extra, failed in (("--strict-json", 3), ("--no-output", 0)):
        ran = batchrun(*command, "--reparse", extra, cwd=folder)
        assert records(ran.stdout)[1]["failed"] == failed, ran.stderr
    refused = batchrun(*command, "--on-change", "stop", cwd=folder)
    assert refused.returncode == 2
    assert "1 row was settled under" in refused.stderr
    assert records(batchrun(*command, "--on-change", "redo", cwd=folder).stdout)[1]["ran"] == 1
    assert batchrun(*command, "--on-change", "stop", cwd=folder).returncode == 0


def test_reparse_of_some_rows_touches_no_others(folder):
    table = numbered(folder / "data.csv", 3)
    command = replies(folder, table)
    ran = batchrun(*command, "--reparse", "--strict-json", "--rows", 2, cwd=folder)
    assert (ran.returncode, records(ran.stdout)[1]["failed"]) == (1, 1), ran.stderr
    assert {position: status for position, (status, _) in settled(table, "reply").items()} == {1: 1, 2: 2, 3: 1}


@pytest.mark.parametrize("other", [("--fresh",), ("--limit", 1)])
def test_reparse_is_refused_with_options_that_say_which_rows_run(folder, other):
    table = numbered(folder / "data.csv", 3)
    command = replies(folder, table)
    ran = batchrun(*command, "--reparse", *other, cwd=folder)
    assert ran.returncode == 2
    assert other[0] in ran.stderr
    assert len(settled(table, "reply")) == 3


def test_ctrl_c_ends_a_reparse_and_the_next_one_goes_over_all_rows(folder):
    (folder / "hard.py").write_text("def hard(row):\n    return '{\"a\":1} [' * 300\n")
    table = numbered(folder / "data.csv", 400)
    command = ("process", table, "--task", "hard.py:hard", "--retries", 0, "--no-output", "--max-failures", 999)
    assert batchrun(*command, "--strict-json", cwd=folder).returncode == 1

    def runs():
        with closing(sqlite3.connect(f"file:{database(table, 'hard')}?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM run").fetchone()[0]

    run = start(*command, "--reparse", cwd=folder)
    wait_for(lambda: runs() == 2)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert len(settled(table, "hard")) == 400


def test_python_dash_m_and_the_version_agree():
    assert batchrun("--version").stdout.startswith("batchrun ")
    assert batchrun("process", "--help").returncode == 0
    assert sys.version_info >= (3, 11)


def test_errors_groups_failures_by_what_they_have_in_common(folder):
    table = numbered(folder / "data.csv", 40)
    batchrun("process", table, "--task", "tasks.py:failing", "--retries", 0, cwd=folder)
    (group,) = json.loads(batchrun("errors", table, "--json", cwd=folder).stdout)
    promised = {"kind": "exception", "message": "no luck with N", "count": 4, "rows": [3, 13, 23, 33]}
    assert promised.items() <= group.items()
    told = batchrun("errors", table, "--full", cwd=folder).stdout
    assert "4 × exception (100 %): ValueError: no luck with N" in told
    assert "tasks.py" in told


def test_show_tells_all_of_one_row_and_whether_it_will_run_again(folder):
    table = numbered(folder / "data.csv", 5)
    batchrun("process", table, "--task", "tasks.py:failing", "--retries", 1, cwd=folder)
    record = json.loads(batchrun("show", table, 3, "--json", cwd=folder).stdout)
    assert (record["status"], record["attempts"], record["input"]) == ("failed", 2, {"id": 3, "text": "text 3"})
    assert [attempt["attempt"] for attempt in record["failed_attempts"]] == [1, 2]
    assert "tries it again" in record["next"]
    told = batchrun("show", table, 3, cwd=folder).stdout
    assert "ValueError: no luck with 3" in told
    assert "it is done" in batchrun("show", table, 1, cwd=folder).stdout
    assert batchrun("show", table, 6, cwd=folder).returncode == 2


def test_an_async_task_runs_to_its_end(folder):
    (folder / "waits.py").write_text(
        "import asyncio, batchrun\n\nasync def f(row):\n    await asyncio.sleep(0.01)\n"
        "    return {'row': batchrun.current().row}\n"
    )
    table = numbered(folder / "data.csv", 8)
    ran = batchrun("process", table, "--task", "waits.py:f", "--jobs", 2, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "f")[8][1] == {"row": 8}


def test_a_results_file_that_two_tasks_may_overwrite_shows_the_last_ones_results(folder):
    table = numbered(folder / "data.csv", 3)
    output = ("--output", folder / "data.results.csv", "--overwrite")
    batchrun("process", table, "--task", "tasks.py:double", *output, cwd=folder)
    batchrun("process", table, "--task", "tasks.py:echo", *output, cwd=folder)
    assert "double" not in results_of(table)[0]
    batchrun("process", table, "--task", "tasks.py:double", *output, cwd=folder)
    assert results_of(table)[0]["double"] == "2"


def test_rows_that_fail_again_do_not_trip_the_breaker(folder):
    table = numbered(folder / "data.csv", 400)
    command = ("process", table, "--task", "tasks.py:failing", "--jobs", 4, "--retries", 0)
    assert batchrun(*command, cwd=folder).returncode == 1
    assert batchrun(*command, cwd=folder).returncode == 1


def test_a_run_stops_at_the_failures_that_it_was_allowed(folder):
    table = numbered(folder / "data.csv", 400)
    command = ("process", table, "--task", "tasks.py:failing", "--jobs", 2, "--retries", 0)
    ran = batchrun(*command, "--max-failures", 3, cwd=folder)
    assert ran.returncode == 3
    assert "--max-failures 3" in ran.stderr
    assert len(settled(table, "failing")) < 400
    assert batchrun(*command, "--max-failures", "50%", cwd=folder).returncode == 1


def test_in_a_later_run_the_pauses_after_failed_attempts_begin_anew(folder):
    table = numbered(folder / "data.csv", 200)
    for _ in range(5):
        assert batchrun("process", table, "--task", f"{folder}/tasks.py:failing", "--retries", 0).returncode == 1
    assert batchrun("process", table, "--task", f"{folder}/tasks.py:failing", "--retries", 1).returncode == 1
    with sqlite3.connect(database(table, "failing")) as db:
        pauses = db.execute(
            "SELECT b.at - a.at FROM failure a JOIN failure b USING (position) WHERE a.attempt = 6 AND b.attempt = 7"
        ).fetchall()
    db.close()
    assert len(pauses) == 20
    assert max(pauses)[0] < 8, "half a second, and not the 16 of a sixth attempt"


def test_a_table_that_is_read_in_another_way_has_its_results_written_anew(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"id,text\n1,\x80\n")
    command = ("process", "data.csv", "--task", "repair", "--encoding")
    for encoding, more in (("cp1252", ()), ("latin-1", ("--limit", 0))):
        ran = batchrun(*command, encoding, *more, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        text = (tmp_path / "data.results.csv").read_bytes()
        assert b"\x80".decode(encoding).encode() in text, encoding


def test_a_task_may_yield_and_each_record_may_have_a_line_of_its_own(folder):
    (folder / "yielding.py").write_text(
        "async def later(row):\n"
        "    for n in range(row['id']):\n"
        "        yield {'n': n}\n\n"
        "def now(row, start):\n"
        "    yield from ({'n': start + n} for n in range(row['id']))\n"
    )
    table = numbered(folder / "data.csv", 3)
    for task, args in (("later", ()), ("now", ("--arg", "start=0"))):
        command = ("process", table, "--task", f"yielding.py:{task}", "--explode", *args)
        done = batchrun(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert settled(table, task)[3] == (1, [{"n": 0}, {"n": 1}, {"n": 2}])
        (written,) = [path for path in folder.glob("*.results.csv") if task in path.name or task == "later"]
        assert [line.split(",")[::2][:2] for line in written.read_text().splitlines()[1:]] == [
            ["1", "0"], ["2", "0"], ["2", "1"], ["3", "0"], ["3", "1"], ["3", "2"],
        ]  # fmt: skip
    whole = batchrun("export", table, "--task", "later", "-o", "-", cwd=folder).stdout.splitlines()
    assert len(whole) == 4
    lines = batchrun("export", table, "--task", "later", "-o", "-", "--explode", cwd=folder).stdout.splitlines()
    assert len(lines) == 7
    again = batchrun("process", table, "--task", "yielding.py:later", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert len((folder / "data.results.csv").read_text().splitlines()) == 4  # written again, without --explode
