"""Text of a file: UTF-8, UTF-16 or UTF-32 by their byte-order mark, else as `--encoding` says."""

import codecs
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchrun.errors import InputError

from .blocks import Decoded
from .compression import LARGEST_LINE, LongLineError, NulByteError, compression_of, open_bytes
from .garbled import nul_error, wrong_encoding
from .pages import Blocks, Known, Walk

# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TextFile:
    """A text file, compressed or not, whose encoding is known (a name that Python knows)."""

    path: Path
    encoding: str

    @contextmanager
    def lines(self, newline: str = "") -> Iterator[Iterable[str]]:
        """The file's lines with their line ends; for `newline` see `open`.

        Raises `InputError`, naming the line, for NUL and for bytes that are not text in this encoding.
        """
        wide = is_wide(self.encoding)
        bytes_of = open_bytes(self.path, nul_allowed=wide)
        with self._explained(), io.TextIOWrapper(bytes_of, self.encoding, newline=newline) as stream:
            yield _without_nul(stream) if wide else stream

    @contextmanager
    def blocks(self, size: int, known: Known) -> Iterator[Blocks]:
        """The text in blocks of whole lines, about `size` bytes or one longer line each. Raises like `lines`.

        Known pages are passed over where bytes need no decoder's memory: in UTF-8 that is not compressed.
        """
        plain = self.encoding.startswith("utf-8") and compression_of(self.path) is None
        with self._explained(), open_bytes(self.path, nul_allowed=is_wide(self.encoding)) as stream:
            if plain:
                stream.read(len(codecs.BOM_UTF8) if self.encoding == "utf-8-sig" else 0)
                yield Walk(stream, size, known)
            else:
                yield Decoded(stream, size, self.encoding)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NulByteError:
            raise nul_error(self.path, self.encoding) from None
        except LongLineError as error:
            raise InputError(
                f"{self.path}: the line from byte {error.start + 1:,} on is longer than {LARGEST_LINE >> 20} MiB",
                "is it the right file? If it is, it may have no line ends: write it with shorter rows",
            ) from None
        except UnicodeError as error:
            raise wrong_encoding(self.path, self.encoding, error) from None

    def head(self, size: int) -> str:
        """Up to `size` bytes from the start; what cannot be read is replaced."""
        with open_bytes(self.path, nul_allowed=True) as stream:
            return stream.read(size).decode(self.encoding, "replace")


def text_file(path: Path, encoding: str | None) -> TextFile:
    """Settle the encoding. Raises `InputError` if Python has none of this name."""
    with open_bytes(path, nul_allowed=True) as stream:
        start = stream.read(4)
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if encoding is None:
        return TextFile(path, marked or "utf-8")
    name = _known(encoding)
    # The mark is not part of the first column's name, whichever way the encoding was said.
    same = marked is not None and name.startswith(marked.removesuffix("-sig"))
    return TextFile(path, marked if marked and same else name)


def is_wide(encoding: str) -> bool:
    """Do all characters take two or four bytes, so that zero bytes are no NUL characters?"""
    return encoding.startswith(("utf-16", "utf-32"))


def _known(encoding: str) -> str:
    try:
        b"a".decode(encoding, "replace")  # unlike lookup(), refuses those that are not text, such as rot13
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding {encoding}: no such text encoding",
            "Names are those of Python, such as utf-8, utf-16, cp1252, gb18030, big5, shift_jis.",
        ) from None


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise NulByteError
        yield line
