"""The log: what workers print, and warnings, one line each with its time and lane.

A task that prints much must not fill the disk: of a log that has reached its size the older half of what is kept is in
`NAME.log.1`, and what was there before is gone.
"""

import os
import re
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from batchrun.core.ownership import open_own
from batchrun.core.redact import Redactor

_MOMENT = "%Y-%m-%d %H:%M:%S"
_SHOWN_BYTES = 2000
MOST_BYTES = 32 << 20
"""Of a log. It and the older one beside it so take twice as much at most, and one batch of lines more."""


def older(log: Path) -> Path:
    """Where a log is kept once a new one has begun."""
    return log.with_name(f"{log.name}.1")


def printed_by(log: Path, row: int, since: float, most: int) -> list[str]:
    """The last `most` lines that a row has printed since then (seconds since 1970), as they stand in the log.

    What a call for many rows has printed is each row's.
    """
    tag = re.compile(rb"(.{19}) lane \d+ \[(?:row %d|rows ([\d, -]+))\] (.*)" % row, re.DOTALL)
    begin = time.strftime(_MOMENT, time.localtime(since)).encode()
    found: deque[bytes] = deque(maxlen=most)
    for file in (older(log), log):
        with suppress(OSError), os.fdopen(open_own(file, os.O_RDONLY), "rb") as lines:
            for line in lines:
                if (own := tag.match(line)) and own[1] >= begin and (own[2] is None or _among(row, own[2])):
                    found.append(own[3][:_SHOWN_BYTES].rstrip(b"\n"))
    return [line.decode("utf-8", "replace") for line in found]


def _among(row: int, rows: bytes) -> bool:
    """Whether the row is one of those that a tag names: `3, 7, 17-20`."""
    stretches = (stretch.partition(b"-") for stretch in rows.split(b", "))
    return any(int(first) <= row <= int(last or first) for first, _, last in stretches)


class Log:
    """Appends to `NAME.log`, which is made if need be. Use as a context manager. `most`: bytes of one file.

    A line that cannot be written is lost: what a row printed is not worth the run, and on a full disk the
    checkpoint is what says so.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None, most: int = MOST_BYTES) -> None:
        self._path = path
        self._redactor = redactor or Redactor({})
        self._most = most
        self._fd: int | None = None

    def printed(self, lane: int, lines: list[str]) -> None:
        """A worker has printed these lines. `lane`: from 0."""
        self._write([f"lane {lane + 1} {line}" for line in lines])

    def say(self, line: str) -> None:
        """Something worth keeping about the run itself."""
        self._write([line])

    def _write(self, lines: list[str]) -> None:
        now = time.strftime(_MOMENT)
        data = "".join(f"{now} {self._redactor.text(line)}\n" for line in lines).encode("utf-8", "backslashreplace")
        with suppress(OSError):
            if self._fd is None:
                self._fd = open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(self._fd, data)
            if os.fstat(self._fd).st_size >= self._most:
                self._turn()

    def _turn(self) -> None:
        """Begin a new file."""
        self._close()
        os.replace(self._path, older(self._path))

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        self._write([])
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
