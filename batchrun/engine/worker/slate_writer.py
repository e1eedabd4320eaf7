"""How the results of quick rows travel: many at once, from the slate. See `batchrun.engine.slate`."""

import select
import time

import orjson

from batchrun.checkpoint.sheets import BETWEEN
from batchrun.engine.slate import MOST_ROWS, ONE_ROW, SHEETS, STATE, TEXT_SIZE, WITH_REPLIES, Slate
from batchrun.engine.wire import Reply, pack_plain, write_all

SEND_SECONDS = 0.015


class SlateWriter:
    """The worker's hand on its slate. `inbox`: while nothing is in there, nothing waits for other rows' results."""

    def __init__(self, slate: Slate, inbox: int, outbox: int) -> None:
        self._slate = slate
        self._head, self._positions, self._micros, self._text = slate.views
        self._outbox = outbox
        self._rows = self._end = self._kind = 0
        self._since = 0.0
        self._watch = select.poll()
        self._watch.register(inbox, select.POLLIN)

    def take(self, reply: Reply) -> bool:
        """Keep this end of a row until its sheet is sent; False for one that must travel by itself."""
        position, outcome, seconds, body, raw, how, note, _, _, tokens = reply
        if outcome != "done" or body is None or note is not None or tokens is not None:
            return False
        now = time.monotonic()
        if raw is None and how == "value":
            return self.keep(position, now - seconds, now, body)
        text = b"%b%b%b%b%b" % (body, BETWEEN, orjson.dumps(raw), BETWEEN, orjson.dumps(how))
        return self.keep(position, now - seconds, now, text, WITH_REPLIES)

    def keep(self, position: int, started: float, ended: float, text: bytes, kind: int = 0) -> bool:
        """The same for what is to stand on the slate of a row (see `batchrun.engine.slate`); times in seconds."""
        rows, end = self._rows, self._end
        stop = end + len(text) + len(BETWEEN)
        if kind != self._kind or stop > TEXT_SIZE or rows == MOST_ROWS:
            self.send()
            self._kind = kind
            return len(text) + len(BETWEEN) <= TEXT_SIZE and self.keep(position, started, ended, text, kind)
        self._positions[rows] = position
        self._micros[rows] = int((ended - started) * 1e6)
        self._text[end:stop] = text + BETWEEN
        self._rows = rows = rows + 1
        self._end = stop
        # Last: whoever sees it finds the row.
        self._head[STATE] = kind + rows * ONE_ROW + stop
        if rows == 1:
            self._since = started
        if ended - self._since >= SEND_SECONDS:
            self.send()
        return True

    def send(self) -> None:
        """Send what has gathered."""
        if self._rows and (sheet := self._slate.sheet()):
            write_all(self._outbox, pack_plain(sheet))
            self._head[SHEETS] += 1
            self._head[STATE] = 0
        self._rows = self._end = 0

    def send_if_idle(self) -> None:
        """Send what has gathered, unless further rows wait already."""
        if self._rows and not self._watch.poll(0):
            self.send()
