"""Control of a running job: `batchrun ctl` speaks to it through a Unix socket in the checkpoint's folder.

One connection is one request and one answer, each a line of JSON. Nobody but the owner can connect: the socket
has mode 0600 in a folder of mode 0700, and the kernel is asked who is at the other end. Whatever arrives, the run
goes on: what makes no sense is answered with an error, and who says nothing makes room for the next caller.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchrun.options.parsing import MOST_JOBS

LONGEST_ADDRESS = 107
"""Bytes of a path that the kernel takes for a socket."""

LOOK_EVERY_SECONDS = 0.05
_MOST_BYTES = 4096
_MOST_CALLERS = 16
STRANGE = "what answers is not a run of this version of batchrun"
_NOT_UNDERSTOOD = "the run does not understand this; is it another version of batchrun?"


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked to do. `jobs`: rows in flight at most; `paused`: hand out nothing, or go on.

    `drain`: end when the rows in flight have ended. A request that says nothing asks for the state.
    """

    jobs: int | None = None
    paused: bool | None = None
    drain: bool = False


Answer = dict[str, Any]


class NotListening(Exception):
    """Nobody answers at this socket."""


class Remote:
    """The run's side. `heed` is called on every turn of its loop, and looks twenty times a second.

    `trouble`: why the run cannot be controlled, if it cannot: no reason not to run.
    """

    def __init__(self, listener: socket.socket | None, trouble: str = "") -> None:
        self.trouble = trouble
        self._listener = listener
        self._due = 0.0
        self._callers: list[socket.socket] = []

    def heed(self, obey: Callable[[Request], Answer]) -> None:
        """Do what has been asked since, and answer with what `obey` returns for it. Never waits."""
        now = time.monotonic()
        if self._listener is None or now < self._due:
            return
        self._due = now + LOOK_EVERY_SECONDS
        with suppress(OSError):  # nobody there any more
            for _ in range(_MOST_CALLERS):
                self._welcome(self._listener.accept()[0])
        self._callers = [caller for caller in self._callers if not _served(caller, obey)]

    def _welcome(self, caller: socket.socket) -> None:
        if not _is_owner(caller):
            caller.close()
            return
        if len(self._callers) >= _MOST_CALLERS:  # the oldest is the one who has had most time to say something
            self._callers.pop(0).close()
        caller.setblocking(False)
        self._callers.append(caller)

    def close(self) -> None:
        """Hang up."""
        for each in (*self._callers, self._listener):
            if each is not None:
                each.close()
        self._callers, self._listener = [], None


def _served(caller: socket.socket, obey: Callable[[Request], Answer]) -> bool:
    """Whether this caller has been answered, or has gone."""
    try:
        asked = caller.recv(_MOST_BYTES, socket.MSG_PEEK)
        if asked and not asked.endswith(b"\n") and len(asked) < _MOST_BYTES:
            return False
        if asked:
            caller.recv(len(asked))  # closed with something unread, the answer would be lost
            caller.send(_line(_answer(asked, obey)))
    except BlockingIOError:
        return False
    except OSError:  # gone
        pass
    caller.close()
    return True


def _answer(asked: bytes, obey: Callable[[Request], Answer]) -> Answer:
    try:
        request = request_in(asked)
    except ValueError as error:
        return {"error": str(error)}
    return obey(request)


def request_in(asked: bytes) -> Request:
    """The request that these bytes are. Raises `ValueError` unless it makes sense in every part."""
    try:
        said = json.loads(asked)
        request = Request(**said) if isinstance(said, dict) else None
    except (ValueError, TypeError, RecursionError):  # no JSON, or words that a request does not have
        request = None
    if request is None or not _makes_sense(request):
        raise ValueError(_NOT_UNDERSTOOD)
    return request


def _makes_sense(request: Request) -> bool:
    jobs = request.jobs
    return (
        (jobs is None or (type(jobs) is int and 1 <= jobs <= MOST_JOBS))  # to isinstance, True is a number
        and (request.paused is None or isinstance(request.paused, bool))
        and isinstance(request.drain, bool)
    )


def _line(value: Answer) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _is_owner(caller: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    found = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", found)
    return user in (os.geteuid(), 0)


@contextmanager
def controlled(path: Path) -> Iterator[Remote]:
    """Listen at `path` in the block. What an earlier run left there is nobody's: the caller holds the lock."""
    remote = _listening(path)
    try:
        yield remote
    finally:
        remote.close()
        if not remote.trouble:
            with suppress(OSError):  # left behind it hinders nobody
                path.unlink(missing_ok=True)


def _listening(path: Path) -> Remote:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        os.fchmod(listener.fileno(), 0o600)  # before it has a name that others could open
        with _address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen()
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        return Remote(None, f"{path}: a socket cannot be created here ({error})")
    return Remote(listener)


def ask(path: Path, request: Request, seconds: float) -> Answer:
    """Ask the run that listens at `path`, and wait for its answer; raises `NotListening` or `TimeoutError`."""
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        try:
            with _address(path) as address:
                line.connect(address)
            line.sendall(_line(asdict(request)))
            told = b""
            while not told.endswith(b"\n") and len(told) < _MOST_BYTES:
                line.settimeout(max(0.001, until - time.monotonic()))
                came = line.recv(_MOST_BYTES)
                if not came:
                    raise NotListening("the run has ended in the meantime")
                told += came
        except TimeoutError:
            raise
        except OSError as error:
            raise NotListening(str(error)) from error
    return _answer_in(told)


def _answer_in(told: bytes) -> Answer:
    """What a run has answered; an error if no run of this version answers so."""
    try:
        answer = json.loads(told)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {"error": STRANGE}


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name of at most 107 bytes for a socket, however long its path is."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        with suppress(OSError):
            os.close(folder)
