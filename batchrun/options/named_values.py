"""Reading options that are names with values: `temperature=0`, several times, or a table in TOML and Python.

Each raises `ValueError` in words.
"""

import math
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


def pairs(value: Any) -> Mapping[str, str]:
    """`col=str`, several times or separated by commas; or a table."""
    if isinstance(value, Mapping):
        return {str(name): str(kind) for name, kind in value.items()}
    several = [value] if isinstance(value, str) else value
    return dict(pair for said in several for pair in _pairs(str(said)))


def _pairs(said: str) -> Iterable[tuple[str, str]]:
    begun = ""
    for part in said.split(","):  # a comma may also be a part of a name
        begun += part
        name, equals, kind = (each.strip() for each in begun.rpartition("="))
        if equals:
            if not (name and kind):
                break
            yield name, kind
        begun = "" if equals or not begun.strip() else f"{begun},"
    if begun:
        raise ValueError(f"{begun.strip(' ,')!r} is not column=type (zip=str)")


def parameters(value: Any) -> Mapping[str, Any]:
    """`temperature=0`, several times; or a table. A value that is JSON is that value, any other is text."""
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items()}
    found = {}
    for part in [value] if isinstance(value, str) else value:
        name, equals, text = str(part).partition("=")
        if not (name.strip() and equals):
            raise ValueError(f"{part!r} is not name=value (temperature=0)")
        found[name.strip()] = _json_or_text(text)
    return found


def amounts(value: Any) -> Mapping[str, float]:
    """`CPU=4`, several times; or a table: names with numbers above 0."""
    if not isinstance(value, Mapping):
        value = dict(map(_amount, [value] if isinstance(value, str) else value))
    found = {}
    for name, said in value.items():
        try:
            found[str(name)] = float(said)
        except (TypeError, ValueError):
            found[str(name)] = 0.0
        if not (name and 0 < found[str(name)] < math.inf):
            raise ValueError(f"'{name}={said}' is not name=amount (CPU=4)")
    return found


def _amount(said: Any) -> tuple[str, str]:
    name, equals, amount = str(said).partition("=")
    if not equals:
        raise ValueError(f"{said!r} is not name=amount (CPU=4)")
    return name.strip(), amount


def arguments(value: Any) -> Mapping[str, Any]:
    """Arguments of a function: `model=x`, several times, a JSON object, or a table; values as of `parameters`."""
    if isinstance(value, str) and isinstance(whole := _json_or_text(value), dict):
        value = whole
    pairs = value.items() if isinstance(value, Mapping) else map(_named, [value] if isinstance(value, str) else value)
    found: dict[str, Any] = {}
    for name, part in pairs:
        if not str(name).isidentifier() or iskeyword(str(name)):
            raise ValueError(f"{name!r} cannot be the name of a parameter (letters, digits and _)")
        if name in found:
            raise ValueError(f"{name!r} is given twice")
        found[str(name)] = _plain(part, str(name))
    return found


def _named(part: Any) -> tuple[str, Any]:
    name, equals, text = str(part).partition("=")
    if not (name.strip() and equals):
        raise ValueError(f"{part!r} is not name=value (model=small)")
    value = _json_or_text(text)
    try:
        return name.strip(), _plain(value, name)
    except ValueError:  # 1e999 is more than a number can hold
        return name.strip(), text


def _plain(value: Any, name: str) -> Any:
    """The value, made of what JSON has; text and numbers as such, whatever they were derived from."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(item, name) for key, item in value.items()}
    raise ValueError(
        f"{name!r} holds {value!r:.100}, which JSON does not have: give it as text, and read it in the function"
    )


def _json_or_text(text: str) -> Any:
    import json  # as long as half of this module, and `--help` needs none

    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(_: str) -> None:
    raise ValueError("NaN and infinities are not JSON")
