"""The task's files, as they travel to machines that do not have them.

A bundle has two folders: `task`, that of the task's file, with all that is small; `here`, the working directory,
with its modules and packages. On the other machine both are importable as they are here, and nobody else's.
"""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batchrun.errors import UsageError
from batchrun.task.modules import package_around
from batchrun.task.spec import Spec

LARGEST_FILE = 1 << 20
MOST_BYTES = 64 << 20
MOST_FILES = 5000
_NOT_OURS = ("__pycache__", "node_modules", "site-packages")


@dataclass(frozen=True, slots=True)
class TaskBundle:
    """`spec`: the task, its file named within the bundle. `folders`: name in the bundle -> where it is at home."""

    spec: Spec
    data: bytes = b""
    folders: Mapping[str, str] = field(default_factory=dict)

    def unpack(self, folder: Path) -> Spec:
        """Unpack into `folder`, make its `here` the working directory; returns the spec as it is loaded there."""
        if self.data:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                archive.extractall(folder)
        (folder / "here").mkdir(exist_ok=True)
        os.chdir(folder / "here")
        return str(folder / self.spec) if isinstance(self.spec, str) and ".py:" in self.spec else self.spec

    def at_home(self, path: str, folder: Path) -> str:
        """Where a file that was unpacked into `folder` is at home; another path stays as it is."""
        for name, home in self.folders.items():
            if Path(path).is_relative_to(folder / name):
                return str(Path(home) / Path(path).relative_to(folder / name))
        return path


def bundle_of(spec: Spec, here: Path) -> TaskBundle:
    """The bundle of a task, for a run in the working directory `here`. Raises `UsageError` if it gets too big."""
    if not isinstance(spec, (str, bytes)) or (isinstance(spec, str) and ":" not in spec):
        return TaskBundle(spec)
    if isinstance(spec, bytes) or ".py:" not in spec:
        return TaskBundle(spec, _zipped({"here": _modules(here)}), {"here": str(here)})
    file, _, function = spec.rpartition(":")
    path = (here / file).resolve()
    if path.parent == here:
        return TaskBundle(f"here/{path.name}:{function}", _zipped({"here": _small(here)}), {"here": str(here)})
    around, dotted = package_around(path)
    if "." in dotted:  # what lies in the packages around the file, and nothing else of the folder above them
        package = around / dotted.partition(".")[0]
        within = ((file, package.name / name) for file, name in _small(package))
        name = f"task/{path.relative_to(around).as_posix()}:{function}"
        return TaskBundle(
            name, _zipped({"task": within, "here": _modules(here)}), {"task": str(around), "here": str(here)}
        )
    folders = {"task": str(path.parent), "here": str(here)}
    return TaskBundle(
        f"task/{path.name}:{function}", _zipped({"task": _small(path.parent), "here": _modules(here)}), folders
    )


def _zipped(folders: Mapping[str, Iterator[tuple[Path, Path]]]) -> bytes:
    """`folders`: name in the bundle -> files and their names within it."""
    buffer, files, size = io.BytesIO(), 0, 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for folder, found in folders.items():
            for path, name in found:
                files, size = files + 1, size + path.stat().st_size
                if files > MOST_FILES or size > MOST_BYTES:
                    raise UsageError(
                        f"the folder of {path} is too large to send to the cluster "
                        f"(more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MB)",
                        "put the task into a folder of its own, and run batchrun in it",
                    )
                archive.write(path, Path(folder) / name)
    return buffer.getvalue()


def _small(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Python files, and other files of at most a megabyte, hidden ones and other people's left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_ours(Path(place) / name))
        for name in sorted(files):
            path = Path(place) / name
            small = path.suffix == ".py" or path.stat().st_size <= LARGEST_FILE if path.is_file() else False
            if small and not name.startswith("."):
                yield path, path.relative_to(folder)


def _modules(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The modules of a folder, and its packages."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.is_file():
            yield path, Path(path.name)
        elif _is_ours(path) and (path / "__init__.py").is_file():
            for file, name in _small(path):
                yield file, path.name / name


def _is_ours(path: Path) -> bool:
    hidden = path.name.startswith(".") or path.name.endswith(".batchrun")
    return not (hidden or path.name in _NOT_OURS or (path / "pyvenv.cfg").exists())
