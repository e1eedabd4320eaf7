"""The main job, from the table to the results. Read this first: it is the table of contents.

table          source.py, table/            read once to know it, again for the rows that are left
plan           plan.py                      what is left?
rows in flight run.py, lanes.py, worker.py  many at once, each attempt's end told as an event
settled rows   ledger.py, checkpoint.py     on disk as they come
results        finish.py, export.py         joined to the table, in its order
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from . import suspects
from .backlog import Backlog
from .checkpoint import Checkpoint, explained, opened
from .display.reporter import Reporter
from .errors import BatchrunError, ChangedError
from .finish import check_output, forget_if_unused, fresh_start, summarise, write_results
from .inflight import left_behind
from .lanes import Lanes
from .ledger import Ledger
from .lock import held
from .log import Log
from .notes import notes_on
from .places import Places, places_of, prepare
from .plan import Plan, Policy, make_plan
from .redaction import Redactor
from .reparse import reparse
from .run import Rules, Run
from .settings import Settings
from .signals import Signals, listening
from .source import Binder, Bound, check_rows, read_options, tickets
from .summary import Summary, advice
from .table import open_table
from .tally import Tally
from .versions import Version, first_hello, known_version, options_of, versions
from .worker import Orders

BIG_TABLE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """What every step of the main job needs to know."""

    places: Places
    settings: Settings
    reporter: Reporter
    typed: Sequence[str]
    signals: Signals
    redactor: Redactor
    checkpoint: Checkpoint
    lanes: Lanes


def process(input_path: Path, settings: Settings, reporter: Reporter, typed: Sequence[str] = ()) -> Summary:
    """Run the task over the rows that are left, and write the results.

    `typed`: the command that the user typed, if there was one: what to do next is said in its words.
    Returns the summary of a run that did all it could. Raises a `BatchrunError` for what kept it from
    running, or ended it early; everything settled until then is on disk, and the same call goes on.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(listening())
        places = _places(input_path, settings, stack)
        open_table(input_path, read_options(settings))  # what cannot be read leaves no folder behind
        check_output(places, settings)
        prepare(places.folder)
        stack.enter_context(held(places.lock, settings.if_running, lambda: signals.first))
        if settings.fresh and not settings.dry_run:
            fresh_start(places)
        if not places.checkpoint.exists():
            stack.callback(forget_if_unused, places)
        checkpoint = stack.enter_context(opened(places.checkpoint, write=True))
        binder = Binder(checkpoint, places.input, settings)
        in_flight = left_behind(places.inflight)
        redactor = Redactor(os.environ)
        log = stack.enter_context(Log(places.log, redactor))
        orders = _orders(settings, places, stack)
        with explained(places.folder):
            lanes = stack.enter_context(Lanes(settings.workers, orders, Path(orders.inflight), log.printed))
        job = Job(places, settings, reporter, typed, signals, redactor, checkpoint, lanes)

        version = known_version(checkpoint, settings)
        _start_early(job, binder, version)
        with checkpoint.transaction(keep=not settings.dry_run):
            bound = binder.bind(places.folder, lambda: signals.first)
            check_rows(settings.rows, bound.rows)
            version = version or _version(job)
            task = checkpoint.task_id(version.text, str(settings.task))
            plan = _plan(job, bound, task)
            checkpoint.put(task={"spec": str(settings.task), "version": version.text, "sources": version.sources})
            if in_flight and not settings.dry_run:
                checkpoint.put(suspects=suspects.after_death(checkpoint.get("suspects", {}), in_flight))
        notes = notes_on(bound, plan, settings, in_flight)
        reporter.planned(plan, task=places.name, input=places.input, jobs=settings.workers, notes=notes)
        for note in notes:
            log.say(note)
        if settings.dry_run:
            summary = summarise(places, settings, checkpoint, plan, Tally(time.monotonic()))
            reporter.ended(summary)
            return summary
        return _run(job, bound, plan, task)


def _run(job: Job, bound: Bound, plan: Plan, task: int) -> Summary:
    """Run what is left, write the results, say how it went."""
    checkpoint, settings = job.checkpoint, job.settings
    tally = Tally(time.monotonic())
    number = checkpoint.begin_run(versions(), options_of(settings))
    ledger = Ledger(checkpoint, number, plan.rows, checkpoint.counts())
    stopped: BatchrunError | None = None
    if settings.reparse:
        changed = reparse(checkpoint, ledger, settings, tally)
        job.reporter.say(f"parsed the kept replies again: {changed:,} came out otherwise")
    elif plan.to_run:
        job.lanes.start(min(settings.workers, plan.to_run))
        job.lanes.describe(*bound.task_table())
        under_way = checkpoint.attempts_under_way()
        backlog = Backlog(tickets(bound, plan, checkpoint, settings.retries, under_way), plan.to_run)
        known = checkpoint.get("suspects", {})
        alone, guilty = suspects.to_run_alone(known), suspects.guilty(known, 1 + settings.retries)
        rules = Rules(settings.timeout, settings.max_failures, plan.to_run, task, alone, guilty)
        run = Run(job.lanes, backlog, ledger, rules, tally, job.signals, job.reporter, job.redactor)
        stopped = run.go()
    if moved := bound.changed_since():
        job.reporter.say(moved)
    output = None
    try:
        output = write_results(job.places, settings, bound, checkpoint, job.signals)
    except BatchrunError as error:
        stopped = stopped or error
    summary = summarise(job.places, settings, checkpoint, plan, tally, output, stopped)
    checkpoint.end_run(number, summary.exit_code, summary.as_record())
    job.reporter.ended(summary, advice(summary, job.typed))
    if stopped:
        raise stopped
    return summary


def _places(input_path: Path, settings: Settings, stack: ExitStack) -> Places:
    """Where the checkpoint is. A dry run of a new task leaves nothing behind."""
    places = places_of(input_path, settings.dir, settings.checkpoint_name)
    if settings.dry_run and (settings.fresh or not places.checkpoint.exists()):
        return replace(places, folder=Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))))
    return places


def _orders(settings: Settings, places: Places, stack: ExitStack) -> Orders:
    inflight = places.inflight
    if settings.dry_run:  # which rows were in flight at a crash is the next real run's to say
        inflight = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / inflight.name
    return Orders(
        spec=settings.task,
        cell=0,
        inflight=str(inflight),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
    )


def _start_early(job: Job, binder: Binder, version: Version | None) -> None:
    """Lanes load the task while a big table is read; a finished job starts none."""
    if version is None:
        job.lanes.start(1)
    if not binder.unchanged and not job.settings.dry_run and binder.size > BIG_TABLE_BYTES:
        job.lanes.start(job.settings.workers)


def _version(job: Job) -> Version:
    hello = first_hello(job.lanes, job.signals)
    return Version(hello.version, hello.sources)


def _plan(job: Job, bound: Bound, task: int) -> Plan:
    settings, checkpoint = job.settings, job.checkpoint
    policy = Policy(settings.retry, settings.on_change == "redo", settings.limit, settings.rows)
    changed = [row[0] for row in checkpoint.db.execute("SELECT position FROM changed")]
    gone = checkpoint.db.execute("SELECT count(*) FROM ledger WHERE position < 0").fetchone()[0]
    plan = make_plan(bound.rows, checkpoint.stretches(), policy, task=task, changed=changed, gone=gone)
    if plan.stale and settings.on_change == "stop":
        raise ChangedError(
            f"{plan.stale:,} rows were settled under another version of the task, or with other content",
            "--on-change keep keeps their results, redo runs them again; --task-version says by hand what counts",
        )
    return plan
