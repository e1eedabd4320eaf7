"""Which version of the task this is, and whether that can be known without importing it."""

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from typing import Any

from . import __version__
from .checkpoint.checkpoint import Checkpoint
from .errors import Interrupted, TaskError
from .events import Ready, Stillborn
from .options.settings import Settings
from .redaction import without_secret
from .roles import Engine, Onlooker, loading_of
from .run.run import STILLBORN_LIMIT, stillborn
from .run.stopping import Timeout
from .signals import Signals
from .wire import Hello
from .worker.loading import source_digest, with_args
from .worker.readymade import Spec


@dataclass(frozen=True, slots=True)
class Version:
    """A task's version, the files (path, digest) that make it up, and whether it is an `async def` (None:
    nobody has looked yet).
    """

    text: str
    sources: tuple[tuple[str, str], ...] = ()
    is_async: bool | None = None

    def as_fact(self, spec: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """What the checkpoint remembers of the task. `args`: no values, which may be secret."""
        fact = {"spec": spec, "version": self.text, "sources": self.sources, "is_async": self.is_async}
        return {**fact, "args": with_args("", args)} if args else fact


def known_version(checkpoint: Checkpoint, settings: Settings, spec: Spec) -> Version | None:
    """The version if it is given by hand, built in or made of options, or if the files that an earlier run found
    have not changed. None where a worker has to look first, also at whether the function takes such arguments.
    """
    before = checkpoint.get("task")
    same_args = (before or {}).get("args") == (with_args("", settings.args) if settings.args else None)
    if settings.args and not same_args:
        return None
    if not isinstance(spec, (str, bytes)):
        return Version(settings.task_version or spec.version, (), spec.is_async)
    if (said := _said_version(settings, spec)) is not None:
        return Version(said)
    if not before or not same_args or before["spec"] != spec or not before["sources"]:
        return None
    if any(source_digest(path) != digest for path, digest in before["sources"]):
        return None
    return Version(before["version"], tuple(map(tuple, before["sources"])), before.get("is_async"))


def found_version(hello: Hello, settings: Settings, spec: Spec) -> Version:
    """The version, now that a worker has loaded the task."""
    if (said := _said_version(settings, spec)) is not None:
        return Version(said, (), hello.is_async)
    return Version(hello.version, hello.sources, hello.is_async)


def _said_version(settings: Settings, spec: Spec) -> str | None:
    """The version that no file decides: that of `--task-version`, or of a built-in; with the arguments."""
    said = settings.task_version
    if said is None and isinstance(spec, str) and ":" not in spec:
        said = f"built-in {spec}"
    return None if said is None else with_args(said, settings.args)


def first_hello(engine: Engine, signals: Signals, onlooker: Onlooker, timeout: Timeout | None) -> Hello:
    """Wait until a worker has loaded the task. Raises `TaskError` with the user's traceback if it cannot be, or with
    the place where it hangs.
    """
    deaths = 0
    limit = timeout.limit(None) if timeout else None
    try:
        while not signals.count:
            for event in (*engine.collect(0.1), *engine.expire(time.monotonic(), limit)):
                if isinstance(event, Ready):
                    check_hello(event.hello)
                    return event.hello
                if isinstance(event, Stillborn):
                    deaths += 1
                    if event.hung or deaths >= STILLBORN_LIMIT:
                        raise stillborn(event)
            _tell(engine, signals, onlooker, time.monotonic())
    finally:
        onlooker.loading(None)
    raise Interrupted(signals.first, "interrupted before any row ran")


def _tell(engine: Engine, signals: Signals, onlooker: Onlooker, now: float) -> None:
    """Nobody should wait for a module to be loaded and not know it."""
    if signals.asked:
        signals.asked = False
        onlooker.running((), now, loading_of(engine, now, ask=True))
    if loading := loading_of(engine, now):
        onlooker.loading(loading)


def check_hello(hello: Hello) -> None:
    """Raise the `TaskError` that a worker met."""
    if hello.error is not None:
        trace = f"\n\n{hello.trace.rstrip()}" if hello.trace else ""
        raise TaskError(hello.error + trace, hello.hint)


def versions() -> dict[str, str]:
    """What a run is written down with."""
    libraries = {name: installed(name) for name in ("json-repair", "loky", "orjson", "pyarrow")}
    return {"batchrun": __version__, "python": platform.python_version(), **libraries}


def options_of(settings: Settings) -> dict[str, Any]:
    """The options that differ from their defaults, as text, for the checkpoint's record of the run."""
    usual = Settings()
    names = [name for name in Settings.__slots__ if getattr(settings, name) != getattr(usual, name)]
    names = [name for name in names if name != "input"]  # the table is known without it
    values = {name: getattr(settings, name) for name in names}
    if "args" in values:
        values["args"] = ", ".join(f"{name}={without_secret(name, value)}" for name, value in settings.args.items())
    return {name: "(a function)" if isinstance(value, bytes) else str(value) for name, value in values.items()}
