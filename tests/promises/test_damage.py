"""Flipped bits, torn files, foreign files: what is wrong is said, and nothing is ever silently wrong."""

import json
import os
import random
import re
import shlex
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support import batchrun, database, kill, kill_amid, numbered, reading, settled, start, wait_for

from batchrun.core.text import numbers

SEED = int(os.environ.get("DAMAGE_SEED", random.randrange(10**6)))
FLIPS = int(os.environ.get("DAMAGE_FLIPS", "2"))
ROWS = 40
TASK = """
def answer(row):
    if row["id"] % 9 == 4:
        raise ValueError(f"no luck with {row['id']}")
    return '{"double": %d, "why": "%s"}' % (row["id"] * 2, "because " * 9)

def other(row):
    return row
"""


@pytest.fixture
def done(tmp_path):
    """A folder with a finished table."""
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASK)
    table = numbered(folder / "data.csv", ROWS)
    assert process(table).returncode == 1
    return table


def process(table, *more):
    return batchrun("process", table, "--task", "tasks.py:answer", "--retries", 0, *more, cwd=table.parent)


def pages_of(path):
    """Where each table's pages are in the file: its name -> byte ranges."""
    with sqlite3.connect(path) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        roots = db.execute("SELECT name, rootpage FROM sqlite_master").fetchall()
    db.close()
    return {"header": (0, 100), "schema": (100, size), **{name: ((r - 1) * size, r * size) for name, r in roots}}


def flip(path, at, bit):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def check(ran, *codes):
    assert ran.returncode in codes, (ran.returncode, ran.stdout, ran.stderr)
    assert "bug in batchrun" not in ran.stderr
    assert "Traceback" not in ran.stderr


def copied(done, place):
    shutil.copytree(done.parent, place)
    return place / done.name


