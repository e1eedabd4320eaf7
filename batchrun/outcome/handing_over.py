"""Rows that are handed over to a program while the run goes on, once they are durable."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Self

from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.ledger import HandOver
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.places import Places
from batchrun.core.signals import Signals
from batchrun.core.states import CRASHED, FAILED, TIMED_OUT
from batchrun.errors import Interrupted
from batchrun.run.summary import Summary

from .sample import settled_rows

_BAD = (FAILED, TIMED_OUT, CRASHED)


class Watched(NamedTuple):
    """What a run is watched and stopped by."""

    hand_over: HandOver | None = None
    signals: Signals | None = None


class Failures:
    """Tells a program of each row that has failed. A context manager: it reads the checkpoint beside the run."""

    def __init__(self, places: Places, tell: Callable[[dict[str, Any]], None]) -> None:
        self._places = places
        self._tell = tell
        self._checkpoint: Checkpoint | None = None
        self._stack = ExitStack()

    def saw(self, rows: Sequence[int], state: int) -> None:
        """These rows are settled."""
        if state in _BAD:
            if self._checkpoint is None:
                self._checkpoint = self._stack.enter_context(opened(self._places.checkpoint, write=False))
            for row in settled_rows(self._checkpoint, rows):
                self._tell(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def handed_over(places: Places, run: Callable[[Watched], Summary]) -> Iterator[dict[str, Any]]:
    """The rows that a run settles, as they come. It runs in a thread, and is stopped when nobody wants more."""
    settled: SimpleQueue[Sequence[int] | None] = SimpleQueue()  # numbers alone: the results wait on disk
    watched = Watched(lambda rows, _: settled.put(rows), Signals())
    raised: list[BaseException] = []

    def work() -> None:
        try:
            run(watched)
        except BaseException as error:  # noqa: BLE001 - it is raised where the rows are wanted
            raised.append(error)
        finally:
            settled.put(None)

    thread = Thread(target=work, name="batchrun")
    thread.start()
    try:
        yield from _until_the_last(places, settled)
    finally:
        _end(thread, watched)
    if raised:
        raise raised[0]


def _until_the_last(places: Places, settled: "SimpleQueue[Sequence[int] | None]") -> Iterator[dict[str, Any]]:
    first = settled.get()
    if first is None:
        return
    with opened(places.checkpoint, write=False) as checkpoint:
        yield from settled_rows(checkpoint, first)
        while (rows := settled.get()) is not None:
            yield from settled_rows(checkpoint, rows)


def _end(thread: Thread, watched: Watched) -> None:
    """Wait for the run; if it goes on, let rows in flight finish, or after a further Ctrl-C not even that."""
    while thread.is_alive():
        with suppress(Interrupted):  # it is the run's to be told
            if watched.signals and thread.is_alive():
                watched.signals.stop(signal.SIGINT, None)
        try:
            thread.join()
        except KeyboardInterrupt:
            continue
