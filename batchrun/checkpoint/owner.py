"""Which task a checkpoint belongs to: no other task is given its results, or adds to them.

A task is a function of a file, a built-in, a prompt or a command. An edit of its file makes another version of it; a
copy of its source, under whatever name and wherever, is the same task. A function of another file whose source differs
is another task, and so is a function of another name.

"The same file, edited" is one that lies where the task's file lay, seen from the checkpoint (the project was moved) or
by its absolute path (the table was moved). A file that was moved *and* edited between two runs is another file: what
cannot be known is refused, for the wrong results would look right.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from batchrun.errors import UsageError
from batchrun.options.settings import Settings
from batchrun.options.task_name import function_name
from batchrun.task.load import source_digest
from batchrun.task.modules import package_around
from batchrun.task.spec import Spec

from .checkpoint import Checkpoint
from .places import Places, names_in, safe
from .reading import any_settled

FUNCTION, BUILT_IN, PROMPT, COMMAND = "function", "built-in", "prompt", "command"
TYPED = "<typed>"
"""In place of the path of a function that was typed into a notebook or a shell."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The task that a checkpoint belongs to.

    `name`: of a function or a built-in (empty: unknown). `path`: the absolute path of its file, or the module's name
    where no file was found; `TYPED` for a function of a notebook; empty: unknown. `place`: the file's path relative
    to the checkpoint's folder. `digest`: of its source.
    """

    kind: str
    name: str = ""
    path: str = ""
    place: str = ""
    digest: str = ""

    def seen_from(self, folder: Path) -> "Owner":
        """With the place of its file."""
        return replace(self, place=_place(self.path, folder)) if os.path.isabs(self.path) else self

    def as_fact(self) -> dict[str, str]:
        """What the checkpoint remembers."""
        return asdict(self)

    @property
    def is_missing(self) -> bool:
        """Whether its file is not there (which is said when it is loaded)."""
        return os.path.isabs(self.path) and not self.digest

    def __str__(self) -> str:
        if self.kind != FUNCTION:
            return f"the built-in {self.name}" if self.kind == BUILT_IN else f"a {self.kind}"
        if self.path in ("", TYPED):
            return f"a function {self.name} that was given by value"
        return f"{self.path}:{self.name}"


def is_same(before: Owner, now: Owner) -> bool:
    """Whether two are the same task, if perhaps in two versions. Pure."""
    if before.kind != now.kind or (before.name and before.name != now.name):
        return False
    if before.kind != FUNCTION or not (before.path and now.path):
        return True  # another prompt is another version
    places = before.place and before.place == now.place
    return bool(before.path == now.path or places or (before.digest and before.digest == now.digest))


def owner_of(spec: Spec, settings: Settings, origin: Owner | None, folder: Path) -> Owner:
    """Who a task is. `origin`: where a function comes from that is given by value."""
    if origin is not None:
        return origin.seen_from(folder)
    if settings.command is not None:
        return Owner(COMMAND)
    if not isinstance(spec, str):
        return Owner(PROMPT if settings.prompt is not None else FUNCTION)
    if ":" not in spec:
        return Owner(BUILT_IN, spec)
    path = file_of(spec)
    if path is None:
        return Owner(FUNCTION, function_name(spec), spec.rpartition(":")[0])
    return Owner(FUNCTION, function_name(spec), path, digest=source_digest(path)).seen_from(folder)


def file_of(spec: str) -> str | None:
    """The file that `file.py:function` or `package.module:function` means here, if it is found without importing."""
    place = spec.rpartition(":")[0]
    if place.endswith(".py"):
        return os.path.realpath(place)
    where: Any = None  # as `sys.path` says, behind the working directory
    parts = place.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        found = (PathFinder.find_spec(name, [os.getcwd()]) if n == 1 else None) or PathFinder.find_spec(name, where)
        if found is None or (n < len(parts) and found.submodule_search_locations is None):
            return None
        where = found.submodule_search_locations
    return os.path.realpath(found.origin) if found and found.origin else None


def task_folders(spec: Spec | None) -> tuple[str, ...]:
    """The folder that the files of a task lie in, as the user has named it: that of its file, or of the package around
    it. None if no file is found, or it has none.
    """
    path = Path(found) if isinstance(spec, str) and ":" in spec and (found := file_of(spec)) else None
    return () if path is None else (str(path.parents[max(0, package_around(path)[1].count(".") - 1)]),)


def lies_in(path: str, folders: Iterable[str]) -> bool:
    """Whether a file lies in one of these folders, or below it. It is not looked at."""
    folder = os.path.realpath(os.path.dirname(path))
    return any(os.path.commonpath((folder, os.path.realpath(one))) == os.path.realpath(one) for one in folders)


def known_owner(checkpoint: Checkpoint, places: Places) -> Owner | None:
    """Whose checkpoint it is; None for one in which nothing was settled, and where it is unknown."""
    if not any_settled(checkpoint.db):
        return None
    if fact := checkpoint.get("owner"):
        return Owner(**fact)
    task = checkpoint.get("task")
    return _of_earlier_version(task, checkpoint.get("input") or "", places) if task else None


def _of_earlier_version(task: Mapping[str, Any], table: str, places: Places) -> Owner:
    """What versions that kept the task's spec and files only say of it."""
    spec = str(task["spec"])
    for start, kind in (("prompt for ", PROMPT), ("command ", COMMAND), ("(a function)", FUNCTION)):
        if spec.startswith(start):
            return Owner(kind)
    if ":" not in spec:
        return Owner(BUILT_IN, spec)
    module, _, name = spec.rpartition(":")
    ending = Path(module).name if module.endswith(".py") else f"{module.replace('.', '/')}.py"
    package = f"{ending.removesuffix('.py')}/__init__.py"
    found = [(path, digest) for path, digest in task["sources"] if f"/{path}".endswith((f"/{ending}", f"/{package}"))]
    if not found:
        return Owner(FUNCTION, name)
    path, digest = min(found, key=lambda source: len(Path(source[0]).parts))  # others lie in folders below it
    folder = Path(f"{table}.batchrun") if places.beside and table else places.folder  # where it was then
    return Owner(FUNCTION, name, path, _place(path, folder), digest)


