"""Rows of a call that killed its worker, or never came back: they run again in halves, until the culprit is alone."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

from batchrun.checkpoint.inflight import Running
from batchrun.engine.deal import Deal, halves, parts, rows_of
from batchrun.engine.events import Event, Returned


def by_call(running: Iterable[Running], suspects: Collection[int]) -> list[list[int]]:
    """The suspects of each call that ran: its rows have started at the same time."""
    calls: dict[float, list[int]] = {}
    for row in running:
        if row.position in suspects:
            calls.setdefault(row.started, []).append(row.position)
    return list(calls.values())


class Halves:
    """Groups of rows that wait for a lane of their own. See docs/decisions/0029."""

    def __init__(self) -> None:
        self._waiting: deque[list[Deal]] = deque()

    @property
    def rows(self) -> int:
        """How many rows wait here."""
        return sum(map(rows_of, self._waiting))

    def keep(self, events: Sequence[Event], calls: Sequence[Sequence[int]]) -> list[Event]:
        """Of what a dead worker's lane returns, keep the suspects; returns what else has happened.

        `calls`: the suspects of each call that it may have been. A single one is cut in two.
        """
        groups = halves(calls[0]) if len(calls) == 1 else calls
        suspects = {position for call in calls for position in call}
        others: list[Event] = []
        for event in events:
            if isinstance(event, Returned):
                sent = {position: deal for deal in event.deals for position in deal.positions}
                self._waiting.extendleft(parts(sent, group) for group in reversed(groups))
                rest = parts(sent, [position for position in sent if position not in suspects])
                others += [Returned(event.lane, tuple(rest))] if rest else []
            else:
                others.append(event)
        return others

    def next(self) -> list[Deal]:
        """The group that is next, the smallest first; nothing if none waits."""
        return self._waiting.popleft() if self._waiting else []

    def give_back(self) -> list[Event]:
        """All that wait here go back to where they came from."""
        deals = tuple(deal for group in self._waiting for deal in group)
        self._waiting.clear()
        return [Returned(0, deals)] if deals else []
