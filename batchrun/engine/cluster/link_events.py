"""What the line to the cluster tells the engine, in order."""

from typing import NamedTuple


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
    """The scheduler was lost. `for_good`: it did not come back."""

    for_good: bool


LinkEvent = WorkersLeased | HostSaid | HostLeft | WorkerUnfit | SchedulerLost
