"""Rows of a call that killed its worker, or never came back: they run again in halves, until the culprit is alone."""

from collections import deque
from collections.abc import Collection, Sequence

from batchrun.engine.deal import Deal, parts, rows_of, take
from batchrun.engine.events import Event, Returned


class Halves:
    """Groups of rows that wait for a lane of their own. See docs/decisions/0029."""

    def __init__(self) -> None:
        self._waiting: deque[list[Deal]] = deque()

    @property
    def rows(self) -> int:
        """How many rows wait here."""
        return sum(map(rows_of, self._waiting))

    def keep(self, events: Sequence[Event], suspects: Collection[int]) -> list[Event]:
        """Of what a dead worker's lane returns, keep the suspects, in two groups; returns what else has happened."""
        others: list[Event] = []
        for event in events:
            if isinstance(event, Returned):
                sent = {position: deal for deal in event.deals for position in deal.positions}
                kept = deque(parts(sent, [position for position in sent if position in suspects]))
                half = -(-rows_of(kept) // 2)
                self._waiting += [take(kept, half), list(kept)]
                rest = parts(sent, [position for position in sent if position not in suspects])
                others += [Returned(event.lane, tuple(rest))] if rest else []
            else:
                others.append(event)
        return others

    def next(self) -> list[Deal]:
        """The group that waits longest; nothing if none does."""
        return self._waiting.popleft() if self._waiting else []

    def give_back(self) -> list[Event]:
        """All that wait here go back to where they came from."""
        deals = tuple(deal for group in self._waiting for deal in group)
        self._waiting.clear()
        return [Returned(0, deals)] if deals else []
