"""What failed, and why: failures of settled rows, grouped by kind and by message with its varying parts folded."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from batchrun.core.folding import fold
from batchrun.core.kinds import EXCEPTION, remedy, with_type
from batchrun.core.text import counted, one_line, percent

_SHOWN_GROUPS = 20
_SHOWN_ROWS = 10
_SHOWN_MESSAGE = 300
_LOOKED_AT = 4 * _SHOWN_MESSAGE


@dataclass(slots=True)
class Group:
    """Failures that are alike. `type`: of the exception. `rows`: the first ten row numbers; `sample`: one message as it
    was. `task`: see `groups`.
    """

    kind: str
    pattern: str
    sample: str
    count: int = 0
    same: bool = True
    rows: list[int] = field(default_factory=list)
    traceback: str | None = None
    task: str = ""
    type: str | None = None

    @property
    def message(self) -> str:
        """The message, if it is the same for all; else with its varying parts folded."""
        return self.sample if self.same else self.pattern

    @property
    def told(self) -> str:
        """The message for people, with the type of an exception."""
        return with_type(self.kind, self.message, self.type)

    @property
    def remedy(self) -> str:
        """What to do next."""
        return remedy(self.kind, self.task)

    def as_record(self, total: int) -> dict[str, Any]:
        """For machines. `total`: failed rows in all, of which `share` is the part in this group."""
        told = {"kind": self.kind, "type": self.type, "message": self.message, "count": self.count, "rows": self.rows}
        return {**told, "share": round(self.count / total, 4), "sample": self.sample, "next": self.remedy}


def groups(failed: Iterable[tuple[int, str, str, str | None, str | None]], task: str = "") -> list[Group]:
    """Failures that are alike together, the most common first.

    `failed`: position, kind, message, traceback and type of each row that has failed, in order. `task`: as the
    checkpoint describes it.
    """
    folded = lru_cache(maxsize=1024)(fold)
    found: dict[tuple[str, str | None, str], Group] = {}
    for position, kind, message, trace, of in failed:
        key = (kind, of if kind == EXCEPTION else None, folded(message))
        if (group := found.get(key)) is None:
            found[key] = group = Group(kind, key[2], message, traceback=trace, task=task, type=of)
        group.count += 1
        group.same = group.same and message == group.sample
        if len(group.rows) < _SHOWN_ROWS:
            group.rows.append(position)
    return sorted(found.values(), key=lambda group: -group.count)


def failed_in_all(found: Iterable[Group]) -> int:
    """Rows that have failed."""
    return sum(group.count for group in found)


def failures_in_words(found: list[Group], program: Sequence[str], asked: Sequence[str], *, full: bool) -> str:
    """The groups for people. `program` and `asked`: the command's words before and after its name."""
    if not found:
        return "no row has failed"
    total = failed_in_all(found)
    title = f"{counted(total, 'row')} failed, in {counted(len(found), 'way')}"
    told = [_paragraph(group, total, full) for group in found[:_SHOWN_GROUPS]]
    if rest := found[_SHOWN_GROUPS:]:
        all_of_them = shlex.join([*program, "errors", *asked, "--json"])
        told.append(f"… and {counted(failed_in_all(rest), 'row')} in {counted(len(rest), 'more way')}: {all_of_them}")
    return "\n\n".join([title, *told, _next(found[0].rows[0], program, asked)])


def _paragraph(group: Group, total: int, full: bool) -> str:
    message = group.told if full and group.same else _both_ends(group.told)
    lines = [f"{group.count:,} × {group.kind} ({percent(group.count, total)}): {message}"]
    if not group.same:
        lines.append(f"  such as  {group.sample if full else _both_ends(group.sample)}")
    rows = ", ".join(f"{row:,}" for row in group.rows) + (", …" if group.count > len(group.rows) else "")
    lines += [f"  {'row ' if group.count == 1 else 'rows'}     {rows}", f"  next     {group.remedy}"]
    if full and group.traceback:
        lines += ["", *(f"  | {line}" for line in group.traceback.rstrip().splitlines())]
    return "\n".join(lines)


def _both_ends(message: str) -> str:
    """A message as one line, cut in the middle: the reason may stand before or behind what it quotes."""
    if len(message) <= _LOOKED_AT and len(whole := one_line(message, _LOOKED_AT)) <= _SHOWN_MESSAGE:
        return whole
    half = _SHOWN_MESSAGE // 2 - 2
    first, last = one_line(message[:_LOOKED_AT], _LOOKED_AT), one_line(message[-_LOOKED_AT:], _LOOKED_AT)
    return f"{first[:half]} ... {last[-half:]}"


def _next(row: int, program: Sequence[str], asked: Sequence[str]) -> str:
    table, *naming = asked
    show = shlex.join([*program, "show", table, str(row), *naming])
    file = shlex.join([*program, "errors", table, *naming, "-o", "failed.csv"])
    return f"one of them in full: {show}\nall of them as a table: {file}"
