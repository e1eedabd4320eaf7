"""Libraries are imported once for all workers, where nothing speaks against it; and nothing else changes."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress

import psutil
import pytest
from dask_cluster import DaskCluster
from support import IMPATIENT, NOTE, batchrun, environment, lines_of, numbered, settled, start, starts, wait_for

from batchrun.engine.local.births import Births
from batchrun.engine.worker_setup import WorkerSetup

HEAVY = """
import os, time
def note(what):
    fd = os.open(os.environ["NOTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{what} {os.getpid()}\\n".encode())
    os.close(fd)
def met(others):
    note("worker")  # go on when so many have come here
    until = time.monotonic() + 60
    while len({line.split()[1] for line in open(os.environ["NOTED"]) if line[0] == "w"}) < others:
        assert time.monotonic() < until
        time.sleep(0.01)
note("library")
while time.process_time() < 0.3: pass
"""
TASK = """
import heavy
import os, time
heavy.note("module")
def task(row):
    heavy.met(4)
    time.sleep(0.01)
    return {"worker": os.getpid(), "parent": os.getppid()}
"""


@pytest.fixture
def noted(folder, monkeypatch):
    """The file of notes; `heavy` is a library, `work.py` a task that uses it."""
    monkeypatch.setenv("NOTED", str(folder / "noted"))
    monkeypatch.setenv("PYTHONPATH", str(folder / "site-packages"))
    plant(folder, HEAVY)
    (folder / "work.py").write_text(TASK)
    return folder / "noted"


def plant(folder, text):
    (folder / "site-packages").mkdir(exist_ok=True)
    (folder / "site-packages" / "heavy.py").write_text(text)


def run(folder, *args, rows=40, jobs=4, task="work.py:task", **options):
    table = numbered(folder / "data.csv", rows)
    return batchrun("process", table, "--task", task, "--jobs", jobs, "--no-output", *args, cwd=folder, **options)


def results(folder, name="task"):
    return [value for _, value in settled(folder / "data.csv", name).values() if value]


def times(noted):
    """How often each thing was noted, and the most often by one process."""
    lines = [line for line in lines_of(noted) if not line.startswith("worker")]
    return Counter(line.split()[0] for line in lines), max(Counter(lines).values())


@pytest.mark.parametrize(("preload", "expected"), [("imports", (1, 4)), ("module", (1, 1)), ("no", (4, 4))])
def test_what_is_loaded_once_and_what_in_each_worker(folder, noted, preload, expected):
    assert run(folder, "--preload", preload).returncode == 0
    counts, _ = times(noted)
    assert len({result["worker"] for result in results(folder)}) == 4
    assert (counts["library"], counts["module"]) == expected


def test_libraries_are_imported_once_by_default_and_the_file_and_the_environment_can_say_otherwise(folder, noted):
    run(folder)
    assert times(noted)[0]["library"] == 1
    noted.unlink()
    run(folder, "--fresh", env={"BATCHRUN_PRELOAD": "no"})
    assert times(noted)[0]["library"] == 4
    noted.unlink()
    (folder / "batchrun.toml").write_text('preload = "module"\n')
    run(folder, "--fresh")
    assert times(noted)[0]["module"] == 1
    assert "not one of imports, module, no" in run(folder, "--preload", "all").stderr


def test_the_lanes_of_a_cluster_s_machine_share_libraries_too(folder, noted):
    with closing(DaskCluster(folder)) as cluster:
        cluster.start_worker(threads=4)
        ran = run(folder, "--engine", "dask", "--cluster", cluster.where, timeout=100)
    assert ran.returncode == 0, ran.stderr
    counts, _ = times(noted)
    assert (counts["library"], counts["module"]) == (1, 4)


BY_VALUE = """
import batchrun, heavy
def task(row):
    import os
    heavy.met(4)
    return {"worker": os.getpid(), "library": heavy.__name__}
batchrun.process("data.csv", task=task, jobs=4, no_output=True, progress="none")
"""


def test_the_libraries_of_a_function_by_value_are_imported_once(folder, noted):
    numbered(folder / "data.csv", 40)
    (folder / "script.py").write_text(BY_VALUE)
    subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment(), check=True, timeout=60)
    assert len({result["worker"] for result in results(folder)}) == 4
    assert times(noted)[0]["library"] == 2  # in the script, and in the template


RANDOM = """
import heavy
import random, secrets, time, uuid
import numpy
import openai
if SEED:
    random.seed(7)
    numpy.random.seed(7)
OWN = random.Random(7) if SEED else random.Random()
DRAWN = {
    "random": random.random(), "numpy": float(numpy.random.random()), "generator": OWN.random(),
    "library": heavy.GENERATOR.random(), "uuid": str(uuid.uuid4()), "secrets": secrets.token_hex(8),
    "bits": int(numpy.random.default_rng(7 if SEED else None).integers(1 << 60)),
}
def task(row):
    heavy.met(8)
    return DRAWN
"""


@pytest.mark.parametrize("preload", ["imports", "no"])
@pytest.mark.parametrize("seeded", [False, True])
def test_workers_draw_other_random_numbers_unless_the_module_seeds_them(folder, noted, preload, seeded):
    plant(folder, HEAVY + "import random\nGENERATOR = random.Random()\n")
    (folder / "work.py").write_text(RANDOM.replace("SEED", str(seeded)))
    assert run(folder, "--preload", preload, jobs=8, rows=80).returncode == 0
    found = results(folder)
    assert len({result["uuid"] for result in found}) == 8
    assert times(noted)[0]["library"] == (1 if preload == "imports" else 8)
    for what in found[0]:
        same = seeded and what in ("random", "numpy", "generator", "bits")
        assert len({result[what] for result in found}) == (1 if same else 8), what


OBSTACLES = {
    "a thread": ("import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "thread"),
    "a socket": ("import socket; S = socket.socketpair()", "is open"),
    "a file": ("F = open(__file__)", "heavy.py is open"),
    "an event loop": ("import asyncio; LOOP = asyncio.new_event_loop()", "is open"),
    "shared memory": ("import mmap; M = mmap.mmap(-1, 4096)", "memory is shared"),
    "a program": ("import subprocess; P = subprocess.Popen(['sleep', '60'])", "a program is running"),
    "temporary files": ("import tempfile; T = tempfile.mkdtemp()", "temporary files"),
    "a handler": ("import signal; signal.signal(signal.SIGCHLD, lambda *_: None)", "a signal's handler"),
    "a folder": ("os.chdir('..'); os.chdir('site-packages') if os.path.isdir('site-packages') else None", "directory"),
    "a seed of numpy's": ("import numpy; numpy.random.seed(3)", "numpy.random.seed() has been called"),
    "a seed": ("import random; random.seed(3)", "random.seed() has been called"),
    "a generator": ("import numpy; G = numpy.random.default_rng()", "a numpy random generator"),
    "a system that does not tell": (
        "LISTED = os.listdir\ndef listdir(path='.'):\n"
        "    if str(path).startswith('/proc/self'): raise PermissionError(path)\n    return LISTED(path)\n"
        "os.listdir = listdir",
        "does not show what a process has open",
    ),
    "a module of the user's": ("import beside", "beside.py has been imported by a library"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_would_not_survive_a_fork_is_seen_and_each_worker_imports_once_for_itself(folder, noted, name):
    code, why = OBSTACLES[name]
    plant(folder, f"{HEAVY}\n{code}\n")
    (folder / "beside.py").write_text("")
    ran = run(folder, task=str(folder / "work.py:task"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("libraries are imported in each worker, not once for all: ") == 1
    assert why in ran.stderr
    counts, most = times(noted)
    assert (counts["library"], counts["module"], most) == (4, 4, 1)


def test_a_refusal_is_remembered_until_the_task_is_another(folder, noted):
    plant(folder, f"{HEAVY}\nimport socket; S = socket.socketpair()\n")
    assert "imported in each worker" in run(folder, "--limit", 20).stderr
    assert "imported in each worker" not in run(folder).stderr
    (folder / "work.py").write_text(TASK + "# edited\n")
    assert "imported in each worker" in run(folder, "--on-change", "redo").stderr


def test_what_costs_next_to_nothing_is_not_worth_a_template(folder):
    (folder / "work.py").write_text("import json, os\ndef task(row): return os.getppid()")
    assert run(folder).returncode == 0


BEGINNINGS = {
    "can be forked": "",
    "cannot be forked": "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "fails": "raise RuntimeError('no licence')",
}


@pytest.mark.parametrize("preload", ["imports", "module"])
@pytest.mark.parametrize("name", BEGINNINGS)
def test_code_of_the_user_s_runs_only_once_nothing_can_be_refused_any_more(folder, noted, monkeypatch, name, preload):
    plant(folder, f"{HEAVY}\n{BEGINNINGS[name]}\n")
    monkeypatch.syspath_prepend(folder / "site-packages")
    monkeypatch.chdir(folder)
    setup = WorkerSetup("work.py:task", str(folder / "flight"), strict=False, accept_truncated=False, preload=preload)
    with closing(Births()) as births:
        births.begin(setup)
        wait_for(lambda: noted.exists() and lines_of(noted))
        worker = psutil.Process(int(lines_of(noted)[0].split()[1]))
        wait_for(lambda: worker.status() == psutil.STATUS_SLEEPING)
        nursery = worker.parent()
    assert [line.split()[0] for line in lines_of(noted)] == ["library"]
    assert not worker.is_running()
    assert not nursery.is_running()


def test_a_line_that_is_refused_leaves_no_process_and_has_run_nothing(folder, noted):
    assert run(folder, "--key", "nowhere").returncode == 2
    assert not noted.exists() or [line.split()[0] for line in lines_of(noted)] == ["library"]
    assert not any(_in_folder(process, folder) for process in psutil.process_iter())


def _in_folder(process, folder):
    with suppress(psutil.Error):
        return process.cwd() == str(folder)


MISBEHAVIOUR = {
    "raises": "raise RuntimeError('no licence')",
    "is missing something": "import there_is_no_such_module",
    "exits": "import sys; sys.exit(3)",
    "leaves": "os._exit(5)",
    "crashes": "import signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "is killed": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "daemonises": "os.fork() and os._exit(0); os.setsid()",
    "forks, and the child comes back": "os.fork()",
    "forks": "os.fork() or os._exit(0); os.wait()",
    "prints": "import sys; print('hello from here'); sys.stderr.write('half a line')",
    "closes everything": "os.closerange(3, 900)",
    "replaces stdout": "import sys; sys.stdout = type('Wrapped', (), {'write': sys.stdout.write, 'flush': print})()",
    "logs": "import logging; logging.basicConfig(); logging.warning('careful')",
    "warns": "import warnings; warnings.warn('old', stacklevel=2)",
}


OTHER_WORDS = re.compile(r"rows|finished|starting over|loading work|Current thread|/batchrun/|<frozen|not once for all")
"""In lines that may differ: times, addresses, frames of our own."""


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_library_that_misbehaves_while_it_is_imported_ends_the_run_as_it_would_otherwise(folder, noted, name):
    plant(folder, f"{HEAVY}\n{MISBEHAVIOUR[name]}\n")
    told = []
    for preload in ("no", "imports"):
        ran = run(folder, "--preload", preload, "--fresh", rows=8)
        told.append((ran.returncode, [line for line in ran.stderr.splitlines() if not OTHER_WORDS.search(line)]))
    assert told[0] == told[1]


@pytest.mark.parametrize("preload", ["no", "imports"])
def test_a_library_that_does_not_come_to_an_end_is_named_with_its_place(folder, noted, preload):
    plant(folder, f"{HEAVY}\ntime.sleep(1000)\n")
    table = numbered(folder / "data.csv", 8)
    command = ("process", table, "--task", "work.py:task", "--jobs", "4", "--timeout", "0.1", "--preload", preload)
    ran = subprocess.run(
        [*IMPATIENT, *command], cwd=folder, env=environment(), check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2, ran.stderr
    assert "loading work.py took longer than" in ran.stderr
    assert 'work.py", line 2, in <module>' in ran.stderr
    assert re.search(r'heavy\.py", line \d+, in <module>', ran.stderr)


def going(folder, *args):
    """A run of 200 rows amid its work: the process, and its worker's parent, the template."""
    (folder / "work.py").write_text(TASK.replace("def task(row):", f"{NOTE}\ndef task(row):\n    note(row)"))
    table = numbered(folder / "data.csv", 200)
    ran = start("process", table, "--task", "work.py:task", "--jobs", 4, "--no-output", *args, cwd=folder)
    wait_for(lambda: len(starts(folder)) > 8)
    workers = {int(line.split()[2]) for line in lines_of(folder / "started")}
    parents = {psutil.Process(worker).ppid() for worker in workers if psutil.pid_exists(worker)}
    (template,) = parents
    return ran, template, workers


def test_rows_go_on_where_the_template_is_killed_and_none_is_charged(folder, noted):
    ran, template, _ = going(folder)
    os.kill(template, signal.SIGKILL)
    ran.communicate(timeout=60)
    assert ran.returncode == 0
    assert len(results(folder)) == 200
    counts = times(noted)[0]
    assert counts["library"] == 1 + 4


def test_workers_come_from_the_nursery_where_one_dies_of_the_fork(folder, noted):
    plant(folder, f"{HEAVY}\nos.register_at_fork(after_in_child=lambda: os._exit(7))\n")
    ran = run(folder)
    assert ran.returncode == 0, ran.stderr
    assert times(noted)[0]["library"] == 1 + 4


def test_rows_go_on_where_the_nursery_is_killed_and_the_template_with_it(folder, noted):
    ran, template, _ = going(folder)
    nursery = psutil.Process(template).ppid()
    assert nursery != ran.pid
    os.kill(nursery, signal.SIGKILL)
    ran.communicate(timeout=60)
    assert ran.returncode == 0
    assert len(results(folder)) == 200
    wait_for(lambda: not psutil.pid_exists(template))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_over_where_the_coordinator_ends(folder, noted, how):
    ran, template, workers = going(folder)
    os.kill(ran.pid, how)
    ran.communicate(timeout=60)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in (template, *workers)))
    assert run(folder, rows=200).returncode == 0
    assert len(results(folder)) == 200


