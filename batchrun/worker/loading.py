"""Finds the user's function. Runs in worker processes only: the coordinator never imports user code."""

import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import xxhash

from batchrun.errors import TaskError
from batchrun.suggest import meant, suggest
from batchrun.wire import Hello

from .readymade import Spec
from .signature import check_call

NO_ARGS: Mapping[str, Any] = MappingProxyType({})

Function = Callable[[dict[str, Any]], Any]


def load(
    spec: Spec, args: Mapping[str, Any] = NO_ARGS, *, strict: bool = False, accept_truncated: bool = False
) -> tuple[Function, Hello]:
    """The task's function, and what to tell the coordinator about it.

    `args`: what the function is given beside the row, by name. `spec` is `file.py:function` or
    `package.module:function`, the name of a built-in, a function pickled by value, or a ready-made task. `strict`,
    `accept_truncated`: how a built-in reads what it finds. Raises `TaskError`; its message says what to mend,
    `__cause__` is the user's own exception.
    """
    if isinstance(spec, bytes):
        import cloudpickle

        function: Function = cloudpickle.loads(spec)
        name = getattr(function, "__name__", type(function).__name__)
        return _given(function, name, args), Hello(is_async(function), "", (), None, "", "")
    if not isinstance(spec, str):
        function = spec.function()
        return function, Hello(is_async(function), spec.version, (), None, "", "")
    module, name = _module_and_name(spec)
    function = _function_of(module, name)
    sources = _sources_beside(module)
    version = with_args(version_of(name, sources), args)
    if module.__name__ == f"{__package__}.builtin":
        built_in: Callable[..., Any] = function
        function = partial(built_in, strict=strict, accept_truncated=accept_truncated)
    return _given(function, name, args), Hello(is_async(function), version, sources, None, "", "")


def _given(function: Function, name: str, args: Mapping[str, Any]) -> Function:
    """The function of a row alone. Raises `TaskError` if its signature does not allow for that."""
    check_call(function, name, args)
    return partial(function, **args) if args else function


def is_async(function: Function) -> bool:
    """Whether calling it gives something to await: an `async def`, or an object whose `__call__` is one."""
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
        return xxhash.xxh3_128_hexdigest(Path(path).read_bytes().replace(b"\r\n", b"\n"))
    except OSError:
        return ""


def _module_and_name(spec: str) -> tuple[ModuleType, str]:
    if ":" not in spec:
        from . import builtin

        return builtin, spec
    place, _, name = spec.rpartition(":")
    _make_importable(os.getcwd())
    if not place.endswith(".py"):
        return _import(lambda: importlib.import_module(place), place), name
    path = Path(place).resolve()
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*.py")]
        raise TaskError(f"there is no file {place}", f"{meant(path.name, beside)}Check --task: file.py:function")
    _make_importable(str(path.parent))
    return _import(lambda: _module_from_file(path), place), name


def _make_importable(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _module_from_file(path: Path) -> ModuleType:
    # Under its own name, so that modules beside it which import it back get the same one.
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    name = path.stem if known is None else f"batchrun_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise TaskError(f"{path} is not a Python file", "check --task: file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Not by the loader: compiled code that Python has kept would pass for that of a file edited in the same second.
    exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))
    return module


def _import(load_module: Callable[[], ModuleType], place: str) -> ModuleType:
    try:
        return load_module()
    except TaskError:
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {error}"
        hint = "mend the module and run again"
        if isinstance(error, ImportError) and "relative import" in what:
            hint = "modules beside the file can be imported: write the import without the dot"
        raise TaskError(f"{place} cannot be imported: {what}", hint) from error


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


def _sources_beside(module: ModuleType) -> tuple[tuple[str, str], ...]:
    """The module's file and the loaded modules beside it: together they are the task's version."""
    own = getattr(module, "__file__", None)
    if own is None:
        return ()
    folder = Path(own).parent
    files = {str(Path(own))}
    if not module.__name__.startswith("batchrun."):
        for other in list(sys.modules.values()):
            path = getattr(other, "__file__", None)
            if path and path.endswith(".py") and folder in Path(path).parents and "site-packages" not in path:
                files.add(path)
    return tuple((path, source_digest(path)) for path in sorted(files))


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
