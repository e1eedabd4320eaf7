"""The files that a table is made of: which they are, what they hold, and whether they have changed."""

import difflib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from batchrun.errors import InputError

BLOCK = 1 << 20
PARQUET_MAGIC = b"PAR1"
_OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/")
"""A file redirected to stdin looks like any other here, but the name is another's in the next run."""
_PARQUET_NAMES = (".parquet", ".parq", ".pq")


def check_reachable(path: Path) -> None:
    """Raise `InputError` unless `path` is a file or folder, which can be read more than once."""
    try:
        mode = stat.S_IFIFO if str(path).startswith(_OPEN_FILES) or str(path) == "-" else path.stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
            f"{path} is a pipe or a device: a run reads its input twice, and again when it is resumed",
            "Save the data to a file first and give its name.",
        )


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputError(f"{path} does not exist", _close_names(path))
    if isinstance(error, PermissionError):
        return InputError(f"{path}: permission denied", "Make the file readable for this user (chmod u+r).")
    return InputError(f"{path} cannot be read: {error.strerror or error}", "Check the path and the disk.")


def files_of(path: Path) -> list[Path]:
    """The file itself, or the Parquet files of a folder, sorted by name.

    Names that start with `_` or `.` are markers of the tools that write such folders, and are ignored. Not so that of
    a Delta table: which of its files count, only its log says.
    """
    if not path.is_dir():
        return [path]
    if (path / "_delta_log").is_dir():
        raise InputError(
            f"{path} is a Delta table: its folder also holds rows that were deleted or replaced",
            "Take a snapshot: pyarrow.parquet.write_table(deltalake.DeltaTable(PATH).to_pyarrow_table(), FILE); "
            "give that file.",
        )
    try:
        names = sorted(name for name in os.listdir(path) if not name.startswith(("_", ".")))
        found = [path / name for name in names if _is_parquet(path / name)]
    except OSError as error:
        raise unreadable(path, error) from error
    if not found:
        raise InputError(
            f"{path} is a folder without Parquet files",
            "Give a file, or a folder that holds Parquet files itself (its subfolders are not read).",
        )
    return found


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file. Raises `InputError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise unreadable(path, error) from error


def digest_of(path: Path) -> str:
    """xxh3_128 (32 hexadecimal digits) of the bytes on disk; of a folder, of its files' names and bytes.

    Raises `InputError` if they cannot be read.
    """
    digest = xxhash.xxh3_128()
    for file in files_of(path):
        if file != path:
            digest.update(f"{file.name}\0{_size(file)}\0".encode("utf-8", "surrogateescape"))
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raise `InputError` if the files were written to, replaced or removed within the block."""
    before = _stamp(path)
    try:
        yield
    except InputError:
        if _stamp(path) == before:
            raise
    if _stamp(path) != before:
        raise changed(path)


def changed(path: Path) -> InputError:
    """The error for an input that is not what it was a moment ago."""
    return InputError(
        f"{path} changed while it was being read",
        "Give the same command again once nothing writes to it any more.",
    )


def _stamp(path: Path) -> list[tuple[str, int, int, int]]:
    try:
        stats = [(file.name, file.stat()) for file in files_of(path)]
    except (OSError, InputError):
        return []
    return [(name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in stats]


def _blocks(file: Path) -> Iterator[bytes]:
    try:
        with open(file, "rb", buffering=0) as stream:
            while block := stream.read(BLOCK):
                yield block
    except OSError as error:
        raise unreadable(file, error) from error


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise unreadable(file, error) from error


def _is_parquet(file: Path) -> bool:
    if not file.is_file():
        return False
    return file.name.lower().endswith(_PARQUET_NAMES) or head_of(file, 4) == PARQUET_MAGIC


def _close_names(path: Path) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"There is no folder {path.parent} either; check the path."
    close = difflib.get_close_matches(path.name, names)
    return f"Did you mean {' or '.join(close)}?" if close else f"Check the name; the folder is {path.parent}."
