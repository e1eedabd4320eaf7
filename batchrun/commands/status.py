"""`batchrun status`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument

from .common import Dir, Json, Name, Task


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(
    input: Annotated[  # noqa: A002
        Path | None,
        Argument(metavar="[INPUT]", help="The table.  \\[default: all that have a checkpoint in this folder or below]"),
    ] = None,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Rows done, failed and left for each task of a table; works while a run goes on."""
    from json import dumps

    from batchrun.places import tables_below
    from batchrun.settings import function_name, here
    from batchrun.status import statuses

    directory = here({"dir": dir}).dir
    wanted = name or (function_name(task) if task else None)
    tables = [(input, directory)] if input else tables_below(directory or Path())
    records = [{"input": str(table), "tasks": statuses(table, place, wanted)} for table, place in tables]
    if json:
        typer.echo(dumps(records[0] if input else records))
    else:
        typer.echo("\n".join(map(_in_words, records)) or "no table here has a checkpoint")


def _in_words(record: dict[str, Any]) -> str:
    from batchrun.status import in_words

    if not record["tasks"]:
        return f"{record['input']}: nothing has been run yet; 'batchrun process {record['input']}' starts"
    return "\n".join([record["input"], *(in_words(task) for task in record["tasks"])])
