"""Bytes of a text file as it was before it was compressed. The content says how, not the name."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchrun.errors import InputError

from .files import BLOCK, head_of, unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    # The second half (a block, or the end) keeps a header that starts with "BZh" from looking compressed.
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
}


LARGEST_LINE = 128 << 20
"""Bytes, decompressed. What has no line end for so long is hardly a table, and would fill the memory."""


class LongLineError(ValueError):
    """A line of more than `LARGEST_LINE` bytes: explained by whoever opened the file. `start`: its first byte."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class NulByteError(ValueError):
    """A NUL byte in the text: explained, with its line, by whoever opened the file."""


def compression_of(path: Path) -> str | None:
    """`gzip`, `bzip2`, `xz`, `zstd`, or None. Raises `InputError` if the file cannot be read."""
    head = head_of(path, 16)
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), None)


def open_bytes(path: Path, *, nul_allowed: bool) -> io.BufferedReader:
    """The decompressed bytes. Reading raises `InputError` where they are cut off or damaged.

    Unless `nul_allowed`, a NUL byte raises `NulByteError`: here, a block at a time, the check is free.
    """
    compression = compression_of(path)
    try:
        source = _open(path, compression)
    except OSError as error:
        raise unreadable(path, error) from error
    return io.BufferedReader(_Checked(source, path, compression, nul_allowed), BLOCK)


class _Checked(io.RawIOBase):
    """A raw stream that turns the errors of five libraries into one."""

    def __init__(self, source: Any, path: Path, compression: str | None, nul_allowed: bool) -> None:
        self._source, self._path = source, path
        self._compression, self._nul_allowed = compression, nul_allowed
        self._at = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        data = self._read(len(view))
        if b"\0" in data and not self._nul_allowed:
            raise NulByteError
        if end := max(data.rfind(b"\n"), data.rfind(b"\r")) + 1:
            self._line = self._at + end
        self._at += len(data)
        if self._at - self._line > LARGEST_LINE:
            raise LongLineError(self._line)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._source.read(size))
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> InputError:
        if self._compression is None and isinstance(error, OSError):
            return unreadable(self._path, error)
        return InputError(
            f"{self._path}: the {self._compression} data is cut off or damaged ({error})",
            "Copy or download the file again.",
        )


def _open(path: Path, compression: str | None) -> Any:
    if compression == "gzip":
        return gzip.open(path)
    if compression == "bzip2":
        return bz2.open(path)
    if compression == "xz":
        return lzma.open(path)
    if compression == "zstd":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    return open(path, "rb", buffering=0)
