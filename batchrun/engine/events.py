"""What an engine tells the run. The run needs to know nothing else about where rows run."""

from typing import NamedTuple

from .deal import Deal, Ticket
from .wire import Hello, Reply, SheetFrame


class Ready(NamedTuple):
    """A worker has loaded the task, or could not (`hello.error`)."""

    lane: int
    hello: Hello


class Finished(NamedTuple):
    """Attempts have ended by themselves, in this order: many at a time where rows are short."""

    lane: int
    ends: list[tuple[Ticket, Reply]]


class Gathered(NamedTuple):
    """Attempts have ended by themselves, and all are done: the rows of a sheet."""

    lane: int
    deals: list[Deal]
    sheet: SheetFrame

    def singly(self) -> Finished:
        """The same, end by end."""
        tickets = [ticket for deal in self.deals for ticket in deal.tickets()]
        return Finished(self.lane, list(zip(tickets, self.sheet.replies(), strict=True)))


class TimedOut(NamedTuple):
    """An attempt overran its limit and was ended. `seconds`: how long it had run. `tokens`: as of a `Reply`."""

    lane: int
    ticket: Ticket
    seconds: float
    tokens: tuple[int, int, int, int] | None = None


class Crashed(NamedTuple):
    """An attempt killed its worker. `cause`: the exit in words; `tail`: the worker's last lines."""

    lane: int
    ticket: Ticket
    seconds: float
    cause: str
    tail: str


class Returned(NamedTuple):
    """Rows that were handed out and are not charged: they never started, or lost their worker as victims."""

    lane: int
    deals: tuple[Deal, ...]


class Stillborn(NamedTuple):
    """A worker died before it had loaded the task. `hung`: it was ended for loading too long, `tail` is where it
    hung, and no other worker was up.
    """

    lane: int
    cause: str
    tail: str
    hung: bool = False


class StoodStill(NamedTuple):
    """All that runs here stood still, such as in a container that was paused (monotonic seconds)."""

    since: float
    until: float


class Loading(NamedTuple):
    """No event, but why there is none: no worker is up, and one has been loading `what` for so many `seconds`.

    `stack`: where it is, as lines of a traceback. Empty if it was not asked, or does not answer.
    """

    what: str
    seconds: float
    stack: tuple[str, ...] = ()


OfLane = Ready | Finished | Gathered | TimedOut | Crashed | Returned | Stillborn
Event = OfLane | StoodStill
