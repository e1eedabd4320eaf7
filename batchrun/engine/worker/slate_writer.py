"""How the results of quick rows travel: many at once, from the slate. See `batchrun.engine.slate`."""

import select
import time

import orjson

from batchrun.checkpoint.sheets import BETWEEN
from batchrun.engine.slate import Slate
from batchrun.engine.wire import Reply, pack_plain, write_all

SEND_SECONDS = 0.015


class SlateWriter:
    """The worker's hand on its slate. `inbox`: while nothing is in there, nothing waits for other rows' results."""

    def __init__(self, slate: Slate, inbox: int, outbox: int) -> None:
        self._slate = slate
        self._outbox = outbox
        self._since = 0.0
        self._watch = select.poll()
        self._watch.register(inbox, select.POLLIN)

    def take(self, reply: Reply) -> bool:
        """Keep this end of a row until its sheet is sent; False for one that must travel by itself."""
        position, outcome, seconds, body, raw, how, note, _, _, tokens = reply
        if outcome != "done" or body is None or note is not None or tokens is not None:
            return False
        if with_reply := raw is not None or how != "value":
            body = b"%b%b%b%b%b" % (body, BETWEEN, orjson.dumps(raw), BETWEEN, orjson.dumps(how))
        now = time.monotonic()
        return self.keep(position, now - seconds, now, body, with_reply=with_reply)

    def keep(self, position: int, started: float, ended: float, text: bytes, *, with_reply: bool = False) -> bool:
        """The same for what stands on the slate; monotonic seconds."""
        slate = self._slate
        if not slate.add(position, int((ended - started) * 1e6), text, with_reply=with_reply):
            self.send()
            if not slate.add(position, int((ended - started) * 1e6), text, with_reply=with_reply):
                return False
        if slate.rows == 1:
            self._since = started
        if ended - self._since >= SEND_SECONDS:
            self.send()
        return True

    def send(self) -> None:
        """Send what has gathered."""
        if self._slate.rows and (sheet := self._slate.sheet()):
            write_all(self._outbox, pack_plain(sheet))
            self._slate.sent()

    def send_if_idle(self) -> None:
        """Send what has gathered, unless further rows wait already."""
        if self._slate.rows and not self._watch.poll(0):
            self.send()
