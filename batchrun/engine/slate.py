"""A lane's slate: memory shared with its worker, on which the results of quick rows stand until they travel together.

A row that is done is on the slate before the next one starts, and the slate outlives the worker. So one frame serves
hundreds of rows, and still none that has finished ever runs again because of its neighbour: what the worker could not
send any more, the coordinator takes from here. See docs/decisions/0005.

The worker is the only one who writes. int64s at the start: `sheets`, how many were sent; `state`, how many rows stand
here, where their text ends, and of which kind they are, in one number, so that they are never seen at two different
moments. Then the rows' numbers, their microseconds, and the text: of each row the result, or the result, the reply and
how the one was found in the other, as JSON, with `BETWEEN` behind each. A sheet is sent in this order: the frame into
the pipe, `sheets` plus one, `state` zero. Whoever has heard as many frames as `sheets` says finds here only rows of
which it has not heard.
"""

import fcntl
import mmap
import os

import orjson

from batchrun.checkpoint.sheets import BETWEEN

from .wire import SheetFrame

MOST_ROWS = 4096
SIZE = 384 << 10
_HEAD = 64
_MICROS_AT = _HEAD + 8 * MOST_ROWS
_TEXT_AT = _MICROS_AT + 8 * MOST_ROWS
TEXT_SIZE = SIZE - _TEXT_AT
_SHEETS, _STATE = 0, 1
_WITH_REPLIES = 1 << 62
_ONE_ROW = 1 << 32
_END = _ONE_ROW - 1


class Slate:
    """The slate behind a descriptor that `new_slate` has made: the worker's, or the coordinator's look at it.

    `rows`: how many the worker has put here, and not sent.
    """

    def __init__(self, fd: int) -> None:
        view = memoryview(mmap.mmap(fd, SIZE))
        self._head = view[:_HEAD].cast("q")
        self._positions = view[_HEAD:_MICROS_AT].cast("q")
        self._micros = view[_MICROS_AT:_TEXT_AT].cast("q")
        self._text = view[_TEXT_AT:]
        self.rows = self._end = 0
        self._kind = 0

    def add(self, position: int, micros: int, text: bytes, *, with_reply: bool) -> bool:
        """A row is done, and `text` (see above, but for the last `BETWEEN`) stands here; False if there is no room, or
        rows of the other kind are here.
        """
        rows, end, kind = self.rows, self._end, _WITH_REPLIES if with_reply else 0
        stop = end + len(text) + len(BETWEEN)
        if stop > TEXT_SIZE or rows == MOST_ROWS or (rows and kind != self._kind):
            return False
        self._positions[rows], self._micros[rows], self._text[end:stop] = position, micros, text + BETWEEN
        self.rows, self._end, self._kind = rows + 1, stop, kind
        # Last: whoever sees it finds the row.
        self._head[_STATE] = kind + (rows + 1) * _ONE_ROW + stop
        return True

    def sent(self) -> None:
        """What stood here is in the pipe."""
        self._head[_SHEETS] += 1
        self._head[_STATE] = 0
        self.rows = self._end = 0

    @property
    def sheets(self) -> int:
        """How many the worker has sent."""
        return self._head[_SHEETS]

    def sheet(self) -> SheetFrame | None:
        """What stands here; None if nothing does. Both sides may ask: it is what it was at one moment."""
        while True:
            sheets, state = self._head[_SHEETS], self._head[_STATE]
            rows, end = (state & ~_WITH_REPLIES) // _ONE_ROW, state & _END
            if not rows:
                return None
            found = bytes(self._text[: end - len(BETWEEN)])
            columns = self._positions[:rows].tobytes(), orjson.dumps(self._micros[:rows].tolist())
            if self._head[_SHEETS] == sheets and self._head[_STATE]:
                break
        raws = hows = None
        if state & _WITH_REPLIES:
            lines = found.split(BETWEEN)
            found, raws, hows = (BETWEEN.join(lines[n::3]) for n in range(3))
            raws, hows = b"[%b]" % raws, b"[%b]" % hows
        return SheetFrame.sealed(sheets, *columns, b"[%b]" % found, raws, hows)


def new_slate() -> int:
    """A descriptor of memory for one slate. No row can shrink or overwrite it through a descriptor that it finds."""
    fd = os.memfd_create("batchrun slate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(fd, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)  # a stray write goes behind the end, where there is no room
    return fd
