"""`batchrun export`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from .common import TAKE, Dir, Input, Name, Task, broken_pipe_ends_quietly, examples, located, tell

_EXAMPLES = examples(
    "batchrun export data.csv -o results.parquet",
    "batchrun export data.csv -o - --format jsonl | head",
    "batchrun export data.csv -o results/ --format json-files",
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=TAKE, epilog=_EXAMPLES)(export)


def export(
    output: Annotated[
        str, Option("--output", "-o", help="File (.csv .parquet .jsonl .json .xlsx .sqlite; .csv.gz), or - for stdout.")
    ],
    input: Input = None,  # noqa: A002
    format: Annotated[  # noqa: A002
        str | None,
        Option(
            "--format",
            help="csv, tsv, jsonl, json, json-files (a folder, one file per row), parquet, xlsx, sqlite.  "
            "\\[default: by the file's name; csv for -]",
        ),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that batchrun did not write.")] = False,
    explode: Annotated[
        bool, Option("--explode", help="Write a line per element of a result that is an array.")
    ] = False,
    results_only: Annotated[
        bool, Option("--results-only", help="Without the table's cells: number of the row, --key, results.")
    ] = False,
    columns: Annotated[
        list[str] | None,
        Option("--columns", "--result-columns", metavar="COLUMN", help="Only these columns of the results."),
    ] = None,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """Write the results so far, joined to the table in its order; works on a half-done run."""
    from batchrun.checkpoint.bind import open_bound
    from batchrun.checkpoint.opening import opened
    from batchrun.options.parsing import names
    from batchrun.outcome.export.picked import Pick
    from batchrun.outcome.results_file import export_to

    places, settings = located(input, dir, task, name)
    say = partial(tell, err=True)
    target = None if output in ("-", "/dev/stdout") else Path(output).absolute()
    with opened(places.checkpoint, write=False) as checkpoint:
        bound = open_bound(checkpoint, settings.input)
        with broken_pipe_ends_quietly():
            rows = export_to(
                places, bound, checkpoint, target, format,
                say=say, overwrite=overwrite, show="exploded" if explode else "all",
                pick=Pick(results_only, names(",".join(columns)) if columns else None),
            )  # fmt: skip
    if target is not None:
        from batchrun.core.text import counted, from_here

        tell(f"{counted(rows, 'row')} in {from_here(target, Path.cwd())}", err=True)
