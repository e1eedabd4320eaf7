"""How a run went, and what to do next."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchrun.core.money import Tokens
from batchrun.core.states import SETTLED_NAMES
from batchrun.core.text import counted, from_here

_NAMING = {"--dir", "--name", "--task", "-t"}
_SELECTING = {"--limit", "--rows"}
_SWITCHES_ONCE = {"--fresh", "--redo", "--dry-run", "--reparse"}


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of the whole table after a run, by state; `ran` is the number of attempts that the run made.

    `seconds`: how long it took. `output`: the results file, if there is one. `errors`: kind, message and
    count of its failed attempts, most common first. `tokens`, `cost`: what its attempts used, where that is
    known, failed ones included. `settled`: rows that it settled. `replies`: those of the table, by how their results
    were found, if this run had any that were no plain values.
    """

    rows: int
    done: int
    failed: int
    timed_out: int
    crashed: int
    skipped: int
    left: int
    ran: int
    seconds: float
    exit_code: int
    output: Path | None
    task: str
    input: Path
    errors: tuple[tuple[str, str, int], ...] = ()
    tokens: Tokens | None = None
    cost: float | None = None
    settled: int = 0
    replies: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept_as_text(self) -> int:
        """Replies that are text, where others held JSON; 0 where all are of one kind."""
        return self.replies.get("text", 0) if self.held_json else 0

    @property
    def held_json(self) -> int:
        """Replies that held JSON, whole or broken."""
        return sum(count for how, count in self.replies.items() if how not in ("text", "value"))

    def as_record(self) -> dict[str, Any]:
        """Plain values, for machines."""
        counts = ("rows", *SETTLED_NAMES, "left", "ran")
        return {
            **{name: getattr(self, name) for name in counts},
            "seconds": round(self.seconds, 3),
            "exit": self.exit_code,
            "output": str(self.output) if self.output else None,
            **({"how": dict(self.replies)} if self.replies else {}),
            **({"tokens": self.tokens._asdict(), "cost": self.cost} if self.tokens else {}),
        }


def as_typed(argv: Sequence[str]) -> list[str]:
    """The command line as the user typed it, from `sys.argv`."""
    program = ["python", "-m", "batchrun"] if argv[0].endswith("__main__.py") else ["batchrun"]
    return [*program, *argv[1:]]


def advice(summary: Summary, typed: Sequence[str], *, again: bool = True) -> list[str]:
    """The next steps, each as `what for: command to paste`. `typed`: the command of this run, word by word
    (empty: there was none, as in a notebook). `again`: rows that failed may come out otherwise at another attempt.
    """
    if not typed:
        return ["the same call goes on"] if summary.exit_code > 1 else []
    steps = []
    if summary.failed or summary.timed_out or summary.crashed:
        steps.append(f"see why: {_errors(summary, typed)}")
    if summary.exit_code > 1:
        return [*steps, f"go on: {_again(typed)}"]
    if summary.left:
        # Takes up failed rows as well, which the same command with --limit would mix with new ones.
        return [*steps, f"run the other {summary.left:,}: {_again(typed, without=_SELECTING)}"]
    if summary.kept_as_text:
        command = _again(typed, "--reparse", "--reply", "json", without=_SELECTING | {"--reply", "--redo"})
        steps.append(f"make failures of the {counted(summary.kept_as_text, 'text')}: {command}")
    return [*steps, *_retry(summary, typed)] if again else steps


def _retry(summary: Summary, typed: Sequence[str]) -> list[str]:
    failed = summary.failed + summary.timed_out
    if not failed and not summary.crashed:
        return []
    which = "all" if failed and summary.crashed else "failed" if failed else "crashed"
    return [f"try again: {_again(typed, '--retry', which, without={'--retry'})}"]


def _errors(summary: Summary, typed: Sequence[str]) -> str:
    program = list(typed[: typed.index("process")]) if "process" in typed else ["batchrun"]
    naming = [word for group in _groups(typed) if _option(group) in _NAMING for word in group]
    return shlex.join([*program, "errors", _input(summary, typed), *naming])


def _again(typed: Sequence[str], *extra: str, without: set[str] | None = None) -> str:
    """The same command, less what must not be said twice: `--fresh` would start over."""
    left_out = _SWITCHES_ONCE | (without or set())
    words = [word for group in _groups(typed) if _option(group) not in left_out for word in group]
    return shlex.join([*words, *extra])


def _groups(typed: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The words of a command line, each option that matters here together with its value."""
    words = iter(typed)
    for word in words:
        if word in _NAMING | _SELECTING | {"--retry", "--reply"}:
            yield (word, *(value for value in [next(words, None)] if value is not None))
        else:
            yield (word,)


def _option(group: tuple[str, ...]) -> str:
    """The option that a group of words is about: `--task` of `--task=x`, `-t` of `-tx`."""
    word = group[0]
    return word.partition("=")[0] if word.startswith("--") else word[:2] if word.startswith("-") else ""


def _input(summary: Summary, typed: Sequence[str]) -> str:
    """The table as the user typed it; its full path if it was named elsewhere."""
    same = (word for word in typed if os.path.abspath(word) == str(summary.input))
    return next(same, None) or from_here(summary.input, Path.cwd())
