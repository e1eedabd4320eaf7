"""Signals set a number, which the run's loop looks at. Only while nothing can be lost do they end what goes on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from batchrun.errors import Interrupted


class Signals:
    """How often the user has asked to stop, by which signal first, and whether they asked what is running."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0
        self.asked = False
        self._meanwhile = ""

    def stop(self, signum: int, _frame: FrameType | None) -> None:
        """SIGINT, SIGTERM or SIGHUP has come."""
        self.first = self.first or signum
        self.count += 1
        if self._meanwhile and self.count == 1:  # a further one must not disturb the way out
            raise Interrupted(self.first, self._meanwhile)

    @contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """Let a signal end the block wherever it is: a row of a million columns is long between two looks.

        For reading only, and for transactions, which are rolled back.
        """
        if self.first:
            raise Interrupted(self.first, message)
        self._meanwhile = message
        try:
            yield
        except BaseException as error:
            if self.first and not isinstance(error, Interrupted):  # what was raised within SQLite was lost there
                raise Interrupted(self.first, message) from error
            raise
        finally:
            self._meanwhile = ""

    def ask(self, _signum: int, _frame: FrameType | None) -> None:
        """SIGUSR1 has come."""
        self.asked = True


@contextmanager
def listening(signals: Signals | None = None) -> Iterator[Signals]:
    """Listen for SIGINT, SIGTERM, SIGHUP and SIGUSR1 inside the block (only the main thread can).

    `signals`: what whoever started the run stops it by.
    """
    signals = signals or Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers = {signal.SIGINT: signals.stop, signal.SIGTERM: signals.stop, signal.SIGUSR1: signals.ask}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to go on without a terminal
        handlers[signal.SIGHUP] = signals.stop
    before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
