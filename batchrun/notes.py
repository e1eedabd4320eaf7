"""What the user should know before anything runs, one sentence each. Pure."""

from collections.abc import Iterable, Iterator

from .display.words import counted, have, were
from .errors import ChangedError
from .inflight import Running
from .plan import Plan
from .readymade import Spec
from .settings import Settings
from .source import Bound
from .table import looks_separated, separator

_SHOWN = 10


def notes_on(bound: Bound, plan: Plan, settings: Settings, spec: Spec, in_flight: list[Running]) -> list[str]:
    """Sentences on what is hardly meant, on rows in flight at a crash, on what has changed, and on rows left out."""
    notes = [*_doubts(bound, plan, spec)]
    if in_flight:
        rows = some({running.position for running in in_flight})
        who, again = ("row", "it runs again") if len(in_flight) == 1 else ("rows", "they run again")
        notes.append(f"the last run died while {who} {rows} ran; {again}, uncharged")
    if plan.stale and settings.on_change != "redo":
        notes.append(
            f"{were(plan.stale, 'row')} settled under another version of the task or other content; results are kept "
            "(--on-change redo runs such rows again)"
        )
    if bound.moved.moved:
        notes.append(f"the input has changed: {counted(bound.moved.moved, 'result')} moved with their rows")
    if bound.moved.back:
        notes.append(f"{have(bound.moved.back, 'row')} come back to the input, and so have the results")
    if bound.bad_rows:
        notes.append(f"{were(bound.bad_rows, 'malformed row')} left out of the input (--bad-rows skip)")
    return notes


def _doubts(bound: Bound, plan: Plan, spec: Spec) -> Iterator[str]:
    """What can be done as it was said, but is hardly meant."""
    columns, sep = bound.table.columns, bound.options.sep
    one_column = bound.table.kind == "csv" and len(columns) == 1
    if one_column and sep is not None and looks_separated(columns[0], separator(bound.options, sep)):
        yield f"the only column is named {columns[0]!r}: is the separator right? (--sep)"
    if plan.to_run and not isinstance(spec, (str, bytes)) and (note := spec.note(bound.task_table()[0])):
        yield note


def has_changed(plan: Plan, settings: Settings) -> ChangedError:
    """The error of `--on-change stop`, which is the default of tasks that are made of options."""
    if settings.ready_made:
        return ChangedError(
            f"{were(plan.stale, 'row')} settled under another {settings.checkpoint_name}, or with other content; "
            "nothing was run",
            "--on-change keep keeps their results, --on-change redo runs them again, "
            "--name NAME gives this one results of its own",
        )
    return ChangedError(
        f"{were(plan.stale, 'row')} settled under another version of the task, or with other content",
        "--on-change keep keeps their results, redo runs them again; --task-version says by hand what counts",
    )


def some(rows: Iterable[int]) -> str:
    """Row numbers in order, at most ten of them."""
    ordered = sorted(rows)
    more = f" and {len(ordered) - _SHOWN:,} more" if len(ordered) > _SHOWN else ""
    return ", ".join(f"{row:,}" for row in ordered[:_SHOWN]) + more
