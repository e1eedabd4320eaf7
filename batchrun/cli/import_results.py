"""`batchrun import`."""

from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

from batchrun.options.table import OPTIONS, PROGRAM, PROMPT, READ, SHOW, WHAT, WRITE

from .common import INPUT_DEFAULT, RUN, examples
from .process import parameter, run_with

if TYPE_CHECKING:
    from batchrun.outcome.takeover import Takeover


_EXAMPLES = examples(
    "batchrun import data.csv old_results/ --task tasks.py:match",
    "batchrun import data.csv answers.jsonl --key id --task tasks.py:match",
    "batchrun import data.csv results.csv --key id --task tasks.py:match --dry-run",
)
_PANELS = {WHAT, PROGRAM, PROMPT, READ, WRITE, SHOW}
_TAKEN = [
    option
    for name, option in OPTIONS.items()
    if (option.panel in _PANELS and name not in ("limit", "rows", "redo")) or name in ("fresh", "task_version")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="import", rich_help_panel=RUN, epilog=_EXAMPLES)(import_results)


def import_results(input: Path | None, source: Path | None, first_row: int | None, **given: Any) -> None:  # noqa: A002
    """Take over results that your own scripts have left, so that these rows are not run again.

    From a folder of JSON files (1.json, or with --key LHR.json), JSON Lines, a JSON array, or a table of results. Runs
    no row: give the options that process will get.
    """
    table, place = (input, source) if source else (None, input)
    if place is None:
        from batchrun.errors import UsageError

        raise UsageError("Missing argument 'SOURCE'", "give the folder or the file that holds the results")

    def takeover() -> "Takeover":
        from batchrun.outcome.takeover import Takeover

        return Takeover(place, first_row)

    def again(typed: list[str]) -> list[str]:
        """What does the rest is `process`, without what only this command has."""
        begin, words = typed[: typed.index("import")], iter(typed[typed.index("import") + 1 :])
        kept = [word for word in words if not (word == "--first-row" and next(words, True))]
        kept = [word for word in kept if word != str(place) and not word.startswith("--first-row=")]
        return [*begin, "process", *kept]

    raise typer.Exit(run_with(table, given, again, takeover))


_INPUT = Argument(None, metavar="INPUT", help=f"The table, as it is given to process.  {INPUT_DEFAULT}")
_SOURCE = Argument(None, metavar="SOURCE", help="Folder of JSON files, JSON Lines, a JSON array, or a table.")
_FIRST = Option(
    None, "--first-row", metavar="N", help="Number in the name of the first row's file: 0 or 1.  \\[default: found]",
    min=0, max=1, rich_help_panel=WHAT,
)  # fmt: skip
import_results.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("input", Parameter.KEYWORD_ONLY, default=_INPUT, annotation=Path | None),
        Parameter("source", Parameter.KEYWORD_ONLY, default=_SOURCE, annotation=Path | None),
        *map(parameter, _TAKEN),
        Parameter("first_row", Parameter.KEYWORD_ONLY, default=_FIRST, annotation=int | None),
    ]
)
