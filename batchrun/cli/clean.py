"""`batchrun clean`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from .common import TAKE, Dir, Json, examples, settings_for, table_of, tell

_EXAMPLES = examples(
    "batchrun clean",
    "batchrun clean data.csv",
    "batchrun clean data.csv match.20260301-140509.old --yes",
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=TAKE, epilog=_EXAMPLES)(clean)


def clean(
    input: Annotated[  # noqa: A002
        Path | None,
        Argument(metavar="INPUT", help="The table.  \\[default: all that have a checkpoint in this folder or below]"),
    ] = None,
    names: Annotated[
        list[str] | None, Argument(metavar="CHECKPOINT...", help="Remove these, named as they are listed.")
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Remove them without asking.")] = False,
    dir: Dir = None,  # noqa: A002
    json: Json = False,
) -> None:
    """List checkpoints with what they hold, those that --fresh moved aside too; remove the ones that are named."""
    from json import dumps

    from batchrun.checkpoint.cleaning import all_names_in, checkpoints_of
    from batchrun.checkpoint.kept import as_said
    from batchrun.checkpoint.places import tables_below
    from batchrun.outcome.status import said_as

    settings = settings_for({"dir": dir})
    if input is None:
        tables = tables_below(settings.dir or Path(), all_names_in)
        said = [str(said_as(table, place)) for table, place in tables]
    else:
        tables = [(table_of(input, settings), settings.dir)]
        said = [str(as_said(tables[0][0]))]
    held = [checkpoints_of(*where) for where in tables]
    if names:
        _remove(*tables[0], names, held[0], yes=yes)
    elif json:
        typer.echo(dumps([{"input": name, "checkpoints": has} for name, has in zip(said, held, strict=True)]))
    else:
        tell("\n\n".join(map(_listed, said, held)) or "no table here has a checkpoint")


def _listed(table: str, has: Sequence[dict[str, Any]]) -> str:
    from shutil import get_terminal_size

    from batchrun.core.grid import grid
    from batchrun.core.text import one_line
    from batchrun.display.plain import WIDTH

    if not has:
        return f"{one_line(table)} has no checkpoint"
    lines = grid([_record(one) for one in has], get_terminal_size(WIDTH).columns - 2)
    return "\n".join([one_line(table), *(f"  {line}".rstrip() for line in lines)])


def _record(one: dict[str, Any]) -> dict[str, str]:
    from batchrun.core.text import memory, moment

    return {
        "checkpoint": one["name"],
        "holds": f"{_holds(one)}{', in use' if one['in_use'] else ''}",
        "size": memory(one["bytes"]),
        "written": moment(one["written"]),
    }


def _holds(one: dict[str, Any]) -> str:
    from batchrun.core.states import SETTLED_NAMES, spoken

    states = [f"{one[name]:,} {spoken(name)}" for name in (*SETTLED_NAMES, "left") if one[name]]
    return one["trouble"] or ", ".join(states) or "no results"


def _remove(
    table: Path, directory: Path | None, names: Sequence[str], known: Iterable[dict[str, Any]], *, yes: bool
) -> None:
    from batchrun.checkpoint.cleaning import remove
    from batchrun.core.text import memory
    from batchrun.errors import UsageError

    told = {one["name"]: f"{one['path']}: {_holds(one)}, {memory(one['bytes'])}" for one in known}
    if not yes and not sys.stdin.isatty():
        raise UsageError("a checkpoint is removed for good, and nobody can be asked here", "if you mean it, add --yes")
    for name in names:
        what = told.get(name, name)  # one that is not there is said by who removes it
        if name in told and not yes and not typer.confirm(f"remove {what}?", err=True):
            tell(f"kept {what}", err=True)
            continue
        remove(table, directory, name)
        tell(f"removed {what}", err=True)
