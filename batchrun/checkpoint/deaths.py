"""What a run that died has left: rows that may have run, are not in the checkpoint, and so run again. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from .inflight import Remains


class LostRows(NamedTuple):
    """Numbers of rows that run again: those that ran at the death (`running`), and those that had started before.

    `more`: there may be others than are known of.
    """

    running: frozenset[int] = frozenset()
    started: frozenset[int] = frozenset()
    more: bool = False

    @classmethod
    def of(cls, fact: Mapping[str, Any] | None) -> Self:
        """From what `as_fact` had made."""
        return cls(frozenset(fact["running"]), frozenset(fact["started"]), fact["more"]) if fact else cls()

    def as_fact(self) -> dict[str, Any]:
        """For the checkpoint, until a run has said it."""
        return {"running": sorted(self.running), "started": sorted(self.started), "more": self.more}

    def and_before(self, earlier: Self) -> Self:
        """This, and what is left of a run before the last."""
        running = self.running | earlier.running
        return type(self)(running, (self.started | earlier.started) - running, self.more or earlier.more)


def lost_rows(remains: Remains, made: Mapping[int, int]) -> LostRows:
    """Hold what is left of a run against the checkpoint. `made`: attempts at each row that are written down there.

    What a cell has started is written down in that order. So if the oldest row that its ring remembers is written
    down, those before are, too.
    """

    def lost(position: int, attempt: int) -> bool:
        return attempt > made.get(position, 0)

    # The coordinator cannot have written down on the way what it had not committed: it is the one that died. So what
    # workers had noted is held against the checkpoint now (docs/decisions/0020).
    running = frozenset(row.position for row in remains.running if lost(row.position, row.attempt))
    started = frozenset(row for ring, _ in remains.started for row, attempt in ring if lost(row, attempt))
    more = any(full and lost(*ring[0]) for ring, full in remains.started)
    return LostRows(running, started - running, more)
