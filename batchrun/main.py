"""The main job, from the table to the results. Read this first: it is the table of contents.

table          source.py, table/            read once to know it, again for the rows that are left
plan           plan.py                      what is left?
rows in flight run.py, lanes.py, worker.py  many at once, each attempt's end told as an event
engine         engines.py, cluster/        where rows run: in this machine's lanes, or on a cluster
settled rows   ledger.py, checkpoint.py     on disk as they come
results        finish.py, export.py         joined to the table, in its order
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from . import suspects
from .allowance import Allowance
from .backlog import Backlog
from .bucket import Bucket
from .checkpoint import Checkpoint, explained, opened
from .display.reporter import Reporter
from .engines import StartableEngine, engine_of
from .errors import BatchrunError
from .finish import check_output, forget_if_unused, fresh_start, summarise, write_results
from .helm import Helm
from .inflight import left_behind
from .ledger import Ledger
from .lock import held
from .log import Log
from .notes import has_changed, notes_on
from .notice import heard
from .parsing import cpus
from .places import Places, places_of, prepare
from .plan import Plan, Policy, make_plan
from .readymade import Spec, described, schema_of
from .redaction import Redactor
from .remote import controlled
from .reparse import reparse
from .run import Run
from .settings import Settings
from .settling import Rules
from .shape import slots_of_lanes
from .signals import Signals, listening
from .source import Binder, Bound, check_rows, read_options, tickets
from .summary import Summary, advice
from .table import converter, open_table, task_columns
from .tally import Tally
from .throttle import Throttle
from .versions import Version, first_hello, known_version, options_of, versions
from .witness import Witness
from .worker import Orders

BIG_TABLE_BYTES = 8 << 20
PATIENCE_SECONDS = 3.0


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
    lanes: StartableEngine
    schema: str | None
    witness: Witness


def process(input_path: Path, settings: Settings, reporter: Reporter, typed: Sequence[str] = ()) -> Summary:
    """Run the task over the rows that are left, and write the results.

    `typed`: the command that the user typed, if there was one: what to do next is said in its words.
    Returns the summary of a run that did all it could. Raises a `BatchrunError` for what kept it from
    running, or ended it early; everything settled until then is on disk, and the same call goes on.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(listening())
        places = _places(input_path, settings, stack)
        spec = settings.spec
        _check_early(spec, input_path, settings)
        check_output(places, settings)
        prepare(places.folder)
        witness = Witness(stack.enter_context(held(places.lock, settings.if_running, lambda: signals.first)))
        if settings.fresh and not settings.dry_run:
            fresh_start(places)
        if not places.checkpoint.exists():
            stack.callback(forget_if_unused, places)
        witness.compare(places.checkpoint, places.lock)
        checkpoint = stack.enter_context(opened(places.checkpoint, write=True))
        witness.forget_failures(checkpoint.reached())
        binder = Binder(checkpoint, places.input, settings)
        in_flight = left_behind(places.inflight)
        redactor = Redactor(os.environ, (settings.api_key_env,))
        log = stack.enter_context(Log(places.log, redactor))
        orders = _orders(settings, spec, places, stack)
        with explained(places.folder):
            lanes = engine_of(settings, orders, heard(log.printed, reporter.say), _teller(reporter, log), stack)
        job = Job(places, settings, reporter, typed, signals, redactor, checkpoint, lanes, orders.schema, witness)

        version = known_version(checkpoint, settings, spec)
        _start_early(job, binder, version)
        with checkpoint.transaction(keep=not settings.dry_run):
            bound = binder.bind(places, lambda: signals.first, keep_roll=not settings.dry_run)
            check_rows(settings.rows, bound.rows)
            if not isinstance(spec, (str, bytes)):
                spec.check(bound.task_table()[0])
            version = version or _version(job)
            task = checkpoint.task_id(version.text, described(spec))
            plan = _plan(job, bound, task)
            _require(spec, plan, settings)
            checkpoint.put(task=version.as_fact(described(spec)))
            if in_flight and not settings.dry_run:
                checkpoint.put(suspects=suspects.after_death(checkpoint.get("suspects", {}), in_flight))
        notes = notes_on(bound, plan, settings, in_flight)
        reporter.planned(plan, task=places.name, input=places.input, jobs=settings.known_jobs, notes=notes)
        for note in notes:
            log.say(note)
        if settings.dry_run:
            _preview(job, spec, bound, plan)
            summary = summarise(places, settings, checkpoint, plan, Tally(time.monotonic()))
            reporter.ended(summary)
            return summary
        return _run(job, bound, plan, task, version)


