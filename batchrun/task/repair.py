"""The built-in task `repair`: text cells that hold JSON, however broken, become the JSON they hold."""

import re
from collections.abc import Callable, Iterable
from functools import partial

from batchrun.task.reply.candidates import could_open

from .reply import Parsed, ReplyError, read_reply

_FENCE = re.compile(r"```|~~~")
_STEPS = ("value", "json", "think", "fence", "embedded", "repaired")
"""From what needs the least to what needs the most."""


class UnreadableCell(ReplyError):
    """A cell was meant as JSON and cannot be read. Nothing will be otherwise at a further attempt."""


def repair(row: dict[str, object], *, strict: bool = False, accept_truncated: bool = False) -> Parsed:
    """The row, each text cell that holds JSON replaced by the value.

    A cell *counts* if it has a bracket that could open JSON, or a fence; `42`, `true` and `[sic]` stay text. A cell
    that counts is read as the text of any task is (see `batchrun.task.reply.auto`): prose with brackets in it stays as
    it is, too, and what was meant as JSON and cannot be read fails the row, with the column's name.

    `how` is that of the cell that needed most, `value` where none held JSON; the note names repaired columns.
    `strict`, `accept_truncated`: as for a reply. Raises UnreadableCell for the first such column.
    """
    reading = partial(read_reply, strict=strict, accept_truncated=accept_truncated)
    texts = {name: cell for name, cell in row.items() if isinstance(cell, str)}
    found = {name: parsed for name, text in texts.items() if (parsed := _parsed(name, text, reading))}
    if not found:
        return Parsed(row, "value", 0)
    how = max((parsed.how for parsed in found.values()), key=_STEPS.index)
    repaired = [name for name, parsed in found.items() if parsed.how == "repaired"]
    values = {name: parsed.value for name, parsed in found.items()}
    return Parsed({**row, **values}, how, sum(parsed.nulled for parsed in found.values()), _note(repaired))


def holds_json(cells: Iterable[object]) -> bool:
    """Whether `repair` would find JSON, whole or broken, in any of these cells."""
    return any(isinstance(cell, str) and _is_json(cell) for cell in cells)


def _is_json(text: str) -> bool:
    try:
        return _parsed("", text, read_reply) is not None
    except UnreadableCell:
        return True


def _parsed(name: str, text: str, reading: Callable[[str], Parsed]) -> Parsed | None:
    """What a cell holds; None if it stays as it is."""
    if not _counts(text):
        return None
    try:
        parsed = reading(text)
    except ReplyError as error:
        raise UnreadableCell(error.kind, f"column {name!r}: {error.message}") from None
    return None if parsed.how == "text" else parsed


def _counts(text: str) -> bool:
    # Most cells have none of these characters: to search for them costs less than one pattern.
    if "{" not in text and "[" not in text and "`" not in text and "~" not in text:
        return False
    return could_open(text) or _FENCE.search(text) is not None


def _note(repaired: list[str]) -> str | None:
    if not repaired:
        return None
    return f"repaired in column{'s' if len(repaired) > 1 else ''} {', '.join(map(repr, repaired))}"
