"""`batchrun errors`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from .common import SEE, Dir, Input, Json, Name, Task, asked_for, broken_pipe_ends_quietly, examples, located, tell

_EXAMPLES = examples(
    "batchrun errors data.csv",
    "batchrun errors data.csv --full | less",
    "batchrun errors data.csv -o failed.csv",
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(errors)


def errors(
    input: Input = None,  # noqa: A002
    full: Annotated[bool, Option("--full", help="Add a traceback for each group.")] = False,
    output: Annotated[
        str | None,
        Option("--output", "-o", help="Write the failed rows with their cells (.csv .parquet .jsonl .xlsx …, or -)."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that batchrun did not write.")] = False,
    json: Json = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """What failed: grouped by kind and message, with counts, sample rows, and what to do."""
    from json import dumps

    from batchrun.checkpoint.bind import open_bound
    from batchrun.checkpoint.opening import opened
    from batchrun.outcome.failures import failed_in_all, failures_in_words, groups
    from batchrun.outcome.results_file import export_to
    from batchrun.run.advice import as_typed

    places, settings = located(input, dir, task, name)
    with opened(places.checkpoint, write=False) as checkpoint:
        if output is not None:
            target = None if output == "-" else Path(output).absolute()
            bound = open_bound(checkpoint, settings.input)
            with broken_pipe_ends_quietly():
                rows = export_to(
                    places, bound, checkpoint, target, None,
                    say=partial(tell, err=True), overwrite=overwrite, show="failed",
                )  # fmt: skip
            _say_written(rows, settings.input, target)
            return
        found = groups(checkpoint.failed_rows(), (checkpoint.get("task") or {}).get("spec", ""))
    if json:
        total = failed_in_all(found)
        tell(dumps([group.as_record(total) for group in found]))
    else:
        tell(failures_in_words(found, as_typed(sys.argv[:1]), asked_for(settings.input, dir, task, name), full=full))


def _say_written(rows: int, table: Path, target: Path | None) -> None:
    from batchrun.core.text import counted, from_here

    if target is None:
        return
    tell(
        f"{counted(rows, 'failed row')} to {from_here(target, Path.cwd())}\n"
        f"  next: fix these rows in {table} itself, and run the same command again",
        err=True,
    )
