"""How a run went: the counts of the whole table, and the exit code."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.places import Places
from batchrun.core.money import Tokens
from batchrun.core.states import DONE, SETTLED_NAMES, SKIPPED, spoken
from batchrun.core.text import counted, duration, money, one_line, printable
from batchrun.errors import BatchrunError, UsageError
from batchrun.options.settings import Settings
from batchrun.run.plan import Plan
from batchrun.run.tally import Tally

_ENOUGH_NULLS = 3
_LEFT = ' style="text-align: left"'


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of the whole table after a run, by state; `ran` is the number of attempts that the run made.

    `seconds`: how long it took. `output`: the results file, if there is one. `errors`: kind, message and
    count of the rows that have failed in it, most common first. `tokens`, `cost`: what its attempts used, where that is
    known, failed ones included. `settled`: rows that it settled. `replies`: those of the table, by how their results
    were found, if this run had any that were no plain values. `all_null`: a function has returned nothing but None in
    this run, three times or more. `load`: what
    `results` calls.
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
    all_null: bool = False
    load: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def results(self) -> Any:
        """The results as a pandas DataFrame, joined to the table in its order, like `batchrun.results`.

        Raises `UsageError` for a summary that no call of `batchrun.process` has returned, and what that raises.
        """
        if self.load is None:
            raise UsageError("this summary knows of no results", "batchrun.results(table, task=...) reads them")
        return self.load()

    def _repr_html_(self) -> str:
        """How notebooks show it: counts, time, results file, most common errors."""
        counts = [f"{count:,} {spoken(name)}" for name in (*SETTLED_NAMES, "left") if (count := getattr(self, name))]
        lines = [
            ("rows", f"{', '.join(counts) or 'none settled'} of {self.rows:,}"),
            ("run", f"{counted(self.ran, 'attempt')} in {duration(self.seconds)}, exit code {self.exit_code}"),
            *([("cost", money(self.cost))] if self.cost is not None else []),
            *([("results", str(self.output))] if self.output else []),
            *(("errors", f"{count:,} × {kind}: {one_line(message)}") for kind, message, count in self.errors),
        ]
        body = "".join(
            f"<tr><th{_LEFT}>{name}</th><td{_LEFT}>{escape(printable(text))}</td></tr>" for name, text in lines
        )
        title = escape(printable(f"{self.input.name}, task {self.task}"))
        return f"<table><thead><tr><th colspan=2{_LEFT}>{title}</th></tr></thead><tbody>{body}</tbody></table>"

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


def summarise(
    places: Places,
    settings: Settings,
    checkpoint: Checkpoint,
    plan: Plan,
    tally: Tally,
    output: Path | None = None,
    stopped: BatchrunError | None = None,
) -> Summary:
    """How it went: the counts of the whole table, and the exit code."""
    ran = (plan.to_run or settings.reparse) and not settings.dry_run
    counts = checkpoint.counts() if ran else _all_states(plan.settled)
    left = plan.rows - sum(counts.values())
    bad = _bad_rows(checkpoint, settings, tally, counts, left)
    return Summary(
        task=places.name,
        input=places.input,
        rows=plan.rows,
        left=left,
        ran=tally.ran,
        seconds=time.monotonic() - tally.started,
        exit_code=stopped.exit_code if stopped else int(bad > 0 and not settings.dry_run),
        output=output,
        errors=tuple(tally.row_errors.most_common(3)),
        tokens=tally.tokens,
        settled=tally.rows,
        all_null=_returned_nothing(settings, tally),
        replies=checkpoint.replies() if tally.hows.keys() - {"value"} else {},
        cost=settings.prices.cost(tally.tokens) if settings.prices and tally.tokens else None,
        **counts,
    )


def _returned_nothing(settings: Settings, tally: Tally) -> bool:
    """Whether the task's function seems to lack its `return`. Only plain values are a function's own."""
    results = tally.hows.total()
    return tally.only_nulls and results >= _ENOUGH_NULLS and tally.hows["value"] == results and not settings.ready_made


def _all_states(counts: dict[str, int]) -> dict[str, int]:
    return dict.fromkeys(SETTLED_NAMES, 0) | counts


def _bad_rows(checkpoint: Checkpoint, settings: Settings, tally: Tally, counts: dict[str, int], left: int) -> int:
    """Rows asked for that are neither done nor skipped."""
    if settings.limit is not None:
        return tally.rows_failed
    if settings.rows is not None:
        statuses = (checkpoint.attempts_and_status(row)[1] for row in settings.rows)
        return sum(status not in (DONE, SKIPPED) for status in statuses)
    return counts["failed"] + counts["timed_out"] + counts["crashed"] + left
