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
    its content, the same in every attempt and run, and so fit for an idempotency key. `attempt`: from 1. With
    `--batch`, `row` and `attempt` are the first row's, `rows` has the numbers of all rows of the call, and
    `fingerprint` names them all.
    """

    row: int
    fingerprint: str
    attempt: int
    rows: tuple[int, ...] = ()


_NOBODY: tuple[int, bytes, int, list[int]] = (0, b"", 0, [])
MOST_TOKENS = 1 << 40
# Row, fingerprint, attempt, tokens: in one variable, since setting one is a tenth of what a quick row costs.
_current: ContextVar[tuple[int, bytes, int, list[int]]] = ContextVar("batchrun.current", default=_NOBODY)
_together: ContextVar[tuple[int, ...]] = ContextVar("batchrun.together", default=())


def current() -> Current:
    """The row that the calling task is working on. Raises `LookupError` outside of a task."""
    row, fingerprint, attempt, _ = _current.get()
    if not row:
        raise LookupError("batchrun.current() is available only while a task is working on a row")
    return Current(row, fingerprint.hex(), attempt, _together.get() or (row,))


def set_current(row: int, fingerprint: bytes, attempt: int) -> list[int]:
    """Called by the worker before each row (in the row's own context). Returns the tokens that it uses: none so far."""
    meter: list[int] = []
    _current.set((row, fingerprint, attempt, meter))
    return meter


def set_together(rows: tuple[int, ...]) -> None:
    """Called by the worker before each call for several rows."""
    _together.set(rows)


def forget_current() -> None:
    """Called by the worker when it runs no row."""
    _current.set(_NOBODY)


def current_row() -> int:
    """The number of the row that the calling code works for; 0 outside of rows."""
    return _current.get()[0]


def current_rows() -> tuple[int, ...]:
    """The numbers of all rows of the call that the calling code works for; empty if it is not one for many rows."""
    return _together.get()


def count_tokens(prompt: int = 0, completion: int = 0, cached: int = 0, reasoning: int = 0) -> None:
    """Add to the tokens that this attempt has used. A task may call it as often as it likes, also before it fails.

    `cached`: the part of `prompt` that the service had kept from an earlier call. `reasoning`: the part of
    `completion` that is not in the reply. Raises `LookupError` outside of a task, `ValueError` for a number that no
    call can have used.
    """
    row, _, _, meter = _current.get()
    if not row:
        raise LookupError("batchrun.count_tokens() counts only while a task is working on a row")
    added = [int(tokens) for tokens in (prompt, completion, cached, reasoning)]
    if any(abs(tokens) > MOST_TOKENS for tokens in added):
        raise ValueError(f"batchrun.count_tokens(): {max(added, key=abs):,} is not a number of tokens")
    meter[:] = map(sum, zip(meter or (0, 0, 0, 0), added, strict=True))


def counted_tokens() -> tuple[int, int, int, int] | None:
    """What this attempt has counted: prompt, completion, cached, reasoning. None if it has counted nothing."""
    meter = _current.get()[3]
    return (meter[0], meter[1], meter[2], meter[3]) if meter else None
