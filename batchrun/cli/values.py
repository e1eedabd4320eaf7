"""What stands on the command line, as values. Text and paths are taken as they are: to convert them, typer loads
pydantic, which takes a fifth of the time of a small run.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

_AS_TYPED: dict[Any, Callable[[Any], Any]] = {str: str, Path: Path, list[str]: list}


def program(app: typer.Typer) -> Callable[[], Any]:
    """The program that `app` describes."""
    group = get_command(app)
    for command in (group, *getattr(group, "commands", {}).values()):
        command.get_params = partial(_parameters, command.get_params)
    return group


def _parameters(of_typer: Callable[[Any], Sequence[Any]], context: Any) -> Sequence[Any]:
    """A command's parameters, its `--help` among them."""
    found = of_typer(context)
    for parameter in found:
        parameter.process_value = partial(_value, parameter)
    return found


def _value(parameter: Any, context: Any, given: Any) -> Any:
    """A parameter's value: what typer would find, or would find with more effort."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if given is None and not parameter.required:
        value = () if parameter.multiple or parameter.nargs == -1 else None
    elif _is_as_typed(kind, given):
        value = _AS_TYPED[kind](given)
    else:
        return type(parameter).process_value(parameter, context, given)
    return parameter.callback(context, parameter, value) if parameter.callback else value


def _is_as_typed(kind: Any, given: Any) -> bool:
    if kind == list[str]:
        return isinstance(given, tuple | list)
    if kind is Path:  # of a file that is there and cannot be read, typer says so
        return isinstance(given, str) and (os.access(given, os.R_OK) or not os.path.exists(given))
    return kind is str and isinstance(given, str)
