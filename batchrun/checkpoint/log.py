"""The log: what workers print, and warnings, one line each with its time and lane."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from batchrun.core.ownership import open_own
from batchrun.core.redact import Redactor


class Log:
    """Appends to `NAME.log`, which is made if need be. Use as a context manager.

    A line that cannot be written is lost: what a row printed is not worth the run, and on a full disk the
    checkpoint is what says so.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self._path = path
        self._redactor = redactor or Redactor({})
        self._fd: int | None = None

    def printed(self, lane: int, lines: list[str]) -> None:
        """A worker has printed these lines. `lane`: from 0."""
        self._write([f"lane {lane + 1} {line}" for line in lines])

    def say(self, line: str) -> None:
        """Something worth keeping about the run itself."""
        self._write([line])

    def _write(self, lines: list[str]) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        data = "".join(f"{now} {self._redactor.text(line)}\n" for line in lines).encode("utf-8", "backslashreplace")
        with suppress(OSError):
            if self._fd is None:
                self._fd = open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(self._fd, data)

    def __enter__(self) -> Self:
        self._write([])
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
