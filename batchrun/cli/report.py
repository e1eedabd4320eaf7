"""`batchrun report`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from .common import SEE, Dir, Input, Name, Task, broken_pipe_ends_quietly, examples, located, tell

_EXAMPLES = examples("batchrun report data.csv", "batchrun report data.csv -o report.html")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(report)


def report(
    input: Input = None,  # noqa: A002
    output: Annotated[
        str | None,
        Option("--output", "-o", help="HTML file, or - for stdout.  \\[default: data.report.html beside data.csv]"),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that batchrun did not write.")] = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """One page about all runs: throughput, failures and rows in flight over time, latency, slowest rows.

    It is a single file that needs no network; it can be made while a run is in progress.
    """
    from time import time

    from batchrun.checkpoint.explain import explained
    from batchrun.checkpoint.lock import is_held
    from batchrun.checkpoint.opening import opened
    from batchrun.core.text import from_here
    from batchrun.outcome.report.gather import read_facts
    from batchrun.outcome.report.page import page
    from batchrun.outcome.report.saving import save

    places, _ = located(input, dir, task, name)
    goes_on = is_held(places.lock)
    with opened(places.checkpoint, write=False) as checkpoint, explained(places.checkpoint):
        text = page(read_facts(checkpoint, table=places.input.name, task=places.name, now=time(), goes_on=goes_on))
    if output == "-":
        with broken_pipe_ends_quietly():
            typer.echo(text.encode(), nl=False)
        return
    target = Path(output).absolute() if output else places.report
    save(text, places, target, named=output is not None, overwrite=overwrite)
    tell(f"the report is in {from_here(target, Path.cwd())}", err=True)
