"""Peers with a row that kills its process or never ends: `python -m benchmarks.faulty_peers PEER TASK TABLE JOBS`.

Prints how many rows were done and how many were charged with a failure. A row is given a second at most, where
the peer can do that.
"""

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import tasks
from benchmarks.peers import Task, rows_of
from benchmarks.tasks import Row

SECONDS = 1.0


def with_pebble(task: Task, rows: list[Row], jobs: int) -> list[Any]:
    """pebble's pool: each row a call of its own, with a time limit that kills."""
    from pebble import ProcessPool

    with ProcessPool(max_workers=jobs) as workers:
        return _ends(workers.schedule(task, args=[row], timeout=SECONDS) for row in rows)


def with_loky(task: Task, rows: list[Row], jobs: int) -> list[Any]:
    """The executor under joblib. It knows no limit of time for a row."""
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(max_workers=jobs) as workers:
        return _ends(workers.submit(task, row) for row in rows)


def _ends(futures: Iterable[Any]) -> list[Any]:
    """Each row's result or exception."""
    return [future.exception() or future.result() for future in list(futures)]


PEERS: dict[str, Callable[[Task, list[Row], int], list[Any]]] = {"pebble": with_pebble, "loky": with_loky}


def main(peer: str, task: str, table: str, jobs: str) -> None:
    """Run one peer."""
    ends = PEERS[peer](getattr(tasks, task), rows_of(Path(table)), int(jobs))
    charged = sum(isinstance(end, BaseException) for end in ends)
    print(len(ends) - charged, charged)


if __name__ == "__main__":
    importlib.import_module("benchmarks.faulty_peers").main(*sys.argv[1:])
