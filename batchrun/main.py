"""The main job, from the table to the results. Read this first: it is the table of contents.

docs/architecture.md has the rooms, the processes and the way of a row.

table           table/                 read once to know it, again for the remaining rows
checkpoint      checkpoint/            what is known of the table's rows, bound to the table as it is now
plan            run/plan.py            what is left?
rows in flight  run/                   many at once; what becomes of each attempt that has ended
  where         engine/                in this machine's lanes, or on a cluster: the run does not know
  how           engine/worker/, task/  in each lane's process: load the task, run it on rows, reply
settled rows    checkpoint/            on disk as they come
results         outcome/               joined to the table, in its order
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from batchrun.checkpoint.bind import Binder
from batchrun.checkpoint.deaths import LostRows
from batchrun.checkpoint.folder import claimed, find_places
from batchrun.checkpoint.kept import Bring, as_said
from batchrun.checkpoint.ledger import HandOver
from batchrun.checkpoint.owner import Owner, known_owner, owner_of, refuse_other_task
from batchrun.checkpoint.places import Places
from batchrun.checkpoint.renamed import refuse_renamed
from batchrun.core.signals import Signals, listening
from batchrun.display.first_lines import Announcement
from batchrun.display.reporter import Reporter
from batchrun.engine.choose import engine_when_asked
from batchrun.engine.lane_slots import slots_for
from batchrun.engine.local.births import Births
from batchrun.options.settings import Settings
from batchrun.options.table import OPTIONS
from batchrun.options.variables import say_misspelt
from batchrun.outcome.takeover import Takeover
from batchrun.outcome.target import check_output, reserve_output, settle_output
from batchrun.run.checks import check_early, check_named
from batchrun.run.deals import check_rows
from batchrun.run.notes import notes_on
from batchrun.run.planning import plan_of, preview, require
from batchrun.run.summary import Summary, summarise
from batchrun.run.tally import Tally
from batchrun.run.versions import Version, known_version
from batchrun.task.spec import Spec, described

from .job import Job, Planned, run_job, say_taken

BIG_TABLE_BYTES = 8 << 20
_NOTHING_CHANGED = "interrupted while the table was read; nothing was changed"


def process(
    input_path: Path,
    settings: Settings,
    reporter: Reporter,
    typed: Sequence[str] = (),
    bring: Bring | None = None,
    births: Births | None = None,
    origin: Owner | None = None,
    hand_over: HandOver | None = None,
    signals: Signals | None = None,
    taking: Takeover | None = None,
) -> Summary:
    """Run the task over the remaining rows, and write the results.

    `typed`: the command that the user typed, if there was one: what to do next is said in its words. `bring`: puts
    the table where it is read from, as soon as no other run can be reading it there. `births`: see `engine_of`.
    `origin`: where a function comes from that is given by value. `hand_over`: is told of rows that are settled, those
    that were done before first. `signals`: what the caller stops the run by. `taking`:
    results that are taken over; no row runs.
    Returns the summary of a run that did all it could. Raises a `BatchrunError` for what kept it from
    running, or ended it early; everything settled until then is on disk, and the same call resumes.
    """
    say_misspelt(os.environ, OPTIONS, reporter.say)
    spec = settings.spec
    with ExitStack() as stack:
        signals = stack.enter_context(listening(signals))
        places = find_places(input_path, settings, stack)
        owner = owner_of(spec, settings, origin, places.folder)
        if bring is None:
            with signals.at_once(_NOTHING_CHANGED):
                target = _check(input_path, places, spec, settings, signals)
                refuse_renamed(places.input, settings, owner)
        folder = stack.enter_context(claimed(places, settings, signals, bring))
        if bring is not None:
            target = _check(input_path, places, spec, settings, signals)
        owners = known_owner(folder.checkpoint, places), owner
        refuse_other_task(*owners, places)
        if target:
            reserve_output(places, folder.checkpoint, target, overwrite=settings.overwrite)
        engine = engine_when_asked(folder, settings, spec, reporter.say, stack, births)
        job = Job(folder, settings, spec, owners, engine, signals, reporter, typed, hand_over, taking)
        with signals.at_once(_NOTHING_CHANGED):
            binder = Binder(folder.checkpoint, places.input, settings, spec)
        planned = _plan(job, binder)
        if taking:
            with signals.at_once(_NOTHING_CHANGED):
                planned = _narrowed(job, planned, taking)
        _say_plan(job, planned, edited=not binder.unchanged)
        if settings.dry_run:
            return _preview(job, planned)
        return run_job(job, planned, settle_output(places, settings, folder.checkpoint, target))


def _check(table: Path, places: Places, spec: Spec, settings: Settings, signals: Signals) -> Path | None:
    """Raise for what cannot be done on this table, or cannot be meant. Returns the results file, if any."""
    check_early(spec, table, settings)
    said = as_said(table)
    check_named(table, settings, lambda: signals.first, "" if said == table else said.name)
    return check_output(places, settings)


def _plan(job: Job, binder: Binder) -> Planned:
    """Bind the checkpoint to the table, and decide what is left. If anything is refused, nothing has changed."""
    checkpoint, settings, spec = job.checkpoint, job.settings, job.spec
    version = known_version(checkpoint.get("task"), settings, spec, job.owners)
    _start_early(job, binder, version)
    # One transaction around all that can still be refused: positions that were moved, the task's version, its owner and
    # what has been said of lost rows are kept together, or the checkpoint is as it was.
    with checkpoint.transaction(keep=not settings.dry_run):
        with job.signals.at_once(_NOTHING_CHANGED):
            # First, for rows are found by their records.
            damaged = checkpoint.forget_damaged(settings.rows) if settings.retry in ("damaged", "all") else []
            bound = binder.bind(job.folder.places, lambda: job.signals.first, keep_roll=not settings.dry_run)
        check_rows(settings.rows, bound.rows)
        if not isinstance(spec, (str, bytes)):
            spec.check(bound.task_table()[0])
        version = version or job.load()
        task = checkpoint.task_id(version.text, described(spec))
        plan = plan_of(checkpoint, settings, bound, task)
        require(spec, plan, settings)
        checkpoint.put(task=version.as_fact(described(spec), settings.args))
        if not job.owners[1].is_missing:
            checkpoint.put(owner=job.owners[1].as_fact())
        if job.folder.died != LostRows():
            checkpoint.put(died=None)  # it is said with the plan
    if version.is_async is None and plan.to_run and not (settings.dry_run or settings.reparse):
        job.engine().start(1)
        version = job.load()
    return Planned(bound, plan, version, task, damaged)


def _narrowed(job: Job, planned: Planned, taking: Takeover) -> Planned:
    """The plan of what was left of rows that are not done."""
    all_rows = replace(job.settings, limit=None, retry="all")
    plan = plan_of(job.checkpoint, all_rows, planned.bound, planned.task)
    return planned._replace(plan=taking.narrowed(plan, planned.bound))


def _start_early(job: Job, binder: Binder, version: Version | None) -> None:
    """Lanes load the task while a big table is read; a finished job starts none."""
    if version is None:
        job.engine().start(1)
    elif binder.size > BIG_TABLE_BYTES and not (version.is_async is None or binder.unchanged or job.settings.dry_run):
        jobs = job.settings.rows_at_once(is_async=version.is_async)
        slots = slots_for(job.settings, jobs, is_async=version.is_async)
        job.engine().start(len(slots))


def _say_plan(job: Job, planned: Planned, *, edited: bool) -> None:
    bound, plan, version, _, damaged = planned
    places, aside = job.folder.places, job.folder.aside
    notes = aside.note if aside else []
    notes += notes_on(bound, plan, job.settings, job.spec, job.folder.died, damaged, edited=edited)
    jobs = job.settings.known_jobs(is_async=bool(version.is_async))
    job.reporter.planned(Announcement(plan, places.name, places.input, jobs, notes, job.settings.config))
    for note in notes:
        job.folder.log.say(note)


def _preview(job: Job, planned: Planned) -> Summary:
    """What a dry run shows."""
    if job.taking:
        say_taken(job, job.taking, 0)
    else:
        preview(job.spec, planned.bound, planned.plan, job.checkpoint, job.reporter.say)
    summary = summarise(job.folder.places, job.settings, job.checkpoint, planned.plan, Tally(time.monotonic()))
    job.reporter.ended(summary)
    return summary
