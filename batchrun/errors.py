"""Every error that a user can meet. The tree, with the exit code each one carries:

BatchrunError                  what it says is what the user reads; never a traceback
├── UsageError              2  an option, a task name, the configuration
├── InputError              2  the table: missing, malformed, ambiguous
├── TaskError               2  the user's module cannot be imported (carries its traceback)
├── ChangedError            2  --on-change stop, and something has changed
├── StoppedError            3  a threshold, the breaker, or the task's own Abort
│   └── OutOfMemory         3  the system has refused this process memory
├── CheckpointError         4  the checkpoint is damaged or cannot be written
│   └── DamagedRows         4  some records are not what was written; their rows can run again
├── LockedError            75  another run holds the checkpoint
└── Interrupted   130/143/129  a signal ended the run; the same command resumes it
"""

import errno
import os
from typing import ClassVar

_OUT_OF_MEMORY = ("out of memory", "Cannot allocate memory", "failed to map segment")


class BatchrunError(Exception):
    """Base of all errors that batchrun raises on purpose.

    `str(error)` says what happened and where; `error.hint` says what to do next (may be empty).
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def _render_traceback_(self) -> list[str]:
        """What notebooks show: the user's own lines, the message and the hint, and no line of this package's."""
        import traceback  # only a notebook needs it

        others = (os.path.dirname(__file__) + os.sep, f"{os.sep}IPython{os.sep}")
        frames = traceback.extract_tb(self.__traceback__)
        lines = [each for each in frames if not any(other in each.filename for other in others)]
        hint = [f"  → {self.hint}"] if self.hint else []
        return [*"".join(traceback.format_list(lines)).splitlines(), f"{type(self).__name__}: {self}", *hint]


class UsageError(BatchrunError):
    """An option, a task's name or the configuration is wrong."""


class InputError(BatchrunError):
    """The table cannot be read as it is."""


class TaskError(BatchrunError):
    """The user's module cannot be imported, or has no such function."""


class ChangedError(BatchrunError):
    """Task or rows have changed, and `--on-change stop` was asked for."""


class StoppedError(BatchrunError):
    """The run ended early: too many failures, or the task asked for it."""

    exit_code = 3


class OutOfMemory(StoppedError):
    """The system has refused memory to the process that runs this. What was settled is on disk."""

    def __init__(self) -> None:
        super().__init__(
            "out of memory: the system refused this process more memory",
            "raise the limit (ulimit -v, the container's, or the batch system's), or make it hold less: fewer rows at "
            "once (--jobs), shorter cells. What was settled is kept: the same command resumes the run",
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what Python, SQLite, the system or its loader of libraries say when memory is refused."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    said = str(error)
    return isinstance(error, MemoryError) or any(words in said for words in _OUT_OF_MEMORY)


class CheckpointError(BatchrunError):
    """The checkpoint is damaged, of another version, or cannot be written."""

    exit_code = 4


class DamagedRows(CheckpointError):
    """The records of some rows are not what was written; the others are whole."""


class LockedError(BatchrunError):
    """Another run holds this checkpoint."""

    exit_code = 75


class Interrupted(BatchrunError):
    """SIGINT (130), SIGTERM (143) or SIGHUP (129) ended the run; the same command resumes it."""

    def __init__(self, signum: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signum = signum
        self.exit_code = 128 + signum  # type: ignore[misc]
