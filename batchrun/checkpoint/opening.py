"""Opens checkpoints: made where there is none, brought up to date where one is older."""

import os
import sqlite3
from pathlib import Path

from batchrun.errors import CheckpointError, UsageError

from .checkpoint import Checkpoint
from .explain import explained
from .format import FORMAT, create, is_known
from .old_formats import convert, disguise
from .own_tables import distrust, stranger_in
from .places import check_folder

_HEED_EVERY = 100_000
"""Steps of SQLite's machine, a few milliseconds, after which it looks whether a signal has come."""
_PAGE_BYTES = 4096
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE)


class NothingYet(UsageError):
    """The file is there, and no run has come as far as to write anything into it."""


def opened(path: Path, *, write: bool, still: bool = False) -> Checkpoint:
    """Open the checkpoint at `path`; with `write`, make it if it is missing or empty. `still`: nobody writes to it any
    more, so that a reader leaves no files beside it.

    Raises `CheckpointError` if it is damaged, of a newer format, no checkpoint, not ours alone, or cannot be written,
    and `NothingYet` if it is empty and only to be read.
    """
    check_folder(path.parent, path.name)
    with explained(path):
        try:
            if still and not write and not _has_log(path):
                return _opened(path, "immutable=1", write=False)
            return _opened(path, "mode=rwc" if write else "mode=ro", write=write)
        except sqlite3.OperationalError as error:
            if not write and _is_half_made(path):
                raise _nothing_yet(path) from error
            # A read-only folder, or a full disk, has no room for the files that readers share; nor has it for a writer.
            # What Python itself says, of text that is not UTF-8, has no code.
            no_room = getattr(error, "sqlite_errorcode", None) in _NO_ROOM or not os.access(path.parent, os.W_OK)
            if write or _has_log(path) or not no_room:
                raise
            return _opened(path, "immutable=1", write=False)


def _opened(path: Path, how: str, *, write: bool) -> Checkpoint:
    # Autocommit: transactions are ours to begin and end. A reader waits for a writer's checkpoint.
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None, timeout=30,
        check_same_thread=False, cached_statements=256,
    )  # fmt: skip
    db.set_progress_handler(_heed, _HEED_EVERY)
    try:
        distrust(db)
        _prepare(db, path, write=write)
    except BaseException:
        db.close()
        raise
    return Checkpoint(path, db)


def _heed() -> None:
    """A signal that has come is handled while Python runs: what its handler raises here ends the statement.

    A run's handler raises only where it may (see `Signals.at_once`).
    """


def _is_half_made(path: Path) -> bool:
    """Whether a run was killed in the moment it made the file: a rollback journal is there only until the log is."""
    return Path(f"{path}-journal").exists() and path.exists() and path.stat().st_size <= _PAGE_BYTES


def _nothing_yet(path: Path) -> NothingYet:
    return NothingYet(f"{path} is empty: no run of this task has begun yet", "'batchrun process' starts one")


def _has_log(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _prepare(db: sqlite3.Connection, path: Path, *, write: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > FORMAT:
        raise CheckpointError(
            f"{path} was written by a newer batchrun (format {version}, this one reads up to {FORMAT})",
            "upgrade batchrun, or start another checkpoint with --name",
        )
    if not empty and not is_known(version):
        raise CheckpointError(f"{path} is not a batchrun checkpoint", "move it away, or choose another --name or --dir")
    if found := stranger_in(db, version):
        raise CheckpointError(
            f"{path} contains the {found}, which batchrun did not create: somebody else may have changed the file",
            "if you made it yourself, remove it (DROP, in the sqlite3 shell); otherwise choose another --name or --dir",
        )
    if write:
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise CheckpointError(
                f"{path}: this file system cannot hold a write-ahead log", "choose a local folder with --dir"
            )
        # Each commit is synced: what we call settled survives a power cut (docs/decisions/0001).
        db.execute("PRAGMA synchronous=FULL")
        os.chmod(path, 0o600)
        if empty:
            create(db)
        elif version < FORMAT:
            convert(db, version)
    elif empty:
        raise _nothing_yet(path)
    elif version < FORMAT:
        disguise(db, version)
