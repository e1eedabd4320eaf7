"""The folder in which all is that a job keeps of a table."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from batchrun.checkpoint.places import Places, places_of
from batchrun.options.settings import Settings


def find_places(input_path: Path, settings: Settings, stack: ExitStack) -> Places:
    """Where the checkpoint is. A dry run of a new task leaves nothing behind."""
    places = places_of(input_path, settings.dir, settings.checkpoint_name)
    if settings.dry_run and (settings.fresh or not places.checkpoint.exists()):
        return replace(places, folder=Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))))
    return places
