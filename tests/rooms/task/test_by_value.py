"""Functions that take something along which cannot leave the process: it is named before anything runs."""

import functools
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest
from support import environment

from batchrun.errors import UsageError
from batchrun.task.by_value import by_value

LOCK = "threading.Lock()"
CASES = [
    ("thing = threading.Lock()", "def task(row):\n    with thing: return 1", "the global 'thing' (_thread.lock)"),
    ("thing = sqlite3.connect(':memory:')", "def task(row): return thing.execute('')", "'thing' (sqlite3.Connection)"),
    ("thing = open('x', 'w')", "def task(row): thing.write('')", "the global 'thing' (_io.TextIOWrapper)"),
    ("thing = open('x', 'a+b')", "def task(row): thing.write(b'')", "the global 'thing' (_io."),
    ("thing = (n for n in range(3))", "def task(row): return next(thing)", "the global 'thing' (generator)"),
    ("thing = socket.socket()", "def task(row): return thing.fileno()", "the global 'thing' (socket.socket)"),
    (f"things = [1, {LOCK}]", "def task(row): return things[0]", "the global 'things' (list)"),
    (f"thing = {LOCK}", "def task(row): return [thing for _ in range(2)]", "the global 'thing'"),
    (f"thing = {LOCK}", "def task(row): return (lambda: thing)()", "the global 'thing'"),
    (f"thing = {LOCK}", "async def task(row): return thing", "the global 'thing'"),
    (
        f"thing = {LOCK}\ndef helper(): return thing",
        "def task(row): return helper()",
        "the global 'thing' (_thread.lock), in the global 'helper',",
    ),
    (f"class Store:\n    lock = {LOCK}", "def task(row): return Store.lock", "its attribute 'lock'"),
    (
        f"thing = {LOCK}\nclass Store:\n    @classmethod\n    def get(cls): return thing",
        "def task(row): return Store.get()",
        "the global 'thing' (_thread.lock), in its method 'get' in the global 'Store',",
    ),
    ("", f"def task(row, lock={LOCK}): return 1", "the default of its argument 'lock'"),
    ("", f"def task(row, *, lock={LOCK}): return 1", "the default of its argument 'lock'"),
    (
        f"def make():\n    lock = {LOCK}\n    def task(row): return lock\n    return task",
        "task = make()",
        "the variable 'lock' of the function around it",
    ),
    ("def f(lock, row): return 1", f"task = functools.partial(f, {LOCK})", "its argument 1 (_thread.lock)"),
    ("def f(row, lock): return 1", f"task = functools.partial(f, lock={LOCK})", "its argument 'lock'"),
    (
        f"class Service:\n    def __init__(self): self.lock = {LOCK}\n    def __call__(self, row): return 1",
        "task = Service()",
        "its attribute 'lock'",
    ),
    (
        f"class Service:\n    def __init__(self): self.lock = {LOCK}\n    def run(self, row): return 1",
        "task = Service().run",
        "the object of the method 'run' (__main__.Service)",
    ),
    (
        "class Proud:\n    def __reduce__(self): raise RuntimeError('never')\nthing = Proud()",
        "def task(row): return thing",
        "the global 'thing' (__main__.Proud) cannot be pickled: never",
    ),
]


@pytest.mark.parametrize(("before", "task", "said"), CASES, ids=[said for _, _, said in CASES])
def test_what_keeps_a_function_in_its_process_is_named(before, task, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {
        "__name__": "__main__",
        "functools": functools,
        "socket": socket,
        "sqlite3": sqlite3,
        "threading": threading,
    }
    exec(f"{before}\n{task}", space)
    with pytest.raises(UsageError) as raised:
        by_value(space["task"])
    getattr(space.get("thing"), "close", bool)()
    assert said in str(raised.value)
    assert "create it inside the function" in raised.value.hint
    assert "task='FILE.py:" in raised.value.hint


def test_a_script_is_told_with_exit_code_2_and_nothing_is_run_or_written(tmp_path):
    (tmp_path / "script.py").write_text(
        "import threading, batchrun, pandas\n"
        "client = threading.Lock()\n"
        "def ask(row):\n"
        "    with client: return row\n"
        "try:\n"
        "    batchrun.process(pandas.DataFrame({'a': [1]}), task=ask)\n"
        "except batchrun.errors.BatchrunError as error:\n"
        "    print(error.exit_code, error)\n"
    )
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment())
    assert done.stdout.startswith("2 ask cannot be sent to the workers")
    assert "the global 'client'" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
