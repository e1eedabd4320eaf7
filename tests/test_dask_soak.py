"""The cluster engine for longer, and harder: `DASK_SOAK=1 pytest tests/test_dask_soak.py -s` prints figures."""

import os
import random
import signal
import time

import pytest
from dask_cluster import dask_cluster
from support import batchrun, kill, lines_of, numbered, records, settled, start, wait_for

from batchrun.records import CRASHED, DONE, TIMED_OUT

pytestmark = [
    pytest.mark.skipif("DASK_SOAK" not in os.environ, reason="takes minutes: DASK_SOAK=1"),
    pytest.mark.timeout(900),
]
SHORT_ROWS = 20_000
SLEEPING_ROWS = 2000
KILLS = 20
TASKS = """
import os, signal, time


def note(row):
    fd = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{row['id']} {time.monotonic()}\\n".encode())
    os.close(fd)

def trivial(row):
    return {"double": 2 * row["id"]}

def sleeping(row):
    time.sleep(0.05)
    return {"double": 2 * row["id"]}

def noted(row):
    note(row)
    time.sleep(0.05)
    return {"double": 2 * row["id"]}

def deadly(row):
    import psutil
    note(row)
    if row["id"] == 13:
        psutil.Process().parent().parent().parent().kill()
        time.sleep(60)
    if row["id"] == 14:
        while True:
            pass
    time.sleep(0.02)
    return {"double": 2 * row["id"]}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tasks.py").write_text(TASKS)
    return tmp_path / "home"


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    with dask_cluster(tmp_path / "cluster") as own:
        yield own


def arguments(folder, task, cluster=None, *options):
    engine = ("--engine", "dask", "--cluster", cluster.file) if cluster else ()
    common = ("--json", "--progress", "none", "--no-output")
    return ("process", folder / "data.csv", "--task", f"tasks.py:{task}", *engine, *common, *options)


def env(folder):
    return {"NOTES": str(folder / "notes")}


def run(folder, task, cluster=None, *options):
    before = time.monotonic()
    done = batchrun(*arguments(folder, task, cluster, *options), cwd=folder, env=env(folder), timeout=600)
    return done, time.monotonic() - before


def launch(folder, task, cluster, *options):
    return start(*arguments(folder, task, cluster, *options), cwd=folder, env=env(folder))


def states(folder, task):
    try:
        return {row: status for row, (status, _) in settled(folder / "data.csv", task).items()}
    except Exception:  # noqa: BLE001 - there is no table yet
        return {}


def starts(folder):
    found = {}
    for line in lines_of(folder / "notes"):
        row = int(line.split()[0])
        found[row] = found.get(row, 0) + 1
    return found


def hold_oracle(folder, task, rows, acknowledged=None):
    """The settled rows of an undisturbed run; none was started again that had been acknowledged (row -> starts)."""
    found = settled(folder / "data.csv", task)
    assert {row: body["double"] for row, (status, body) in found.items() if status == DONE} == {
        row: 2 * row for row in range(1, rows + 1)
    }
    counts = starts(folder)
    assert {row: counts[row] for row in acknowledged or {}} == (acknowledged or {})


@pytest.mark.parametrize(("task", "rows", "jobs"), [("trivial", SHORT_ROWS, 6), ("sleeping", SLEEPING_ROWS, 60)])
def test_throughput_beside_the_local_engine_and_client_map(folder, cluster, task, rows, jobs):
    for _ in range(3):
        cluster.start_worker(threads=jobs // 3)
    numbered(folder / "data.csv", rows)
    here, local = run(folder, task, None, "--jobs", jobs)
    there, far = run(folder, task, cluster, "--jobs", jobs, "--fresh")
    assert here.returncode == there.returncode == 0, there.stderr
    mapped = client_map(cluster, task, rows)
    inside = records(there.stdout)[-1]["seconds"]
    print(f"\n{rows:,} {task} rows, {jobs} jobs: local {local:.1f} s, cluster {far:.1f} s ({inside:.1f} s of it rows)")
    print(f"client.map, without a checkpoint: {mapped:.1f} s")


def client_map(cluster, task, rows):
    """What people write with Dask alone; the task goes by value."""
    from distributed import Client

    namespace = {"__name__": "__main__"}
    exec(TASKS, namespace)
    with Client(cluster.address, set_as_default=False) as client:
        before = time.monotonic()
        futures = client.map(namespace[task], [{"id": n, "text": ""} for n in range(1, rows + 1)], pure=False)
        assert len(client.gather(futures)) == rows
        return time.monotonic() - before


def test_a_worker_is_killed_every_second(folder, cluster):
    rows = 3000
    alive = [cluster.start_worker(threads=2) for _ in range(3)]
    numbered(folder / "data.csv", rows)
    going = launch(folder, "noted", cluster)
    wait_for(lambda: len(states(folder, "noted")) > 50, 60)
    dice, kills = random.Random(7), 0
    while going.poll() is None and kills < KILLS:
        victim = alive.pop(dice.randrange(len(alive)))
        alive.append(cluster.start_worker(threads=2))
        victim.kill()
        kills += 1
        time.sleep(1)
    _, err = going.communicate(timeout=300)
    assert going.returncode == 0, err
    hold_oracle(folder, "noted", rows)
    counts = starts(folder)
    again = sum(count - 1 for count in counts.values())
    most = max(counts.values())
    print(f"\n{kills} workers killed, one a second: {rows:,} rows done, {again} started again, at most {most} times")


def test_a_row_that_kills_its_dask_worker_each_time_is_found(folder, cluster):
    for _ in range(3):
        cluster.start_worker(threads=2, nanny=True)
    numbered(folder / "data.csv", 300)
    done, seconds = run(folder, "deadly", cluster, "--retries", 0, "--timeout", 5)
    assert done.returncode == 1, done.stderr
    found = states(folder, "deadly")
    assert {row: status for row, status in found.items() if status != DONE} == {13: CRASHED, 14: TIMED_OUT}
    assert len(found) == 300
    times = starts(folder)[13]
    print(f"\na row that kills its Dask worker, and a stuck one: found in {seconds:.0f} s, started {times} times")


def test_the_coordinator_is_killed_again_and_again(folder, cluster):
    rows = 1500
    for _ in range(3):
        cluster.start_worker(threads=2)
    numbered(folder / "data.csv", rows)
    kills, acknowledged, late = 0, {}, 0.0
    for _ in range(5):
        going = launch(folder, "noted", cluster)
        seen = len(acknowledged)
        wait_for(lambda seen=seen: len(states(folder, "noted")) > seen + 50, 60)
        kill(going)
        died = time.monotonic()
        time.sleep(3)
        counts = starts(folder)
        acknowledged = {row: acknowledged.get(row, counts[row]) for row in states(folder, "noted")}
        last = max(float(line.split()[1]) for line in lines_of(folder / "notes"))
        late, kills = max(late, last - died), kills + 1
    assert late < 2
    done, _ = run(folder, "noted", cluster)
    assert done.returncode == 0, done.stderr
    hold_oracle(folder, "noted", rows, acknowledged)
    print(f"\ncoordinator killed {kills} times: the last row started {late:.2f} s after its death")


def test_the_scheduler_comes_back(folder, cluster):
    rows = 1500
    for _ in range(3):
        cluster.start_worker(threads=2)
    numbered(folder / "data.csv", rows)
    going = launch(folder, "noted", cluster)
    wait_for(lambda: len(states(folder, "noted")) > 50, 60)
    port = int(cluster.address.rpartition(":")[2])
    cluster.scheduler.send_signal(signal.SIGKILL)
    cluster.scheduler.wait()
    time.sleep(2)
    cluster.start_scheduler(port)
    for _ in range(3):
        cluster.start_worker(threads=2)
    _, err = going.communicate(timeout=300)
    assert going.returncode == 0, err
    hold_oracle(folder, "noted", rows)
