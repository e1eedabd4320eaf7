"""The engines of clusters, on real ones: processes of their own, in folders of their own."""

import json
import re
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
import trustme
from clusters import KINDS, needs_ray
from dask_cluster import dask_cluster
from ray_cluster import HERMETIC, ray_cluster
from support import NOTE, alive, batchrun, kill, lines_of, numbered, records, settled, start, wait_for

from batchrun.core.states import CRASHED, DONE, TIMED_OUT

MOST_HELD = 12  # rows of 50 ms that a host with two lanes may have
TASKS = (
    NOTE
    + """
import asyncio, os, signal, sys, time
import batchrun
from beside import doubled

print("the module is loaded by", os.getpid(), flush=True)


def double(row):
    note(row)
    print("hello from", row["id"])
    return {"double": doubled(row["id"]), "key": os.environ["OUR_SETTING"]}

def short(row):
    note(row)
    time.sleep(float(os.environ.get("SECONDS", "0.05")))
    return {"double": doubled(row["id"])}

async def later(row):
    note(row)
    await asyncio.sleep(0.2)
    return {"double": doubled(row["id"])}

def bulk(rows):
    with open(os.environ["NOTES"] + ".calls", "a") as file:
        file.write(f"{len(rows)}\\n")
    return [harmful(row) for row in rows]

def harmful(row):
    note(row)
    if row["id"] == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    while row["id"] == 17:
        pass
    return {"double": doubled(row["id"])}
"""
)


@pytest.fixture
def folder(tmp_path):
    """The coordinator's folder, with a task and a module beside it."""
    place = tmp_path / "home"
    place.mkdir()
    (place / "tasks.py").write_text(TASKS)
    (place / "beside.py").write_text("def doubled(number):\n    return 2 * number\n")
    return place


@pytest.fixture(scope="module", params=KINDS)
def start_cluster(request):
    """Starts a cluster of each kind."""
    return request.param


@pytest.fixture(scope="module")
def standing(start_cluster, tmp_path_factory):
    """A cluster that no test of this module hurts: three workers, four threads."""
    with start_cluster(tmp_path_factory.mktemp("cluster"), 2, 1, 1) as cluster:
        yield cluster


@pytest.fixture
def cluster(start_cluster, tmp_path):
    """A cluster of a test's own, without workers at first."""
    place = tmp_path / "cluster"
    place.mkdir()
    with start_cluster(place) as own:
        yield own


def arguments(folder, cluster, task, *options):
    return (
        *("process", folder / "data.csv", "--task", f"tasks.py:{task}", "--engine", cluster.engine),
        *("--cluster", cluster.where, "--json", "--progress", "none", "--no-output", *options),
    )


def env(folder, **more):
    return {"NOTES": str(folder / "notes"), "OUR_SETTING": "travels-too", **HERMETIC, **more}


def run(folder, cluster, task, *options, **more):
    return batchrun(*arguments(folder, cluster, task, *options), cwd=folder, env=env(folder, **more))


def launch(folder, cluster, task, *options, **more):
    return start(*arguments(folder, cluster, task, *options), cwd=folder, env=env(folder, **more))


def notes(folder):
    """Row -> when it started, each time."""
    found = {}
    for line in lines_of(folder / "notes"):
        row, at, _ = line.split()
        found.setdefault(int(row), []).append(float(at))
    return found


def hold_imported_once(folder, cluster, at_most):
    """The processes that ran rows, `at_most` so many, have imported the task's module once each."""
    ran = {line.split()[2] for line in lines_of(folder / "notes")}
    assert 0 < len(ran) <= at_most
    wait_for(lambda: ran <= set(imports(cluster)))  # what was printed comes behind the results
    assert {pid: imports(cluster)[pid] for pid in ran} == dict.fromkeys(ran, 1)


def imports(cluster):
    """Process -> how often it has said that it imports the module."""
    return Counter(re.findall(r"the module is loaded by (\d+)\n", cluster.printed()))


