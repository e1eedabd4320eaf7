"""Runs a program on a row: its stdin is fed, its stdout is the reply, its stderr goes to the log.

The program stays in its worker's process group: whatever ends the worker (a timeout, the coordinator's death)
ends the program and what it has started as well.
"""

import errno
import os
import selectors
import subprocess
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from batchrun.core.processes import exit_in_words, kill_trees
from batchrun.task.encode import MAX_RESULT_BYTES
from batchrun.task.prompt.template import cell_as_text

from .program import Program, found

# More than a pipe holds, so that one read empties it.
_READ = 1 << 20
_TAIL_BYTES = 8192
_Utf8 = getincrementaldecoder("utf-8")


class ProgramError(Exception):
    """A program could not be started, or did not end well. The end of its stderr is a note."""


def runner(program: Program) -> Callable[[dict[str, Any]], str | None]:
    """The function of a row that runs the program and returns what it wrote to stdout, but for its last line end.

    Raises `TaskError` if there is no such program on this machine. The function raises `ProgramError`.
    """
    name = program.arguments(()).program
    executable = None if name is None else found(name)
    arguments_for = cache(program.arguments)

    def run_on(row: dict[str, Any]) -> str | None:
        arguments = arguments_for(tuple(row))
        given = None if program.stdin is None else _bytes(cell_as_text(row[program.stdin]))
        variables = {name.encode(): _argument(value) for name, value in arguments.variables(row).items()}
        said = run([_argument(word) for word in arguments.of(row)], executable, given, variables)
        return without_line_end(said) if said else None

    return run_on


def without_line_end(text: str) -> str:
    """A text without the end of its last line."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def run(
    words: Sequence[bytes],
    executable: str | None,
    given: bytes | None,
    variables: Mapping[bytes, bytes] | None = None,
    most: int = MAX_RESULT_BYTES,
) -> str:
    """What a program wrote to stdout until its exit.

    `given`: its stdin; `variables`: what its environment has beside ours; `most`: bytes that it may write.

    Raises `ProgramError`.
    """
    with _started(words, executable, given, variables or {}) as process:
        talk = _Talk(most)
        talk.go_on_until_exit(process)
        code = process.wait()
    if code != 0:
        raise talk.with_note(ProgramError(exit_in_words(code) + talk.last_line()))
    try:
        return talk.said.decode()
    except UnicodeDecodeError as error:
        raise talk.with_note(ProgramError(f"its output is not UTF-8 (byte {error.start:,})")) from None


class _Talk:
    """What a program says to its row: its reply, and its complaints for the log."""

    def __init__(self, most: int) -> None:
        self.said = bytearray()
        self._most = most
        self._complaint = b""
        self._decoder = _Utf8("backslashreplace")

    def go_on_until_exit(self, process: "subprocess.Popen[bytes]") -> None:
        """Read until the program itself ends. What it leaves in the background may hold on to its pipes."""
        streams = [(process.stdout, self._hear), (process.stderr, self._overhear)]
        with selectors.DefaultSelector() as selector, _watched(process.pid) as death:
            selector.register(death, selectors.EVENT_READ)
            for stream, heed in streams:
                os.set_blocking(_of(stream), False)
                selector.register(
                    _of(stream), selectors.EVENT_READ, lambda stream=stream, heed=heed: _read(stream, heed)
                )
            lives = True
            while lives:
                for key, _ in selector.select():
                    if key.fd == death:
                        lives = False
                    elif not key.data():
                        selector.unregister(key.fd)
        for stream, heed in streams:
            _read(stream, heed)

    def last_line(self) -> str:
        """`: ` and the last line of stderr, if there is one."""
        lines = self._complaint.decode("utf-8", "backslashreplace").strip().splitlines()
        return f": {lines[-1].strip()}" if lines else ""

    def with_note(self, error: ProgramError) -> ProgramError:
        """The error, with the end of stderr."""
        if text := self._complaint.decode("utf-8", "backslashreplace").strip():
            error.add_note(f"The end of its stderr:\n{text}")
        return error

    def _hear(self, data: bytes) -> None:
        self.said += data
        if len(self.said) > self._most:
            raise ProgramError(f"it wrote more than {self._most:,} bytes to stdout")

    def _overhear(self, data: bytes) -> None:
        self._complaint = (self._complaint + data)[-_TAIL_BYTES:]
        sys.stderr.write(self._decoder.decode(data))


def _of(stream: IO[bytes] | None) -> int:
    assert stream is not None
    return stream.fileno()


def _read(stream: IO[bytes] | None, heed: Callable[[bytes], None]) -> bool:
    """Read what is there. False at the end of the stream."""
    try:
        data = os.read(_of(stream), _READ)
    except BlockingIOError:
        return True
    if data:
        heed(data)
    return bool(data)


@contextmanager
def _watched(pid: int) -> Iterator[int]:
    """A descriptor that can be read once the process has ended."""
    death = os.pidfd_open(pid)
    try:
        yield death
    finally:
        os.close(death)


@contextmanager
def _started(
    words: Sequence[bytes], executable: str | None, given: bytes | None, variables: Mapping[bytes, bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that runs; it is gone at the end, however that comes."""
    try:
        with _as_stdin(given) as stdin:
            process = subprocess.Popen(
                words, executable=executable, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                env={**os.environb, **variables} if variables else None,
            )  # fmt: skip
    except OSError as error:
        raise ProgramError(_why_not((*words, *variables.values()), error)) from None
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_trees((process.pid,))
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def _as_stdin(given: bytes | None) -> Iterator[int]:
    """Where a program reads this. A file in memory is written before the program starts: none waits for a reader."""
    if given is None:
        yield subprocess.DEVNULL
        return
    with open(os.memfd_create("stdin"), "w+b") as file:
        file.write(given)
        file.seek(0)
        yield file.fileno()


def _why_not(words: Sequence[bytes], error: OSError) -> str:
    name = words[0].decode("utf-8", "backslashreplace")
    if error.errno == errno.E2BIG:
        longest = max(map(len, words))
        return f"{name} cannot be started: an argument of {longest:,} bytes is too long; --stdin accepts any length"
    return f"{name!r} cannot be started: {error.strerror}"


def _argument(word: str) -> bytes:
    data = _bytes(word)
    if 0 in data:
        raise ProgramError("a cell contains a NUL character, which an argument cannot contain; --stdin accepts it")
    return data


def _bytes(text: str) -> bytes:
    """UTF-8, whatever the locale says; half a character stays recognisable."""
    return text.encode("utf-8", "backslashreplace")
