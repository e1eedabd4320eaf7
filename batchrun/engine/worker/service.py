"""What serving rows takes, and what is true of each row however it runs: how it begins, and how it ends."""

import mmap
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchrun.checkpoint.cell import Cell
from batchrun.checkpoint.inflight import InFlight
from batchrun.engine.wire import Reply, pack_plain, write_all
from batchrun.task.load import Function

from .attempt import Finish, Row
from .enough import Enough
from .output import Output
from .slate_writer import SlateWriter

_NO_ATTEMPT = frozenset({"refused", "aborted"})


@dataclass(frozen=True, slots=True)
class Service:
    """What serving rows takes: the task, what becomes of its values, the in-flight file, the ways in and out.

    `enough`: counts the worker's rows. `gone`: whether the coordinator is (see `watch_for_hang_up`). `ours`: see
    `mark_of_this_process`. `slate`: where results wait for each other; None where rows run beside each other.
    """

    function: Function
    finish: Finish
    cells: InFlight
    gone: Callable[[], object]
    outbox: int
    output: Output
    ours: mmap.mmap
    enough: Enough
    slate: SlateWriter | None = None

    def begin(self, cell: Cell, row: Row) -> float | None:
        """Mark the row as started; None if it must not start (see `Cell.begin`). Returns the monotonic time."""
        position, attempt, fingerprint, _, batch, _ = row
        started = time.monotonic()
        return started if cell.begin(batch, position, started, attempt, fingerprint) else None

    def begin_together(self, cells: Sequence[Cell], rows: Sequence[Row]) -> float | None:
        """The same for the rows of one call, in as many cells: all of them, or none."""
        started = time.monotonic()  # the same for all: that is how the coordinator knows that they are one call
        others = list(zip(cells[1:], rows[1:], strict=True))
        for cell, row in others:
            cell.mark(row.position, started, row.attempt, row.fingerprint)
        # The first one after the others: what is asked then holds for all.
        if not cells[0].begin(rows[0].batch, rows[0].position, started, rows[0].attempt, rows[0].fingerprint):
            for cell, _ in others:
                cell.clear()
            return None
        for cell, row in others:
            cell.has_started(row.position, row.attempt)
        return started

    def before_reply(self, position: int) -> None:
        """The row has ended, and nothing is said of it yet."""
        if not self.ours[0]:
            # It forked, and this is the child coming back: only the parent speaks for the row.
            os._exit(0)
        self.output.end(position)

    def end(self, cell: Cell, reply: Reply) -> None:
        """Put the reply into the pipe, or onto the slate, then free the cell."""
        # What must be true when the coordinator reads the reply is done before it: the printed text is out, and no
        # other row starts if none may. The cell is freed after it: until then a death is this row's
        # (docs/decisions/0005).
        self.before_reply(reply.position)
        if self.slate is not None:
            if self.slate.take(reply):
                cell.clear()
                return
            self.slate.send()
        if reply.outcome in _NO_ATTEMPT:
            cell.no_attempt()
            if reply.wait or reply.outcome == "aborted":
                # At once: until the coordinator has heard of it, other lanes would start what they hold.
                cell.halt()
        write_all(self.outbox, pack_plain(reply))
        cell.clear()