def doubles(folder, task):
    """Row -> the double that was settled."""
    return {row: body["double"] for row, (status, body) in settled(folder / "data.csv", task).items() if status == DONE}


def all_doubled(rows):
    return {row: 2 * row for row in range(1, rows + 1)}


def test_a_run_on_a_cluster_can_be_given_more_jobs_and_fewer(folder, standing):
    table = numbered(folder / "data.csv", 4000)
    process = launch(folder, standing, "short", "--jobs", "2")

    def lanes_of_late(rows=60):
        return len({line.split()[2] for line in lines_of(folder / "notes")[-rows:]})

    def asked(*options):
        return batchrun("ctl", table, "--json", *options)

    try:
        wait_for(lambda: len(lines_of(folder / "notes")) > 20)
        assert asked("--jobs", "6").returncode == 0
        wait_for(lambda: lanes_of_late() == 6)
        assert asked("--jobs", "1").returncode == 0
        wait_for(lambda: json.loads(asked().stdout)["in_flight"] <= 1)
        ran = len(lines_of(folder / "notes"))
        wait_for(lambda: len(lines_of(folder / "notes")) > ran + 5)
        assert asked("--drain").returncode == 0
        process.communicate(timeout=90)
    finally:
        kill(process)
    assert process.returncode == 143
    assert all(len(times) == 1 for times in notes(folder).values())


def test_rows_run_on_the_cluster_with_the_module_beside_the_task(folder, standing):
    numbered(folder / "data.csv", 400)
    done = run(folder, standing, "double")
    assert done.returncode == 0, done.stderr
    assert records(done.stdout)[-1]["done"] == 400
    assert doubles(folder, "double") == all_doubled(400)
    assert all(len(times) == 1 for times in notes(folder).values())
    assert {body["key"] for _, body in settled(folder / "data.csv", "double").values()} == {"travels-too"}
    assert "hello" not in done.stderr
    assert "hello from" in standing.printed()
    hold_imported_once(folder, standing, at_most=4)
    local = batchrun(
        "process", folder / "data.csv", "--task", "tasks.py:double", "--no-output", cwd=folder, env=env(folder)
    )
    assert local.returncode == 0
    assert "400 done, 0 new" in local.stderr, "the version is the same wherever a row ran"
    assert len(lines_of(folder / "notes")) == 400


def test_async_rows_share_a_process_there_too(folder, standing):
    numbered(folder / "data.csv", 300)
    done = run(folder, standing, "later", "--jobs", 150)
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "later") == all_doubled(300)
    hold_imported_once(folder, standing, at_most=4)


def test_threads_share_a_process_there_too(folder, standing):
    numbered(folder / "data.csv", 60)
    done = run(folder, standing, "short", "--jobs", 20, "--threads", 10)
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "short") == all_doubled(60)
    hold_imported_once(folder, standing, at_most=6)


def test_rows_are_called_together_there_too_and_the_culprits_are_charged_alone(folder, standing):
    numbered(folder / "data.csv", 400)
    done = run(folder, standing, "bulk", "--batch", 16, "--jobs", 4, "--timeout", 0.7, "--retries", 0)
    assert done.returncode == 1, done.stderr
    assert doubles(folder, "bulk") == {row: 2 * row for row in range(1, 401) if row not in (13, 17)}
    states = {row: status for row, (status, _) in settled(folder / "data.csv", "bulk").items() if status != DONE}
    assert states == {13: CRASHED, 17: TIMED_OUT}
    calls = [int(line) for line in lines_of(folder / "notes.calls")]
    assert Counter(calls)[16] == 400 / 16
    assert len(calls) <= 400 / 16 + 2 * (2 * 4 + 1)


