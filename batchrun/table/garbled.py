"""Explains bytes that are not text: where they are, and in which encodings that line could be read.

Only after an error, so each explanation reads the file again from its start. Latin-1 gives one character
for each byte, hence lines can be found and numbered in bytes of any encoding the way the parser does it.
"""

import codecs
import io
from pathlib import Path

from batchrun.errors import InputError

from .compression import open_bytes
from .files import BLOCK

_CANDIDATES = ("utf-8", "gb18030", "big5", "shift_jis", "cp1252")
_AROUND = 20


def wrong_encoding(path: Path, encoding: str, error: UnicodeError) -> InputError:
    """Bytes that `encoding` cannot read: which, where, and which encodings can read that line."""
    offset = _first_undecodable(path, encoding)
    if offset is None:
        return InputError(f"{path} is not {encoding}: {error}", "Name it with --encoding.")
    number, start, line = _line_at(path, offset)
    byte = line[offset - start]
    readable = _readings(line, offset - start, encoding)
    return InputError(
        f"{path}, line {number}: byte {offset:,} (0x{byte:02x}) is not {encoding.removesuffix('-sig')}",
        f"Name the encoding with --encoding. {readable}",
    )


def nul_error(path: Path, encoding: str) -> InputError:
    """A NUL character, which no table should hold."""
    number = _line_of_nul(path, encoding)
    return InputError(
        f"{path}, line {number}: contains a NUL byte",
        "If the file is UTF-16 without a byte-order mark, give --encoding utf-16-le; "
        "otherwise remove the NUL bytes (tr -d '\\000').",
    )


def _first_undecodable(path: Path, encoding: str) -> int | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    with open_bytes(path, nul_allowed=True) as stream:
        while True:
            block = stream.read(BLOCK)
            read += len(block)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                # `error.object` may start with bytes kept back from the block before.
                return read - len(error.object) + error.start
            except UnicodeError:
                return None
            if not block:
                return None


def _line_at(path: Path, offset: int) -> tuple[int, int, bytes]:
    """The line that holds the byte at `offset`: number from 1, offset of its first byte, bytes."""
    start = 0
    with io.TextIOWrapper(open_bytes(path, nul_allowed=True), "latin-1", newline="") as lines:
        for number, line in enumerate(lines, 1):
            if start + len(line) > offset:
                return number, start, line.encode("latin-1")
            start += len(line)
    return 0, offset, b"\0"


def _line_of_nul(path: Path, encoding: str) -> int:
    with io.TextIOWrapper(open_bytes(path, nul_allowed=True), encoding, errors="replace", newline="") as lines:
        return next((number for number, line in enumerate(lines, 1) if "\0" in line), 0)


def _readings(line: bytes, at: int, encoding: str) -> str:
    tried = codecs.lookup(encoding.removesuffix("-sig")).name
    found = {name: _reading(line, at, name) for name in _CANDIDATES if codecs.lookup(name).name != tried}
    shown = "; ".join(f"{name}: {text!r}" for name, text in found.items() if text)
    return f"That line can be read as {shown}." if shown else "None of the common encodings can read that line."


def _reading(line: bytes, at: int, encoding: str) -> str | None:
    """What stands around byte `at` if the whole line is text in `encoding`."""
    try:
        text = line.decode(encoding)
    except UnicodeError:
        return None
    middle = len(line[:at].decode(encoding, "ignore"))
    return text[max(0, middle - _AROUND) : middle + _AROUND].strip()
