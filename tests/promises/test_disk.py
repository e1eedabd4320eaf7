"""Full, read-only and failing disks, for real: a small file system of our own, and a shim below SQLite."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from errno import EIO, ENOLCK, ENOSPC, ENOSYS
from itertools import cycle, groupby, product
from pathlib import Path
from signal import SIGKILL

import pytest
from failing_disk import ROWS, Trial, compiled, proof_of
from support import COMMAND, ROOT, batchrun, environment, numbered, records, settled

LARGE = """
import os, time

def large(row):
    return {"double": row["id"] * 2, "padding": os.urandom(2000).hex()}

def steadily(row):
    time.sleep(0.002)  # or one commit would be as large as half of the log
    return large(row)

def double(row):
    return {"double": row["id"] * 2}
"""


def may_mount():
    if not shutil.which("unshare"):
        return False
    script = "mount -t tmpfs -o size=1m none /mnt"
    return subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True).returncode == 0


MOUNTS = may_mount()
small_disk = pytest.mark.skipif(not MOUNTS, reason="a file system of one's own needs the right to mount")
permissions = pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root must give up its right to pass over permissions"
)


class Disk:
    """A tmpfs in a mount namespace of its own, kept by a shell that waits for commands."""

    def __init__(self, place: Path, kilobytes: int):
        self.place = place
        script = f'mount -t tmpfs -o size={kilobytes}k none "{place}" && echo ready && exec sleep 600'
        self._keeper = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self._keeper.stdout.readline() == "ready\n"
        # Tests fill it: it must be the small one.
        assert int(self.run("df", "--output=size", ".").stdout.split()[1]) <= kilobytes

    def run(self, *words):
        """Run a command that sees the disk, in its folder."""
        # cd inside: --wd would open the folder before the disk is there, on the machine's own.
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.place), *map(str, words)]
        enter = ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", *inside]
        return subprocess.run(enter, env=environment(), capture_output=True, text=True, timeout=90)

    def batchrun(self, *args):
        return self.run(*COMMAND, *args)

    def resize(self, kilobytes):
        assert self.run("mount", "-o", f"remount,size={kilobytes}k", self.place).returncode == 0

    def close(self):
        self._keeper.kill()
        self._keeper.communicate()


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    made = Disk(tmp_path / "disk", 1500)
    (tmp_path / "tasks.py").write_text(LARGE)
    yield made
    made.close()


def put(disk, table):
    """Copy a table to the disk."""
    assert disk.run("cp", table, disk.place / table.name).returncode == 0


def settled_on(disk, name):
    read = "import sys; sys.path.insert(0, sys.argv[1]); import support, json, pathlib; "
    read += "print(json.dumps(support.settled(pathlib.Path('data.csv').absolute(), sys.argv[2])))"
    return json.loads(disk.run(sys.executable, "-c", read, ROOT / "tests", name).stdout)


@small_disk
def test_a_disk_that_fills_up_ends_the_run_with_4_and_what_was_acknowledged_stays_readable(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 600))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:large", "--jobs", 2, "--no-output")
    ran = disk.batchrun(*command, "--json")
    assert ran.returncode == 4, ran.stderr
    assert "disk is full" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert records(ran.stdout)[1]["exit"] == 4
    before = settled_on(disk, "large")
    assert 0 < len(before) < 600
    (record,) = json.loads(disk.batchrun("status", "data.csv", "--json").stdout)["tasks"]
    assert (record["done"], record["running"]) == (len(before), False)
    exported = disk.batchrun("export", "data.csv", "-o", "-", "--format", "jsonl")
    assert exported.returncode == 0, exported.stderr
    rows = [json.loads(line) for line in exported.stdout.splitlines()]
    assert {str(row["row"]): row["result"] for row in rows if row["status"] == "done"} == {
        row: result for row, (_, result) in before.items()
    }
    assert disk.batchrun("verify", "data.csv").returncode == 1

    still_full = disk.batchrun(*command)
    assert still_full.returncode == 4, still_full.stderr
    disk.resize(20_000)
    assert disk.batchrun(*command).returncode == 0
    after = settled_on(disk, "large")
    assert {row: after[row] for row in before} == before
    assert [after[str(row)][1]["double"] for row in range(1, 601)] == [2 * row for row in range(1, 601)]
    assert disk.batchrun("verify", "data.csv").returncode == 0


@small_disk
def test_an_export_that_the_disk_does_not_take_whole_is_no_success(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 2000))
    command = ("data.csv", "--task", tmp_path / "tasks.py:large", "--dir", tmp_path)
    assert disk.batchrun("process", *command, "--no-output", "--jobs", 2).returncode == 0
    disk.resize(100)
    for kind in ("csv", "parquet"):
        for unbuffered in ("", "1"):
            export = (*COMMAND, "export", *command, "--format", kind, "-o", "-")
            ran = disk.run("env", f"PYTHONUNBUFFERED={unbuffered}", "sh", "-c", '"$0" "$@" > out', *export)
            assert ran.returncode == 4, (kind, unbuffered, ran.stderr)
            assert "cannot be written" in ran.stderr
            assert "Exception ignored" not in ran.stderr


@small_disk
def test_a_folder_that_can_only_be_read_is_exit_code_4(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 3))
    assert disk.run("mount", "-o", "remount,ro", disk.place).returncode == 0
    for more in ((), ("--no-output",), ("-o", tmp_path / "out.csv")):
        ran = disk.batchrun("process", "data.csv", "--task", tmp_path / "tasks.py:large", *more)
        assert ran.returncode == 4, ran.stderr
        assert "cannot be written" in ran.stderr


@small_disk
def test_a_disk_that_fills_up_while_the_log_is_folded_into_the_checkpoint_costs_no_row(disk, tmp_path):
    disk.resize(7_500)  # room for the log's thousand pages and one commit more, not for their copies
    put(disk, numbered(tmp_path / "data.csv", 2000))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:steadily", "--jobs", 2, "--no-output", "--json")
    ran = disk.batchrun(*command)
    assert ran.returncode == 4, ran.stderr
    assert "disk is full" in ran.stderr
    kept = "data.csv.batchrun/steadily.sqlite"
    sizes = disk.run("stat", "-c", "%s", kept, f"{kept}-wal").stdout
    folded, log = map(int, sizes.split())
    assert log > 1000 * 4096
    assert folded > 10 * 4096, "the disk was full before the log was folded"
    before = settled_on(disk, "steadily")
    assert before
    (record,) = json.loads(disk.batchrun("status", "data.csv", "--json").stdout)["tasks"]
    assert record["done"] == len(before)
    assert disk.batchrun("export", "data.csv", "-o", "-", "--format", "jsonl").stdout.count('"done"') == len(before)
    assert disk.batchrun("verify", "data.csv").returncode == 1

    disk.resize(50_000)
    again = disk.batchrun(*command)
    assert again.returncode == 0, again.stderr
    assert records(again.stdout)[1]["ran"] == 2000 - len(before)
    after = settled_on(disk, "steadily")
    assert {row: after[row] for row in before} == before
    assert disk.batchrun("verify", "data.csv").returncode == 0


@small_disk
def test_a_disk_that_is_full_before_anything_runs_is_told_with_4(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 20))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:double")
    disk.run("sh", "-c", "head -c 3M /dev/zero > filler")
    for spare in (0, 4, 16, 40, 60, 90, 110):
        disk.run("truncate", "-s", f"-{spare}K", "filler")
        ran = disk.batchrun(*command)
        assert ran.returncode in (0, 4), (spare, ran.stderr)
        assert "bug in batchrun" not in ran.stderr
        has_begun = disk.run("test", "-s", "data.csv.batchrun/double.sqlite").returncode == 0
        if "disk is full" in ran.stderr:
            assert ("nothing was run" if not has_begun else "every settled row is kept") in ran.stderr, spare
    disk.run("rm", "filler")
    assert disk.batchrun(*command).returncode == 0
    assert len(settled_on(disk, "double")) == 20


@small_disk
def test_a_disk_that_fills_up_while_results_are_written_keeps_the_old_file(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 20))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:large", "--jobs", 2)
    assert disk.batchrun(*command, "--limit", 5, "--json").returncode == 0
    old = disk.run("cat", "data.results.csv").stdout
    disk.batchrun(*command, "--no-output")
    disk.run("sh", "-c", "head -c 3M /dev/zero > filler; truncate -s -100K filler")
    ran = disk.batchrun(*command)
    assert ran.returncode == 4, ran.stderr
    assert "full" in ran.stderr
    assert disk.run("cat", "data.results.csv").stdout == old
    assert disk.run("sh", "-c", "ls -a | grep -c part").stdout.strip() == "0"
    disk.run("rm", "filler")
    again = disk.batchrun(*command, "--json")
    assert records(again.stdout)[1]["ran"] == 0
    assert len(disk.run("cat", "data.results.csv").stdout.splitlines()) == 21


@small_disk
def test_status_export_and_verify_read_a_checkpoint_on_a_disk_that_has_become_read_only(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 20))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:double")
    assert disk.batchrun(*command).returncode == 0
    assert disk.run("mount", "-o", "remount,ro", disk.place).returncode == 0
    (record,) = json.loads(disk.batchrun("status", "data.csv", "--json").stdout)["tasks"]
    assert record["done"] == 20
    assert len(disk.batchrun("export", "data.csv", "-o", "-").stdout.splitlines()) == 21
    assert disk.batchrun("verify", "data.csv").returncode == 0
    refused = disk.batchrun(*command, "--no-output")
    assert refused.returncode == 4, refused.stderr
    assert "--dir" in refused.stderr
    elsewhere = disk.batchrun(*command, "--no-output", "--dir", tmp_path / "elsewhere")
    assert elsewhere.returncode == 0, elsewhere.stderr


def without_privileges(folder, *args):
    """Run the command as a user to whom permissions apply (root without the right to pass over them)."""
    rights = "-dac_override,-dac_read_search"
    drop = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*drop, *COMMAND, *map(str, args)], cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )


@permissions
def test_a_folder_that_may_not_be_written_to_is_told_before_anything_runs_with_the_remedy(folder):
    numbered(folder / "data.csv", 5)
    folder.chmod(0o555)
    ran = without_privileges(folder, "process", "data.csv", "--task", "tasks.py:double", "--no-output")
    assert ran.returncode == 4, ran.stderr
    assert "--dir" in ran.stderr
    ran = without_privileges(folder, "process", "data.csv", "--task", "tasks.py:double")
    assert ran.returncode == 4, ran.stderr
    assert "--output" in ran.stderr
    assert not (folder / "started").exists()


@permissions
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_checkpoint_that_may_not_be_opened_is_told_without_a_traceback(folder, mode):
    table = numbered(folder / "data.csv", 5)
    command = ("process", table, "--task", "tasks.py:double", "--no-output")
    assert batchrun(*command, cwd=folder).returncode == 0
    place = folder / "data.csv.batchrun"
    place.chmod(mode)
    try:
        ran = without_privileges(folder, *command)
        assert ran.returncode == 4, ran.stderr
        assert "--dir" in ran.stderr
        for reader in (["status", table], ["verify", table], ["export", table, "-o", "-"]):
            ran = without_privileges(folder, *reader)
            assert "bug in batchrun" not in ran.stderr
            assert "Traceback" not in ran.stderr
            assert not mode or ran.returncode == 0, ran.stderr
    finally:
        place.chmod(0o700)


def test_a_slow_disk_slows_commits_and_not_lanes(tmp_path):
    table, log = numbered(tmp_path / "data.csv", 400), tmp_path / "fsyncs"
    (tmp_path / "tasks.py").write_text("import time\ndef task(row):\n    time.sleep(0.05)\n")
    slow = {"LD_PRELOAD": compiled("slow_disk", tmp_path), "SLOW_SECONDS": 0.2, "SLOW_LOG": log}
    env = {name: str(value) for name, value in slow.items()}
    ran = batchrun("process", table, "--task", "tasks.py:task", "--jobs", 8, "--no-output", cwd=tmp_path, env=env)
    assert ran.returncode == 0, ran.stderr
    assert len(log.read_bytes()) < 400 / 8  # lanes that waited for each commit would have one row each in it


WAYS_TO_FAIL = {
    "full": {"FAIL_ERRNO": ENOSPC},
    "broken": {"FAIL_ERRNO": EIO},
    "torn": {"FAIL_ERRNO": EIO, "FAIL_TORN": 1},
    "torn and killed": {"FAIL_TORN": 1, "FAIL_KILL": 1},
}


def steps(log):
    """The disk operations of a run: number of the first of each kind that repeats, and its name."""
    named = enumerate((line.split(".part")[0][:60] for line in log.read_text().splitlines()), start=1)
    return [(next(group)[0], name) for name, group in groupby(named, key=lambda step: step[1])]


@pytest.mark.timeout(600)
def test_every_disk_operation_may_fail_once_and_the_next_run_completes(shim, tmp_path):
    """All operations in all ways with `EVERY_OPERATION=1`; else the first of each row of equal ones, ways in turn."""
    whole = Trial(tmp_path / "whole", shim)
    assert whole.run().returncode == 0
    if os.environ.get("EVERY_OPERATION"):
        operations = enumerate(whole.log.read_text().splitlines(), start=1)
        points = list(product(operations, WAYS_TO_FAIL))
    else:
        points = list(zip(steps(whole.log), cycle(WAYS_TO_FAIL)))
    oracle, results = settled(whole.table, "repair"), whole.results.read_text()

    def attempt(point):
        (number, name), way = point
        trial = Trial(tmp_path / f"{number} {way}", shim)
        ran = trial.run(fail_at=number, **WAYS_TO_FAIL[way])
        proof = proof_of(trial.table, "repair")
        before = settled(trial.table, "repair") if proof else {}
        again = batchrun("process", trial.table, "-t", "repair", "--json")
        return (number, name, way), trial, ran, proof, before, again

    with ThreadPoolExecutor(2) as pool:
        for point, trial, ran, proof, before, again in pool.map(attempt, points):
            # 0: where only the tidying up at the end has failed.
            assert ran.returncode in ([-SIGKILL] if point[-1] == "torn and killed" else [0, 4]), (point, ran.stderr)
            assert "Traceback" not in ran.stderr, point
            assert ("\nerror: " in f"\n{ran.stderr}") == (ran.returncode == 4), (point, ran.stderr)
            assert proof is None or not proof.damage, (point, proof.damage)
            assert before.items() <= oracle.items(), point
            assert again.returncode == 0, (point, again.stderr)
            assert records(again.stdout)[1]["ran"] == ROWS - len(before), point
            assert settled(trial.table, "repair") == oracle, point
            assert trial.results.read_text() == results, point
            assert proof_of(trial.table, "repair").exit_code == 0, point
            # Nothing half-written is left behind.
            assert {path.name for path in trial.place.iterdir()} == {path.name for path in whole.place.iterdir()}, point
    print(f"{len(points)} failures")
    assert len(points) > 30


@pytest.mark.parametrize("number", [ENOLCK, ENOSYS])
def test_a_place_without_working_locks_is_told_before_anything_runs(shim, tmp_path, number):
    trial = Trial(tmp_path / "place", shim)
    ran = trial.run(FAIL_ERRNO=number, FAIL_LOCKS=1)
    assert ran.returncode == 4, ran.stderr
    assert "locks" in ran.stderr
    assert "--dir" in ran.stderr
    assert not (trial.place / "data.csv.batchrun/repair.sqlite").exists()


@small_disk
def test_results_go_to_another_disk_while_that_of_the_checkpoint_is_full(disk, tmp_path):
    put(disk, numbered(tmp_path / "data.csv", 20))
    command = ("process", "data.csv", "--task", tmp_path / "tasks.py:double")
    assert disk.batchrun(*command).returncode == 0
    disk.run("sh", "-c", "head -c 3M /dev/zero > filler; head -c 3M /dev/zero > filler2")
    assert disk.run("sh", "-c", "echo more > one_more && cat one_more").stdout == ""
    for target in ("out.csv", "out.parquet", "-"):
        ran = disk.batchrun("export", "data.csv", "-o", target if target == "-" else tmp_path / target)
        assert ran.returncode == 0, ran.stderr
        assert (target == "-") != ("--overwrite is needed to replace" in ran.stderr)
    assert (tmp_path / "out.csv").read_bytes() == disk.run("cat", "data.results.csv").stdout.encode()
    full = disk.batchrun("export", "data.csv", "-o", "here.csv")
    assert full.returncode == 4
    assert f"{disk.place / 'here.csv'}: the disk is full" in full.stderr