def test_a_poison_row_and_a_stuck_one_are_charged_alone(folder, standing):
    numbered(folder / "data.csv", 40)
    done = run(folder, standing, "harmful", "--timeout", 2, "--retries", 0)
    assert done.returncode == 1, done.stderr
    states = {row: status for row, (status, _) in settled(folder / "data.csv", "harmful").items()}
    assert states[13] == CRASHED
    assert states[17] == TIMED_OUT
    assert doubles(folder, "harmful") == {row: 2 * row for row in range(1, 41) if row not in (13, 17)}
    assert all(len(times) == 1 for times in notes(folder).values())
    errors = batchrun("errors", folder / "data.csv", "--json").stdout
    assert "segmentation fault" in errors.lower()


def test_a_task_that_cannot_be_imported_there_is_said_before_any_row_runs(folder, standing):
    numbered(folder / "data.csv", 5)
    (folder / "tasks.py").write_text("import nowhere_to_be_found\ndef double(row):\n    return row\n")
    done = run(folder, standing, "double")
    assert done.returncode == 2
    assert "No module named 'nowhere_to_be_found'" in done.stderr
    assert "worker w" in done.stderr
    assert lines_of(folder / "notes") == []


def test_workers_are_given_arguments_and_the_code_that_the_run_began_with(folder, standing):
    table = numbered(folder / "data.csv", 20)
    path = folder / "tasks.py"
    path.write_text(
        f"import os\nfrom pathlib import Path\nimport beside\nVERSION = 'old'\nHOME = Path({str(path)!r})\n"
        "def edited(row, of='nobody'):\n"
        "    if row['id'] == 3:\n"
        "        HOME.write_text(HOME.read_text().replace('old', 'new'))\n"
        "    if row['id'] % 5 == 4:\n"
        "        os._exit(1)\n"
        "    return {'code': VERSION, 'of': of}\n"
    )
    done = run(folder, standing, "edited", "--retries", 0, "--arg", "of=somebody")
    assert done.returncode == 1, done.stderr
    assert "VERSION = 'new'" in path.read_text()
    results = [value for _, value in settled(table, "edited").values() if value]
    assert results == [{"code": "old", "of": "somebody"}] * 16


def test_the_first_interrupt_drains_and_the_same_command_goes_on(folder, standing):
    numbered(folder / "data.csv", 300)
    going = launch(folder, standing, "short")
    wait_for(lambda: len(lines_of(folder / "notes")) > 20)
    going.send_signal(signal.SIGINT)
    _, err = going.communicate(timeout=60)
    assert going.returncode == 130, err
    started = notes(folder)
    assert set(settled(folder / "data.csv", "short")) == set(started), "every row that had started is settled"
    assert run(folder, standing, "short").returncode == 0
    assert doubles(folder, "short") == all_doubled(300)
    assert all(len(times) == 1 for times in notes(folder).values())


def test_the_second_interrupt_ends_rows_in_flight(folder, standing):
    numbered(folder / "data.csv", 20)
    going = launch(folder, standing, "short", SECONDS="600")
    wait_for(lambda: len(lines_of(folder / "notes")) == 4)
    pids = [psutil.Process(int(line.split()[2])) for line in lines_of(folder / "notes")]
    going.send_signal(signal.SIGINT)
    time.sleep(0.3)
    going.send_signal(signal.SIGINT)
    _, err = going.communicate(timeout=60)
    assert going.returncode == 130, err
    wait_for(lambda: not alive(pids), 20)


def test_no_row_starts_after_the_coordinator_was_killed_and_the_next_run_goes_on(folder, standing):
    numbered(folder / "data.csv", 300)
    going = launch(folder, standing, "short")
    wait_for(lambda: len(settled_or_none(folder)) > 20)
    kill(going)
    died = time.monotonic()
    pids = []
    for pid in {line.split()[2] for line in lines_of(folder / "notes")}:
        with suppress(psutil.NoSuchProcess):
            pids.append(psutil.Process(int(pid)))
    acknowledged = settled_or_none(folder)
    wait_for(lambda: not alive(pids), 30)
    assert max(at for times in notes(folder).values() for at in times) < died + 2
    again = run(folder, standing, "short")
    assert again.returncode == 0, again.stderr
    assert doubles(folder, "short") == all_doubled(300)
    assert all(len(notes(folder)[row]) == 1 for row in acknowledged)