def test_a_worker_that_is_killed_is_replaced_from_the_template(folder, noted):
    (folder / "work.py").write_text(
        TASK.replace("    time.sleep", "    if row['id'] == 9: os._exit(1)\n    time.sleep")
    )
    assert run(folder, "--retries", 1).returncode == 1
    counts = times(noted)[0]
    assert counts["library"] == 1
    assert counts["module"] > 4


def test_a_worker_that_starts_later_runs_the_code_that_the_run_began_with(folder, noted):
    edit = "    if row['id'] == 3: open(__file__, 'a').write('\\nnow this is no Python (')\n"
    edit += "    if row['id'] in (5, 9): os._exit(1)\n"
    (folder / "work.py").write_text(TASK.replace("    time.sleep", f"{edit}    time.sleep"))
    for preload in ("imports", "module"):
        assert run(folder, "--retries", 0, "--preload", preload, "--fresh").returncode == 1
        assert len(results(folder)) == 38
        text = (folder / "work.py").read_text()
        (folder / "work.py").write_text(text.replace("\nnow this is no Python (", ""))


WORK = {
    "pandas": "pandas.DataFrame({'a': range(n), 'b': 1}).groupby('b').a.sum()[1].item()",
    "numpy": "round((numpy.linalg.inv(numpy.eye(90) * n) * n).trace())",
    "pyarrow.compute": "pyarrow.compute.sum(pyarrow.array(range(n))).as_py()",
    "orjson": "orjson.loads(orjson.dumps({'n': [n] * 100}))['n'][7]",
    "openai": "str(openai.OpenAI(api_key='k', base_url=f'http://h/{n}').base_url)",
    "pydantic": "pydantic.TypeAdapter(dict[str, int]).validate_json('{\"n\": %d}' % n)",
    "cryptography.fernet": "fernet(cryptography.fernet.Fernet, n)",
    "tornado.ioloop": "tornado.ioloop.IOLoop(make_current=False).run_sync(lambda: later(n))",
    "joblib": "joblib.Parallel(n_jobs=2, prefer='threads')(joblib.delayed(abs)(n) for _ in range(3))",
    "deltalake": "deltalake.DeltaTable.is_deltatable(f'/nowhere/{n}')",
}
WORKING = """
import os, LIBRARY
async def later(n):
    return n
def fernet(kind, n):
    key = kind(kind.generate_key())
    return key.decrypt(key.encrypt(str(n).encode())).decode()
def task(row):
    n = row["id"] + 10
    return WORK
"""


@pytest.mark.parametrize("library", WORK)
def test_libraries_work_in_forty_forked_workers(folder, library):
    (folder / "work.py").write_text(WORKING.replace("LIBRARY", library).replace("WORK", WORK[library]))
    told = []
    for preload, jobs in (("imports", 40), ("no", 2)):
        ran = run(folder, "--preload", preload, "--fresh", "--timeout", 60, rows=120, jobs=jobs)
        assert (ran.returncode, "imported in each worker" in ran.stderr) == (0, False), ran.stderr
        told.append(settled(folder / "data.csv", "task"))
    assert told[0] == told[1]
    assert len(told[0]) == 120
