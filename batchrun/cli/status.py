"""`batchrun status`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from .common import SEE, Dir, Json, Name, Task, examples, settings_for, table_of, tell

LOOK_EVERY_SECONDS = 1.0
LOOK_SHARE = 20

_EXAMPLES = examples("batchrun status", "batchrun status data.csv --watch", "batchrun status data.csv --json")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(status)


def status(
    input: Annotated[  # noqa: A002
        Path | None,
        Argument(metavar="INPUT", help="The table.  \\[default: all that have a checkpoint in this folder or below]"),
    ] = None,
    watch: Annotated[bool, Option("--watch", "-w", help="Keep showing it until the run ends, or Ctrl-C.")] = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Rows done, failed and left for each task of a table; works while a run is in progress."""
    from json import dumps

    from batchrun.errors import UsageError
    from batchrun.options.task_name import function_name
    from batchrun.outcome.status import all_statuses

    if watch and json:
        raise UsageError("--watch is for people, --json for programs", "leave one of them out")
    settings = settings_for({"dir": dir, "name": name})
    directory = settings.dir
    table = table_of(input, settings) if input else None
    wanted = name or (function_name(task) if task else None)

    def look() -> list[dict[str, Any]]:
        return all_statuses(table, directory, wanted)

    if json:
        typer.echo(dumps(look()[0] if input else look()))
    elif watch:
        _watch(look)
    else:
        tell(_text(look()))


def _watch(look: Callable[[], list[dict[str, Any]]]) -> None:
    """Show it again until no run is in progress. Looking takes a twentieth of the time at most."""
    import os

    from batchrun.display.refresh import refreshed
    from batchrun.display.reporter import is_live
    from batchrun.display.stream import Stream
    from batchrun.outcome.status import any_running

    stream = Stream(sys.stdout)
    try:
        with refreshed(stream, live=is_live("auto", stream.isatty(), os.environ)) as show:
            going_on = True
            while going_on:
                began = time.monotonic()
                records = look()
                going_on = any_running(records)
                show(_text(records), last=not going_on)
                took = time.monotonic() - began
                time.sleep(max(LOOK_EVERY_SECONDS, LOOK_SHARE * took) if going_on else 0)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _text(records: list[dict[str, Any]]) -> str:
    from batchrun.outcome.status import status_in_words

    return "\n".join(map(status_in_words, records)) or "no table here has a checkpoint"