def settled_or_none(folder):
    try:
        return settled(folder / "data.csv", "short")
    except Exception:  # noqa: BLE001 - there is no table yet
        return {}


def test_workers_that_are_killed_cost_only_their_rows_and_new_ones_are_used(folder, cluster):
    numbered(folder / "data.csv", 400)
    workers = [cluster.start_worker(threads=2), cluster.start_worker(threads=2)]
    going = launch(folder, cluster, "short")
    wait_for(lambda: len(lines_of(folder / "notes")) > 30, 60)
    for worker in workers:
        cluster.start_worker(threads=2)
        worker.kill()
        seen = len(lines_of(folder / "notes"))
        wait_for(lambda seen=seen: len(lines_of(folder / "notes")) > seen + 60 or going.poll() is not None, 60)
    _, err = going.communicate(timeout=90)
    assert going.returncode == 0, err
    assert "was lost" in err
    assert "run again, which does not count as an attempt" in err
    assert doubles(folder, "short") == all_doubled(400)
    attempts = Counter(len(times) for times in notes(folder).values())
    again = sum(count for times, count in attempts.items() if times > 1)
    assert again <= 2 * MOST_HELD, "only rows that were on a lost worker started again"


def test_rows_of_a_lost_worker_can_count_as_crashed(folder, cluster):
    numbered(folder / "data.csv", 3)
    worker = cluster.start_worker()
    going = launch(folder, cluster, "short", "--on-lost", "fail", SECONDS="600")
    wait_for(lambda: lines_of(folder / "notes"), 60)
    going.send_signal(signal.SIGINT)
    time.sleep(0.5)
    worker.kill()
    _, err = going.communicate(timeout=60)
    assert going.returncode == 130, err
    assert {row: status for row, (status, _) in settled(folder / "data.csv", "short").items()} == {1: CRASHED}


def test_a_scheduler_that_stays_lost_ends_the_run_and_the_job_is_finished_here(folder, cluster):
    numbered(folder / "data.csv", 300)
    cluster.start_worker(threads=2)
    impatient = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s", "RAY_gcs_rpc_server_reconnect_timeout_s": "8"}
    going = launch(folder, cluster, "short", **impatient)
    wait_for(lambda: len(settled_or_none(folder)) > 20, 60)
    cluster.kill_head()
    _, err = going.communicate(timeout=90)
    assert going.returncode == 3, err
    assert "was lost and did not come back" in err
    assert "--engine local" in err
    acknowledged = settled_or_none(folder)
    here = batchrun(
        *("process", folder / "data.csv", "--task", "tasks.py:short", "--jobs", 20, "--no-output"),
        cwd=folder,
        env=env(folder),
    )
    assert here.returncode == 0, here.stderr
    assert doubles(folder, "short") == all_doubled(300)
    assert all(len(notes(folder)[row]) == 1 for row in acknowledged)


def test_a_worker_with_another_version_gets_no_rows(folder, cluster, tmp_path):
    numbered(folder / "data.csv", 3)
    about = tmp_path / "other" / "batchrun_cli-99.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: batchrun-cli\nVersion: 99.0\n")
    cluster.start_worker(env={"PYTHONPATH": str(about.parent)})
    done = run(folder, cluster, "double")
    assert done.returncode == 3
    assert "has batchrun-cli 99.0, and here it is" in done.stderr
    assert lines_of(folder / "notes") == []


@needs_ray
def test_each_row_has_gpus_of_its_own(folder, tmp_path):
    numbered(folder / "data.csv", 30)
    (folder / "tasks.py").write_text(
        "import os, time\n"
        "def owned(row):\n"
        "    time.sleep(0.05)\n"
        "    return {'double': 2 * row['id'], 'gpus': os.environ['CUDA_VISIBLE_DEVICES'], 'lane': os.getpid()}\n"
    )
    with ray_cluster(tmp_path, 2) as cluster:
        cluster.start_worker(threads=3, gpus=2)
        done = run(folder, cluster, "owned", "--gpus-per-job", 1)
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "owned") == all_doubled(30)
    owners = {(body["gpus"], body["lane"]) for _, body in settled(folder / "data.csv", "owned").values()}
    assert sorted(gpus for gpus, _ in owners) == ["0", "1"]


