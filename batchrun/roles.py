"""Whom a run speaks to: an engine, where rows run, and an onlooker, who is shown how it goes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .events import Event
from .inflight import Running
from .wire import Ticket

if TYPE_CHECKING:
    from .run import Run


class Engine(Protocol):
    """Where rows run, as far as the run knows."""

    def room(self) -> int:
        """Rows that could be sent now."""

    def send(self, tickets: list[Ticket]) -> None:
        """Hand out at most `room()` rows."""

    def busy(self) -> int:
        """Rows handed out whose end has not been told."""

    def running(self) -> list[tuple[int, Running]]:
        """Lane and row of everything that is executing now."""

    def collect(self, wait: float) -> list[Event]:
        """What has happened, after at most `wait` seconds."""

    def expire(self, now: float, limit: float | None) -> list[Event]:
        """End attempts older than `limit` seconds."""

    def drain(self) -> list[Event]:
        """Start nothing more."""

    def take_back(self) -> list[Event]:
        """Take back every row that has not started."""

    def kill(self) -> None:
        """End everything in flight."""


class Onlooker(Protocol):
    """Who is shown how the run goes."""

    def tick(self, run: "Run", now: float) -> None:
        """On every turn of the loop."""

    def running(self, rows: Sequence[tuple[int, Running]], now: float) -> None:
        """The user has asked what is executing."""

    def say(self, text: str) -> None:
        """Something that the user should know."""
