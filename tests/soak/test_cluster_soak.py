"""The engines of clusters under fire: real ones, with three workers. `make soak` does it for longer.

A short form always runs; with `-s` it prints its figures. The oracle is that of one machine: the settled rows of an
undisturbed run, each exactly once, and nothing that was acknowledged is started again.
"""

import os
import random
import time

import psutil
import pytest
from clusters import KINDS
from ray_cluster import HERMETIC
from support import (
    NOTE,
    batchrun,
    count_settled,
    kill,
    known,
    lines_of,
    numbered,
    records,
    settled,
    start,
    starts,
    wait_for,
)

from batchrun.core.states import CRASHED, DONE, TIMED_OUT

distributed = pytest.importorskip("distributed")

LONG = int(os.environ.get("SOAK_KILLS", "0"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
TRIVIAL_ROWS = 20_000 if LONG else 1_000
SLEEPING_ROWS, SLEEPING_JOBS = (2_000, 60) if LONG else (300, 30)
ROW_SECONDS = 0.05
WORKER_KILLS = LONG // 50 or 3
COORDINATOR_KILLS = LONG // 200 or 2
SCHEDULER_KILLS = LONG // 200 or 1
MOST_HELD = 12  # rows of 50 ms that a host with two lanes may have
TASKS = (
    NOTE
    + f"""
import os, time
import psutil


def trivial(row):
    return {{"double": 2 * row["id"]}}

def sleeping(row):
    time.sleep({ROW_SECONDS})
    return {{"double": 2 * row["id"]}}

def noted(row):
    note(row)
    time.sleep({ROW_SECONDS})
    return {{"double": 2 * row["id"]}}

def deadly(row):
    note(row)
    if row["id"] == 13:
        worker = psutil.Process().parent().parent().parent()
        assert any(word in " ".join(worker.cmdline()) for word in ("distributed", "multiprocessing", "ray::"))
        worker.kill()
        time.sleep(60)
    while row["id"] == 14:
        pass
    time.sleep(0.02)
    return {{"double": 2 * row["id"]}}
"""
)


@pytest.fixture
def folder(tmp_path):
    """The coordinator's folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tasks.py").write_text(TASKS)
    return tmp_path / "home"


@pytest.fixture(params=KINDS)
def cluster(request, tmp_path):
    """A cluster of the test's own, without workers at first."""
    (tmp_path / "cluster").mkdir()
    with request.param(tmp_path / "cluster") as own:
        yield own


only_dask = pytest.mark.parametrize("cluster", KINDS[:1], indirect=True)


def three_workers(cluster, **options):
    return [cluster.start_worker(**options) for _ in range(3)]


def arguments(folder, task, cluster=None, *options):
    """The command; without a cluster it runs the rows here."""
    engine = ("--engine", cluster.engine, "--cluster", cluster.where) if cluster else ()
    common = ("--json", "--progress", "none", "--no-output", "--retries", 0)
    return ("process", folder / "data.csv", "--task", f"tasks.py:{task}", *engine, *common, *options)


def env(folder):
    # A scheduler that comes back is waited for, whatever a busy machine takes to start it.
    return {**HERMETIC, "NOTES": str(folder / "notes"), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "90s"}


def run(folder, task, cluster=None, *options):
    return batchrun(*arguments(folder, task, cluster, *options), cwd=folder, env=env(folder), timeout=600)


def launch(folder, task, cluster):
    return start(*arguments(folder, task, cluster), cwd=folder, env=env(folder))


def wait_for_rows(folder, going, more):
    """Until a run has settled so many more rows."""
    until = count_settled(folder / "data.csv", "noted") + more
    wait_for(lambda: going.poll() is not None or count_settled(folder / "data.csv", "noted") >= until, 90)
    assert going.poll() is None, going.communicate()[1]


def hold_oracle(folder, task, rows):
    """The settled rows of an undisturbed run; nobody was charged for what was killed."""
    assert settled(folder / "data.csv", task) == {row: (DONE, {"double": 2 * row}) for row in range(1, rows + 1)}


def seconds_here_and_there(folder, cluster, task, rows, jobs):
    """Seconds that the rows took with the local engine and with the cluster, whole, and with `client.map` alone."""
    spent = []
    for where in (None, cluster):
        before = time.monotonic()
        done = run(folder, task, where, "--jobs", jobs, "--fresh")
        whole = time.monotonic() - before
        assert done.returncode == 0, done.stderr
        hold_oracle(folder, task, rows)
        spent.append(records(done.stdout)[-1]["seconds"])
        print(f"\n{rows:,} {task} rows, {jobs} jobs, {'cluster' if where else 'local'}: {whole:.1f} s", end="")
        print(f" ({spent[-1]:.1f} s of it rows)", end="")
    mapped = client_map(cluster, task, rows)
    print(f"\nclient.map, without a checkpoint: {mapped:.1f} s")
    return (*spent, mapped)


def client_map(cluster, task, rows):
    """Seconds that what people write with Dask alone takes; the task goes by value."""
    namespace = {"__name__": "__main__", "__file__": __file__}
    exec(TASKS, namespace)
    with distributed.Client(cluster.address, set_as_default=False) as client:
        before = time.monotonic()
        futures = client.map(namespace[task], [{"id": n, "text": ""} for n in range(1, rows + 1)], pure=False)
        assert len(client.gather(futures)) == rows
        return time.monotonic() - before


@only_dask
def test_rows_that_do_nothing_cost_less_than_with_client_map(folder, cluster):
    three_workers(cluster, threads=2)
    numbered(folder / "data.csv", TRIVIAL_ROWS)
    for _ in range(3):  # it is many times quicker; what else the machine does may still hide that once
        _, there, mapped = seconds_here_and_there(folder, cluster, "trivial", TRIVIAL_ROWS, 6)
        if there < mapped:
            return
    pytest.fail(f"{TRIVIAL_ROWS:,} rows took {there:.1f} s, and {mapped:.1f} s with client.map")


@only_dask
def test_rows_that_sleep_run_at_once_on_all_workers(folder, cluster):
    three_workers(cluster, threads=SLEEPING_JOBS // 3)
    numbered(folder / "data.csv", SLEEPING_ROWS)
    here, there, _ = seconds_here_and_there(folder, cluster, "sleeping", SLEEPING_ROWS, SLEEPING_JOBS)
    one_after_another = SLEEPING_ROWS * ROW_SECONDS
    assert here < one_after_another / 3
    assert there < one_after_another / 3  # so no single worker's threads would do


def test_a_worker_is_killed_every_second(folder, cluster):
    print(f"\nseed {SEED}")
    rows = 150 * (WORKER_KILLS + 1)
    workers = three_workers(cluster, threads=2)
    numbered(folder / "data.csv", rows)
    going = launch(folder, "noted", cluster)
    wait_for_rows(folder, going, 50)
    dice = random.Random(SEED)
    for _ in range(WORKER_KILLS):
        assert going.poll() is None
        victim = workers.pop(dice.randrange(len(workers)))
        workers.append(cluster.start_worker(threads=2))
        victim.kill()
        time.sleep(1)
    _, err = going.communicate(timeout=600)
    assert going.returncode == 0, err
    assert "was lost" in err
    hold_oracle(folder, "noted", rows)
    counts = starts(folder, "notes")
    again = counts.total() - rows
    assert again <= MOST_HELD * WORKER_KILLS, "only rows that were on a lost worker started again"
    most = max(counts.values())
    print(
        f"{WORKER_KILLS} workers killed, one a second: {rows:,} rows done, {again} starts more, at most {most} of a row"
    )


def test_a_row_that_kills_its_worker_each_time_and_a_stuck_one_are_found(folder, cluster):
    three_workers(cluster, threads=2, **({"nanny": True} if cluster.engine == "dask" else {}))
    rows = 300 if LONG else 100
    numbered(folder / "data.csv", rows)
    done = run(folder, "deadly", cluster, "--timeout", 2)
    assert done.returncode == 1, done.stderr
    found = {row: status for row, (status, _) in known(folder / "data.csv", "deadly").items()}
    assert {row: status for row, status in found.items() if status != DONE} == {13: CRASHED, 14: TIMED_OUT}
    assert len(found) == rows
    times = starts(folder, "notes")[13]
    assert times == 5, "three times in company, two alone"
    seconds = records(done.stdout)[-1]["seconds"]
    print(f"\na row that kills its worker, and a stuck one: found in {seconds:.1f} s, started {times} times")


def test_the_coordinator_is_killed_again_and_again(folder, cluster):
    rows = 150 * (COORDINATOR_KILLS + 1)
    three_workers(cluster, threads=2)
    numbered(folder / "data.csv", rows)
    acknowledged, late = {}, 0.0  # row -> starts
    for _ in range(COORDINATOR_KILLS):
        going = launch(folder, "noted", cluster)
        wait_for_rows(folder, going, 50)
        kill(going)
        died = time.monotonic()
        ran = {int(line.split()[2]) for line in lines_of(folder / "notes")}
        wait_for(lambda ran=ran: not any(map(psutil.pid_exists, ran)))
        late = max(late, float(lines_of(folder / "notes")[-1].split()[1]) - died)
        counts = starts(folder, "notes")
        acknowledged |= {row: counts[row] for row in known(folder / "data.csv", "noted") if row not in acknowledged}
    assert late < 2
    done = run(folder, "noted", cluster)
    assert done.returncode == 0, done.stderr
    hold_oracle(folder, "noted", rows)
    counts = starts(folder, "notes")
    assert {row: counts[row] for row in acknowledged} == acknowledged
    print(
        f"\ncoordinator killed {COORDINATOR_KILLS} times: the last row started {late:.2f} s after its death, ", end=""
    )
    print(f"{counts.total() - rows} starts more of {rows:,} rows")


@only_dask
def test_the_scheduler_comes_back(folder, cluster):
    rows = 300 * (SCHEDULER_KILLS + 1) if LONG else 300
    three_workers(cluster, threads=2)
    numbered(folder / "data.csv", rows)
    port = int(cluster.address.rpartition(":")[2])
    going, away = launch(folder, "noted", cluster), 0.0
    for _ in range(SCHEDULER_KILLS):
        wait_for_rows(folder, going, 50)
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        died = time.monotonic()
        time.sleep(1)  # long enough to be missed
        cluster.start_scheduler(port)
        three_workers(cluster, threads=2)
        wait_for_rows(folder, going, 1)
        away = max(away, time.monotonic() - died)
    _, err = going.communicate(timeout=600)
    assert going.returncode == 0, err
    hold_oracle(folder, "noted", rows)
    again = starts(folder, "notes").total() - rows
    print(f"\nscheduler killed {SCHEDULER_KILLS} times: rows settled again after {away:.1f} s at most, ", end="")
    print(f"{again} starts more of {rows:,} rows")
