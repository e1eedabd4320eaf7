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
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from batchrun.checkpoint.sheets import BETWEEN, of_columns
from batchrun.core.redact import Redactor

HEADER = struct.Struct("<II")
MAGIC = 0xB47C4F0D  # bytes that a row wrote into the pipe by mistake must not pass for the length of a frame
_MAGIC_BYTES = MAGIC.to_bytes(4, "little")
READ_SIZE = 1 << 20
_PLAIN = 2  # the marshal version before references between values: nothing is shared here, and it is quicker


Error = tuple[str, str, str | None, int | None, str | None]
"""Kind, message, type, HTTP status, traceback."""


class Reply(NamedTuple):
    """How one attempt ended, as the worker saw it.

    `outcome`: `done`, `skipped`, `failed`, `refused` (busy: not charged), `aborted`, `cancelled` (ended at the
    coordinator's wish, its time being over). `seconds`: time inside
    the task. `body`: the result as JSON bytes. `raw`: the text a task returned, kept as it was. `how`: see
    `batchrun.task.reply`. `note`: something worth keeping beside a result. `error`: kind, message, type,
    http_status, traceback. `wait`: the least seconds before the next attempt, or None. `tokens`: those that
    the attempt used, see `money.Tokens`.
    """

    position: int
    outcome: str
    seconds: float
    body: bytes | None = None
    raw: str | None = None
    how: str | None = None
    note: str | None = None
    error: Error | None = None
    wait: float | None = None
    tokens: tuple[int, int, int, int] | None = None

    def redacted(self, redactor: Redactor) -> "Reply":
        """The same without secrets."""
        error = self.error
        if error is not None:
            kind, message, type_name, status, trace = error
            error = (kind, redactor.text(message), type_name, status, redactor.optional(trace))
        body = None if self.body is None else redactor.json(self.body)
        return self._replace(body=body, raw=redactor.optional(self.raw), note=redactor.optional(self.note), error=error)


class SheetFrame(NamedTuple):
    """Rows that are done, as the worker sends them; made of what stands on the slate.

    `number`: of this worker's sheets, from 0. `positions`: the rows' numbers, int64 each. `micros`: a JSON array of the
    microseconds that each ran. `bodies`: one of the results; `raws`, `hows`: of the replies, and of how a result was
    found in each (None where no row has a reply). `crc`: over all of them.
    """

    number: int
    positions: bytes
    micros: bytes
    bodies: bytes
    raws: bytes | None
    hows: bytes | None
    crc: int

    @classmethod
    def sealed(
        cls, number: int, positions: bytes, micros: bytes, bodies: bytes, raws: bytes | None, hows: bytes | None
    ) -> "SheetFrame":
        """With its checksum."""
        return cls(number, positions, micros, bodies, raws, hows, of_columns(positions, micros, bodies, raws, hows))

    def replies(self) -> list[Reply]:
        """The same, row by row."""
        bodies = self.bodies[1:-1].split(BETWEEN)
        raws = orjson.loads(self.raws) if self.raws else [None] * len(bodies)
        hows = orjson.loads(self.hows) if self.hows else ["value"] * len(bodies)
        seconds = [micros / 1e6 for micros in orjson.loads(self.micros)]
        ends = zip(self.numbers(), seconds, bodies, raws, hows, strict=True)
        return [Reply(row, "done", took, body, raw, how) for row, took, body, raw, how in ends]

    def numbers(self) -> list[int]:
        """The rows' numbers."""
        return memoryview(self.positions).cast("q").tolist()

    def is_whole(self) -> bool:
        """Whether it came as it was sent."""
        return self.crc == of_columns(*self[1:-1])


_REPLY_FIELDS = len(Reply._fields)
_new: Any = tuple.__new__


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


def pack_plain(message: tuple[Any, ...]) -> bytes:
    """A frame for the coordinator: a `Reply`, a `SheetFrame` or a `Hello`."""
    payload = marshal.dumps((*message,), _PLAIN)
    return HEADER.pack(MAGIC, len(payload)) + payload


def write_all(fd: int, data: bytes) -> None:
    """Write a whole frame to a blocking pipe."""
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.write(fd, view[written:])


class Frames:
    """Cuts a stream of bytes into messages. Half a frame waits for its other half, for ever if need be.

    Whatever stands between frames is passed over: a row has written it to a descriptor that is not its own. `unpack`:
    from a payload to the message.
    """

    def __init__(self, unpack: Callable[[bytes], Any]) -> None:
        self._unpack = unpack
        self._rest = bytearray()
        self._needed = HEADER.size

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield each message that `data` completes. Raises what `unpack` raises for bytes that are not a message."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:  # a frame of many pieces is put together once
                return
            data = bytes(self._rest)
        start, end, needed = 0, len(data), HEADER.size
        unpack, header, wide = self._unpack, HEADER.unpack_from, HEADER.size
        while end - start >= wide:
            magic, size = header(data, start)
            if magic != MAGIC:
                found = data.find(_MAGIC_BYTES, start + 1)
                start = found if found >= 0 else end - len(_MAGIC_BYTES) + 1
                continue
            stop = start + wide + size
            if stop > end:
                needed += size
                break
            message = unpack(data[start + wide : stop])
            start = stop
            yield message
        self._rest, self._needed = bytearray(data[start:]), needed


def unpack_plain(payload: bytes) -> Reply | SheetFrame | Hello:
    """What a worker said. Raises `ValueError` for a payload that no worker of ours wrote."""
    try:
        fields = marshal.loads(payload)
        # Both begin with a number; nearly everything is one of the two, and this is the quickest way to make it.
        if type(fields[0]) is int:
            if len(fields) == _REPLY_FIELDS:
                reply: Reply = _new(Reply, fields)
                return reply
            sheet = SheetFrame._make(fields)
            if not sheet.is_whole():
                raise ValueError("its checksum does not match")
            return sheet
        return Hello._make(fields)
    except (ValueError, TypeError, EOFError, IndexError, KeyError) as error:
        raise ValueError(f"unreadable frame of {len(payload)} bytes from a worker: {error}") from error


def unpack(payload: bytes) -> Any:
    """Worker's side: a message of the coordinator."""
    return pickle.loads(payload)


def read_frames(fd: int) -> Iterator[Any]:
    """Worker's side: block for messages until the coordinator closes the pipe."""
    frames = Frames(unpack)
    while data := os.read(fd, READ_SIZE):
        yield from frames.feed(data)
