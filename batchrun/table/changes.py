"""Whether the files of a table have changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

from batchrun.errors import InputError

from .files import BLOCK, unreadable
from .members import files_of, name_in


def digest_of(path: Path) -> str:
    """xxh3_128 (32 hexadecimal digits) of the bytes on disk; of several files, of their names and bytes.

    Raises `InputError` if they cannot be read.
    """
    digest = xxhash.xxh3_128()
    for file in files_of(path):
        if file != path:
            digest.update(f"{name_in(path, file)}\0{_size(file)}\0".encode("utf-8", "surrogateescape"))
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
        stats = [(name_in(path, file), file.stat()) for file in files_of(path)]
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
