"""Blocks of whole lines of a text in any encoding, compressed or not."""

import codecs
from typing import BinaryIO

from .compression import NulByteError
from .pages import Page


class Decoded:
    """See `Blocks`; no page is ever known."""

    def __init__(self, stream: BinaryIO, size: int, encoding: str) -> None:
        self._stream = stream
        self._size = size
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest: list[str] = []  # joined once: a line may be long
        self._more = True

    def page(self) -> Page | None:
        return None

    def text(self) -> str:
        while self._more:
            data = self._stream.read(self._size)
            self._more = len(data) == self._size  # whatever is appended from now on, this pass ends
            text = self._decoder.decode(data, final=not self._more)
            if "\0" in text:
                raise NulByteError
            if end := _end_of_lines(text):
                found, self._rest = [*self._rest, text[:end]], [text[end:]]
                return "".join(found)
            self._rest.append(text)
        found, self._rest = self._rest, []
        return "".join(found)


def _end_of_lines(text: str) -> int:
    """Where the last whole line ends; 0 if there is none. A carriage return at the very end may be half a line end."""
    return max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
