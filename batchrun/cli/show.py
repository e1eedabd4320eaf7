"""`batchrun show`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument

from .common import SEE, Dir, Input, Json, Name, Task, examples, located, tell

_EXAMPLES = examples("batchrun show data.csv 17", "batchrun show data.csv 17 --json")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(show)


def show(
    input: Input = None,  # noqa: A002
    row: Annotated[int | None, Argument(metavar="ROW", help="The row's number, 1 for the first data row.")] = None,
    json: Json = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """One row: input, attempts, result, reply, error, and whether it will run next time."""
    from batchrun.checkpoint.bind import open_bound
    from batchrun.checkpoint.explain import explained
    from batchrun.checkpoint.opening import opened
    from batchrun.outcome.export.json_value import json_of
    from batchrun.outcome.row import inspect, row_in_words

    table, number = _meant(input, row)
    places, settings = located(table, dir, task, name)
    with opened(places.checkpoint, write=False) as checkpoint, explained(places.checkpoint):
        found = inspect(checkpoint, open_bound(checkpoint, settings.input), number, places, settings)
        # Bytes: UTF-8, whatever stdout's encoding. What no words can be made of is damage, and told as such.
        told = json_of(found) if json else row_in_words(found)
    if isinstance(told, bytes):
        typer.echo(told)
    else:
        tell(told)


def _meant(table: Path | None, row: int | None) -> tuple[Path | None, int]:
    """The table and the row: a number that stands alone is that of a row. Raises `UsageError` if there is none."""
    if row is not None:
        return table, row
    if table is not None and str(table).isdecimal():
        return None, int(str(table))
    from batchrun.errors import UsageError

    raise UsageError("Missing argument 'ROW'", "give the row's number, 1 for the first data row")
