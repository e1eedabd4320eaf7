"""The checkpoint keeps what it is told: any value, any state, over runs and over versions of its format."""

import json
import os
import random
import runpy
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT, batchrun, database, reading, records, settled, with_rows

from batchrun.checkpoint.format import FORMAT
from batchrun.checkpoint.opening import NothingYet, opened
from batchrun.checkpoint.records import Failure, Settled
from batchrun.core.states import CRASHED, DONE, FAILED, SKIPPED, TIMED_OUT
from batchrun.errors import CheckpointError, UsageError
from batchrun.outcome.export.joined import Outcome, pages
from batchrun.outcome.proof import verify
from batchrun.task.encode import encode

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
FAILURE = Failure(1, 3, 1e9, 0.5, 2, "exception", "no luck", "ValueError", 503, "a trace\n", "a reply")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "task.sqlite"


def row(position, status=DONE, **more):
    return Settled(position, bytes([position % 256]) * 16, None, status, 1, 1, 0.1)._replace(**more)


def written(path, *rows, failures=()):
    """Settle rows of a table that has as many."""
    with opened(path, write=True) as checkpoint:
        checkpoint.put(rows=max(row.position for row in rows))
        checkpoint.write(checkpoint.begin_run({}, {}), list(rows), list(failures))


def outcomes(checkpoint) -> list[Outcome]:
    """What has become of each row of the table."""
    ((_, page),) = pages([range(checkpoint.get("rows"))], checkpoint.db, raw=True)
    return list(page)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(JSON, TEXT | st.none()), min_size=1, max_size=8))
def test_any_json_value_and_any_reply_come_back_as_they_were(path, values):
    path.unlink(missing_ok=True)
    written(path, *(row(n, body=encode(value)[0], raw=raw, how="json") for n, (value, raw) in enumerate(values, 1)))
    with opened(path, write=False) as checkpoint:
        found = outcomes(checkpoint)
        proof = verify(checkpoint, None)
    assert [(json.loads(outcome.body), outcome.raw) for outcome in found] == values
    assert repr([json.loads(outcome.body) for outcome in found]) == repr([value for value, _ in values])
    assert (proof.damage, proof.whole) == ([], len(values))


def test_rows_are_counted_by_state_and_a_row_that_settles_again_once(path):
    states = {1: DONE, 2: FAILED, 3: TIMED_OUT, 4: CRASHED, 5: SKIPPED, 6: DONE}
    written(path, *(row(position, status) for position, status in states.items()))
    with opened(path, write=True) as checkpoint:
        assert checkpoint.counts() == {"done": 2, "failed": 1, "timed_out": 1, "crashed": 1, "skipped": 1}
        checkpoint.write(checkpoint.begin_run({}, {}), [row(2, DONE, attempts=4, body=b"{}")], [])
        assert checkpoint.counts() == {"done": 3, "failed": 0, "timed_out": 1, "crashed": 1, "skipped": 1}
        assert checkpoint.attempts_and_status(2) == (4, DONE)
        assert checkpoint.attempts_and_status(99)[0] == 0


def test_attempts_at_rows_that_were_never_settled_are_remembered_when_it_is_opened_again(path):
    tried = [replace(FAILURE, position=7, attempt=n) for n in (1, 2)]
    written(path, row(1), row(2, FAILED, attempts=3, failure=replace(FAILURE, position=2)), failures=tried)
    with opened(path, write=True) as checkpoint:
        assert checkpoint.attempts_under_way() == {7: 2}


def test_a_failure_comes_back_with_all_that_is_known_of_it(path):
    written(path, row(1, FAILED, failure=FAILURE))
    with opened(path, write=False) as checkpoint:
        (found,) = outcomes(checkpoint)
    assert found.raw == FAILURE.raw
    assert found.error == {
        "kind": "exception", "message": "no luck", "type": "ValueError", "http_status": 503, "traceback": "a trace\n",
    }  # fmt: skip


def fail_half_way(checkpoint):
    with checkpoint.transaction():
        checkpoint.put(rows=5)
        checkpoint.db.execute("INSERT INTO nowhere VALUES (1)")


def test_time_and_lane_of_the_last_attempt_are_kept(path):
    written(path, row(1, at=1e9, lane=3), row(2))
    with opened(path, write=False) as checkpoint:
        found = with_rows(checkpoint.db).execute("SELECT at, lane FROM ledger ORDER BY position").fetchall()
    assert found == [(1e9, 3), (None, None)]


def test_a_transaction_that_fails_leaves_nothing(path):
    written(path, row(1))
    with opened(path, write=True) as checkpoint:
        with pytest.raises(CheckpointError):
            fail_half_way(checkpoint)
        assert checkpoint.get("rows") == 1
        with checkpoint.transaction(keep=False):
            checkpoint.put(rows=5)
    with opened(path, write=True) as checkpoint:
        assert checkpoint.get("rows") == 1


def test_facts_are_kept_as_json_and_those_that_were_tampered_with_are_refused(path):
    facts = {"rows": 1, "columns": ["a", "ü"], "died": None}
    with opened(path, write=True) as checkpoint:
        checkpoint.put(**facts)
        assert checkpoint.get("missing", 5) == 5
    with opened(path, write=True) as checkpoint:
        assert {name: checkpoint.get(name) for name in facts} == facts
        checkpoint.db.execute("UPDATE meta SET value = '2' WHERE key = 'rows'")
    with opened(path, write=True) as checkpoint:
        with pytest.raises(CheckpointError, match="checksum"):
            checkpoint.get("rows")
        with pytest.raises(CheckpointError, match="checksum"):
            checkpoint.put(rows=3)


