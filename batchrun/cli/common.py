"""What several commands share: options, where the checkpoint is, and how to print."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from .completing import checkpoints

RUN = "Run a job"
SEE = "See what happened"
TAKE = "Take the results"

STDIN = "-"
INPUT_DEFAULT = "\\[default: input of batchrun.toml]"
Input = Annotated[
    Path | None, Argument(metavar="INPUT", help=f"The table, as it was given to process.  {INPUT_DEFAULT}")
]
Dir = Annotated[Path | None, Option("--dir", help="Where checkpoints live.  \\[default: beside the input]")]
Task = Annotated[
    str | None,
    Option("--task", "-t", autocompletion=checkpoints, help="Which task's checkpoint, if there are several."),
]
Name = Annotated[
    str | None, Option("--name", autocompletion=checkpoints, help="Name of the checkpoint, if there are several.")
]
Json = Annotated[bool, Option("--json", help="Print JSON, for programs.")]


def examples(*commands: str) -> str:
    """The end of a command's help: commands to paste."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  {command}" for command in commands)])


def table_of(given: Path | None, settings: Any) -> Path:
    """The table that was named, or else the one that the settings name. Raises `UsageError` if there is neither.

    It may be one that is kept: `-` with a name is what came through a pipe under that name, an address what was
    fetched from there.
    """
    from batchrun.checkpoint.fetching import address_of, fetched_path
    from batchrun.checkpoint.kept import kept_path, meant_table

    if address := address_of(given or settings.input):
        return fetched_path(address, settings.dir)

    if given is not None and (str(given) != STDIN or settings.name is None):
        return meant_table(given, settings.dir)
    if given is not None:
        return kept_path(settings.name, settings.dir)
    if settings.input is None:
        from batchrun.errors import UsageError

        raise UsageError("Missing argument 'INPUT'", 'name the table, or put input = "data.csv" into batchrun.toml')
    from batchrun.core.text import from_here

    return meant_table(Path(from_here(settings.input, Path.cwd())), settings.dir)


def located(given: Path | None, directory: Path | None, task: str | None, name: str | None) -> Any:
    """The places of the checkpoint that is meant, and the settings that count for it, `input` among them."""
    from dataclasses import replace

    from batchrun.checkpoint.places import find
    from batchrun.options.task_name import function_name

    settings = settings_for({"dir": directory, "name": name})
    wanted = name or (function_name(task) if task else None)
    table = table_of(given, settings)
    return find(table, settings.dir, wanted), replace(settings, input=table)


def settings_for(given: dict[str, Any]) -> Any:
    """The settings that count for a command that runs nothing, once what is misspelt among them has been said."""
    from batchrun.options.sources import here
    from batchrun.options.table import OPTIONS
    from batchrun.options.variables import say_misspelt

    settings = here(given)
    if not settings.quiet:
        say_misspelt(os.environ, OPTIONS, partial(tell, err=True))
    return settings


def asked_for(input_path: Path, directory: Path | None, task: str | None, name: str | None) -> list[str]:
    """The words that name the same checkpoint to another command."""
    options = {"--task": task, "--name": name, "--dir": directory}
    from batchrun.checkpoint.kept import as_said

    return [str(as_said(input_path)), *(str(word) for option in options.items() if option[1] for word in option)]


def tell(text: str, *, err: bool = False) -> None:
    """Print for people: nothing that steers their terminal, in characters that it has."""
    from batchrun.core.text import shown_in

    with broken_pipe_ends_quietly():
        typer.echo(shown_in(text, (sys.stderr if err else sys.stdout).encoding or "ascii"), err=err)


@contextmanager
def broken_pipe_ends_quietly() -> Iterator[None]:
    """Whoever reads our output may have had enough in the block (`| head`): that ends the command in order."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(0) from None
