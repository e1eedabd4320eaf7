"""`batchrun export`."""

import os
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from .common import Dir, Input, Name, Task, located


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(export)


def export(
    input: Input,  # noqa: A002
    output: Annotated[str, Option("--output", "-o", help="File (.csv .parquet .jsonl .xlsx), or - for stdout.")],
    format: Annotated[  # noqa: A002
        str | None,
        Option("--format", help="csv, parquet, jsonl, xlsx.  \\[default: by the file's name; csv for -]"),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that batchrun did not write.")] = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """Write the results so far, joined to the table in its order; works on a half-done run."""
    from batchrun.checkpoint import opened
    from batchrun.finish import export_to
    from batchrun.source import open_bound

    places, settings = located(input, dir, task, name)
    target = None if output == "-" else Path(output).absolute()
    with opened(places.checkpoint, write=False) as checkpoint:
        bound = open_bound(checkpoint, input, settings)
        try:
            rows = export_to(places, bound, checkpoint, target, format, overwrite=overwrite)
        except BrokenPipeError:  # whoever reads it has had enough: `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(0) from None
    if target is not None:
        typer.echo(f"{rows:,} rows in {target}", err=True)
