"""The roll saves time and nothing else: with it, without it, or with a damaged one, the same rows are found."""

import os
import stat
from pathlib import Path

import pytest
from support import batchrun, database, numbered, records, settled

from batchrun.checkpoint.anchoring import roll
from batchrun.checkpoint.anchoring.roll import Recorder, Roll
from batchrun.checkpoint.anchoring.spool import Spool
from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import scan

READING = {"header": ["id", "text"], "key": []}


def passed(folder: Path, table: Path, old: Roll) -> tuple[list[bytes], Recorder, int]:
    """The identities that a pass finds, its recorder, and how many rows it has read; leaves a roll."""
    read = 0
    with Spool(folder) as spool:
        recorder = Recorder(spool, old)

        def take(prints: list[bytes], keys: list[bytes] | None) -> None:
            nonlocal read
            read += len(prints)
            spool.add(prints, keys)

        options = ReadOptions()
        scan(open_table(table, options), options, take, recorder.memo)
        roll.keep_roll(folder / "test.roll", spool, recorder.entries, READING)
        return list(spool.identities()), recorder, read


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path, list[bytes]]:
    """A folder with a roll, its table of 20,000 rows, and their identities."""
    table = numbered(tmp_path / "data.csv", 20_000)
    names, _, read = passed(tmp_path, table, Roll())
    assert read == 20_000
    return tmp_path, table, names


def test_a_roll_says_what_the_pass_before_has_found(kept: tuple[Path, Path, list[bytes]]) -> None:
    folder, table, names = kept
    for _ in range(2):  # the second time from a roll that was made from a roll
        with roll.opened_roll(folder / "test.roll", READING) as old:
            again, recorder, read = passed(folder, table, old)
        assert again == names
        assert read < 10_000
        assert len(recorder.entries) > 1
    assert stat.S_IMODE(os.stat(folder / "test.roll").st_mode) == 0o600


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "no roll", "missing", "other options"])
def test_a_roll_that_does_not_serve_is_as_good_as_none(kept: tuple[Path, Path, list[bytes]], damage: str) -> None:
    folder, table, names = kept
    path, reading = folder / "test.roll", READING
    whole = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "cut":
        os.truncate(path, len(whole) - 16)
    elif damage == "empty":
        os.truncate(path, 0)
    elif damage == "no roll":
        path.write_text('["something", "else"]\n')
    elif damage == "missing":
        path.unlink()
    else:
        reading = {**READING, "key": ["id"]}
    with roll.opened_roll(path, reading) as old:
        assert not old.pages
        assert passed(folder, table, old)[0] == names


def run(table, *args):
    return batchrun("process", table, "--task", "tasks.py:double", "--json", "--no-output", *args, cwd=table.parent)


@pytest.mark.parametrize("options", [(), ("--key", "id")])
def test_results_follow_their_rows_with_a_roll_and_without(folder, options):
    table = numbered(folder / "data.csv", 8000)
    run(table, *options, "--limit", 200)
    place = database(table, "double").with_suffix(".roll")
    for with_roll in (True, False):
        assert place.exists()
        if not with_roll:
            place.unlink()
        header, *lines = table.read_text().splitlines()
        table.write_text("\n".join([header, f"{9000 + with_roll},new", *lines[1:]]) + "\n")
        done = records(run(table, *options, "--limit", 1).stdout)[1]
        assert done["ran"] == 1
        ids = [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
        found = {position: body for position, (_, body) in settled(table, "double").items() if position > 0}
        assert len(found) >= 198
        assert all(ids[position - 1] * 2 == body["double"] for position, body in found.items())
    assert "checksums agree" in batchrun("verify", table).stdout


def test_a_dry_run_leaves_the_roll_as_it_was(folder):
    table = numbered(folder / "data.csv", 8000)
    run(table, "--limit", 1)
    place = database(table, "double").with_suffix(".roll")
    before = place.read_bytes()
    numbered(table, 9000)
    run(table, "--dry-run")
    assert place.read_bytes() == before
    run(table, "--limit", 0)
    assert place.read_bytes() != before
