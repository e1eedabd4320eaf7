"""A text that is shown again and again: in place on a terminal, else as lines now and then. A door to rich."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from batchrun.core.text import shown_in

from .stream import Stream

EVERY_SECONDS = 30.0


class Show(Protocol):
    """Shows the text as it is now. `last`: there will be no other."""

    def __call__(self, text: str, *, last: bool) -> None: ...


@contextmanager
def refreshed(stream: Stream, *, live: bool) -> Iterator[Show]:
    """What shows a text in the block, in place of the one before if `live`; the last one stays."""
    if live:
        yield from _in_place(stream)
    else:
        yield _now_and_then(stream)


def _in_place(stream: Stream) -> Iterator[Show]:
    console = Console(file=cast(IO[str], stream), force_terminal=True, highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as view:
        console.show_cursor(True)  # after a kill -9 nobody would bring it back

        def show(text: str, *, last: bool) -> None:
            view.vertical_overflow = "visible" if last else "crop"
            view.update(Text(shown_in(text, stream.encoding), no_wrap=True, overflow="ellipsis"), refresh=True)

        yield show


def _now_and_then(stream: Stream) -> Show:
    due = float("-inf")

    def show(text: str, *, last: bool) -> None:
        nonlocal due
        if last or time.monotonic() >= due:
            due = time.monotonic() + EVERY_SECONDS
            stream.line(shown_in(text, stream.encoding))

    return show
