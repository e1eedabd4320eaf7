"""Whole programs, started and measured: batchrun and its peers, start-up included, and what they did checked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LIMIT = 1800.0
_QUIET_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class Failed(Exception):
    """A program did not do its work; the message says how."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `peak`: bytes of memory that it held at most, without its children."""

    seconds: float
    stdout: str
    peak: int = 0

    @property
    def record(self) -> dict[str, Any]:
        """The last record that `batchrun process --json` printed."""
        lines = self.stdout.splitlines()
        return dict(json.loads(lines[-1])) if lines else {}


def batchrun(*arguments: object) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "batchrun", *map(str, arguments)]


def process(table: Path, jobs: int, *task: object) -> list[str]:
    """The main job, with its full durability. `task`: the options that say what runs."""
    return batchrun("process", table, "-j", jobs, "--no-output", "--progress", "none", "--json", *task)


def by_name(task: str) -> tuple[str, str]:
    """The option for a function of this package, `module:function`."""
    return "--task", f"benchmarks.{task}"


def peer(name: str, task: str, table: Path, jobs: int) -> list[str]:
    """A peer's command."""
    return [sys.executable, "-m", "benchmarks.peers", name, task, str(table), str(jobs)]


@contextmanager
def started(command: list[str], **more: str) -> Iterator["subprocess.Popen[str]"]:
    """A program, started from the project's folder. `more`: for its environment. At the end all of it is killed:
    peers leave workers behind, which would hold on to its pipes.
    """
    environment = {**os.environ, **_QUIET_RAY, "PYTHONPATH": str(ROOT), **more}
    # An installed program is compiled, as the peers are; one that is compiled at each start needs 0.15 s for that.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    pipe = subprocess.PIPE
    program = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        process_group=0,
    )
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def run(command: list[str], codes: tuple[int, ...] = (0,), limit: float = LIMIT, **more: str) -> Ended:
    """Run a program to its end. Raises `Failed` for an exit code that is not in `codes`, or beyond `limit` seconds."""
    begin = time.perf_counter()
    with started(command, **more) as program:
        try:
            stdout, stderr = program.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"not at its end after {limit:g} s") from None
        seconds = time.perf_counter() - begin
    if program.returncode not in codes:
        raise Failed(f"exit code {program.returncode}: {_end_of(stderr or stdout)}")
    return Ended(seconds, stdout)


def run_and_weigh(command: list[str]) -> Ended:
    """Run a program to its end, and watch the memory that it holds itself. Raises `Failed` as `run` does."""
    begin = time.perf_counter()
    peak = 0
    with started(command) as program:
        while program.poll() is None:
            peak = max(peak, _most_memory(program.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        stdout, stderr = program.communicate()
    if program.returncode != 0:
        raise Failed(f"exit code {program.returncode}: {_end_of(stderr)}")
    return Ended(seconds, stdout, peak)


def _end_of(text: str) -> str:
    """The last two lines of what a program said: the error, and perhaps what to do."""
    return " ".join(line.strip() for line in text.strip().splitlines()[-2:]) or "nothing said"


def _most_memory(pid: int) -> int:
    """The most memory that a process has held so far, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return int(kilobytes) * 1024


def expect_done(ended: Ended, rows: int) -> None:
    """Raise `Failed` unless a run of ours did all rows."""
    if ended.record.get("done") != rows:
        raise Failed(f"{ended.record.get('done')} of {rows} rows done")


def make_table(path: Path, rows: int) -> Path:
    """A CSV file of five columns, some 45 bytes a row."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,name,city,lat,lon\n")
        file.writelines(f"{n},name of {n},Springfield {n % 977},{n % 90}.5,-{n % 180}.25\n" for n in range(rows))
    return path


def insert_on_top(table: Path, number: int) -> None:
    """One row more, before all others."""
    old = table.with_suffix(".old")
    table.rename(old)
    with old.open(encoding="utf-8") as source, table.open("w", encoding="utf-8") as target:
        target.write(source.readline())
        target.write(f"{number},new,a place,1.5,2.5\n")
        shutil.copyfileobj(source, target)
    old.unlink()


def reverse(table: Path) -> None:
    """The same rows, the last one first."""
    header, *lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text(header + "".join(reversed(lines)), encoding="utf-8")


def checkpoint_of(table: Path) -> Path:
    """The folder of a table's checkpoints."""
    return table.with_name(f"{table.name}.batchrun")


def forget(table: Path) -> None:
    """Remove what earlier runs have done."""
    shutil.rmtree(checkpoint_of(table), ignore_errors=True)
