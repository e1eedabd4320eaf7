"""Tables in files, and what the reader makes of them."""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import COMMAND, environment

from batchrun.table.detect import open_table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import Scan, scan


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    """A file with this content; text in UTF-8."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    """A Parquet file; its folder is made where it is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def rows_of(path: Path, only: list[str] | None = None, **options: Any) -> list[tuple[Any, ...]]:
    """All rows as they are read, before any conversion; `only` of some columns, the others are None."""
    return [row for chunk in open_table(path, ReadOptions(**options)).chunks(only) for row in chunk]


def scanned(path: Path, **options: Any) -> Scan:
    """What the first pass over a table finds."""
    chosen = ReadOptions(**options)
    return scan(open_table(path, chosen), chosen, lambda *_: None)


def identified(path: Path, chunk_rows: int = 1000, **options: Any) -> tuple[Scan, list[bytes], list[bytes]]:
    """What the first pass finds, with the fingerprint of each row, and its key where there is one."""
    chosen, prints, keys = ReadOptions(**options), list[bytes](), list[bytes]()
    table: Any = open_table(path, chosen)
    table.chunk_rows = chunk_rows

    def on_identities(found: list[bytes], found_keys: list[bytes] | None) -> None:
        prints.extend(found)
        keys.extend(found_keys or [])

    return scan(table, chosen, on_identities), prints, keys


def plan(table: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """A process that reads a table and runs nothing."""
    (table.parent / "tasks.py").write_text("def task(row):\n    return len(row)\n")
    command = [*COMMAND, "process", str(table), "--task", "tasks.py:task", "--dry-run"]
    return subprocess.Popen(command, cwd=table.parent, env=environment(), stderr=subprocess.PIPE, **options)


def peak_of(process: "subprocess.Popen[bytes]") -> int:
    """The most memory that the process has had, in bytes, once it has ended: looked at every few milliseconds.

    Not from its resource usage: that begins with what the process had that started it.
    """
    most = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int((status.partition("VmHWM:")[2].split() or [0])[0]) * 1024)
        time.sleep(0.005)
    return most


def ended(process: Any) -> tuple[int, str, Any]:
    """Its exit code, what it said, and what it used."""
    with process.stderr:
        said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, said, usage
