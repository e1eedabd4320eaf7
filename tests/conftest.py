"""Fixtures: a folder with tasks to run."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a test that fails once in a hundred runs helps nobody in CI.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

sys.path.insert(0, str(Path(__file__).parent))
from failing_disk import compiled  # noqa: E402
from support import NOTE  # noqa: E402

# A suite that a shell runs in the background is told to ignore Ctrl-C, one under nohup to ignore that its terminal
# has closed, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A thousand processes are started: to compile the same modules in each would take longer than the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TASKS = (
    NOTE
    + """
import ctypes, signal, subprocess, sys
import batchrun


def echo(row):
    return row

def double(row):
    note(row)
    return {"double": row["id"] * 2, "text": row["text"]}

def short(row):
    note(row)
    time.sleep(float(os.environ.get("SECONDS", "0.02")))
    return {"double": row["id"] * 2}

def segfault(row):
    note(row)
    if row["id"] == 13:
        print("about to read address 0", file=sys.stderr)
        ctypes.string_at(0)
    return {"double": row["id"] * 2}

def stuck(row):
    note(row)
    if row["id"] == 13:
        while True:
            pass
    return {"double": row["id"] * 2}

def failing(row):
    note(row)
    if row["id"] % 10 == 3:
        raise ValueError(f"no luck with {row['id']}")
    return {"double": row["id"] * 2}

def always(row):
    raise ConnectionError("the service is down")

def choosy(row):
    if row["id"] == 2:
        raise batchrun.Skip("an even prime")
    if row["id"] == 3 and batchrun.current().attempt < 3:
        raise ValueError("try again")
    return {"attempt": batchrun.current().attempt, "row": batchrun.current().row}

def aborting(row):
    if row["id"] == 5:
        raise batchrun.Abort("the key has expired")
    return row

def chatty(row):
    print("hello from", row["id"])
    sys.stderr.write("and an error line\\n")
    os.write(1, b"raw bytes\\n")
    return row
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with `tasks.py`."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """The library that makes disk operations fail."""
    return compiled("failing_disk", tmp_path_factory.mktemp("shim"))
