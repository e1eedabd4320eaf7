"""What decides on a cluster: shares, fit, blame, and what travels. No cluster is needed."""

import asyncio
import marshal
import sys
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.checkpoint.suspects import IN_COMPANY, after_death, is_guilty, must_be_alone
from batchrun.core.version import VERSION
from batchrun.display import phrases
from batchrun.display.snapshot import Snapshot
from batchrun.engine.cluster import task_bundle
from batchrun.engine.cluster.account import ALONE
from batchrun.engine.cluster.dask.leases import Leases
from batchrun.engine.cluster.dask.scheduler import OF_SCHEDULER, OF_WORKER, own_versions
from batchrun.engine.cluster.environment import worth_sending
from batchrun.engine.cluster.fit import unfit_because
from batchrun.engine.cluster.host_process import HostProcess
from batchrun.engine.cluster.link import WorkersLeased
from batchrun.engine.cluster.messages import HostStatus, packed_messages, understood
from batchrun.engine.cluster.ray.ray_engine import ray_engine
from batchrun.engine.cluster.ray.spots import spots_on
from batchrun.engine.cluster.shares import hold, quotas
from batchrun.engine.cluster.task_bundle import bundle_of
from batchrun.engine.deal import Deal, Ticket
from batchrun.engine.events import Crashed, Finished, Ready, Returned, TimedOut
from batchrun.engine.local.pace import Pace
from batchrun.engine.wire import HEADER, Hello, Reply
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import UsageError
from batchrun.options.sources import resolve

OURS = {"python": "3.11.9.final.0", "distributed": "2026.8.0", "cloudpickle": "3.1.2", "batchrun-cli": "0.1.0"}
DEAL = Deal(range(1, 5), 1, bytes(64), [["a"] * 4])
SENT = dict.fromkeys(DEAL.positions, DEAL)
TICKETS = {n: DEAL.of(n) for n in SENT}


@given(st.integers(1, 500), st.dictionaries(st.text(max_size=3), st.integers(1, 64), min_size=1))
def test_the_quotas_of_all_hosts_are_the_jobs_that_were_asked_for(jobs, threads):
    shares = quotas(jobs, threads)
    assert sum(shares.values()) == jobs
    total = sum(threads.values())
    assert all(abs(shares[host] - jobs * count / total) < 1 for host, count in threads.items())


def test_without_jobs_each_host_runs_as_many_rows_as_it_has_threads():
    assert quotas(0, {"a": 3, "b": 8}) == {"a": 3, "b": 8}
    assert quotas(5, {}) == {}


def test_a_host_holds_more_short_rows_than_it_runs_and_no_more_long_ones():
    unknown, short, long, big = Pace(), Pace(), Pace(), Pace()
    short.saw(500, 500 * 0.001)
    long.saw(500, 500 * 2.0)
    big.saw(500, 500 * 0.001)
    assert hold(4, unknown, 100) == 4
    assert hold(64, short, 100, a_call=64) % 64 == 0
    assert 64 < hold(64, short, 100, a_call=64) < hold(64, short, 100)
    assert 400 < hold(4, short, 100) <= 1200
    assert hold(4, long, 100) == 4
    assert hold(4, big, 1 << 20) <= 16


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"python": "3.11.2.final.0"}, None),
        ({"python": "3.12.1.final.0"}, "has Python 3.12, and here it is 3.11"),
        ({"distributed": "2025.1.0"}, "has distributed 2025.1.0, and here it is 2026.8.0"),
        ({"cloudpickle": None}, "has no cloudpickle (here: 3.1.2)"),
        ({"batchrun-cli": None}, "has no batchrun-cli (here: 0.1.0)"),
    ],
)
def test_a_worker_must_have_our_versions(change, why):
    assert unfit_because({**OURS, **change}, OURS, OF_WORKER) == why


def test_a_scheduler_needs_no_batchrun():
    assert unfit_because({**OURS, "batchrun-cli": None}, OURS, OF_SCHEDULER) is None
    assert unfit_because(None, OURS, OF_SCHEDULER) == "does not say which versions it has"


def test_our_own_version_is_known_also_where_we_are_not_installed_as_a_package(monkeypatch):
    own_versions()  # Dask remembers those of the others
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(PackageNotFoundError):
        version("batchrun-cli")
    assert own_versions()["batchrun-cli"] == VERSION


