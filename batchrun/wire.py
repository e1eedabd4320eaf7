"""What crosses between coordinator and worker: frames of plain bytes over a private pipe pair.

A frame is a magic number and its length (4 bytes each, little endian) and its payload. Rows travel to the
worker pickled (they come from us); replies come back marshalled, which can build nothing but plain values, so
that whatever a task raises or returns cannot hurt the coordinator. A frame that was cut off by the worker's
death is dropped.
"""

import marshal
import os
import pickle
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

HEADER = struct.Struct("<II")
MAGIC = 0xB47C4F0D  # bytes that a row wrote into the pipe by mistake must not pass for the length of a frame
READ_SIZE = 1 << 20
_PLAIN = 2  # the marshal version before references between values: nothing is shared here, and it is quicker


class Ticket(NamedTuple):
    """One attempt at a row: what the worker needs (`for_worker`), and what the run keeps to itself.

    `position`: the row's number from 1. `cells`: raw, only the task's columns. `last`: the number of the last
    allowed attempt. `was`: the state that an earlier run left. `key`: the fingerprint of the `--key` columns.
    """

    position: int
    attempt: int
    fingerprint: bytes
    cells: tuple[Any, ...]
    last: int = 1
    was: int = 0
    key: bytes | None = None

    def for_worker(self) -> tuple[Any, ...]:
        """Plain fields, in the order in which the worker makes a ticket of them."""
        return self[:4]


class Reply(NamedTuple):
    """How one attempt ended, as the worker saw it.

    `outcome`: `done`, `skipped`, `failed`, `refused` (busy: not charged), `aborted`. `seconds`: time inside
    the task. `body`: the result as JSON bytes. `raw`: the text a task returned, kept as it was. `how`: see
    `batchrun.reply`. `note`: something worth keeping beside a result. `error`: kind, message, type,
    http_status, traceback. `wait`: the least seconds before the next attempt, or None.
    """

    position: int
    outcome: str
    seconds: float
    body: bytes | None = None
    raw: str | None = None
    how: str | None = None
    note: str | None = None
    error: tuple[str, str, str | None, int | None, str | None] | None = None
    wait: float | None = None


class Hello(NamedTuple):
    """A worker's first frame: the task is loaded (`error` is None) or cannot be.

    `sources`: path and digest of each file that makes up the task's version.
    """

    is_async: bool
    version: str
    sources: tuple[tuple[str, str], ...]
    error: str | None
    hint: str
    trace: str


def pack(message: Any) -> bytes:
    """A frame for a worker."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(MAGIC, len(payload)) + payload


def pack_plain(kind: str, message: tuple[Any, ...]) -> bytes:
    """A frame for the coordinator: `kind` is `hello` or `reply`."""
    payload = marshal.dumps((kind, *message), _PLAIN)
    return HEADER.pack(MAGIC, len(payload)) + payload


def write_all(fd: int, data: bytes) -> None:
    """Write a whole frame to a blocking pipe."""
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.write(fd, view[written:])


class Frames:
    """Cuts a stream of bytes into payloads. Half a frame waits for its other half, for ever if need be."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each payload that `data` completes. Raises `ValueError` for bytes that are no frame."""
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= HEADER.size:
            magic, size = HEADER.unpack_from(buffer, start)
            if magic != MAGIC:
                raise ValueError("something else than a frame came out of a worker's pipe")
            stop = start + HEADER.size + size
            if stop > end:
                break
            with memoryview(buffer) as view:
                payload = bytes(view[start + HEADER.size : stop])
            yield payload
            start = stop
        del buffer[:start]


def unpack_plain(payload: bytes) -> Reply | Hello:
    """What a worker said. Raises `ValueError` for a payload that no worker of ours wrote."""
    try:
        kind, *fields = marshal.loads(payload)
        return Reply._make(fields) if kind == "reply" else Hello._make(fields)
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"unreadable frame of {len(payload)} bytes from a worker: {error}") from error


def read_frames(fd: int) -> Iterator[Any]:
    """Worker's side: block for messages until the coordinator closes the pipe."""
    frames = Frames()
    while data := os.read(fd, READ_SIZE):
        for payload in frames.feed(data):
            yield pickle.loads(payload)
