"""Apply a function to each row of a table, many at once; never lose, misattribute or repeat a row.

    import batchrun

    summary = batchrun.process("data.csv", task="tasks.py:match", jobs=50)
    frame = batchrun.results("data.csv", task="tasks.py:match")
    batchrun.export("data.csv", "results.parquet", task="tasks.py:match")
    for row in batchrun.iterate("data.csv", task="tasks.py:match"):  # as they come
        print(row["row"], row["result"])

A task may raise `Skip`, `RetryLater` or `Abort`, and ask `current()` which row it is working on.
The heavy half (`process`, `iterate`, `results`, `export`, `Summary`) is loaded on first use, so that a worker process,
which imports this package for `current()`, stays small.
"""

import sys

from batchrun.core.importing import own_first

if sys.argv[:1] == ["-m"]:  # `python -m batchrun` looks in the working directory first, from here on not any more
    sys.path[:] = own_first(sys.path)

from typing import TYPE_CHECKING, Any

from batchrun.core.version import VERSION
from batchrun.task.api import Abort, Current, RetryLater, Skip, count_tokens, current

if TYPE_CHECKING:
    from batchrun.run.summary import Summary

    from .library import export, iterate, process, results

__version__ = VERSION

__all__ = [
    "Abort", "Current", "RetryLater", "Skip", "Summary", "count_tokens", "current", "export", "iterate", "process",
    "results",
]  # fmt: skip

_LAZY = {
    "export": "library", "iterate": "library", "process": "library", "results": "library", "Summary": "run.summary",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'batchrun' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
