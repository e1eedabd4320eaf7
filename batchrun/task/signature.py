"""Whether a function can be called with a row and the arguments of `--arg`: held against its signature, uncalled."""

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from batchrun.core.suggest import suggest
from batchrun.errors import TaskError

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_SOMETHING = type("Something", (), {"__repr__": lambda _: "…"})()
_GIVE = "a task is called with one row, a dict of its columns"


def check_call(function: Callable[..., Any], name: str, args: Mapping[str, Any]) -> None:
    """Raise `TaskError` if `function(row, **args)` cannot even begin. `name`: what the user calls it.

    What a decorator has wrapped tells which names there are, if the decorator itself takes any. It may give arguments
    of its own, so that none is called missing. What has no signature, as some functions in C, is taken as it is.
    """
    _refuse_factory(function, name)
    if (signature := _signature(function, follow=False)) is None:
        return
    wrapped = _signature(function, follow=True) or signature
    shown = f"{name}({_in_words(wrapped)})"
    taken = _takes_row(signature, shown, name)
    for arg in args:
        _check_name(arg, signature, wrapped, taken or _takes_row(wrapped, shown, name), shown)
    _check_complete(signature, args, taken, shown)


def _signature(function: Callable[..., Any], *, follow: bool) -> Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=follow)
    except Exception:  # noqa: BLE001 - beside those that have none, objects may answer a question in any way
        return None


def _in_words(signature: Signature) -> str:
    """The parameters, without annotations, and with no value of a default: it may be long, or secret."""
    bare = [
        parameter.replace(
            annotation=Parameter.empty,
            default=Parameter.empty if parameter.default is Parameter.empty else _SOMETHING,
        )
        for parameter in signature.parameters.values()
    ]
    return str(Signature(bare))[1:-1]


def _refuse_factory(function: Callable[..., Any], name: str) -> None:
    """A class whose objects are to be called would give an object for each row."""
    if inspect.isclass(function) and any("__call__" in vars(base) for base in function.__mro__):
        raise TaskError(
            f"{name} is a class; a task is a function, or an object of such a class",
            f"create one in the module, task = {name}(...), and give its name: task",
        )


def _takes_row(signature: Signature, shown: str, name: str) -> str | None:
    """The parameter that gets the row; None if `*args` takes it."""
    parameters = signature.parameters.values()
    for parameter in parameters:
        if parameter.kind in _BY_POSITION:
            return parameter.name
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return None
    first = next((each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY), None)
    why = f"{first!r} can be given by name only" if first else "it takes no positional arguments"
    right = "lambda row: ..." if name == "<lambda>" else f"def {name.rpartition('.')[2]}(row)"
    raise TaskError(f"{shown} cannot be given a row: {why}", f"{_GIVE}: {right}")


def _check_name(arg: str, signature: Signature, wrapped: Signature, taken: str | None, shown: str) -> None:
    """Raise `TaskError` if there is no such parameter to be given by name."""
    known = {**wrapped.parameters, **signature.parameters}
    if arg == taken and known[arg].kind is Parameter.POSITIONAL_OR_KEYWORD:
        raise TaskError(f"--arg {arg}: {shown} is given the row as {arg!r}", "leave that --arg out")
    names = [name for name, parameter in known.items() if parameter.kind in _BY_NAME and name != taken]
    open_ended = _has_any_names(signature) and (wrapped is signature or _has_any_names(wrapped))
    if arg in names and (arg in signature.parameters or _has_any_names(signature)):
        return
    if open_ended:
        return
    if arg in known and known[arg].kind is Parameter.POSITIONAL_ONLY:
        raise TaskError(f"--arg {arg}: {shown} takes {arg!r} by position only", "remove the / from its parameters")
    hint = suggest(arg, names, "It accepts") if names else "It takes only the row."
    raise TaskError(f"--arg {arg}: {shown} has no parameter {arg!r}", hint)


def _has_any_names(signature: Signature) -> bool:
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature.parameters.values())


def _check_complete(signature: Signature, args: Mapping[str, Any], taken: str | None, shown: str) -> None:
    """Raise `TaskError` if a parameter without a default gets nothing."""
    missing = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.default is Parameter.empty
        and parameter.kind in (*_BY_POSITION, Parameter.KEYWORD_ONLY)
        and parameter.name not in (taken, *args)
    ]
    if not missing:
        return
    names = ", ".join(repr(parameter.name) for parameter in missing)
    if taken in ("self", "cls") and len(missing) == 1:
        raise TaskError(
            f"{shown} is a method, and there is no object to call it on",
            "create an object in the module, and name its method: file.py:object.method",
        )
    if any(parameter.kind is Parameter.POSITIONAL_ONLY for parameter in missing):
        raise TaskError(f"{shown} also needs {names}, by position", f"{_GIVE}; give the others a default")
    given = " ".join(f"--arg {parameter.name}=VALUE" for parameter in missing)
    raise TaskError(
        f"{shown} also needs {names}", f"{_GIVE}; give {given} (in Python args={{...}}), or defaults in the function"
    )
