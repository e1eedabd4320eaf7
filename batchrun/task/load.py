"""Finds the user's function. Runs in worker processes only: the coordinator never imports user code."""

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import xxhash

from batchrun.core.suggest import meant, suggest
from batchrun.errors import TaskError

from .kept_code import content_digest, content_of
from .modules import HINT, module_named, module_of_file, relative_hint
from .notice import say_notice
from .shadowing import not_imported, passed_over, shadowed
from .signature import check_call
from .spec import ReadyMade, Spec

NO_ARGS: Mapping[str, Any] = MappingProxyType({})

Function = Callable[[dict[str, Any]], Any]


class Loaded(NamedTuple):
    """What is known of a task that is loaded. `sources`: path and digest of each file that makes up its version."""

    is_async: bool
    version: str
    sources: tuple[tuple[str, str], ...]


def load(
    spec: Spec, args: Mapping[str, Any] = NO_ARGS, *, strict: bool = False, accept_truncated: bool = False
) -> tuple[Function, Loaded]:
    """The task's function, and what is known of it.

    `args`: what the function is given beside the row, by name. `spec` is `file.py:function` or
    `package.module:function`, the name of a built-in, a function pickled by value, or a ready-made task. `strict`,
    `accept_truncated`: how a built-in reads what it finds. Raises `TaskError`; its message says what to fix,
    `__cause__` is the user's own exception.
    """
    if isinstance(spec, bytes):
        import cloudpickle

        function: Function = cloudpickle.loads(spec)
        name = getattr(function, "__name__", type(function).__name__)
        function = _given(function, name, args)
        return function, Loaded(is_async(function), "", ())
    if not isinstance(spec, str):
        function = _made_of_options(spec)
        return function, Loaded(is_async(function), spec.version, ())
    module, name = _module_and_name(spec)
    function = _function_of(module, name)
    for taken, file in passed_over():
        say_notice(not_imported(taken, file))
    sources = _sources_beside(module, _own_folder(module, by_file=".py:" in spec))
    version = with_args(version_of(name, sources), args)
    if module.__name__ == f"{__package__}.repair":
        built_in: Callable[..., Any] = function
        function = partial(built_in, strict=strict, accept_truncated=accept_truncated)
    function = _given(function, name, args)
    return function, Loaded(is_async(function), version, sources)


def _made_of_options(spec: ReadyMade) -> Function:
    """The function of a ready-made task. Raises `TaskError` if something that it needs is missing on this machine."""
    from .command.program import Program

    if isinstance(spec, Program):
        from .command.running import runner

        return runner(spec)
    from .prompt.prompt import Prompt

    if isinstance(spec, Prompt):
        from .prompt.asking import asker

        return asker(spec)
    raise TaskError(f"{spec}: this version does not know such a task", "use the same version of batchrun everywhere")


def _given(function: Function, name: str, args: Mapping[str, Any]) -> Function:
    """The function of a row alone. Raises `TaskError` if its signature does not allow for that."""
    check_call(function, name, args)
    return collected(partial(function, **args) if args else function)


def collected(function: Function) -> Function:
    """A task that yields its result piece by piece returns the list of what it yields."""
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    called = (inner, getattr(inner, "__call__", None))  # noqa: B004
    if any(map(inspect.isgeneratorfunction, called)):
        return lambda row: list(function(row))
    if any(map(inspect.isasyncgenfunction, called)):

        async def gathered(row: Any) -> list[Any]:
            return [one async for one in function(row)]

        return gathered
    return function


