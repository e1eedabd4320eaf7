"""Which reporter there is depends on who may be looking."""

import os
import sys
from collections.abc import Mapping
from typing import TextIO

from .json_records import JsonRecords
from .notebook import Notebook, is_notebook
from .plain import Plain
from .protocol import Reporter
from .quiet import Quiet
from .stream import Stream

__all__ = ["Reporter", "make"]


def make(progress: str, quiet: bool, json: bool, stream: TextIO) -> Reporter:
    """The reporter for `--progress` (`auto`, `live`, `plain`, `none`), `--quiet` and `--json`.

    `stream`: where people look. Records for machines go to stdout, whatever else is shown.
    """
    if progress != "plain" and not quiet and is_notebook(stream):
        reporter: Reporter = Notebook(Stream(stream), ticks=progress != "none")
    else:
        reporter = _for_people(progress, quiet, Stream(stream, waits=False))
    return JsonRecords(reporter, Stream(sys.stdout, waits=False)) if json else reporter


def _for_people(progress: str, quiet: bool, stream: Stream) -> Reporter:
    if quiet:
        return Quiet(stream)
    if is_live(progress, stream.isatty(), os.environ):
        # Not above: importing rich takes longer than a small run.
        from .live import Live

        return Live(stream)
    return Plain(stream, ticks=progress != "none")


def is_live(progress: str, terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether to draw. A dumb terminal cannot be drawn on, whoever asks for it."""
    if environment.get("TERM", "") == "dumb":
        return False
    return progress == "live" or (progress == "auto" and terminal)
