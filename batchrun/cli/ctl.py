"""`batchrun ctl`."""

from typing import Annotated

import typer
from typer import Option

from .common import RUN, Dir, Input, Json, Name, Task, examples, settings_for, table_of, tell

_EXAMPLES = examples(
    "batchrun ctl data.csv --jobs 20",
    "batchrun ctl data.csv --pause",
    "batchrun ctl data.csv --resume --jobs 50",
    "batchrun ctl data.csv --drain",
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=RUN, epilog=_EXAMPLES)(ctl)


def ctl(
    input: Input = None,  # noqa: A002
    jobs: Annotated[
        str | None, Option("--jobs", "-j", help="Rows in flight at once from now on: N, N% of the CPUs, auto.")
    ] = None,
    pause: Annotated[bool, Option("--pause", help="Start no more rows; rows in flight finish.")] = False,
    resume: Annotated[bool, Option("--resume", help="Resume after --pause.")] = False,
    drain: Annotated[bool, Option("--drain", help="End the run when the rows in flight have finished.")] = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
    json: Json = False,
) -> None:
    """Control a running job; without an option, say what it is doing."""
    from json import dumps

    from batchrun.options.task_name import function_name

    from .steering import answer_in_words, request_of, running_place, steer

    request = request_of(jobs, pause=pause, resume=resume, drain=drain)
    wanted = name or (function_name(task) if task else None)
    settings = settings_for({"dir": dir})
    answer = steer(running_place(table_of(input, settings), settings.dir, wanted), request)
    if json:
        typer.echo(dumps(answer))
    else:
        tell(answer_in_words(answer))
