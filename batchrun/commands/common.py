"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

Input = Annotated[Path, Argument(metavar="INPUT", help="The table, as it was given to process.")]
Dir = Annotated[Path | None, Option("--dir", help="Where checkpoints live.  \\[default: beside the input]")]
Task = Annotated[str | None, Option("--task", "-t", help="Whose checkpoint, if there are several.")]
Name = Annotated[str | None, Option("--name", help="Name of the checkpoint, if there are several.")]
Json = Annotated[bool, Option("--json", help="For machines.")]


def located(input_path: Path, directory: Path | None, task: str | None, name: str | None) -> Any:
    """The places of the checkpoint that is meant, and the settings that count for it."""
    from batchrun.places import find
    from batchrun.settings import function_name, here

    settings = here({"dir": directory, "name": name})
    wanted = name or (function_name(task) if task else None)
    return find(input_path, settings.dir, wanted), settings
