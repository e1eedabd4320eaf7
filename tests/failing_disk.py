"""A disk that fails: a library below SQLite, and a job whose files lie on it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, batchrun, database, numbered

from batchrun.checkpoint.bind import open_bound
from batchrun.checkpoint.opening import NothingYet, opened
from batchrun.checkpoint.witness import noted
from batchrun.outcome.proof import verify

ROWS = 3


def compiled(source, folder):
    """A library to be preloaded, which comes between a process and its disk."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a C compiler makes the failing disk")
    library = folder / f"{source}.so"
    source = ROOT / f"tests/data/{source}.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Trial:
    """A fresh table whose checkpoint and results lie on a disk that fails once."""

    def __init__(self, place: Path, shim: Path):
        self.shim = shim
        self.place = place
        place.mkdir()
        self.table = numbered(place / "data.csv", ROWS)
        self.results = place / "data.results.csv"
        self.log = place.with_suffix(".log")

    def run(self, fail_at=0, options=("--jobs", 1), **how):
        failing = {
            "LD_PRELOAD": self.shim, "FAIL_UNDER": self.place, "FAIL_AT": fail_at,
            "FAIL_MARK": self.place.with_suffix(f".mark{time.monotonic_ns()}"), "FAIL_LOG": self.log, **how,
        }  # fmt: skip
        env = {name: str(value) for name, value in failing.items()}
        return batchrun("process", self.table, "-t", "repair", *options, env=env)


def proof_of(table, name):
    """What `verify` finds; None if the run ended before there was anything to verify."""
    path = database(table, name)
    if not path.exists():
        return None
    note = noted(path.with_suffix(".lock"))
    try:
        with opened(path, write=False) as checkpoint:
            bound = open_bound(checkpoint, table) if checkpoint.get("digest") else None
            return verify(checkpoint, bound, note)
    except NothingYet:
        assert note is None
        return None
