"""When a worker has had enough and makes room for a fresh one: because the task leaks, or a library does."""

import math

from batchrun.core.processes import memory_of
from batchrun.core.text import counted, memory
from batchrun.engine.worker_setup import Limits

TOO_LARGE_HINT = "raise --worker-memory: as it is, each worker would be replaced after one row"


class Enough:
    """Counts the rows of one worker, and looks at its memory. `why`: why it is to start no further row, once it is.
    `limited`: whether it can ever be.
    """

    def __init__(self, limits: Limits) -> None:
        self.why = ""
        self.limited = bool(limits.rows or limits.memory)
        self._left = limits.rows or math.inf
        self._limits = limits

    def from_the_start(self) -> str:
        """What is wrong if the worker is too large before its first row; empty if it is not."""
        limit = self._limits.memory
        if limit is None or (used := memory_of("self")) <= limit:
            return ""
        return f"a worker takes {memory(used)} once the task is loaded, more than --worker-memory {memory(limit)}"

    def after_row(self, rows: int = 1) -> str:
        """So many rows have ended; returns `why`."""
        self._left -= rows
        if self._left <= 0:
            self.why = self.why or f"it has run {counted(self._limits.rows or 0, 'row')} (--worker-rows)"
        elif self._limits.memory and (used := memory_of("self")) > self._limits.memory:
            self.why = self.why or f"it has grown to {memory(used)} (--worker-memory {memory(self._limits.memory)})"
        return self.why

    def say(self) -> None:
        """Tell the log."""
        print(f"this worker is replaced: {self.why}", flush=True)