def files_now(checkpoint: Checkpoint, places: Places) -> list[tuple[str, str]]:
    """The files that make up the task's version, each with its digest then: where they are if the project was moved."""
    sources = [(path, digest) for path, digest in checkpoint.get("task")["sources"]]
    owner = Owner(**checkpoint.get("owner", {"kind": FUNCTION}))
    here = os.path.normpath(os.path.join(os.path.realpath(places.folder), owner.place))
    if not owner.place or not os.path.isfile(here):
        return sources
    was, now = os.path.dirname(owner.path), os.path.dirname(here)
    return [(os.path.join(now, os.path.relpath(os.path.realpath(path), was)), digest) for path, digest in sources]


def refuse_other_task(before: Owner | None, now: Owner, places: Places) -> None:
    """Raise `UsageError` if the checkpoint is another task's."""
    if before is None or now.is_missing or is_same(before, now) or _was_renamed(before, now):
        return
    own_name = f"--name {_free_name(now, places)} gives this one a checkpoint of its own"
    moved = (
        "; if it is the same task, moved and edited: run it with --limit 0 once as it was before the edit"
        if before.kind == now.kind == FUNCTION and before.name == now.name
        else ""
    )
    raise UsageError(
        f"the checkpoint {places.checkpoint} belongs to another task: {before}, not {now}",
        f"{own_name}{moved}",
    )


def _was_renamed(before: Owner, now: Owner) -> bool:
    """Whether the function has another name in its file, which knows the old one no more."""
    if not before.name or not os.path.isfile(now.path) or not is_same(replace(before, name=now.name), now):
        return False
    text = Path(now.path).read_text(encoding="utf-8", errors="replace")
    return before.kind == FUNCTION and re.search(rf"\b{re.escape(before.name)}\b", text) is None


def _free_name(now: Owner, places: Places) -> str:
    """A name for a checkpoint that no other has."""
    stem = f"{Path(now.path).stem}_" if os.path.isabs(now.path) else ""
    name = safe(f"{stem}{now.name}" if now.name else now.kind)
    taken = {*names_in(places.folder), places.name}
    return next(each for each in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if each not in taken)


def _place(path: str, folder: Path) -> str:
    return os.path.relpath(path, os.path.realpath(folder))
