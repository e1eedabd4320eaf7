"""What a checkpoint remembers of its table and its task, and whether that can be true. Pure.

The facts have a checksum, but whoever sends a checkpoint can make one. So each is looked at before it is used: a number
where a list should be would else be told as a bug of ours.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

_MOST = 1 << 53
_UNKNOWN = ("task", "died", "suspects")
_COUNT, _TEXT, _PATH, _LINE, _FLAG, _HEX = "count", "text", "path", "line", "flag", "hex"
_READING = {"columns": [_TEXT], "key": [_TEXT], "dtype": {...: _TEXT}, "bad_rows": _TEXT}
_READING_MAY = {
    "encoding": _TEXT, "sep": _TEXT, "content": [_TEXT],
    "missing": [_TEXT], "no_header": _FLAG, "skip_lines": _COUNT, "escape": _TEXT, "rules": _COUNT,
    "file_column": _FLAG, "table": _TEXT, "sheet": _TEXT, "form": _COUNT,
}  # fmt: skip
_TASK_MAY = {"is_async": _FLAG, "loaded": _TEXT, "args": _TEXT}

# A shape is a kind of value, a list of values of one shape, or a mapping: of these keys, of any (...), or of digests
# (_HEX). Keys below `?` need not be there, and None may stand for their values, and for what may be unknown.
_SHAPES: Mapping[str, Any] = {
    "id": _HEX,
    "digest": _TEXT,
    "input": _PATH,
    "place": _PATH,
    "rows": _COUNT,
    "bad_rows": _COUNT,
    "empty_rows": _COUNT,
    "columns": [_TEXT],
    "types": [_TEXT],
    "doubts": [(_TEXT, [_LINE], [_TEXT], _TEXT)],
    "reading": {**_READING, "?": _READING_MAY},
    "named": {"?": {"key": [_TEXT], "content": [_TEXT], "chosen": _FLAG, "renamed": _FLAG}},
    "task": {"spec": _TEXT, "version": _TEXT, "sources": [(_PATH, _TEXT)], "?": _TASK_MAY},
    "owner": {"kind": _TEXT, "?": {"name": _TEXT, "path": _PATH, "place": _PATH, "digest": _TEXT}},
    "unshared": {"why": _TEXT, "preload": _TEXT, "python": _TEXT, "sources": [(_PATH, _TEXT)]},
    "suspects": {_HEX: (_COUNT, _COUNT)},
    "died": {"running": [_COUNT], "started": [_COUNT], "more": _FLAG},
}


def nonsense_in(facts: Iterable[tuple[Any, Any]]) -> str | None:
    """What cannot be true of these facts (name, and value as JSON), in words; None if all may be."""
    lengths = {}
    for name, text in facts:
        try:
            value = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return f"what it remembers as {name!r} is not JSON"
        if name in _SHAPES and not ((value is None and name in _UNKNOWN) or _fits(value, _SHAPES[name])):
            return f"what it remembers as {name!r} makes no sense"
        if name in ("columns", "types"):
            lengths[name] = len(value)
    return "it does not have one type for each column" if len(set(lengths.values())) > 1 else None


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, tuple):  # of so many
        return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(each, shape[0]) for each in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and _fits_keys(value, shape)
    if shape == _COUNT:
        return type(value) is int and 0 <= value <= _MOST
    if shape == _LINE:  # of several files it says which
        return _fits(value, _COUNT) or isinstance(value, str)
    if shape == _HEX:
        return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None
    if shape == _PATH:
        return isinstance(value, str) and _is_path(value)
    return isinstance(value, bool if shape == _FLAG else str)


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeError:
        return False


def _fits_keys(value: dict[str, Any], shape: dict[Any, Any]) -> bool:
    if ... in shape:
        return all(_fits(each, shape[...]) for each in value.values())
    if _HEX in shape:
        return all(_fits(key, _HEX) and _fits(each, shape[_HEX]) for key, each in value.items())
    optional = shape.get("?", {})
    needed = {key: part for key, part in shape.items() if key != "?"}
    return (
        needed.keys() <= value.keys()
        and all(_fits(value[key], part) for key, part in needed.items())
        and all(value.get(key) is None or _fits(value[key], part) for key, part in optional.items())
    )
