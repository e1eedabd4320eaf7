"""What the user should know before anything runs, one sentence each. Pure."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from batchrun.checkpoint.anchoring.anchor import Moved
from batchrun.checkpoint.anchoring.naming import BY_PLACE, Change
from batchrun.checkpoint.bind import Bound, Retyped
from batchrun.checkpoint.deaths import LostRows
from batchrun.core.suggest import listing
from batchrun.core.text import counted, have, numbers, were
from batchrun.errors import ChangedError
from batchrun.options.settings import Settings
from batchrun.table.doubts import dtype_options, named, sentences
from batchrun.table.header import looks_separated
from batchrun.table.interface import KINDS
from batchrun.table.options import separator
from batchrun.task.spec import Spec

from .plan import Plan


def notes_on(
    bound: Bound,
    plan: Plan,
    settings: Settings,
    spec: Spec,
    died: LostRows,
    damaged: Sequence[int],
    *,
    edited: bool = False,
) -> list[str]:
    """Sentences on what is hardly meant, on rows in flight at a crash, on what has changed, and on rows left out.

    `damaged`: rows whose records were not what was written. `edited`: the table is not what it was at the crash.
    """
    notes = [
        *_doubts(bound, plan, spec),
        *_on_types(bound, plan),
        *_run_again(died, " of the table as it was then" if edited else ""),
    ]
    if (change := bound.moved.change) and (why := _named_anew(change, settings)):
        notes.append(f"{why}: {_known_again(bound.moved, change)}")
    if damaged:
        which = f"record of row {damaged[0]:,} was" if len(damaged) == 1 else f"records of rows {numbers(damaged)} were"
        notes.append(f"the {which} damaged: {'it runs' if len(damaged) == 1 else 'they run'} again")
    if settings.seed is not None and plan.to_run > 1:
        notes.append(f"rows run in random order, with seed {settings.seed} (--order random:{settings.seed})")
    if plan.stale and settings.on_change != "redo":
        notes.append(
            f"{were(plan.stale, 'row')} settled under another version of the task, or with different content; results "
            "are kept (--on-change redo runs these rows again)"
        )
    if bound.moved.moved:
        notes.append(f"the input has changed: {counted(bound.moved.moved, 'result')} moved with their rows")
    if bound.moved.back:
        notes.append(f"{have(bound.moved.back, 'row')} come back to the input, with their results")
    if bound.bad_rows:
        notes.append(f"{were(bound.bad_rows, 'malformed row')} left out of the input (--bad-rows skip)")
    if bound.empty_rows:
        notes.append(f"{have(bound.empty_rows, 'row')} nothing but separators, with others below; they count as rows")
    return notes


_FREE = "which does not count as an attempt"


def _run_again(died: LostRows, where: str) -> Iterator[str]:
    """Which rows run again, and may have had their effects."""
    if died.running:
        one = len(died.running) == 1
        who, ran, again = ("row", "was", "it runs again") if one else ("rows", "were", "they run again")
        yield f"the last run died while {who} {numbers(died.running)}{where} {ran} running; {again}, {_FREE}"
    if died.started:
        one = len(died.started) == 1 and not died.more
        who, are, again = ("row", "is", "it runs again") if one else ("rows", "are", "they run again")
        others = ", and perhaps others," if died.more else ""
        rows = numbers(died.started) + where
        yield f"{who} {rows}{others} had started in the last run and {are} not in the checkpoint; {again}, {_FREE}"


def _doubts(bound: Bound, plan: Plan, spec: Spec) -> Iterator[str]:
    """What can be done as it was said, but is hardly meant."""
    columns, sep = bound.table.columns, bound.options.sep
    one_column = bound.table.kind == "csv" and len(columns) == 1
    if one_column and sep is not None and looks_separated(columns[0], separator(bound.options, sep)):
        yield f"the only column is named {columns[0]!r}: is the separator right? (--sep)"
    if bound.table.kind == "csv" and columns[0].startswith("# ") and bound.options.skip_lines is None:
        yield f"the first column is named {columns[0]!r}: if that line is a comment, --skip-lines N skips it"
    if bound.unread:
        number = len(bound.unread)
        names = ", ".join(bound.unread[:3]) + (f" and {number - 3:,} more" if number > 3 else "")
        yield (
            f"{were(number, 'file')} not read: only {KINDS[bound.table.kind]} files in {bound.table.path.name} itself "
            f"are its rows, not other files or subfolders: {names}"
        )
    if plan.to_run and not isinstance(spec, (str, bytes)) and (note := spec.note(bound.task_table()[0])):
        yield note


def _on_types(bound: Bound, plan: Plan) -> Iterator[str]:
    """What the task would hardly expect of the cells it is given."""
    columns = bound.task_table()[0]
    if plan.to_run:
        yield from sentences(doubt for doubt in bound.doubts if doubt.column in columns)
        again = sorted((each for each in bound.retyped if each.column in columns), key=_change)
        for (before, now), found in groupby(again, key=_change):
            yield _retyped([each.column for each in found], before, now)


def _change(each: Retyped) -> tuple[str, str]:
    return each.before, each.now


def _retyped(columns: list[str], before: str, now: str) -> str:
    # Cells that were no text before may fit their type no more; anything can be text.
    as_text = f"; {dtype_options((column, 'str') for column in columns)} keeps text" if before == "text" else ""
    return (
        f"{named(columns, 'is', 'are')} {now} in the table as it is now, and {'were' if columns[1:] else 'was'} "
        f"{before} for rows that ran before: their results are kept (--fresh runs all of them again{as_text})"
    )


def _named_anew(change: Change, settings: Settings) -> str:
    """Why rows are named otherwise than before; nothing where that does not matter to the user."""
    before, now = change.before, change.now
    if before.key != now.key:
        return f"rows are named by --key {','.join(now.key)} now" if now.key else "rows are named without --key now"
    if settings.ready_made:
        return ""
    if before.chosen or now.chosen:
        return (
            f"rows are made of --columns {','.join(now.content)} now" if now.chosen else "--columns is no longer given"
        )
    return ", ".join([*_told("gone", change.went), *_told("come", change.came)])


def _told(what: str, names: tuple[str, ...]) -> Iterator[str]:
    if names:
        nouns, have_ = ("column", "has") if len(names) == 1 else ("columns", "have")
        yield f"{nouns} {listing(names)} {have_} {what}"


def _known_again(moved: Moved, change: Change) -> str:
    """How many rows keep their results, and what they are known by."""
    one = moved.kept == 1
    place = "its place" if one else "their place"
    by = place if change.by == BY_PLACE else "the columns that both tables have"
    text = f"{counted(moved.kept, 'row')}, recognised by {by}, {'keeps its' if one else 'keep their'} results"
    if moved.unclear:
        text += f"; {counted(moved.unclear, 'row')} could be any of several that were different, and "
        text += "is new" if moved.unclear == 1 else "are new"
    return text


def has_changed(plan: Plan, settings: Settings, moved: Moved) -> ChangedError:
    """The error of `--on-change stop`, which is the default of tasks that are made of options."""
    why = _named_anew(moved.change, settings) if moved.change else ""
    because = f" ({why})" if why else ""
    if settings.ready_made:
        what = "prompt" if settings.prompt is not None else "command"
        return ChangedError(
            f"{were(plan.stale, 'row')} settled under another {what}, or with different content{because}; "
            "nothing was run",
            "--on-change keep keeps their results, --on-change redo runs them again, "
            "--name NAME gives this one results of its own",
        )
    return ChangedError(
        f"{were(plan.stale, 'row')} settled under another version of the task, or with different content{because}",
        "--on-change keep keeps their results, redo runs them again; --task-version sets the version by hand",
    )