@pytest.mark.parametrize(
    ("per_row", "rows", "asked_for"),
    [
        ({}, [8], {"num_cpus": 1, "resources": {}}),
        ({"CPU": 2}, [4], {"num_cpus": 8, "resources": {}}),
        ({"disk": 0.5}, [2], {"num_cpus": 1, "resources": {"disk": 1}}),
        ({"GPU": 2}, [1, 1], {"num_cpus": 1, "num_gpus": 2, "resources": {}}),
        ({"GPU": 0.5, "CPU": 3}, [1, 1], {"num_cpus": 3, "num_gpus": 0.5, "resources": {}}),
        ({"tpu": 1}, [], None),
        ({"CPU": 9}, [], None),
    ],
)
def test_a_node_of_ray_gets_a_host_for_the_rows_that_it_has_room_for_and_one_a_row_where_gpus_are_its_own(
    per_row, rows, asked_for
):
    node = {"NodeID": "0f" * 28, "NodeName": "w0", "Resources": {"CPU": 8.0, "GPU": 4.0, "disk": 1.0}}
    found = spots_on(node, per_row)
    assert [spot.rows for spot in found] == rows
    assert [spot.options() for spot in found] == [asked_for] * len(rows)
    assert len({spot.where for spot in found}) == len({spot.name for spot in found}) == len(rows)


def test_a_row_that_loses_its_machines_alone_is_guilty_and_its_neighbours_are_not():
    known: dict[int, tuple[int, int]] = {}
    for _ in range(IN_COMPANY):
        assert not must_be_alone(known, 1)
        known = after_death(known, {1, 2})
    assert must_be_alone(known, 1)
    assert must_be_alone(known, 2)
    for _ in range(ALONE):
        assert not is_guilty(known, 1, ALONE)
        known = after_death(known, {1})
    assert is_guilty(known, 1, ALONE)
    assert not is_guilty(known, 2, ALONE)


def test_what_a_host_tells_arrives_as_the_same_events():
    hello = Hello(False, "v", (("tasks.py", "0f"),), None, "", "")
    told = [
        Ready(0, hello),
        Finished(1, [(TICKETS[1], Reply(1, "done", 0.1, b"{}")), (TICKETS[2], Reply(2, "failed", 0.1))]),
        TimedOut(0, TICKETS[3], 2.0),
        Crashed(0, TICKETS[4], 0.5, "killed by signal 9", "last words"),
        Returned(1, (DEAL.part(0, 1), DEAL.part(2, 4))),
        HostStatus(2, 0, ((0, 1.5, 3),), 1 << 20, "900 MB of memory is free"),
    ]
    assert list(understood(marshal.loads(packed_messages(told)[HEADER.size :]), SENT)) == told


def test_what_a_host_tells_of_rows_that_it_does_not_have_is_left_out():
    strange = Ticket(99, 1, bytes(16), ())
    told = [
        Finished(0, [(strange, Reply(99, "done", 0.1, b"{}"))]),
        TimedOut(0, strange, 1.0),
        Returned(0, (strange.alone(),)),
    ]
    assert list(understood(marshal.loads(packed_messages(told)[HEADER.size :]), SENT)) == [Returned(0, ())]


@pytest.mark.parametrize("said", [[("Nobody", 1)], [("TimedOut",)], [5]])
def test_what_no_host_of_ours_says_is_refused(said):
    with pytest.raises(ValueError, match="unknown message from a host"):
        list(understood(said, SENT))


def test_the_tasks_folder_travels_without_what_is_big_hidden_or_made(tmp_path, monkeypatch):
    home, there = tmp_path / "home", tmp_path / "there"
    (home / "part" / "__pycache__").mkdir(parents=True)
    (home / "data.csv.batchrun").mkdir()
    for name in (
        "tasks.py",
        "words.txt",
        ".env",
        "part/__init__.py",
        "part/__pycache__/x.pyc",
        "data.csv.batchrun/t.log",
    ):
        (home / name).write_text("x = 1\n")
    (home / "big.bin").write_bytes(bytes(task_bundle.LARGEST_FILE + 1))
    there.mkdir()
    monkeypatch.chdir(there)
    packed = bundle_of("tasks.py:match", home)
    spec = packed.unpack(there)
    assert spec == f"{there / 'here' / 'tasks.py'}:match"
    found = {path.relative_to(there / "here").as_posix() for path in (there / "here").rglob("*") if path.is_file()}
    assert found == {"tasks.py", "words.txt", "part/__init__.py"}
    assert Path.cwd() == there / "here"
    assert packed.at_home(str(there / "here" / "part" / "__init__.py"), there) == str(home / "part" / "__init__.py")
    assert packed.at_home("elsewhere.py", there) == "elsewhere.py"


