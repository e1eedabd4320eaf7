"""What failed, and why: failures of settled rows, grouped by kind and by message with its varying parts folded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_SHOWN_ROWS = 10
_VARYING = re.compile(
    r"""(?P<quoted>'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)"""
    r"""|(?P<id>\b(?=[0-9a-f]*[0-9])[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b)"""
    r"""|(?P<number>\d+(?:[.,:]\d+)*)""",
    re.IGNORECASE,
)
_FOLDED = {"quoted": "'…'", "id": "…", "number": "N"}

ADVICE = {
    "timeout": "give them more time (--timeout), or find out what they wait for",
    "crash": "mend what kills the worker, then run with --retry crashed",
    "unencodable": "return what JSON can hold; the message says where it does not",
    "rate_limited": "run again later, or with fewer --jobs",
    "auth": "check the key or the permission, then run again",
    "truncated": "let the service write longer answers, or take them cut off: --reparse --accept-truncated",
    "no_json": "ask for JSON more firmly; 'show' has the reply as it came",
    "ambiguous": "ask for one answer; 'show' has the reply as it came",
}


@dataclass(slots=True)
class Group:
    """Failures that are alike. `rows`: the first ten row numbers; `sample`: one message as it was."""

    kind: str
    pattern: str
    sample: str
    count: int = 0
    same: bool = True
    rows: list[int] = field(default_factory=list)
    traceback: str | None = None

    @property
    def message(self) -> str:
        """The message, if it is the same for all; else with its varying parts folded."""
        return self.sample if self.same else self.pattern

    def as_record(self) -> dict[str, Any]:
        """For machines."""
        return {"kind": self.kind, "message": self.message, "count": self.count, "rows": self.rows}


def fold(message: str) -> str:
    """The message with what varies from row to row replaced: quoted text, ids, numbers."""
    return _VARYING.sub(lambda found: _FOLDED[found.lastgroup or "number"], message)


def groups(failed: Iterable[tuple[int, str, str, str | None]]) -> list[Group]:
    """Failures that are alike together, the most common first.

    `failed`: position, kind, message and traceback of each row that has failed, in order.
    """
    found: dict[tuple[str, str], Group] = {}
    for position, kind, message, trace in failed:
        key = (kind, fold(message))
        group = found.setdefault(key, Group(kind, key[1], message, traceback=trace))
        group.count += 1
        group.same = group.same and message == group.sample
        if len(group.rows) < _SHOWN_ROWS:
            group.rows.append(position)
    return sorted(found.values(), key=lambda group: -group.count)


def in_words(found: list[Group], *, full: bool) -> str:
    """The groups for people."""
    if not found:
        return "no row has failed"
    total = sum(group.count for group in found)
    return "\n\n".join(_paragraph(group, total, full) for group in found)


def _paragraph(group: Group, total: int, full: bool) -> str:
    rows = ", ".join(f"{row:,}" for row in group.rows) + (", …" if group.count > len(group.rows) else "")
    lines = [f"{group.count:,} × {group.kind} ({group.count / total:.0%}): {group.message}", f"  rows {rows}"]
    if advice := ADVICE.get(group.kind):
        lines.append(f"  {advice}")
    if full and group.traceback:
        lines += [f"  | {line}" for line in group.traceback.rstrip().splitlines()]
    return "\n".join(lines)