def is_async(function: Function) -> bool:
    """Whether calling it gives something to await: an `async def`, or an object whose `__call__` is one."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def version_of(name: str, sources: tuple[tuple[str, str], ...]) -> str:
    """A task's version: its function's name and the digests of its files (paths don't matter)."""
    parts = [name, *(f"{Path(path).name} {digest}" for path, digest in sources)]
    return xxhash.xxh3_128_hexdigest("\n".join(parts).encode())


def with_args(version: str, args: Mapping[str, Any]) -> str:
    """The version of a task that is given these arguments; without any, it is the task's own."""
    if not args:
        return version
    return xxhash.xxh3_128_hexdigest(json.dumps([version, args], sort_keys=True).encode())


def source_digest(path: str) -> str:
    """Digest of one source file, whatever ends its lines; empty if it cannot be read."""
    try:
        return content_digest(content_of(path))
    except OSError:
        return ""


def _module_and_name(spec: str) -> tuple[ModuleType, str]:
    if ":" not in spec:
        from . import repair

        return repair, spec
    place, _, name = spec.rpartition(":")
    load_module = module_of_file if place.endswith(".py") else module_named
    return _import(load_module, place), name


def _import(load_module: Callable[[str], ModuleType], place: str) -> ModuleType:
    try:
        return load_module(place)
    except TaskError:
        raise
    except BaseException as error:
        raise TaskError(f"{place} cannot be imported: {type(error).__name__}: {error}", _hint(error, place)) from error


def _hint(error: BaseException, place: str) -> str:
    """What to do about a module that cannot be imported."""
    if isinstance(error, ImportError) and "relative import" in str(error):
        return relative_hint(place)
    if said := shadowed(error):
        return said
    if isinstance(error, ModuleNotFoundError) and error.name:
        if f"{place}.".startswith(f"{error.name}."):  # the task's own module: a misspelt one is not to be installed
            near = [path.stem for path in Path.cwd().glob("*.py")]
            return f"{meant(error.name, near)}Check --task: file.py:function, or package.module:function"
        from batchrun.core.installing import not_installed  # only where something is missing

        return not_installed(error.name, os.environ) or HINT
    return HINT


def _function_of(module: ModuleType, name: str) -> Function:
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    where = getattr(module, "__file__", None) or module.__name__
    have = [key for key, value in vars(module).items() if inspect.isfunction(value) and key[0] != "_"]
    hint = suggest(name, have, "The functions are") if have else "It has no functions."
    raise TaskError(f"{where} has no function {name!r}", hint)


def _own_folder(module: ModuleType, *, by_file: bool) -> Path | None:
    """The folder whose modules are the task's own. Of a file that was imported as a part of a package: the package."""
    own = getattr(module, "__file__", None)
    if own is None:
        return None
    within = module.__name__.count(".") if by_file else 0
    return Path(own).parents[max(0, within - 1)]


def _sources_beside(module: ModuleType, folder: Path | None) -> tuple[tuple[str, str], ...]:
    """The module's file and the loaded modules beside it: together they are the task's version."""
    own = getattr(module, "__file__", None)
    if own is None or folder is None:
        return ()
    files = {str(Path(own))}
    within = os.path.join(folder, "")
    if not module.__name__.startswith("batchrun."):
        # Thousands, in each worker: no `Path` for each.
        files |= {path for path in _files_of_modules(within) if path.endswith(".py") and "site-packages" not in path}
    return tuple((path, source_digest(path)) for path in sorted(files))


def _files_of_modules(within: str) -> Iterator[str]:
    """The files of loaded modules whose paths begin so."""
    shared = _template.last if _template and f"\n{within}" not in _template.files else None
    for name in list(takewhile(lambda name: name != shared, reversed(sys.modules))):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path and path.startswith(within):
            yield path


class _Template(NamedTuple):
    """Modules that were loaded in the process that this one was forked from: the `last` one's name, and the `files` of
    all, each behind a line's end.
    """

    last: str
    files: str


_template: _Template | None = None


def note_modules() -> None:
    """To be called in a process that is to be forked. Its children need not look at each module that they share with
    it: merely to touch a thousand of them takes half of the time in which a child gets up, and megabytes of memory.
    """
    global _template
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    _template = _Template(next(reversed(sys.modules)), "".join(f"\n{file}" for file in files if file))


def users_trace(error: BaseException) -> str:
    """The traceback from the first line of the user's own code on: ours is noise to them."""
    trace = error.__traceback__
    package = str(Path(__file__).parents[1]) + os.sep
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(package) and not file.startswith("<frozen importlib"):
            break
        trace = trace.tb_next
    # No locals, ever: they may hold keys. `chain` keeps "caused by", which is where the truth often is.
    return "".join(traceback.format_exception(type(error), error, trace))
