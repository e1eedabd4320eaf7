"""The page becomes a file, as whole as any results file: the old one stays until the new one is on the disk."""

from pathlib import Path

from batchrun.checkpoint.atomic import replacing
from batchrun.checkpoint.places import Places
from batchrun.errors import UsageError
from batchrun.outcome.export import outputs
from batchrun.outcome.export.writing import write_errors_explained
from batchrun.outcome.target import refuse_foreign


def save(text: str, places: Places, target: Path, *, overwrite: bool) -> None:
    """Write the page to `target`.

    Raises `UsageError` for a file that batchrun did not write (unless `overwrite`) or a place that cannot be
    written, `CheckpointError` (exit code 4) for a full disk.
    """
    with write_errors_explained(target):
        if target.exists() and places.input.exists() and target.samefile(places.input):
            raise UsageError(f"{target} is the input itself", "give --output another name")
        if target.is_dir():
            raise UsageError(f"{target} is a folder", "give the name of a file in it")
        if target.exists() and not target.is_file():  # a pipe, /dev/stdout: renaming would put a file in its place
            target.write_text(text, encoding="utf-8")
            return
        if not overwrite:
            refuse_foreign(places.folder, target)
        with replacing(target, lambda written: outputs.remember(places.folder, target, written)) as file:
            file.write(text.encode())
