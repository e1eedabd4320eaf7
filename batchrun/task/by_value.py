"""A function as bytes: how one that stands in no file reaches the workers."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from batchrun.errors import UsageError

_DEEPEST = 20


class _Part(NamedTuple):
    """What a function takes along. `words`: what it is to the function."""

    words: str
    value: Any


def by_value(function: Callable[..., Any]) -> bytes:
    """The function with all that it refers to, pickled. Raises `UsageError`, with the name of what cannot be."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:  # whatever a foreign object raises
        raise _stuck(function, error) from error


def _stuck(function: Callable[..., Any], error: Exception) -> UsageError:
    named: Any = function
    while isinstance(named, partial):
        named = named.func
    name = getattr(named, "__name__", type(named).__name__)
    there = f"task='FILE.py:{name if name.isidentifier() else 'NAME'}'"
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    *by_way_of, culprit = [*_way_to_culprit(function)] or [_Part("it", function)]
    kind = type(culprit.value)
    described = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    within = f", in {' in '.join(part.words for part in reversed(by_way_of))}," if by_way_of else ""
    return UsageError(
        f"{name} cannot be sent to the workers, which are processes of their own: {culprit.words} "
        f"({described}){within} cannot be pickled: {said}",
        "create it inside the function; or write both to a file, which each worker loads once, and name the function "
        f"there: {there}",
    )


def _way_to_culprit(value: Any) -> Iterator[_Part]:
    """From what a function takes along itself to what cannot be pickled."""
    parts = _parts(value, top=True)
    for _ in range(_DEEPEST):
        part = next((part for part in parts if not _can_travel(part.value)), None)
        if part is None:
            return
        yield part
        parts = _parts(part.value)


def _can_travel(value: Any) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 (whatever a foreign object raises)
        return False
    return True


def _parts(value: Any, *, top: bool = False) -> Iterator[_Part]:
    """What a function takes along, or a class; an object is one thing, unless it is the task."""
    if isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, MethodType):
        yield _Part(f"the object of the method {value.__name__!r}", value.__self__)
        yield _Part("its function", value.__func__)
    elif isinstance(value, partial):
        yield _Part("its function", value.func)
        yield from (_Part(f"its argument {place}", each) for place, each in enumerate(value.args, 1))
        yield from (_Part(f"its argument {name!r}", each) for name, each in value.keywords.items())
    elif isinstance(value, type):
        for name, member in vars(value).items():
            inner = getattr(member, "__func__", member)  # of a class method
            if isinstance(inner, FunctionType):
                yield _Part(f"its method {name!r}", inner)
            elif not name.startswith("__"):
                yield _Part(f"its attribute {name!r}", inner)
    elif top:
        yield from (_Part(f"its attribute {name!r}", each) for name, each in getattr(value, "__dict__", {}).items())
        yield _Part(f"its class {type(value).__name__}", type(value))


def _of_function(function: FunctionType) -> Iterator[_Part]:
    code = function.__code__
    for name in dict.fromkeys(_names_in(code)):
        if name in function.__globals__:
            yield _Part(f"the global {name!r}", function.__globals__[name])
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield _Part(f"the variable {name!r} of the function around it", cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    for name, parameter in inspect.signature(function, follow_wrapped=False).parameters.items():
        if parameter.default is not parameter.empty:
            yield _Part(f"the default of its argument {name!r}", parameter.default)
    yield from (_Part(f"its attribute {name!r}", each) for name, each in vars(function).items())


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
