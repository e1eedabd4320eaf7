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
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint.bind import Binder, Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.deaths import LostRows
from batchrun.checkpoint.folder import Folder, claimed, find_places
from batchrun.checkpoint.kept import Bring, as_said
from batchrun.checkpoint.ledger import HandOver, Ledger
from batchrun.checkpoint.owner import Owner, known_owner, owner_of, refuse_other_task
from batchrun.checkpoint.places import Places
from batchrun.checkpoint.renamed import refuse_renamed
from batchrun.core.grid import Record
from batchrun.core.signals import Signals, listening
from batchrun.core.states import DONE
from batchrun.core.text import counted
from batchrun.display.first_lines import Announcement
from batchrun.display.reporter import Reporter
from batchrun.engine.choose import engine_when_asked
from batchrun.engine.lane_slots import slots_for
from batchrun.engine.local.nursery import Nursery
from batchrun.engine.seam import Engine, EngineState, Rows
from batchrun.engine.unshared import unshared_as_fact
from batchrun.options.settings import Settings
from batchrun.options.table import OPTIONS
from batchrun.options.variables import say_misspelt
from batchrun.outcome.sample import beside, settled_rows
from batchrun.outcome.takeover import Takeover
from batchrun.outcome.target import check_output, reserve_output, settle_output, write_results
from batchrun.run.advice import advice
from batchrun.run.allowance import allowance_for
from batchrun.run.backlog import Backlog
from batchrun.run.checks import check_early, check_named
from batchrun.run.control import Helm
from batchrun.run.deals import check_rows, deals
from batchrun.run.notes import notes_on
from batchrun.run.order import shuffled
from batchrun.run.plan import Plan
from batchrun.run.planning import plan_of, preview, require
from batchrun.run.remote import controlled
from batchrun.run.rules import rules_for
from batchrun.run.run import Run
from batchrun.run.summary import Summary, summarise
from batchrun.run.tally import FEW, Tally
from batchrun.run.versions import Owners, Version, first_hello, found_version, known_version, options_of, versions
from batchrun.task.spec import Spec, described

from .errors import BatchrunError, CheckpointError, DamagedRows, Interrupted, OutOfMemory

BIG_TABLE_BYTES = 8 << 20
_NOTHING_CHANGED = "interrupted while the table was read; nothing was changed"


@dataclass(frozen=True, slots=True)
class Job:
    """What every step of the main job needs to know. `engine`: starts it, at the first call."""

    folder: Folder
    settings: Settings
    spec: Spec
    owners: Owners
    engine: Callable[[], Engine]
    signals: Signals
    reporter: Reporter
    typed: Sequence[str]
    hand_over: HandOver | None
    taking: Takeover | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        return self.folder.checkpoint

    def load(self) -> Version:
        """The task's version, once a worker has loaded it."""
        hello = first_hello(self.engine(), self.signals, self.reporter, self.settings.timeout)
        return found_version(hello, self.checkpoint.get("task"), self.settings, self.spec, self.owners)


class Planned(NamedTuple):
    """What is certain before a row runs. `task`: the number of the task's version. `damaged`: rows that run again."""

    bound: Bound
    plan: Plan
    version: Version
    task: int
    damaged: Sequence[int]


