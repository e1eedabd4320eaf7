"""The files that a table is made of: which they are, what they hold, and whether they have changed."""

import difflib
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import xxhash

from batchrun.errors import InputError

BLOCK = 1 << 20
PARQUET_MAGIC = b"PAR1"
_OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/")
"""A file redirected to stdin looks like any other here, but the name is another's in the next run."""
_PARQUET_NAMES = (".parquet", ".parq", ".pq")
_LIKE_A_TABLE = re.compile(
    r"(?![_.])(?!.*\.results\.).*\.(parquet|parq|pq|(csv|tsv|tab|jsonl|ndjson)(\.(gz|bz2|xz|zst))?)$"
)
"""Not our own results of one of the files."""


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
        raise _without_parquet(path)
    return found


def unread_files(path: Path) -> list[Path]:
    """Files that bear a table's name and lie in a folder that is a table, or below it, but are not read with it."""
    if not path.is_dir():
        return []
    read = set(files_of(path))
    return [file for file in _named_like_tables(path) if file not in read]


def _without_parquet(path: Path) -> InputError:
    below = list(_named_like_tables(path))
    parquet = [file for file in below if file.name.lower().endswith(_PARQUET_NAMES)]
    if parquet:
        whole, one = json.dumps(str(path)), json.dumps(f"{path}.parquet")
        code = f"import pyarrow.parquet as p; p.write_table(p.read_table({whole}), {one})"
        return InputError(
            f"{path} has no Parquet files of its own, and subfolders are not read: {_some(path, parquet)}",
            f"Give one of these folders, such as {shlex.quote(str(parquet[0].parent))}; or make one file of all, "
            f"with the folders' names as columns: python -c {shlex.quote(code)}",
        )
    hint = (
        f" ({_some(path, below)}: give that file)" if len(below) == 1 else f" ({_some(path, below)})" if below else ""
    )
    return InputError(f"{path} is a folder without Parquet files{hint}", "Give a file, or a folder of Parquet files.")


def _some(path: Path, files: Sequence[Path]) -> str:
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"{files[0].relative_to(path)}{more}"


def _named_like_tables(path: Path) -> Iterator[Path]:
    """In the order of their names; neither checkpoints nor what `files_of` takes for markers is looked into."""
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name for name in folders if not name.startswith(("_", ".")) and not name.endswith(".batchrun")
        )
        yield from (Path(folder, name) for name in sorted(names) if _LIKE_A_TABLE.match(name.lower()))


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
        "Run the same command again once nothing is writing to it.",
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
    return (
        f"Did you mean {' or '.join(close)}?" if close else f"Check the name, and the folder: {path.parent.resolve()}"
    )