def test_after_a_flipped_bit_verify_reports_damage_or_everything_is_as_it_was(done, tmp_path):
    """`DAMAGE_FLIPS` positions in each table's pages; `DAMAGE_SEED` repeats a run."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    oracle = settled(done, "answer")
    parts = pages_of(database(done, "answer"))
    size = database(done, "answer").stat().st_size
    places = [
        dice.randrange(*parts[name]) for name in ("header", "schema", "meta", "block", "place") for _ in range(FLIPS)
    ]
    places += [dice.randrange(size) for _ in range(FLIPS)]
    places.append(database(done, "answer").read_bytes().index(b"because"))  # one that surely is in what is kept
    cases = [(number, at, dice.randrange(8)) for number, at in enumerate(places)]

    def attempt(case):
        number, at, bit = case
        table = copied(done, tmp_path / f"flip{number}")
        path = database(table, "answer")
        flip(path, at, bit)
        told = batchrun("verify", table)
        check(told, 0, 2, 4)
        found = None
        if told.returncode == 0:
            found = settled(table, "answer")
        elif told.returncode == 4:
            ran = process(table, "--no-output")
            check(ran, 0, 1, 4)
            check(batchrun("status", table), 0, 4)
            check(batchrun("export", table, "-o", "-"), 0, 2, 4)
        shutil.rmtree(table.parent)
        return case, told, found

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(attempt, cases))
    for case, told, found in results:
        assert found in (None, oracle), case
        assert told.returncode != 2 or "changed" in told.stderr, (case, told.stderr)
    found = [case for case, told, _ in results if told.returncode == 4]
    print(f"{len(found)} of {len(cases)} flips were in what is kept, and were reported")
    assert cases[-1] in found


def in_block(table, row, name="answer"):
    """The block that holds a row, and all rows that it holds, in order."""
    with reading(table, name) as db:
        (block,) = db.execute("SELECT result / 65536 FROM ledger WHERE position = ?", (row,)).fetchone()
        rows = db.execute("SELECT position FROM ledger WHERE result / 65536 = ? ORDER BY 1", (block,)).fetchall()
    return block, [row for (row,) in rows]


def records_of(rows, one="is", many="are"):
    return f"the record of row {rows[0]} {one}" if len(rows) == 1 else f"the records of rows {numbers(rows)} {many}"


CHANGES = {
    "names": "randomblob(length(names))",
    "seconds": "replace(seconds, '[', '[1')",
    "note": "'no'",
    "failure": "1",
}


@pytest.mark.parametrize(
    "column", ["rows", "status", "attempts", "task", "run", "lane", "at", "names", "seconds", "note", "crc", "failure"]
)
def test_whatever_is_changed_in_a_block_is_found_and_costs_no_row_of_another(done, column):
    block, rows = in_block(done, 7)
    with sqlite3.connect(database(done, "answer")) as db:
        db.execute(f"UPDATE block SET {column} = {CHANGES.get(column, f'{column} + 1')} WHERE id = ?", (block,))
    db.close()
    told = batchrun("verify", done)
    check(told, 4)
    assert "checksum does not match what is stored" in told.stdout
    assert f"{ROWS - len(rows)} settled rows can be read" in told.stdout
    again = process(done, "--retry", "damaged")
    check(again, 1)
    assert f"{records_of(rows, 'was', 'were')} damaged" in again.stderr
    assert batchrun("verify", done).returncode == 0


@pytest.mark.parametrize("column", ["position", "rows", "block", "nth", "crc"])
def test_whatever_is_changed_in_where_rows_stand_is_found_and_they_run_again(done, column):
    before = settled(done, "answer")
    with sqlite3.connect(database(done, "answer")) as db:
        (last,) = db.execute("SELECT max(position) FROM place").fetchone()
        db.execute(f"UPDATE place SET {column} = {column} + (1 << 33) + 1 WHERE position = ?", (last,))
    db.close()
    check(batchrun("verify", done), 4)
    check(batchrun("export", done, "-o", "-"), 4)
    check(process(done), 4)
    check(process(done, "--retry", "damaged"), 1)
    assert settled(done, "answer") == before
    assert batchrun("verify", done).returncode == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE block SET bodies = replace(bodies, 'd', 'e') WHERE id = 1",
        "UPDATE block SET raws = NULL WHERE id = 1",
        "UPDATE block SET raws = CAST(x'80ff' AS TEXT) WHERE id = 1",
        "UPDATE block SET hows = NULL WHERE id = 1",
        "UPDATE block SET keys = names WHERE id = 1",
        "UPDATE block SET id = 7000 WHERE id = 1",
        "DELETE FROM block WHERE id = 1",
        "UPDATE failure SET message = message || '!'",
        "UPDATE failure SET kind = 'timeout'",
        "UPDATE meta SET value = 39 WHERE key = 'rows'",
        "UPDATE meta SET value = '[\"int\"' WHERE key = 'types'",
        "UPDATE meta SET key = 'digesu' WHERE key = 'digest'",
        "DELETE FROM meta WHERE key = 'seal'",
        "UPDATE place SET position = position + 100 WHERE position = 1",
    ],
)
def test_whatever_is_changed_in_what_is_kept_is_found(done, statement):
    with sqlite3.connect(database(done, "answer")) as db:
        db.execute(statement)
    db.close()
    told = batchrun("verify", done)
    check(told, 4)
    assert "settled rows can be read and are intact" in told.stdout
    check(process(done), 1, 4)


def test_damage_that_several_checks_meet_is_one_finding(done):
    with sqlite3.connect(database(done, "answer")) as db:
        db.execute("UPDATE meta SET value = 39 WHERE key = 'rows'")
    db.close()
    told = batchrun("verify", done)
    check(told, 4)
    assert told.stdout.count("does not match its checksum") == 1
    assert "DAMAGED, 1 finding\n" in told.stdout


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_cut_off_checkpoint_is_reported_and_an_empty_one_is_a_fresh_one(done, share):
    path = database(done, "answer")
    size = path.stat().st_size
    os.truncate(path, int(size * share))
    if not share:
        assert process(done).returncode == 1
        assert len(settled(done, "answer")) == ROWS
        return
    told = batchrun("verify", done)
    check(told, 4)
    ran = process(done)
    check(ran, *([4] if share < 0.9 else [1, 4]))  # where the cut takes nothing that is needed, the run goes on
    assert ran.returncode == 1 or ("damaged" in ran.stderr and "--fresh" in ran.stderr)
    check(batchrun("status", done), 0, 4)
    check(batchrun("export", done, "-o", "-"), *([4] if share < 0.9 else [0, 4]))
    again = process(done, "--fresh")
    assert again.returncode == 1, again.stderr
    assert share > 0.9 or [old.stat().st_size for old in path.parent.glob("*.old")] == [int(size * share)]


def test_what_is_no_checkpoint_is_not_touched(done):
    path = database(done, "answer")
    path.write_bytes(b"a shopping list, not a database\n" * 100)
    before = path.read_bytes()
    for command in (["verify", done], ["status", done], ["export", done, "-o", "-"]):
        check(batchrun(*command), 4)
    ran = process(done)
    check(ran, 4)
    assert "not a database" in ran.stderr
    assert path.read_bytes() == before


def test_somebody_elses_database_is_not_touched(done):
    path = database(done, "answer")
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine(x)")
    db.close()
    before = path.read_bytes()
    for command in (["verify", done], ["status", done], ["export", done, "-o", "-"]):
        check(batchrun(*command), 4)
    ran = process(done)
    check(ran, 4)
    assert "not a batchrun checkpoint" in ran.stderr
    assert path.read_bytes() == before


def test_a_checkpoint_of_a_newer_format_is_left_alone_and_says_what_to_do(done):
    with sqlite3.connect(database(done, "answer")) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for command in (["verify", done], ["status", done], ["export", done, "-o", "-"]):
        check(batchrun(*command), 4)
    ran = process(done, "--no-output")
    check(ran, 4)
    assert "newer" in ran.stderr
    assert "upgrade" in ran.stderr


def test_the_checkpoint_of_another_input_gives_its_results_to_no_row(done):
    other = done.with_name("other.csv")
    other.write_text("id,text\n" + "".join(f"{n},another {n}\n" for n in range(1, 11)))
    shutil.copytree(done.parent / "data.csv.batchrun", done.parent / "other.csv.batchrun")
    told = batchrun("verify", other)
    check(told, 1)
    assert "changed" in told.stderr
    ran = process(other)
    assert ran.returncode == 1
    assert f"{ROWS} no longer in the input" in ran.stderr
    found = settled(other, "answer")
    assert {row: found[row][1]["double"] for row in range(1, 11) if found[row][1]} == {
        n: 2 * n for n in range(1, 11) if n != 4
    }
    assert batchrun("verify", other).returncode == 0


@pytest.fixture
def killed(folder):
    """A table whose run was killed, and the command; its last commits are in the log alone."""
    table = numbered(folder / "data.csv", 100)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 2, "--no-output")
    kill_amid(command, folder, 30)
    return table, command


@pytest.mark.parametrize("folded", [False, True], ids=["of a first run", "of a later run"])
def test_a_log_deleted_after_a_crash_is_missed_and_may_be_put_back(killed, folded):
    table, command = killed
    if folded:  # what the first run had committed is in the checkpoint itself, what the second did is not
        assert batchrun(*command, "--limit", 1, cwd=table.parent).returncode == 0
        kill_amid(command, table.parent, 70)
    log = database(table, "short").with_suffix(".sqlite-wal")
    before, kept = settled(table, "short"), log.read_bytes()
    assert before
    assert kept
    log.unlink()
    for told in (batchrun("verify", table), batchrun(*command, cwd=table.parent)):
        check(told, 4)
        assert "-wal file was deleted" in told.stdout + told.stderr
    log.write_bytes(kept)
    assert settled(table, "short") == before
    assert batchrun("verify", table).returncode == 1
    assert batchrun(*command, cwd=table.parent).returncode == 0
    assert batchrun("verify", table).returncode == 0


def test_what_was_in_a_log_that_is_gone_for_good_runs_again_when_the_user_says_so(killed):
    table, command = killed
    database(table, "short").with_suffix(".sqlite-wal").unlink()
    lock = database(table, "short").with_suffix(".lock")
    told = batchrun(*command, cwd=table.parent)
    check(told, 4)
    assert f"delete {lock}" in told.stderr
    lock.unlink()
    assert batchrun(*command, cwd=table.parent).returncode == 0
    assert settled(table, "short") == {n: (1, {"double": 2 * n}) for n in range(1, 101)}


def test_an_older_copy_of_a_checkpoint_is_not_taken_for_the_newest(done):
    path = database(done, "answer")
    older = path.read_bytes()
    assert process(done).returncode == 1  # the failed rows are tried again
    path.write_bytes(older)
    told = batchrun("verify", done)
    check(told, 4)
    assert "older copy" in told.stdout
    assert f"{ROWS} settled rows can be read and are intact" in told.stdout
    check(process(done), 4)


def delete_the_checkpoint(path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def garble_its_lock(path):
    path.with_suffix(".lock").write_bytes(b"\xff" * 52)


def fold_its_log(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def vacuum(path):
    with sqlite3.connect(path) as db:
        db.execute("VACUUM")
    db.close()


def put_another_in_its_place(path):
    other = numbered(path.parent / "other.csv", 3)
    assert batchrun("process", other, "--task", "tasks.py:short", cwd=path.parent.parent).returncode == 0
    delete_the_checkpoint(path)
    shutil.copy(database(other, "short"), path)


def drop_rows_of_the_table(path):
    table = path.parent.parent / "data.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:50]))


LAWFUL = [
    delete_the_checkpoint, garble_its_lock, fold_its_log, vacuum, put_another_in_its_place, drop_rows_of_the_table,
]  # fmt: skip


@pytest.mark.parametrize("change", LAWFUL)
def test_nothing_is_missed_where_nothing_is_missing(killed, change):
    table, command = killed
    change(database(table, "short"))
    assert batchrun("verify", table).returncode in (0, 1, 2)
    assert batchrun(*command, cwd=table.parent).returncode == 0
    assert batchrun("verify", table).returncode == 0


def attempts_kept(table):
    """Failed attempts that are written down; none while the checkpoint is being made."""
    try:
        with closing(sqlite3.connect(f"file:{database(table, 'always')}?mode=ro", uri=True)) as db:
            count = db.execute("SELECT count(*) FROM failure").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    return count


def test_failed_attempts_at_rows_that_are_gone_are_not_missed(folder):
    table = numbered(folder / "data.csv", 12)
    command = ("process", table, "--task", "tasks.py:always", "--retries", 9, "--no-output")
    run = start(*command, cwd=folder)
    # Written down, though no row is settled: all of them rest until they are tried again.
    wait_for(lambda: attempts_kept(table) >= 12)
    kill(run)
    numbered(table, 1)
    run = start(*command, cwd=folder)
    wait_for(lambda: attempts_kept(table) < 12)
    kill(run)
    check(batchrun("verify", table), 1)
    assert batchrun(*command[:-3], "--retries", 0, "--no-output", cwd=folder).returncode == 1


def test_readers_take_a_checkpoint_that_was_only_just_made_for_a_fresh_one(folder):
    table = numbered(folder / "data.csv", 3)
    path = database(table, "double")
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")  # where a kill between opening and the first commit leaves it
    db.close()
    assert path.stat().st_size
    (record,) = json.loads(batchrun("status", table, "--json").stdout)["tasks"]
    assert (record["rows"], record["last_run"]) == (0, None)
    for command in (["verify", table], ["export", table, "-o", "-"]):
        told = batchrun(*command)
        check(told, 2)
        assert "batchrun process" in told.stderr
    assert batchrun("process", table, "--task", "tasks.py:double", cwd=folder).returncode == 0


def test_what_is_in_the_log_goes_with_a_checkpoint_that_fresh_moves_aside(folder):
    table = numbered(folder / "data.csv", 50)
    command = ("process", table, "--task", "tasks.py:short", "--jobs", 2, "--no-output")
    kill_amid(command, folder, 20)
    before = settled(table, "short")
    assert batchrun(*command, "--fresh", cwd=folder).returncode == 0
    (old,) = [path for path in (folder / "data.csv.batchrun").iterdir() if path.suffix == ".old"]
    assert old.name.endswith("old")
    with sqlite3.connect(old) as db:
        assert db.execute("SELECT sum(rows) FROM place").fetchone()[0] == len(before) > 0
    db.close()


def run_next(ran, what, table):
    """Run the command that was named as the next step."""
    (command,) = re.findall(rf"{what}: (?:python -m )?batchrun (.*)", ran.stderr)
    return batchrun(*shlex.split(command), cwd=table.parent)


def change_letter(table, swap=("because", "becauze")):
    """A letter in results is another one on the disk now. Returns the rows of the block."""
    block, rows = in_block(table, 20)
    with closing(sqlite3.connect(database(table, "answer"))) as db:
        db.execute("UPDATE block SET bodies = replace(bodies, ?, ?) WHERE id = ?", (*swap, block))
        db.commit()
    return rows


@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.jsonl", "out.xlsx", "-"])
@pytest.mark.parametrize("swap", [("because", "becauze"), ("{", "["), (":", ",")])
def test_a_result_that_was_changed_on_the_disk_is_never_exported(done, target, swap):
    rows = change_letter(done, swap)
    (done.parent / "out.csv").unlink(missing_ok=True)
    ran = batchrun("export", done, "-o", target, cwd=done.parent)
    check(ran, 4)
    assert f"{records_of(rows)} not what was written" in ran.stderr
    assert "--retry damaged" in ran.stderr
    assert not (done.parent / target).exists()
    assert "becauze" not in ran.stdout


def test_text_that_is_no_text_any_more_is_named_by_its_row(done):
    block, rows = in_block(done, 21)
    with closing(sqlite3.connect(database(done, "answer"))) as db:
        db.execute("UPDATE block SET raws = CAST(x'ff41' AS TEXT) WHERE id = ?", (block,))
        db.commit()
    ran = batchrun("export", done, "-o", "out.jsonl", cwd=done.parent)
    check(ran, 4)
    assert f"{records_of(rows)} not what was written" in ran.stderr


def test_a_run_leaves_its_old_results_file_rather_than_write_a_damaged_one_and_damaged_rows_run_again(done):
    results = done.with_name("data.results.csv")
    before = results.read_bytes()
    rows = change_letter(done)
    ran = process(done)
    check(ran, 4)
    assert f"{records_of(rows)} not what was written" in ran.stderr
    assert results.read_bytes() == before
    assert ": its checksum does not match what is stored" in batchrun("verify", done).stdout
    other = process(done, "--retry", "damaged", "--rows", str(min({*range(1, ROWS)} - {*rows})))
    assert "run again" not in other.stderr
    assert ": its checksum does not match what is stored" in batchrun("verify", done).stdout
    again = run_next(other, "run the damaged rows", done)
    check(again, 1)
    assert f"{records_of(rows, 'was', 'were')} damaged" in again.stderr
    assert "35 rows of 40 done" in again.stderr or "35 of 40 done" in again.stderr
    assert results.read_bytes() == before
    assert batchrun("verify", done).returncode == 0


def test_where_only_some_of_the_damaged_rows_were_asked_for_the_next_command_runs_the_others(done):
    rows = change_letter(done)
    assert len(rows) > 1
    ran = process(done, "--retry", "damaged", "--rows", str(rows[0]))
    check(ran, 4)
    assert f"{records_of(rows[1:])} not what was written, so " in ran.stderr
    assert "data.results.csv was not written; what has run is in the checkpoint" in ran.stderr
    assert "resume:" not in ran.stderr
    check(run_next(ran, "run the damaged rows", done), 1)
    assert batchrun("verify", done).returncode == 0


def test_a_result_whose_type_was_changed_is_named_by_its_row_too(done):
    block, rows = in_block(done, 21)
    with closing(sqlite3.connect(database(done, "answer"))) as db:
        db.execute("UPDATE block SET names = CAST(names AS TEXT) WHERE id = ?", (block,))
        db.commit()
    for target in ("out.csv", "out.parquet"):
        ran = batchrun("export", done, "-o", target, cwd=done.parent)
        check(ran, 4)
        assert f"{records_of(rows)} not what was written" in ran.stderr
        assert "--retry damaged" in ran.stderr


def test_a_damaged_row_is_not_shown_as_if_it_were_whole(done):
    rows = change_letter(done)
    ran = batchrun("show", done, rows[0], cwd=done.parent)
    check(ran, 4)
    assert f"{records_of(rows)} not what was written" in ran.stderr
    assert "becauze" not in ran.stdout
    assert batchrun("show", done, min({*range(1, ROWS)} - {*rows}), cwd=done.parent).returncode == 0
