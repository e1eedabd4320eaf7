"""What a task can say besides returning a value, and what it can ask."""

from contextvars import ContextVar
from dataclasses import dataclass


class Skip(Exception):
    """Raised by a task: this row needs no result. It is settled as skipped, with the reason kept."""


class RetryLater(Exception):
    """Raised by a task: the service is busy. The row goes back to the backlog and no attempt is charged.

    `seconds` is the least time to wait before this row is tried again.
    """

    def __init__(self, seconds: float = 1.0, message: str = "") -> None:
        super().__init__(message or f"asked to be tried again in {seconds:g} s")
        self.seconds = float(seconds)


class Abort(Exception):
    """Raised by a task: the run makes no sense any more. It drains and ends with exit code 3."""


@dataclass(frozen=True, slots=True)
class Current:
    """The row a task is working on.

    `row`: its number, 1 for the first data row. `fingerprint`: 32 hexadecimal digits that name the row by
    its content, the same in every attempt and run, and so fit for an idempotency key. `attempt`: from 1.
    """

    row: int
    fingerprint: str
    attempt: int


_current: ContextVar[tuple[int, bytes, int]] = ContextVar("batchrun.current")


def current() -> Current:
    """The row that the calling task is working on. Raises `LookupError` outside of a task."""
    try:
        row, fingerprint, attempt = _current.get()
    except LookupError:
        raise LookupError("batchrun.current() is known only while a task works on a row") from None
    return Current(row, fingerprint.hex(), attempt)


def set_current(row: int, fingerprint: bytes, attempt: int) -> None:
    """Called by the worker before each row (in the row's own context)."""
    _current.set((row, fingerprint, attempt))
