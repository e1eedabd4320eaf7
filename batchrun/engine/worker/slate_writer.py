"""How the results of quick rows travel: many at once, from the slate. See `batchrun.engine.slate`."""

import select
import time

import orjson

from batchrun.checkpoint.sheets import BETWEEN
from batchrun.engine.slate import TEXT_SIZE, Slate
from batchrun.engine.wire import Reply, pack_plain, write_all

SEND_SECONDS = 0.015


class SlateWriter:
    """The worker's hand on its slate. `inbox`: while nothing is in there, nothing waits for other rows' results."""

    def __init__(self, slate: Slate, inbox: int, outbox: int) -> None:
        self._slate = slate
        self._outbox = outbox
        self._rows = 0
        self._with_replies = False
        self._since = 0.0
        self._watch = select.poll()
        self._watch.register(inbox, select.POLLIN)

    def take(self, reply: Reply) -> bool:
        """Keep this end of a row until its sheet is sent; False for one that must travel by itself."""
        position, outcome, seconds, body, raw, how, note, _, _, tokens = reply
        if outcome != "done" or body is None or note is not None or tokens is not None:
            return False
        with_reply = raw is not None or how != "value"
        text = body + BETWEEN
        if with_reply:
            text = b"%b%b%b%b%b" % (text, orjson.dumps(raw), BETWEEN, orjson.dumps(how), BETWEEN)
        if self._rows and (with_reply != self._with_replies or not self._slate.room(len(text))):
            self.send()
        if len(text) > TEXT_SIZE:
            return False
        self._slate.add(position, int(seconds * 1e6), text, with_reply=with_reply)
        now = time.monotonic()
        if not self._rows:
            self._since, self._with_replies = now - seconds, with_reply
        self._rows += 1
        if now - self._since >= SEND_SECONDS:
            self.send()
        return True

    def send(self) -> None:
        """Send what has gathered."""
        if self._rows and (sheet := self._slate.sheet()):
            write_all(self._outbox, pack_plain(sheet))
            self._slate.sent()
        self._rows = 0

    def send_if_idle(self) -> None:
        """Send what has gathered, unless further rows wait already."""
        if self._rows and not self._watch.poll(0):
            self.send()
