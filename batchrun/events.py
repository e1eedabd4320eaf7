"""What an engine tells the run. The run needs to know nothing else about where rows run."""

from dataclasses import dataclass

from .wire import Hello, Reply, Ticket


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has loaded the task, or could not (`hello.error`)."""

    lane: int
    hello: Hello


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt has ended by itself."""

    lane: int
    ticket: Ticket
    reply: Reply


@dataclass(frozen=True, slots=True)
class TimedOut:
    """An attempt overran its limit and was killed. `seconds`: how long it had run."""

    lane: int
    ticket: Ticket
    seconds: float


@dataclass(frozen=True, slots=True)
class Crashed:
    """An attempt killed its worker. `cause`: the exit in words; `tail`: the worker's last lines."""

    lane: int
    ticket: Ticket
    seconds: float
    cause: str
    tail: str


@dataclass(frozen=True, slots=True)
class Returned:
    """Rows that were handed out and are not charged: they never started, or lost their worker as victims."""

    lane: int
    tickets: tuple[Ticket, ...]


@dataclass(frozen=True, slots=True)
class Stillborn:
    """A worker died before it had loaded the task."""

    lane: int
    cause: str
    tail: str


Event = Ready | Finished | TimedOut | Crashed | Returned | Stillborn
