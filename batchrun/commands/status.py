"""`batchrun status`."""

import typer

from .common import Dir, Input, Json, Name, Task


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(input: Input, dir: Dir = None, task: Task = None, name: Name = None, json: Json = False) -> None:  # noqa: A002
    """Rows done, failed and left for each task of a table; works while a run goes on."""
    from json import dumps

    from batchrun.settings import function_name, here
    from batchrun.status import in_words, statuses

    directory = here({"dir": dir}).dir
    records = statuses(input, directory, name or (function_name(task) if task else None))
    if json:
        typer.echo(dumps({"input": str(input), "tasks": records}))
    elif not records:
        typer.echo(f"{input}: nothing has been run yet; 'batchrun process {input}' starts")
    else:
        typer.echo("\n".join([str(input), *(in_words(record) for record in records)]))