def test_a_file_of_0_bytes_is_a_fresh_checkpoint(path):
    path.touch()
    with pytest.raises(NothingYet):
        opened(path, write=False)
    assert issubclass(NothingYet, UsageError)
    written(path, row(1))
    with opened(path, write=False) as checkpoint:
        assert checkpoint.counts()["done"] == 1


def test_it_is_written_to_the_disk_at_each_commit(path):
    with opened(path, write=True) as checkpoint:
        assert checkpoint.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert checkpoint.db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.fixture(params=range(1, FORMAT + 1))
def old(request, tmp_path):
    """A table with a checkpoint of each format, written when that was new. See `data/make_checkpoint.py`."""
    table = tmp_path / "checkpoint.csv"
    shutil.copy(ROOT / "tests/data/checkpoint.csv", table)
    place = database(table, "answer")
    place.parent.mkdir()
    shutil.copy(ROOT / f"tests/data/checkpoint-v{request.param}.db", place)
    (tmp_path / "tasks.py").write_text(runpy.run_path(str(ROOT / "tests/data/make_checkpoint.py"))["TASK"])
    return table


def format_of(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return version


def test_a_checkpoint_of_any_format_is_read_for_ever_and_reading_leaves_it_as_it_is(old):
    before = database(old, "answer").read_bytes()
    (record,) = json.loads(batchrun("status", old, "--json").stdout)["tasks"]
    counts = {name: record[name] for name in ("rows", "done", "failed", "crashed", "skipped", "left")}
    assert counts == {"rows": 9, "done": 4, "failed": 2, "crashed": 1, "skipped": 1, "left": 1}
    proof = batchrun("verify", old)
    assert proof.returncode == 1, proof.stdout
    assert "1 result of rows no longer in the input" in proof.stdout
    lines = batchrun("export", old, "-o", "-", "--format", "jsonl").stdout.splitlines()
    rows = {row["row"]: row for row in map(json.loads, lines)}
    assert [rows[n]["status"] for n in range(1, 10)] == [
        "done", "done", "failed", "done", "crashed", "skipped", "failed", "done", "left",
    ]  # fmt: skip
    assert rows[1]["result"] == {"word": "plain", "list": [1, None, 2.5]}
    assert (rows[8]["result"], rows[8]["how"]) == ({"answer": 42}, "repaired")
    assert rows[3]["error"]["message"] == "no luck"
    assert "killed by signal 9" in rows[5]["error"]["message"]
    with opened(database(old, "answer"), write=False) as checkpoint:
        replies = {outcome.row: outcome.raw for outcome in outcomes(checkpoint)}
    assert replies[7] == "I cannot say."
    shown = json.loads(batchrun("show", old, 3, "--json").stdout)
    assert (shown["status"], shown["error"]["message"]) == ("failed", "no luck")
    assert database(old, "answer").read_bytes() == before


def test_a_checkpoint_of_any_format_is_brought_up_to_date_and_gone_on_with(old):
    before = settled(old, "answer")
    command = ("process", old, "--task", "tasks.py:answer", "--retry", "none", "--json")
    ran = batchrun(*command, cwd=old.parent)
    begin, done = records(ran.stdout)
    assert (begin["to_run"], done["ran"], done["left"]) == (1, 1, 0), ran.stderr
    after = settled(old, "answer")
    assert {position: after[position] for position in before} == before
    assert format_of(database(old, "answer")) == FORMAT
    with reading(old, "answer") as db:
        (last,) = db.execute("SELECT at, lane FROM ledger WHERE position = 9")
    assert last == (pytest.approx(time.time(), abs=600), 0)
    with old.open("a") as file:
        file.write("gone,007\n")  # it comes back, and its result with it
    assert records(batchrun(*command, cwd=old.parent).stdout)[1]["ran"] == 0
    assert settled(old, "answer")[10] == before[-1]
    assert batchrun("verify", old).returncode == 0


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_what_is_written_today_reads_like_the_checked_in_checkpoints(version, tmp_path, written_today):
    kept = tmp_path / "kept.db"
    shutil.copy(ROOT / f"tests/data/checkpoint-v{version}.db", kept)
    assert settled_rows(kept) == settled_rows(written_today)


@pytest.fixture(scope="module")
def written_today(tmp_path_factory):
    folder = tmp_path_factory.mktemp("today")
    subprocess.run([sys.executable, ROOT / "tests/data/make_checkpoint.py", folder], check=True, capture_output=True)
    return folder / f"checkpoint-v{FORMAT}.db"


def settled_rows(path):
    what = "SELECT position, fingerprint, status, body, raw, how FROM ledger LEFT JOIN result ON id = result"
    with opened(path, write=False) as checkpoint:
        return with_rows(checkpoint.db).execute(what).fetchall()


def test_the_seed_of_python_does_not_matter(path, tmp_path):
    """Two processes with other hash seeds agree on every seal."""
    written(path, row(1, body=b'{"a": 1}', raw="a", how="json"), row(2, FAILED, failure=replace(FAILURE, position=2)))
    code = "import sys, pathlib; from batchrun.checkpoint.opening import opened; "
    code += "from batchrun.outcome.proof import verify; "
    code += "print(verify(opened(pathlib.Path(sys.argv[1]), write=False), None).damage)"
    env = {**os.environ, "PYTHONHASHSEED": str(random.randrange(1, 10**6))}
    told = subprocess.run([sys.executable, "-c", code, path], env=env, capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr
