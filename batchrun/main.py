"""The main job, from the table to the results. Read this first: it is the table of contents.

table          table/, checkpoint/bind   read once to know it, again for the rows that are left
plan           run/plan                  what is left?
rows in flight run/run                   many at once; what becomes of each attempt that has ended
  where        engine/local/, cluster/   in this machine's lanes, or on a cluster: the run does not know
  how          engine/worker/            in each lane's process: load the task, run it on rows, reply
settled rows   checkpoint/ledger         on disk as they come
results        outcome/export/           joined to the table, in its order

The processes, the rooms, and where a change goes: docs/architecture.md.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from batchrun.checkpoint import suspects
from batchrun.checkpoint.bind import Binder, Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.deaths import Aftermath, aftermath
from batchrun.checkpoint.errors import explained
from batchrun.checkpoint.folder import find_places
from batchrun.checkpoint.inflight import forget, left_behind
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.lock import held
from batchrun.checkpoint.log import Log
from batchrun.checkpoint.opening import opened
from batchrun.checkpoint.owner import Owner, known_owner, owner_of, refuse_other_task
from batchrun.checkpoint.places import Places, prepare
from batchrun.checkpoint.renamed import refuse_renamed
from batchrun.checkpoint.witness import Witness
from batchrun.core.redact import Redactor
from batchrun.core.signals import Signals, listening
from batchrun.display.reporter import Reporter
from batchrun.engine.choose import StartableEngine, engine_of
from batchrun.engine.local.nursery import Nursery
from batchrun.engine.orders import orders_for
from batchrun.engine.shape import slots_for
from batchrun.options.settings import OPTIONS, Settings
from batchrun.options.variables import say_misspelt
from batchrun.outcome.destination import check_output, settle_output
from batchrun.outcome.finish import SetAside, forget_if_unused, fresh_start, summarise, write_results
from batchrun.run.allowance import allowance_for
from batchrun.run.backlog import Backlog
from batchrun.run.checks import check_early, check_named
from batchrun.run.control import Helm
from batchrun.run.notes import notes_on
from batchrun.run.plan import Plan
from batchrun.run.planning import plan_of, preview, require
from batchrun.run.remote import controlled
from batchrun.run.reparse import reparse
from batchrun.run.run import Run
from batchrun.run.settling import Rules
from batchrun.run.summary import Summary, advice
from batchrun.run.tally import Tally
from batchrun.run.tickets import check_rows, tickets
from batchrun.run.versions import Version, first_hello, found_version, known_version, options_of, versions
from batchrun.task.notice import heard
from batchrun.task.spec import Spec, described

from .errors import BatchrunError, CheckpointError, Interrupted

BIG_TABLE_BYTES = 8 << 20
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """What every step of the main job needs to know. `engine`: starts it, at the first call. `owners`: the task that
    the checkpoint belongs to, if that is known, and this one.
    """

    places: Places
    settings: Settings
    spec: Spec
    reporter: Reporter
    typed: Sequence[str]
    signals: Signals
    redactor: Redactor
    checkpoint: Checkpoint
    witness: Witness
    owners: tuple[Owner | None, Owner]
    engine: Callable[[], StartableEngine]


def process(
    input_path: Path,
    settings: Settings,
    reporter: Reporter,
    typed: Sequence[str] = (),
    bring: Callable[[], None] | None = None,
    nursery: Nursery | None = None,
    origin: Owner | None = None,
) -> Summary:
    """Run the task over the rows that are left, and write the results.

    `typed`: the command that the user typed, if there was one: what to do next is said in its words. `bring`: puts
    the table where it is read from, as soon as no other run can be reading it there. `nursery`: see `engine_of`.
    `origin`: where a function comes from that is given by value.
    Returns the summary of a run that did all it could. Raises a `BatchrunError` for what kept it from
    running, or ended it early; everything settled until then is on disk, and the same call goes on.
    """
    say_misspelt(os.environ, OPTIONS, reporter.say)
    with ExitStack() as stack:
        signals = stack.enter_context(listening())
        places = find_places(input_path, settings, stack)
        spec = settings.spec
        if bring is None:
            check_early(spec, input_path, settings)
            check_named(input_path, settings, lambda: signals.first)
            refuse_renamed(places.input, settings)
        output = check_output(places, settings)
        prepare(places.folder)
        witness = Witness(stack.enter_context(held(places.lock, settings.if_running, lambda: signals.first)))
        aside = _make_way(places, settings, bring)
        if not places.checkpoint.exists():
            stack.push(lambda failed, *_: forget_if_unused(places, aside) if failed or settings.dry_run else None)
        witness.compare(places.checkpoint, places.lock)
        checkpoint = stack.enter_context(opened(places.checkpoint, write=True))
        witness.forget_failures(checkpoint.reached())
        owners = known_owner(checkpoint, places), owner_of(spec, settings, origin, places.folder)
        refuse_other_task(*owners, places)
        binder = Binder(checkpoint, places.input, settings, spec)
        died = _last_death(checkpoint, places, settings)
        redactor = Redactor(os.environ, (settings.api_key_env,))
        log = stack.enter_context(Log(places.log, redactor))
        orders = orders_for(settings, spec, places, stack)

        @cache
        def engine() -> StartableEngine:
            with explained(places.folder):
                say = _teller(reporter, log)
                return engine_of(settings, orders, heard(log.printed, reporter.say), say, stack, nursery)

        job = Job(places, settings, spec, reporter, typed, signals, redactor, checkpoint, witness, owners, engine)

        version = known_version(checkpoint.get("task"), settings, spec, owners)
        _start_early(job, binder, version)
        with checkpoint.transaction(keep=not settings.dry_run):
            bound = binder.bind(places, lambda: signals.first, keep_roll=not settings.dry_run)
            check_rows(settings.rows, bound.rows)
            if not isinstance(spec, (str, bytes)):
                spec.check(bound.task_table()[0])
            version = version or _version(job)
            task = checkpoint.task_id(version.text, described(spec))
            damaged = checkpoint.forget_damaged() if settings.retry in ("damaged", "all") else []
            plan = plan_of(checkpoint, settings, bound, task)
            require(spec, plan, settings)
            checkpoint.put(task=version.as_fact(described(spec), settings.args))
            if not owners[1].is_missing:
                checkpoint.put(owner=owners[1].as_fact())
            if died != Aftermath():
                checkpoint.put(died=None)  # it is said below
        if version.is_async is None and plan.to_run and not (settings.dry_run or settings.reparse):
            job.engine().start(1)
            version = _version(job)
        notes = aside.note if aside else []
        notes += notes_on(bound, plan, settings, spec, died, damaged, edited=not binder.unchanged)
        jobs = settings.known_jobs(is_async=bool(version.is_async))
        reporter.planned(plan, task=places.name, input=places.input, jobs=jobs, notes=notes)
        for note in notes:
            log.say(note)
        if settings.dry_run:
            preview(spec, bound, plan, checkpoint, reporter.say)
            summary = summarise(places, settings, checkpoint, plan, Tally(time.monotonic()))
            reporter.ended(summary)
            return summary
        output = settle_output(places, settings, output)
        return _run(job, bound, plan, task, version, output)


def _make_way(places: Places, settings: Settings, bring: Callable[[], None] | None) -> SetAside | None:
    """What may change under the lock only: the table that is brought, and the checkpoint that is moved aside, where
    to is returned.
    """
    if bring is not None:
        bring()
    return fresh_start(places) if settings.fresh and not settings.dry_run else None


def _last_death(checkpoint: Checkpoint, places: Places, settings: Settings) -> Aftermath:
    """What the last run has left, if it died. The checkpoint keeps it until a run gets so far that it is said."""
    remains = left_behind(places.inflight)
    last = aftermath(remains, checkpoint.attempts_made(remains.rows()))
    died = last.and_before(Aftermath.of(checkpoint.get("died")))
    if not settings.dry_run:
        if last != Aftermath():
            with checkpoint.transaction():
                known = suspects.after_death(checkpoint.get("suspects", {}), remains.running)
                checkpoint.put(died=died.as_fact(), suspects=known)
        forget(places.inflight)
    return died


def _run(job: Job, bound: Bound, plan: Plan, task: int, version: Version, target: Path | None) -> Summary:
    """Run what is left, write the results, say how it went."""
    checkpoint, settings = job.checkpoint, job.settings
    tally = Tally(time.monotonic())
    engine = None if settings.reparse or not plan.to_run else _put_up(job, bound, plan, version)
    number = checkpoint.begin_run(versions(), options_of(settings))
    ledger = Ledger(checkpoint, number, plan.rows, plan.settled, job.witness, plan.to_run)
    stopped: BatchrunError | None = None
    if settings.reparse:
        changed = reparse(checkpoint, ledger, settings, job.spec, tally, lambda: job.signals.count > 0)
        job.reporter.say(f"parsed the kept replies again: {changed:,} came out otherwise")
        if job.signals.count:
            stopped = Interrupted(job.signals.first, "interrupted; --reparse begins anew")
    elif engine:
        stopped = _run_rows(job, engine, bound, plan, ledger, tally, task, version)
    output = None
    try:
        if not isinstance(stopped, CheckpointError):
            bound.check()
            output = write_results(job.places, target, bound, checkpoint, job.signals)
    except BatchrunError as error:
        stopped = stopped or error
    summary = summarise(job.places, settings, checkpoint, plan, tally, output, stopped)
    with suppress(CheckpointError) if stopped else nullcontext():  # a full disk: that is said already
        checkpoint.end_run(number, summary.exit_code, summary.as_record())
    job.reporter.ended(summary, advice(summary, job.typed, again=job.spec != "repair"))
    if stopped:
        raise stopped
    return summary


def _put_up(job: Job, bound: Bound, plan: Plan, version: Version) -> StartableEngine:
    """The engine, ready for the rows that are left. Where it cannot be made ready there has been no run."""
    settings, engine, is_async = job.settings, job.engine(), bool(version.is_async)
    engine.keep(version.sources)
    slots = slots_for(settings, min(settings.rows_at_once(is_async=is_async), plan.to_run), is_async=is_async)
    engine.start(len(slots))
    engine.describe(*bound.task_table(), slots, bound.table.missing)
    return engine


def _run_rows(
    job: Job,
    engine: StartableEngine,
    bound: Bound,
    plan: Plan,
    ledger: Ledger,
    tally: Tally,
    task: int,
    version: Version,
) -> BatchrunError | None:
    """Run what is left; returns why that ended early, if it did."""
    checkpoint, settings = job.checkpoint, job.settings
    jobs = settings.rows_at_once(is_async=bool(version.is_async))
    under_way = checkpoint.attempts_under_way()
    backlog = Backlog(tickets(bound, plan, checkpoint, settings.retries, under_way), plan.to_run)
    known = checkpoint.get("suspects", {})
    alone, guilty = suspects.to_run_alone(known), suspects.guilty(known, 1 + settings.retries)
    patience = PATIENCE_SECONDS if settings.prompt is not None else None
    rules = Rules(
        settings.timeout,
        settings.max_failures,
        plan.to_run,
        task,
        alone,
        guilty,
        patience,
        columns=bound.task_table()[0],
        sources=version.sources,
    )
    with controlled(job.places.socket) as remote:
        if remote.trouble:
            job.reporter.say(f"note: 'batchrun ctl' cannot reach this run: {remote.trouble}")
        helm = Helm(remote, jobs=jobs, task=job.places.name)
        allowance = allowance_for(settings, jobs)
        run = Run(engine, backlog, ledger, rules, tally, job.signals, job.reporter, job.redactor, allowance, helm)
        try:
            return run.go()
        except CheckpointError as error:  # no row can be kept any more
            return error


def _start_early(job: Job, binder: Binder, version: Version | None) -> None:
    """Lanes load the task while a big table is read; a finished job starts none."""
    if version is None:
        job.engine().start(1)
    elif binder.size > BIG_TABLE_BYTES and not (version.is_async is None or binder.unchanged or job.settings.dry_run):
        jobs = job.settings.rows_at_once(is_async=version.is_async)
        slots = slots_for(job.settings, jobs, is_async=version.is_async)
        job.engine().start(len(slots))


def _version(job: Job) -> Version:
    hello = first_hello(job.engine(), job.signals, job.reporter, job.settings.timeout)
    return found_version(hello, job.checkpoint.get("task"), job.settings, job.spec, job.owners)


def _teller(reporter: Reporter, log: Log) -> Callable[[str], None]:
    """Tells the user, and the log."""

    def say(text: str) -> None:
        reporter.say(text)
        log.say(text)

    return say