def process(
    input_path: Path,
    settings: Settings,
    reporter: Reporter,
    typed: Sequence[str] = (),
    bring: Bring | None = None,
    nursery: Nursery | None = None,
    origin: Owner | None = None,
    hand_over: HandOver | None = None,
    signals: Signals | None = None,
    taking: Takeover | None = None,
) -> Summary:
    """Run the task over the remaining rows, and write the results.

    `typed`: the command that the user typed, if there was one: what to do next is said in its words. `bring`: puts
    the table where it is read from, as soon as no other run can be reading it there. `nursery`: see `engine_of`.
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
        engine = engine_when_asked(folder, settings, spec, reporter.say, stack, nursery)
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
        return _run(job, planned, settle_output(places, settings, folder.checkpoint, target))


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
        # First, for rows are found by their records.
        damaged = checkpoint.forget_damaged(settings.rows) if settings.retry in ("damaged", "all") else []
        with job.signals.at_once(_NOTHING_CHANGED):
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
        _say_taken(job, job.taking, 0)
    else:
        preview(job.spec, planned.bound, planned.plan, job.checkpoint, job.reporter.say)
    summary = summarise(job.folder.places, job.settings, job.checkpoint, planned.plan, Tally(time.monotonic()))
    job.reporter.ended(summary)
    return summary


def _run(job: Job, planned: Planned, target: Path | None) -> Summary:
    """Run what is left, write the results, say how it went."""
    checkpoint, settings, places = job.checkpoint, job.settings, job.folder.places
    bound, plan = planned.bound, planned.plan
    tally = Tally(time.monotonic())
    engine = None if settings.reparse or job.taking or not plan.to_run else _put_up(job, planned)
    number = checkpoint.begin_run(versions(), options_of(settings, job.spec))
    ledger = Ledger(checkpoint, number, plan.rows, plan.settled, job.folder.witness, plan.to_run, job.hand_over)
    _hand_over_known(job)
    stopped: BatchrunError | None = None
    if engine:
        stopped = _run_rows(job, engine, planned, ledger, tally)
    else:
        stopped = _settle_without_a_task(job, planned, ledger, tally)
    lost = job.folder.presence.loss()
    stopped = lost or stopped
    output = None
    try:
        if not isinstance(stopped, CheckpointError):
            bound.check()
            output = write_results(places, target, bound, checkpoint, job.signals, settings)
    except BatchrunError as error:
        stopped = stopped or error
    summary = summarise(places, settings, checkpoint, plan, tally, output, stopped)
    with suppress(CheckpointError) if stopped else nullcontext():  # a full disk: that is said already
        state = engine.state() if engine else EngineState()
        if state.restarts:
            job.folder.log.say(f"workers were replaced {counted(state.restarts, 'time')}")
        if refusal := state.refusal:
            sources = planned.version.sources
            checkpoint.put(unshared=unshared_as_fact(refusal, settings.preload, sources))
        restraint = tally.restraint.as_fact()
        kept = {"restraint": restraint} if restraint else {}
        checkpoint.end_run(number, summary.exit_code, summary.as_record() | kept)
    damaged = isinstance(stopped, DamagedRows)
    next_steps = advice(summary, job.typed, again=job.spec != "repair", damaged=damaged)
    job.reporter.ended(summary, () if lost else next_steps, _few_rows(checkpoint, tally))
    if lost:
        raise job.folder.presence.rescue(checkpoint)
    if stopped:
        raise stopped
    return summary


def _hand_over_known(job: Job) -> None:
    """Hand over the rows that earlier runs have done."""
    if job.hand_over:
        for known in job.checkpoint.stretches():
            if known.status == DONE:
                job.hand_over(range(known.first, known.last + 1), DONE)


def _few_rows(checkpoint: Checkpoint, tally: Tally) -> list[Record]:
    """The rows that have run, to be looked at, if they are few."""
    if not 0 < tally.rows <= FEW or not tally.few:  # replies that were parsed again are not looked at
        return []
    with suppress(BatchrunError):  # what cannot be read has been said already
        return [beside(row) for row in settled_rows(checkpoint, sorted(set(tally.few)))]
    return []


def _say_taken(job: Job, taking: Takeover, rows: int) -> None:
    for line in taking.report(rows, dry=job.settings.dry_run):
        job.reporter.say(line)


def _put_up(job: Job, planned: Planned) -> Engine:
    """The engine, ready for the remaining rows. Where it cannot be made ready there has been no run."""
    bound, plan, version = planned.bound, planned.plan, planned.version
    settings, engine, is_async = job.settings, job.engine(), bool(version.is_async)
    slots = slots_for(settings, min(settings.rows_at_once(is_async=is_async), plan.to_run), is_async=is_async)
    engine.prepare(Rows(*bound.task_table(), bound.table.missing, version.sources, slots))
    return engine


def _settle_without_a_task(job: Job, planned: Planned, ledger: Ledger, tally: Tally) -> BatchrunError | None:
    """Rows that others have done, or whose replies are parsed again, if any are; returns why that ended early."""

    def stop() -> bool:
        return job.signals.count > 0

    if job.taking:
        job.taking.settle(planned.bound, planned.plan, job.checkpoint, ledger, tally, planned.task, stop)
        _say_taken(job, job.taking, tally.rows)
        how = "the same command imports the rest"
    elif job.settings.reparse:
        from batchrun.run.reparse import reparse  # the ladder takes long to load, and runs in workers else

        changed = reparse(job.checkpoint, ledger, job.settings, job.spec, tally, stop)
        job.reporter.say(f"parsed the kept replies again: {changed:,} came out differently")
        how = "--reparse starts over"
    else:
        return None
    return Interrupted(job.signals.first, f"interrupted; {how}") if stop() else None


def _run_rows(job: Job, engine: Engine, planned: Planned, ledger: Ledger, tally: Tally) -> BatchrunError | None:
    """Run what is left; returns why that ended early, if it did."""
    checkpoint, settings, places = job.checkpoint, job.settings, job.folder.places
    bound, plan, version = planned.bound, planned.plan, planned.version
    jobs = settings.rows_at_once(is_async=bool(version.is_async))
    under_way = checkpoint.attempts_under_way()
    rows = deals(bound, plan, checkpoint, settings.retries, under_way)
    if settings.seed is not None:
        rows = shuffled(rows, settings.seed, places.folder, lambda: job.signals.first)
    backlog = Backlog(rows, plan.to_run)
    columns, _ = bound.task_table()
    known = checkpoint.get("suspects", {})
    rules = rules_for(settings, plan, known, task=planned.task, columns=columns, sources=version.sources)
    allowance = allowance_for(settings, jobs // settings.rows_a_call)
    with controlled(places.socket) as remote:
        if remote.trouble:
            job.reporter.say(f"note: 'batchrun ctl' cannot reach this run: {remote.trouble}")
        helm = Helm(remote, jobs=jobs, task=places.name, a_call=settings.rows_a_call)
        run = Run(
            engine, backlog, ledger, rules, tally, job.signals, job.reporter, job.folder.redactor, allowance, helm,
            job.folder.presence.look,
        )  # fmt: skip
        try:
            return run.go()
        except CheckpointError as error:  # no row can be kept any more
            return error
        except MemoryError:
            return OutOfMemory()
