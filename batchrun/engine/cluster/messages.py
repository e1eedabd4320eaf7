"""What a host tells the coordinator: events as plain values, so that nothing but plain values can be built of them.

Tickets stay at home: a row is named by its number, and only one that was handed to that host is believed.
"""

import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from batchrun.engine.deal import Deal, Ticket, parts
from batchrun.engine.events import Crashed, Finished, OfLane, Ready, Returned, Stillborn, TimedOut
from batchrun.engine.wire import HEADER, MAGIC, Hello, Reply

_PLAIN = 2  # see `batchrun.engine.wire`


class HostStatus(NamedTuple):
    """How a host is: lanes up, workers replaced, and (lane, seconds since its start, row) of what runs.

    `largest`, `scarce`: as of `EngineState`.
    """

    lanes: int
    restarts: int
    running: tuple[tuple[int, float, int], ...]
    largest: int = 0
    scarce: str = ""


class HostBroken(NamedTuple):
    """A host cannot go on."""

    message: str
    hint: str


class PrintedNotice(NamedTuple):
    """Something in what a worker printed that the user should know (see `batchrun.task.notice`)."""

    text: str


HostMessage = OfLane | HostStatus | HostBroken | PrintedNotice
_KINDS: Mapping[str, Callable[..., HostMessage]] = {
    kind.__name__: kind
    for kind in (Ready, Finished, TimedOut, Crashed, Returned, Stillborn, HostStatus, HostBroken, PrintedNotice)
}


def packed_messages(messages: Iterable[HostMessage]) -> bytes:
    """One frame (see `batchrun.engine.wire`)."""
    payload = marshal.dumps([(type(message).__name__, *map(_plain, message)) for message in messages], _PLAIN)
    return HEADER.pack(MAGIC, len(payload)) + payload


def _plain(value: Any) -> Any:
    if isinstance(value, Ticket):
        return value.position
    if isinstance(value, Deal):
        return list(value.positions)
    return tuple(map(_plain, value)) if isinstance(value, (tuple, list)) else value


def unpacked_messages(payload: bytes) -> list[Any]:
    """What a host wrote, before it is understood. Raises `ValueError` for a payload that no host of ours wrote."""
    try:
        return list(marshal.loads(payload))
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"unreadable frame of {len(payload)} bytes from a host: {error}") from error


def understood(said: Iterable[Any], sent: dict[int, Deal]) -> Iterator[HostMessage]:
    """What the host says. `sent`: the rows that it has; what it says of others is old and left out.

    Raises `ValueError` for what no host of ours says.
    """
    try:
        for kind, *fields in said:
            if (message := _made(kind, fields, sent)) is not None:
                yield message
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"unknown message from a host: {error}") from error


def _made(kind: str, fields: list[Any], sent: dict[int, Deal]) -> HostMessage | None:
    match kind:
        case "Ready":
            fields[1] = Hello._make(fields[1])
        case "Returned":
            rows = [row for deal in fields[1] for row in deal]
            fields[1] = tuple(parts(sent, rows))
        case "Finished":
            fields[1] = [(sent[row].of(row), Reply._make(reply)) for row, reply in fields[1] if row in sent]
            if not fields[1]:
                return None
        case "TimedOut" | "Crashed":
            if fields[1] not in sent:
                return None
            fields[1] = sent[fields[1]].of(fields[1])
    return _KINDS[kind](*fields)
