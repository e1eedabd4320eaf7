"""`batchrun sample`."""

from typing import Annotated

import typer
from typer import Option

from .common import SEE, Dir, Input, Json, Name, Task, examples, located, tell

_EXAMPLES = examples("batchrun sample data.csv", "batchrun sample data.csv --failed -n 3")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel=SEE, epilog=_EXAMPLES)(sample)


def sample(
    input: Input = None,  # noqa: A002
    rows: Annotated[int, Option("-n", "--count", min=1, help="How many rows, spread over the table.")] = 10,
    failed: Annotated[bool, Option("--failed", help="Rows that have failed, timed out or crashed.")] = False,
    repaired: Annotated[bool, Option("--repaired", help="Rows whose reply was repaired.")] = False,
    text: Annotated[bool, Option("--text", help="Rows whose reply was kept as text.")] = False,
    json: Json = False,
    dir: Dir = None,  # noqa: A002
    task: Task = None,
    name: Name = None,
) -> None:
    """Some rows beside their results, to see whether they are any good."""
    from shutil import get_terminal_size

    from batchrun.checkpoint.bind import open_bound
    from batchrun.checkpoint.explain import explained
    from batchrun.checkpoint.opening import opened
    from batchrun.core.grid import grid
    from batchrun.display.plain import WIDTH
    from batchrun.errors import UsageError
    from batchrun.outcome.export.json_value import json_of
    from batchrun.outcome.sample import beside
    from batchrun.outcome.sample import sample as look_at

    asked = {"failed": failed, "repaired": repaired, "text": text}
    said = [which for which, wanted in asked.items() if wanted]
    if len(said) > 1:
        raise UsageError(f"--{said[0]} and --{said[1]} are different rows", "leave one of them out")
    which = "".join(said) or "done"
    places, settings = located(input, dir, task, name)
    with opened(places.checkpoint, write=False) as checkpoint, explained(places.checkpoint):
        found = look_at(checkpoint, open_bound(checkpoint, settings.input), which, rows)
    if json:
        typer.echo(json_of(found))
    elif found:
        tell("\n".join(grid([beside(row) for row in found], get_terminal_size(WIDTH).columns)))
    else:
        tell(_NONE[which])


_NONE = {
    "done": "no row is done yet",
    "failed": "no row has failed",
    "repaired": "no reply was repaired",
    "text": "no reply was kept as text",
}
