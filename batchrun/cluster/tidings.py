"""What the line to the cluster tells the engine, in order."""

from typing import NamedTuple


class Joined(NamedTuple):
    """A lease was put on a worker: what is said to `key` reaches its host, as soon as it is up."""

    key: str
    name: str
    threads: int


class Said(NamedTuple):
    """A host has written these bytes."""

    key: str
    data: bytes


class Left(NamedTuple):
    """A host is gone, and so is all that it has not said."""

    key: str
    why: str


class Unfit(NamedTuple):
    """A worker cannot be used; `hint`: what to do about it. `alone`: no other is there that can."""

    name: str
    why: str
    hint: str
    alone: bool


class Severed(NamedTuple):
    """The scheduler was lost. `for_good`: it did not come back."""

    for_good: bool


Tidings = Joined | Said | Left | Unfit | Severed