def _run(job: Job, bound: Bound, plan: Plan, task: int, version: Version) -> Summary:
    """Run what is left, write the results, say how it went."""
    checkpoint, settings = job.checkpoint, job.settings
    tally = Tally(time.monotonic())
    number = checkpoint.begin_run(versions(), options_of(settings))
    ledger = Ledger(checkpoint, number, plan.rows, plan.settled, job.witness)
    stopped: BatchrunError | None = None
    if settings.reparse:
        changed = reparse(checkpoint, ledger, settings, tally, job.schema)
        job.reporter.say(f"parsed the kept replies again: {changed:,} came out otherwise")
    elif plan.to_run:
        is_async = first_hello(job.lanes, job.signals).is_async if version.is_async is None else version.is_async
        slots = _slots(settings, min(settings.workers, plan.to_run), is_async=is_async)
        job.lanes.start(len(slots))
        job.lanes.describe(*bound.task_table(), slots)
        under_way = checkpoint.attempts_under_way()
        backlog = Backlog(tickets(bound, plan, checkpoint, settings.retries, under_way), plan.to_run)
        known = checkpoint.get("suspects", {})
        alone, guilty = suspects.to_run_alone(known), suspects.guilty(known, 1 + settings.retries)
        patience = PATIENCE_SECONDS if settings.prompt is not None else None
        rules = Rules(settings.timeout, settings.max_failures, plan.to_run, task, alone, guilty, patience)
        allowance = _allowance(settings)
        with controlled(job.places.socket) as remote:
            if remote.trouble:
                job.reporter.say(f"note: 'batchrun ctl' cannot reach this run: {remote.trouble}")
            helm = Helm(remote, jobs=settings.workers, task=job.places.name)
            run = Run(
                job.lanes, backlog, ledger, rules, tally, job.signals, job.reporter, job.redactor, allowance, helm
            )
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


def _check_early(spec: Spec, input_path: Path, settings: Settings) -> None:
    """What cannot be read, or done on this table, is said before there is a folder, and before a long reading."""
    options = read_options(settings)
    table = open_table(input_path, options)
    if table.columns and not isinstance(spec, (str, bytes)):  # those of JSON Lines are known once it is read
        spec.check(task_columns(table.columns, options))


def _require(spec: Spec, plan: Plan, settings: Settings) -> None:
    """What a ready-made task lacks is said before a row is tried, but only if there is one to try."""
    if plan.to_run and not (settings.dry_run or settings.reparse or isinstance(spec, (str, bytes))):
        spec.require()


def _preview(job: Job, spec: Spec, bound: Bound, plan: Plan) -> None:
    """For a dry run: what a ready-made task would do with the first row."""
    if isinstance(spec, (str, bytes)):
        return
    convert = converter(*bound.task_table())
    for ticket in islice(tickets(bound, plan, job.checkpoint, 0, {}), 1):
        job.reporter.say(f"row {ticket.position:,}:\n{spec.preview(convert([ticket.cells])[0])}")


def _orders(settings: Settings, spec: Spec, places: Places, stack: ExitStack) -> Orders:
    inflight = places.inflight
    if settings.dry_run:  # which rows were in flight at a crash is the next real run's to say
        inflight = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / inflight.name
    return Orders(
        spec=spec,
        inflight=str(inflight),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
        schema=schema_of(spec),
    )


def _teller(reporter: Reporter, log: Log) -> Callable[[str], None]:
    """Tells the user, and the log."""

    def say(text: str) -> None:
        reporter.say(text)
        log.say(text)

    return say


def _start_early(job: Job, binder: Binder, version: Version | None) -> None:
    """Lanes load the task while a big table is read; a finished job starts none."""
    if version is None or version.is_async is None:
        job.lanes.start(1)
    elif not binder.unchanged and not job.settings.dry_run and binder.size > BIG_TABLE_BYTES:
        job.lanes.start(len(_slots(job.settings, job.settings.workers, is_async=version.is_async)))


def _version(job: Job) -> Version:
    hello = first_hello(job.lanes, job.signals)
    return Version(hello.version, hello.sources, hello.is_async)


def _allowance(settings: Settings) -> Allowance:
    """What may be asked of the other side, and spent. Calls of a ready-made prompt cost money: careful."""
    now = time.monotonic()
    return Allowance(
        Throttle(settings.workers, careful=settings.prompt is not None),
        rpm=Bucket(settings.rpm, now) if settings.rpm else None,
        tpm=Bucket(settings.tpm, now) if settings.tpm else None,
        prices=settings.prices,
        most=settings.max_cost,
    )


def _slots(settings: Settings, rows: int, *, is_async: bool) -> tuple[int, ...]:
    """The slots of the lanes for so many rows at once."""
    return slots_of_lanes(rows, is_async=is_async, threads=settings.threads, cpus=cpus())


def _plan(job: Job, bound: Bound, task: int) -> Plan:
    settings, checkpoint = job.settings, job.checkpoint
    policy = Policy(settings.retry, settings.on_change == "redo", settings.limit, settings.rows)
    changed = [row[0] for row in checkpoint.db.execute("SELECT position FROM changed")]
    gone = checkpoint.db.execute("SELECT count(*) FROM ledger WHERE position < 0").fetchone()[0]
    plan = make_plan(bound.rows, checkpoint.stretches(), policy, task=task, changed=changed, gone=gone)
    if plan.stale and settings.on_change == "stop":
        raise has_changed(plan, settings)
    return plan
