"""`batchrun errors`."""

from typing import Annotated

import typer
from typer import Option

from .common import Dir, Input, Json, Name, Task, located


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(errors)


def errors(
    input: Input,  # noqa: A002
    full: Annotated[bool, Option("--full", help="With a traceback for each group.")] = False,
    json: Json = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """What failed: grouped by kind and message, with counts, sample rows, and what to do."""
    from json import dumps

    from batchrun.checkpoint import opened
    from batchrun.failures import groups, in_words

    places, _ = located(input, dir, task, name)
    with opened(places.checkpoint, write=False) as checkpoint:
        found = groups(checkpoint.failed_rows())
    typer.echo(dumps([group.as_record() for group in found]) if json else in_words(found, full=full))
