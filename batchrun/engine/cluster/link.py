"""The line to a cluster, whichever it is: bytes for the hosts on its workers, and what it tells, in order."""

from typing import NamedTuple, Protocol


class WorkersLeased(NamedTuple):
    """Leases were put on workers (key, name, threads): what is said to a key reaches the host, as soon as it is up."""

    workers: tuple[tuple[str, str, int], ...]


class HostSaid(NamedTuple):
    """A host has written these bytes."""

    key: str
    data: bytes


class HostLeft(NamedTuple):
    """A host is gone, and so is all that it has not said."""

    key: str
    why: str


class WorkerUnfit(NamedTuple):
    """A worker cannot be used; `hint`: what to do about it. `alone`: no other is there that can."""

    name: str
    why: str
    hint: str
    alone: bool


class SchedulerLost(NamedTuple):
    """What holds the cluster together was lost. `for_good`: it did not come back. `what`: how people call it."""

    for_good: bool
    what: str = "scheduler"


LinkEvent = WorkersLeased | HostSaid | HostLeft | WorkerUnfit | SchedulerLost


class Link(Protocol):
    """What the engine asks of a cluster. No call waits for the network, but for `open` and `close`."""

    def open(self) -> None:
        """Connect. Raises `UsageError` if there is no cluster that we can work with."""

    def close(self) -> None:
        """Let go of every worker; what runs there ends."""

    def say(self, key: str, message: object) -> int:
        """Send a message to a host; returns its size in bytes."""

    def release(self, key: str, why: str, *, again: bool) -> None:
        """Let go of one worker: its rows end now. `again`: it may be used again."""

    def events(self, wait: float) -> list[LinkEvent]:
        """What has come, after at most `wait` seconds."""
