"""Which rows are on the cluster, for the next run to read if this one dies (see `batchrun.checkpoint.inflight`)."""

import time
from collections.abc import Iterable
from pathlib import Path

from batchrun.checkpoint.inflight import InFlight, forget
from batchrun.engine.deal import Deal

CELLS = 10_000


class HandedOut:
    """A cell for each row that was handed out, as far as there are cells."""

    def __init__(self, path: Path) -> None:
        self._file = InFlight(path, CELLS, rings=False)
        self._free = list(range(CELLS))
        self._cells: dict[int, int] = {}

    def add(self, deals: Iterable[Deal]) -> None:
        """These may run from now on."""
        now = time.monotonic()
        for ticket in (ticket for deal in deals for ticket in deal.tickets()):
            if self._free:
                cell = self._cells[ticket.position] = self._free.pop()
                self._file.cell(cell, cell).mark(ticket.position, now, ticket.attempt, ticket.fingerprint)

    def remove(self, position: int) -> None:
        """The row does not run any more."""
        if (cell := self._cells.pop(position, None)) is not None:
            self._file.clear(cell)
            self._free.append(cell)

    def close(self) -> None:
        """The run has ended by itself: nothing is on the cluster."""
        for cell in self._cells.values():
            self._file.clear(cell)
        self._file.__exit__()
        forget(self._file.path)
