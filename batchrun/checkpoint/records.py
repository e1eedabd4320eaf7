"""What is kept of rows: settled rows, results and failed attempts on their way to disk."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as it is kept. `at`: seconds since 1970; `seconds`: how long it ran."""

    position: int
    attempt: int
    at: float
    seconds: float
    lane: int
    kind: str
    message: str
    type: str | None = None
    http_status: int | None = None
    traceback: str | None = None
    raw: str | None = None


class Stretch(NamedTuple):
    """Rows `first` to `last`: all settled, in one state, under one version of the task."""

    first: int
    last: int
    status: int
    task: int


class Settled(NamedTuple):
    """A row that is settled: what a run leaves on disk about it. `body` is JSON.

    `seconds`, `at`, `lane`: how long its last attempt ran, when that ended (seconds since 1970), and where, if known.
    """

    position: int
    fingerprint: bytes
    key: bytes | None
    status: int
    attempts: int
    task: int
    seconds: float | None
    body: bytes | None = None
    raw: str | None = None
    how: str | None = None
    note: str | None = None
    failure: Failure | None = None
    at: float | None = None
    lane: int | None = None


class Reached(NamedTuple):
    """How far a checkpoint has come: its name (empty before its table is known), and the highest numbers given."""

    checkpoint: str
    results: int
    failures: int
