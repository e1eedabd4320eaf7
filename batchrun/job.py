"""What the steps of the main job share, and the step that takes longest: run what is left, and write the results.

Read `main` first, which takes all steps in their order.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.folder import Folder
from batchrun.checkpoint.ledger import HandOver, Ledger
from batchrun.core.grid import Record
from batchrun.core.signals import Signals
from batchrun.core.states import DONE
from batchrun.core.text import counted
from batchrun.display.reporter import Reporter
from batchrun.engine.lane_slots import slots_for
from batchrun.engine.seam import Engine, EngineState, Rows
from batchrun.engine.unshared import unshared_as_fact
from batchrun.options.settings import Settings
from batchrun.outcome.results_file import write_results
from batchrun.outcome.sample import beside, settled_rows
from batchrun.outcome.takeover import Takeover
from batchrun.run.advice import advice
from batchrun.run.allowance import allowance_for
from batchrun.run.backlog import Backlog
from batchrun.run.control import Helm
from batchrun.run.deals import deals
from batchrun.run.order import shuffled
from batchrun.run.plan import Plan
from batchrun.run.remote import controlled
from batchrun.run.rules import rules_for
from batchrun.run.run import Run
from batchrun.run.summary import Summary, summarise
from batchrun.run.tally import FEW, Tally
from batchrun.run.versions import Owners, Version, first_hello, found_version, options_of, versions
from batchrun.task.spec import Spec

from .errors import BatchrunError, CheckpointError, DamagedRows, Interrupted, OutOfMemory


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
        """The folder's."""
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


def run_job(job: Job, planned: Planned, target: Path | None) -> Summary:
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
            output = write_results(places, target, bound, checkpoint, job.signals, settings, job.reporter.say)
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


def say_taken(job: Job, taking: Takeover, rows: int) -> None:
    """Say what has become of results that were taken over, `rows` of them."""
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
        say_taken(job, job.taking, tally.rows)
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
