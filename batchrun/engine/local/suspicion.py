"""Which rows may have ended a worker, or the nursery, and have to show that they did not."""

from collections.abc import Sequence

from batchrun.engine.events import Crashed, Event, Finished, Gathered, TimedOut


class Suspicion:
    """Rows that ran when their worker died (`of_lanes`), or the nursery (`of_nursery`), and one of them did it.

    They run alone until one does it again, or all have come to their own end. `misled`: a row that had the
    interpreter when its worker died has since ended by itself, so that having it proves little.
    """

    def __init__(self) -> None:
        self.of_lanes: set[int] = set()
        self.of_nursery: set[int] = set()
        self.misled = False

    def heard(self, events: list[Event]) -> list[Event]:
        """Clear who has finished; returns the events."""
        if self.of_lanes or self.of_nursery:
            for event in events:
                # Whoever comes to an end of its own is clear, whatever the end: if it was guilty, that has been
                # charged.
                ended = _ended(event)
                self.misled |= isinstance(event, Finished | Gathered) and not ended.isdisjoint(self.of_lanes)
                self.of_lanes -= ended
                self.of_nursery -= ended
        return events

    def nursery_died(self, running: Sequence[int]) -> bool:
        """The nursery was killed while these rows ran: whether it can have been only the one that there is."""
        # Rows of all lanes die with the nursery. They run one at a time in the whole engine until it dies again: then
        # the one that ran is known.
        found = set(running)
        if len(found) == 1 and found <= self.of_nursery:
            return True
        self.of_nursery |= found
        return False


def _ended(event: Event) -> set[int]:
    """The rows that have come to their own end."""
    match event:
        case Finished(_, ends):
            return {ticket.position for ticket, _ in ends}
        case Gathered(_, deals):
            return {position for deal in deals for position in deal.positions}
        case Crashed(_, ticket) | TimedOut(_, ticket):
            return {ticket.position}
    return set()
