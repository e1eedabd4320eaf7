"""Which version of the task this is, and whether that can be known without importing it."""

import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as installed
from typing import Any

from batchrun.checkpoint.owner import Owner, lies_in, task_folders
from batchrun.core.limits import Timeout
from batchrun.core.redact import without_secret
from batchrun.core.signals import Signals
from batchrun.core.version import VERSION
from batchrun.engine.events import Ready, Stillborn
from batchrun.engine.seam import Engine
from batchrun.engine.wire import Hello
from batchrun.errors import Interrupted, TaskError
from batchrun.options.settings import Settings
from batchrun.options.table import OPTIONS
from batchrun.task.load import source_digest, with_args
from batchrun.task.spec import Spec

from .run import Observer
from .stopping import STILLBORN_LIMIT, stillborn


@dataclass(frozen=True, slots=True)
class Version:
    """A task's version, the files (path, digest) that are loaded for it, and whether it is an `async def` (None:
    nobody has looked yet). `loaded`: what workers call it, which is another text where the task's file was renamed
    (empty: nobody has looked yet). `said`: no file decides the version.
    """

    text: str
    sources: tuple[tuple[str, str], ...] = ()
    is_async: bool | None = None
    loaded: str = ""
    said: bool = False

    def as_fact(self, spec: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """What the checkpoint remembers of the task. `args`: no values, which may be secret."""
        sources = () if self.said else self.sources
        fact = {"spec": spec, "version": self.text, "sources": sources, "is_async": self.is_async}
        fact["loaded"] = self.loaded
        return {**fact, "args": with_args("", args)} if args else fact


Owners = tuple[Owner | None, Owner]
"""The task that a checkpoint belongs to, if that is known, and the one of this run."""


def known_version(before: Mapping[str, Any] | None, settings: Settings, spec: Spec, owners: Owners) -> Version | None:
    """The version if it is given by hand, built in or made of options, or if the files that an earlier run found
    have not changed. None where a worker has to look first, also at whether the function takes such arguments.
    `before`: what the checkpoint remembers of the task.
    """
    same_args = _has_args(before, settings.args)
    if settings.args and not same_args:
        return None
    if not isinstance(spec, (str, bytes)):
        return Version(settings.task_version or spec.version, (), spec.is_async)
    if (said := _said_version(settings, spec)) is not None:
        return Version(said, said=True)
    was, now = owners
    if not before or not same_args or not before["sources"]:
        return None
    if was is None or (was.name, was.path) != (now.name, now.path):
        return None
    # The coordinator reads the files that a worker had found, and imports none: no line of the user's runs here. What
    # the checkpoint says of them may be made up: none is opened that is not of the task that the user has named.
    folders = task_folders(spec)
    if any(not lies_in(path, folders) or source_digest(path) != digest for path, digest in before["sources"]):
        return None
    loaded = before.get("loaded") or before["version"]
    return Version(before["version"], tuple(map(tuple, before["sources"])), before.get("is_async"), loaded)


def found_version(
    hello: Hello, before: Mapping[str, Any] | None, settings: Settings, spec: Spec, owners: Owners
) -> Version:
    """The version, now that a worker has loaded the task: the one before it if the two differ in paths, and in the
    name of the task's own file, alone.
    """
    if (said := _said_version(settings, spec)) is not None:
        sources = hello.sources if isinstance(spec, str) and ":" in spec else ()
        return Version(said, sources, hello.is_async, said=True)
    version = Version(hello.version, hello.sources, hello.is_async, hello.version)
    was, now = owners
    if not before or not before["sources"] or not _has_args(before, settings.args) or was is None:
        return version
    same = was.name == now.name and _files(before["sources"], was.path) == _files(hello.sources, now.path)
    return replace(version, text=before["version"]) if same else version


def _has_args(before: Mapping[str, Any] | None, args: Mapping[str, Any]) -> bool:
    """Whether the task had these arguments."""
    return bool((before or {}).get("args") == (with_args("", args) if args else None))


def _files(sources: Iterable[tuple[str, str]], own: str) -> dict[str, str]:
    """Digests of a task's files by their places beside its own file, whose name does not matter."""
    folder = os.path.dirname(own)
    paths = {os.path.realpath(path): digest for path, digest in sources}
    return {"" if path == own else os.path.relpath(path, folder): digest for path, digest in paths.items()}


def _said_version(settings: Settings, spec: Spec) -> str | None:
    """The version that no file decides: that of `--task-version`, or of a built-in; with the arguments."""
    said = settings.task_version
    if said is None and isinstance(spec, str) and ":" not in spec:
        said = f"built-in {spec}"
    return None if said is None else with_args(said, settings.args)


def first_hello(engine: Engine, signals: Signals, observer: Observer, timeout: Timeout | None) -> Hello:
    """Wait until a worker has loaded the task. Raises `TaskError` with the user's traceback if it cannot be, or with
    the place where it hangs.
    """
    deaths = 0
    limit = timeout.limit(None) if timeout else None
    try:
        while not signals.count:
            for event in engine.events(0.1, limit):
                if isinstance(event, Ready):
                    check_hello(event.hello)
                    return event.hello
                if isinstance(event, Stillborn):
                    deaths += 1
                    if event.hung or deaths >= STILLBORN_LIMIT:
                        raise stillborn(event)
            _tell(engine, signals, observer, time.monotonic())
    finally:
        observer.loading(None)
    raise Interrupted(signals.first, "interrupted before any row ran")


def _tell(engine: Engine, signals: Signals, observer: Observer, now: float) -> None:
    """Nobody should wait for a module to be loaded and not know it."""
    if signals.asked:
        signals.asked = False
        observer.running((), now, engine.state(ask=True).loading)
    if loading := engine.state().loading:
        observer.loading(loading)


def check_hello(hello: Hello) -> None:
    """Raise the `TaskError` that a worker met."""
    if hello.error is not None:
        trace = f"\n\n{hello.trace.rstrip()}" if hello.trace else ""
        raise TaskError(hello.error + trace, hello.hint)


def versions() -> dict[str, str]:
    """What a run is written down with."""
    libraries = {name: installed(name) for name in ("json-repair", "loky", "orjson", "pyarrow")}
    return {"batchrun": VERSION, "python": platform.python_version(), **libraries}


def options_of(settings: Settings, spec: Spec) -> dict[str, Any]:
    """The options that differ from their defaults, as text, for the checkpoint's record of the run."""
    usual = Settings()
    names = [name for name in OPTIONS if getattr(settings, name) != getattr(usual, name)]
    names = [name for name in names if name != "input"]  # the table is known without it
    values = {name: getattr(settings, name) for name in names}
    if "args" in values:
        values["args"] = ", ".join(f"{name}={without_secret(name, value)}" for name, value in settings.args.items())
    if "param" in values:
        values["param"] = without_secret("", settings.param)
    if settings.prompt is not None:
        from batchrun.task.prompt.prompt import Prompt  # only prompts pay for what they need

        if isinstance(spec, Prompt):  # as it was asked, whatever becomes of files that were named
            values |= {"prompt": spec.text} | ({} if spec.system is None else {"system": spec.system})
    return {name: "(a function)" if isinstance(value, bytes) else str(value) for name, value in values.items()}