def test_of_another_working_directory_only_modules_travel(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "there").mkdir()
    for name in ("jobs/tasks.py", "lib.py", "notes.txt"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.chdir(tmp_path / "there")
    bundle_of("jobs/tasks.py:match", tmp_path).unpack(tmp_path / "there")
    found = {path.relative_to(tmp_path / "there").as_posix() for path in (tmp_path / "there").rglob("*.*")}
    assert found == {"task/tasks.py", "here/lib.py"}


def test_a_folder_that_is_too_big_to_travel_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(task_bundle, "MOST_FILES", 2)
    for name in ("tasks.py", "a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    with pytest.raises(UsageError, match="too large to send") as caught:
        bundle_of("tasks.py:match", tmp_path)
    assert "folder of its own" in caught.value.hint


def test_keys_travel_and_what_belongs_to_a_machine_does_not():
    names = "OPENAI_API_KEY MODEL CITY PATH HOME LC_ALL PYTHONPATH SLURM_JOB_ID BATCHRUN_JOBS CI"
    here = dict.fromkeys(names.split(), "x")
    assert set(worth_sending(here)) == {"OPENAI_API_KEY", "MODEL", "CITY"}


def test_the_view_names_workers_with_their_rows_and_failures():
    workers = [("w0 (tcp://10.0.0.1:4)", 1200, 0), *((f"w{n}", 3, n) for n in range(1, 11))]
    lines = phrases.workers(Snapshot("match", "data.csv", 9, 9, 0, {}, workers=workers))
    assert lines[:2] == ["w0 (tcp://10.0.0.1:4): 1,200 in flight", "w1: 3 in flight, 1 failed"]
    assert lines[-1] == "and 3 more"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "dask", "cluster": "local:none"}, "is not local:N"),
        ({"cluster": "tcp://127.0.0.1:8786"}, "--cluster belongs to --engine dask and ray"),
        ({"engine": "dask", "gpus_per_job": "1"}, "--gpus-per-job belongs to --engine ray"),
        ({"engine": "ray", "gpus_per_job": "1.5"}, "neither a part of a GPU"),
        ({"engine": "ray", "gpus_per_job": "1", "resources": ("GPU=1",)}, "say the same"),
        ({"engine": "ray", "resources": ("CPU=none",)}, "'CPU=none' is not name=amount"),
        ({"engine": "ray", "resources": ("CPU",)}, "'CPU' is not name=amount"),
        ({"engine": "local", "on_lost": "fail"}, "--on-lost belongs to --engine dask and ray"),
    ],
)
def test_options_that_make_no_sense_are_refused(given, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        resolve(given, {}, tmp_path)


def test_a_cluster_must_be_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    from batchrun.engine.cluster.dask.connect import cluster_engine

    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    setup = WorkerSetup("repair", str(tmp_path / "inflight"), strict=False, accept_truncated=False)
    with ExitStack() as stack, pytest.raises(UsageError, match="which cluster"):
        cluster_engine(resolve({"engine": "dask"}, {}, tmp_path), setup, print, stack)


@pytest.mark.parametrize(
    ("module", "message", "hint"),
    [(None, "needs the package ray, which is not installed", "[ray]"), (sys, "which cluster?", "RAY_ADDRESS")],
)
def test_ray_must_be_installed_and_its_cluster_named(module, message, hint, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", module)
    setup = WorkerSetup("repair", str(tmp_path / "inflight"), strict=False, accept_truncated=False)
    with ExitStack() as stack, pytest.raises(UsageError) as caught:
        ray_engine(resolve({"engine": "ray"}, {}, tmp_path), setup, print, stack)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_configuration_may_name_the_cluster_and_the_command_line_may_leave_it(tmp_path):
    (tmp_path / "batchrun.toml").write_text('engine = "dask"\ncluster = "tcp://there:1"\n')
    assert resolve({}, {}, tmp_path).cluster == "tcp://there:1"
    assert resolve({}, {"BATCHRUN_CLUSTER": "tcp://elsewhere:1"}, tmp_path).cluster == "tcp://elsewhere:1"
    assert resolve({"engine": "local"}, {}, tmp_path).engine == "local"


def test_a_host_is_ended_while_somebody_waits_for_what_it_says(tmp_path):
    async def ended():
        host = await HostProcess.started(str(tmp_path))
        reading = asyncio.create_task(host.read())
        await asyncio.sleep(0)
        return await host.end(), await reading

    assert asyncio.run(ended()) == (0, b"")


class Silent:
    """As much of Dask's client as is asked who is there: its only worker misses the first questions."""

    def __init__(self, missed):
        self.scheduler = self
        self.missed = missed

    async def identity(self, n_workers):
        return {"workers": {"tcp://one": {"name": "one", "status": "running", "nthreads": 2}}}

    async def broadcast(self, msg, workers, on_error):
        self.missed -= 1
        answer = {"id": "one-1"} if msg["op"] == "identity" else {"packages": own_versions()}
        return {} if self.missed >= 0 else {"tcp://one": answer}


@pytest.mark.parametrize("missed", [1, 2, 3])
def test_a_worker_that_misses_a_question_is_asked_again(missed):
    told = []

    async def look_thrice():
        leases = Leases(Silent(missed), told.append)
        return [len(await leases._look()) for _ in range(3)]

    assert sum(asyncio.run(look_thrice())) == 1
    assert [type(event) for event in told] == [WorkersLeased]
