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
SHEETS, STATE = 0, 1
WITH_REPLIES = 1 << 62
ONE_ROW = 1 << 32
_END = ONE_ROW - 1


class Slate:
    """The slate behind a descriptor that `new_slate` has made, for those who look. See `SlateWriter` for who writes.

    `views`: its head, the rows' numbers, their microseconds, the text.
    """

    def __init__(self, fd: int) -> None:
        view = memoryview(mmap.mmap(fd, SIZE))
        self._head = view[:_HEAD].cast("q")
        self._positions = view[_HEAD:_MICROS_AT].cast("q")
        self._micros = view[_MICROS_AT:_TEXT_AT].cast("q")
        self._text = view[_TEXT_AT:]
        self.views = self._head, self._positions, self._micros, self._text

    @property
    def sheets(self) -> int:
        """How many the worker has sent."""
        return self._head[SHEETS]

    def sheet(self) -> SheetFrame | None:
        """What stands here; None if nothing does. Both sides may ask: it is what it was at one moment."""
        while True:
            sheets, state = self._head[SHEETS], self._head[STATE]
            rows, end = (state & ~WITH_REPLIES) // ONE_ROW, state & _END
            if not rows:
                return None
            found = bytes(self._text[: end - len(BETWEEN)])
            columns = self._positions[:rows].tobytes(), orjson.dumps(self._micros[:rows].tolist())
            if self._head[SHEETS] == sheets and self._head[STATE]:
                break
        raws = hows = None
        if state & WITH_REPLIES:
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
