"""The page becomes a file, as whole as any results file: the old one stays until the new one is on the disk."""

from pathlib import Path
from typing import IO

from batchrun.checkpoint.atomic import replacing
from batchrun.checkpoint.places import Places
from batchrun.errors import UsageError
from batchrun.outcome.export import outputs
from batchrun.outcome.export.writing import write_errors_explained
from batchrun.outcome.replacing import refuse_replacing


def save(text: str, places: Places, target: Path, *, named: bool, overwrite: bool) -> None:
    """Write the page to `target`. `named`: whether the user has named it.

    Raises `UsageError` for what is not to be replaced (see `refuse_replacing`) or a place that cannot be written,
    `CheckpointError` (exit code 4) for a full disk.
    """

    def before_rename(written: IO[bytes]) -> None:
        refuse_replacing(places.folder, target, named=named, overwrite=overwrite)
        outputs.remember(places.folder, target, written)

    with write_errors_explained(target):
        if target.exists() and places.input.exists() and target.samefile(places.input):
            raise UsageError(f"{target} is the input itself", "choose another file with --output")
        if target.is_dir():
            raise UsageError(f"{target} is a folder", "name a file in it")
        refuse_replacing(places.folder, target, named=named, overwrite=overwrite)
        if target.exists() and not target.is_file():  # a pipe, /dev/stdout: renaming would put a file in its place
            target.write_text(text, encoding="utf-8")
            return
        with replacing(target, before_rename) as file:
            file.write(text.encode())
