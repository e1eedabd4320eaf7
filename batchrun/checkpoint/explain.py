"""What SQLite and the system say of a checkpoint, as errors that tell the user what to do."""

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batchrun.core.states import LEFT, STATE_NAMES
from batchrun.core.text import numbers
from batchrun.errors import BatchrunError, CheckpointError, DamagedRows, OutOfMemory, is_out_of_memory

_SHOWN = 10
_SIGNS_OF_DAMAGE = ("malformed", "not a database", "no such", "constraint failed", "decode", "corrupt", "unsupported")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into an error that tells the user what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise as_checkpoint_error(path, error) from error
    except (
        OverflowError,
        UnicodeError,
        RecursionError,
    ) as error:  # a flipped bit can make a number or text that is none
        raise damaged(path, str(error)) from error


def status_name(path: Path, status: Any) -> str:
    """The name of a settled row's state. Raises `CheckpointError` for a number that stands for none."""
    if not isinstance(status, int) or not LEFT < status < len(STATE_NAMES):
        raise damaged(path, f"row state {status!r} is unknown")
    return STATE_NAMES[status]


def damaged(path: Path, why: str) -> CheckpointError:
    """The error for a file that does not hold what was written."""
    return CheckpointError(
        f"{path} is damaged: {why}",
        "'batchrun verify' says what can be recovered; --fresh starts over and keeps the old file",
    )


def damaged_records(path: Path, rows: Sequence[int]) -> DamagedRows:
    """The error for settled rows whose records are not what was written."""
    stretches = numbers(rows).split(", ")
    shown = ", ".join(stretches[:_SHOWN]) + (", and more" if len(stretches) > _SHOWN else "")
    return DamagedRows(
        f"{path} is damaged: the {'record of row' if len(rows) == 1 else 'records of rows'} {shown} "
        f"{'is' if len(rows) == 1 else 'are'} not what was written",
        "run 'batchrun process' with --retry damaged to run these rows again; --fresh starts over and keeps the old "
        "file; 'batchrun verify' says what is intact",
    )


def heed_interrupt(error: Exception) -> None:
    """Raise `KeyboardInterrupt` if it is why SQLite has broken off: what the signal's handler raised was lost in it."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
        raise KeyboardInterrupt from error


def as_checkpoint_error(path: Path, error: Exception) -> BatchrunError:
    """The error for what SQLite or the system has said."""
    heed_interrupt(error)
    text = str(error)
    if is_out_of_memory(error):
        return OutOfMemory()
    if "full" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        so_far = "every settled row is kept" if _holds_a_checkpoint(path) else "nothing was run"
        return CheckpointError(f"{path}: the disk is full; {so_far}", "free some space and run the same command again")
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        what = "read" if "unable to open" in text and path.exists() else "written"
        return CheckpointError(
            f"{path} cannot be {what}: {text}",
            "check its permissions and its folder's, or choose another folder with --dir",
        )
    if "locked" in text:
        return CheckpointError(
            f"{path} is locked by another program", "close the program that has it open, and run again"
        )
    if any(word in text for word in _SIGNS_OF_DAMAGE):
        return damaged(path, text)
    return CheckpointError(f"{path}: {text}", "check the disk, or choose another folder with --dir")


def _holds_a_checkpoint(path: Path) -> bool:
    """Whether a checkpoint, or one in a folder, has got beyond the empty file that it begins as."""
    with suppress(OSError):
        return any(file.stat().st_size for file in (path.glob("*.sqlite") if path.is_dir() else [path]))
    return False
