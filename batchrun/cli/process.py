"""`batchrun process`."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

from batchrun.core.interrupts import exit_on_interrupt
from batchrun.options import parsing
from batchrun.options.table import OPTIONS
from batchrun.options.table import Option as TableOption

from .common import RUN, STDIN, examples, table_of
from .completing import completion_of

if TYPE_CHECKING:
    from batchrun.checkpoint.kept import Bring
    from batchrun.engine.local.births import Births
    from batchrun.options.settings import Settings
    from batchrun.outcome.takeover import Takeover


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    extra = {"allow_extra_args": True}  # so that a pattern without quotes is told as such
    app.command(name="process", rich_help_panel=RUN, epilog=_EXAMPLES, context_settings=extra)(process)


_EXAMPLES = examples(
    "batchrun process data.csv --task tasks.py:match --jobs 50",
    "batchrun process data.csv --task tasks.py:match --dry-run",
    "batchrun process data.csv --prompt 'Is {a} the same as {b}?' --fields 'same bool' --model NAME",
    "batchrun process data.csv --command 'tool --id {id}' --timeout 30s",
    "batchrun process 'logs/*.csv' --task tasks.py:match --file-column",
    "zcat dump.gz | batchrun process - --name dump --task tasks.py:match",
    "batchrun process data.parquet --task my.module:f --timeout 30s --retries 5 --retry all",
)


def process(context: typer.Context, **given: Any) -> None:
    """Run a function over the remaining rows of a table; put each result on disk as it comes.

    After a crash, Ctrl-C or kill -9 the same command does what is left.
    """
    _refuse_more(given["input"], context.args)
    raise typer.Exit(run_with(given.pop("input"), given, as_it_stands))


def _refuse_more(table: Path | None, words: list[str]) -> None:
    """Raise `UsageError` for further words: there is one table."""
    if not words:
        return
    from batchrun.errors import UsageError

    files = [path for word in words if (path := Path(word)).exists()]
    folder = f"{files[0].parent}/" if files and str(files[0].parent) != "." else ""
    raise UsageError(
        f"only one table per run: {table} is followed by {', '.join(words[:3])}{' and more' if words[3:] else ''}",
        f"to make the files of a pattern one table, quote it: '{folder}*{files[0].suffix}'"
        if files
        else "'batchrun process --help' lists the options",
    )


def as_it_stands(typed: list[str]) -> list[str]:
    """The words of the command that does what is left: the same."""
    return typed


def parameter(option: TableOption) -> Parameter:
    """What typer is to know of an option. Its value stays as it was typed: only who knows all sources reads it."""
    kind = list[str] if option.several else _KINDS.get(option.read, str)
    text = f"{option.help}  \\[default: {option.usual}]" if option.usual else option.help
    choices = option.read.choices if isinstance(option.read, parsing.OneOf) else ()
    if option.panel is None:
        told = Argument(None, metavar=option.metavar, help=text)
    else:
        names = [option.flag, option.short] if option.short else [option.flag]
        told = Option(
            None, *names, metavar=option.metavar or _choice_of(option.name, choices), help=text,
            rich_help_panel=option.panel, autocompletion=completion_of(option.name, choices),
        )  # fmt: skip
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=told, annotation=kind | None)


def _choice_of(name: str, choices: Sequence[str]) -> str | None:
    """The choices as the help names them; too many would leave no room for the help itself."""
    joined = "|".join(choices)
    return (joined if len(joined) <= _WIDEST else name.upper()) or None


_WIDEST = 31
_KINDS: dict[Any, type] = {parsing.yes_no: bool, Path: Path}
_CONTEXT = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
process.__signature__ = Signature([_CONTEXT, *(parameter(option) for option in OPTIONS.values())])  # type: ignore[attr-defined]


def run_with(
    named: Path | None,
    given: dict[str, Any],
    again: Callable[[list[str]], list[str]],
    taking: Callable[[], "Takeover"] | None = None,
) -> int:
    """Do the job on the table that was `named`; returns the exit code.

    `given`: the options that were. `again`: the words of the command that does what is left, from those that were
    typed. `taking`: makes what is to be taken over, if anything is.
    """
    from batchrun.options.sources import here

    for name, value in given.items():  # as text, where commas stand between names; a list is taken as it is
        if OPTIONS[name].read is parsing.names:
            given[name] = ",".join(value) if value else None
    settings = here(given) if taking is None else replace(here(given), limit=0)
    with ExitStack() as stack:
        input_path, settings, bring = _table(named, settings, stack)
        # Before the modules that take long to load.
        births = _early(input_path, settings, stack, runs=bring is None and taking is None)
        with exit_on_interrupt():
            from batchrun.display.reporter import make
            from batchrun.main import process as run
            from batchrun.run.advice import as_typed

        reporter = stack.enter_context(closing(make(settings.progress, settings.quiet, settings.json, sys.stderr)))
        # What comes through a pipe is kept, so that what is to be typed next needs no pipe.
        typed = [input_path.name if bring and word == STDIN else word for word in again(as_typed(sys.argv))]
        taken = taking() if taking else None
        return run(input_path, settings, reporter, typed, bring, births, taking=taken).exit_code


def _table(named: Path | None, settings: "Settings", stack: ExitStack) -> tuple[Path, "Settings", "Bring | None"]:
    """The table, the settings that count for it, and what brings it there if it comes from elsewhere."""
    from batchrun.checkpoint.fetching import address_of, check_place, fetch
    from batchrun.checkpoint.kept import as_said, keep_stream, piped
    from batchrun.checkpoint.places import names_in

    bring: Bring
    if address := address_of(named or settings.input):
        path = table_of(named, settings)
        check_place(address, path)
        bring = partial(fetch, address)
    elif str(named) == STDIN:
        path = piped(settings.name, settings.dir)
        bring = partial(keep_stream, 0)
    else:
        path = table_of(named, settings)
        if path != as_said(path) and settings.name is None and path.name in (names_in(path.parent) or [path.name]):
            settings = replace(settings, name=path.name)
        return path, settings, None
    if settings.dry_run:  # leaves nothing behind
        settings = replace(settings, dir=path.parent.parent)
        path = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / path.name
    return path, settings, partial(bring, path)


def _early(input_path: Path, settings: "Settings", stack: ExitStack, *, runs: bool) -> "Births | None":
    """Workers to come, for a table that surely has rows to run: while all else is loaded, the process that they are
    forked from gets up, and imports the task's libraries if rows `runs` at once.
    """
    from batchrun.checkpoint.places import places_of

    if settings.dry_run or settings.on_cluster:
        return None
    places = places_of(input_path, settings.dir, settings.checkpoint_name)
    with suppress(OSError):  # it may not be looked at, or no further process started: said when it is needed
        if settings.fresh or not places.checkpoint.exists():
            from batchrun.core.descriptors import raise_descriptors
            from batchrun.engine.local.nursery import Nursery

            raise_descriptors(settings.most_at_once)
            nursery = stack.enter_context(closing(Nursery()))
            with exit_on_interrupt():
                from batchrun.engine.choose import worker_setup
                from batchrun.engine.local.births import Births

            births = stack.enter_context(closing(Births(nursery)))
            if runs and settings.task and settings.preload != "no" and settings.most_at_once > 1:
                births.begin(worker_setup(settings, settings.task, places, stack))
            return births
    return None