@pytest.mark.parametrize("engine", ["dask", pytest.param("ray", marks=needs_ray)])
def test_local_n_is_a_cluster_to_try_it_with(folder, engine):
    numbered(folder / "data.csv", 50)
    done = batchrun(
        *("process", folder / "data.csv", "--task", "tasks.py:double", "--engine", engine, "--cluster", "local:2"),
        *("--progress", "none", "--no-output"),
        cwd=folder,
        env=env(folder),
    )
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "double") == all_doubled(50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "dask", "--cluster", "tls://127.0.0.1:1"), "wants TLS, and there is no certificate"),
        (("--engine", "dask", "--cluster", "tcp://127.0.0.1:1"), "no scheduler answers at tcp://127.0.0.1:1"),
        pytest.param(
            ("--engine", "ray", "--cluster", "127.0.0.1:1"),
            "no Ray cluster answers at 127.0.0.1:1",
            marks=needs_ray,
        ),
    ],
)
def test_a_cluster_that_cannot_be_used_is_said_in_words(folder, options, message):
    numbered(folder / "data.csv", 3)
    done = batchrun(
        *("process", folder / "data.csv", "--task", "tasks.py:double", *options),
        cwd=folder,
        env=env(folder, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s"),
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_tls_comes_from_dasks_own_configuration(folder, tmp_path):
    numbered(folder / "data.csv", 50)
    ours, others = certified(tmp_path / "ours"), certified(tmp_path / "others")
    (tmp_path / "cluster").mkdir()
    with dask_cluster(tmp_path / "cluster", 2, options=("--protocol", "tls"), env=ours) as cluster:
        assert cluster.address.startswith("tls://")
        refused = run(folder, cluster, "double", **others)
        assert refused.returncode == 2, refused.stderr
        assert "TLS certificate does not match" in refused.stderr
        assert lines_of(folder / "notes") == []
        done = run(folder, cluster, "double", **ours)
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "double") == all_doubled(50)


@needs_ray
def test_a_token_comes_from_rays_own_configuration(folder, tmp_path):
    numbered(folder / "data.csv", 50)
    (tmp_path / "token").write_text("0123456789abcdef" * 2)
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    with ray_cluster(tmp_path, 2, env=ours) as cluster:
        refused = run(folder, cluster, "double")
        assert refused.returncode == 2, refused.stderr
        assert "wants a token" in refused.stderr
        assert lines_of(folder / "notes") == []
        done = run(folder, cluster, "double", **ours)
    assert done.returncode == 0, done.stderr
    assert doubles(folder, "double") == all_doubled(50)


def certified(place):
    """Dask's settings for a certificate authority of its own, and one certificate for all that take part."""
    place.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(place / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(place / "us.pem")
    roles = ("SCHEDULER", "WORKER", "CLIENT")
    return {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(place / "ca.pem"),
        **{
            f"DASK_DISTRIBUTED__COMM__TLS__{role}__{kind}": str(place / "us.pem")
            for role in roles
            for kind in ("CERT", "KEY")
        },
    }


def test_without_dask_it_is_said_how_to_install_it(folder):
    numbered(folder / "data.csv", 3)
    (folder / "distributed.py").write_text("raise ImportError('not installed')\n")
    done = batchrun(
        *("process", folder / "data.csv", "--task", "tasks.py:double", "--engine", "dask", "--cluster", "local:2"),
        cwd=folder,
        env=env(folder, PYTHONPATH=str(folder)),
    )
    assert done.returncode == 2
    assert "-m pip install " in done.stderr
    assert "[dask]'" in done.stderr
