"""What has to be decided and made before rows can run: each part of it for itself, in the order of `main`."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from batchrun.checkpoint.bind import Bound, read_options, tickets
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.log import Log
from batchrun.checkpoint.places import Places, places_of
from batchrun.display.reporter import Reporter
from batchrun.engine.orders import Orders, Reading
from batchrun.engine.shape import slots_of_lanes
from batchrun.options.parsing import cpus
from batchrun.options.settings import Settings
from batchrun.run.allowance import Allowance
from batchrun.run.bucket import Bucket
from batchrun.run.notes import has_changed
from batchrun.run.plan import Plan, Policy, make_plan
from batchrun.run.throttle import Throttle
from batchrun.table.convert import converter
from batchrun.task.spec import Spec, asks_for_json, schema_of

from .errors import Interrupted, UsageError
from .table import needed, open_table, pick, task_columns


def find_places(input_path: Path, settings: Settings, stack: ExitStack) -> Places:
    """Where the checkpoint is. A dry run of a new task leaves nothing behind."""
    places = places_of(input_path, settings.dir, settings.checkpoint_name)
    if settings.dry_run and (settings.fresh or not places.checkpoint.exists()):
        return replace(places, folder=Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))))
    return places


def check_early(spec: Spec, input_path: Path, settings: Settings) -> None:
    """What cannot be read, or done on this table, is said before there is a folder, and before a long reading."""
    options = read_options(settings)
    table = open_table(input_path, options)
    if table.columns and not isinstance(spec, (str, bytes)):  # those of JSON Lines are known once it is read
        spec.check(task_columns(table.columns, options))


def check_named(input_path: Path, settings: Settings, stop: Callable[[], int], called: str = "") -> None:
    """Where no task is named, the built-in one needs a text cell to repair: else somebody has forgotten to name theirs.

    Looks no further than the first such cell; a table without rows asks for nothing. `stop()` is the signal that asks
    to end, or 0; `called`: the table in words, if its path says nothing to the user. Raises `UsageError`.
    """
    if not settings.names_no_task:
        return
    from batchrun.task.repair import holds_json

    options = read_options(settings)
    table = open_table(input_path, options)
    cells_of = pick(table.columns, options) if table.columns else tuple  # those of JSON Lines are not known yet
    rows = False
    for chunk in table.chunks(needed(options)):
        rows = rows or bool(chunk)
        if signum := stop():
            raise Interrupted(signum, "interrupted while the table was read; nothing was changed")
        if any(holds_json(cells_of(row)) for row in chunk):
            return
    if not rows:
        return
    raise UsageError(
        f"no task is named, and no text cell of {called or input_path} holds JSON for the built-in task 'repair'",
        "name one: --task file.py:function, --command 'tool {column}', or --prompt 'text with {column}' --model NAME; "
        "'batchrun init' writes a tasks.py to start from",
    )


def orders_for(settings: Settings, spec: Spec, places: Places, stack: ExitStack) -> Orders:
    """What workers are told."""
    inflight = places.inflight
    if settings.dry_run:  # which rows were in flight at a crash is the next real run's to say
        inflight = Path(stack.enter_context(TemporaryDirectory(prefix="batchrun-"))) / inflight.name
    return Orders(
        spec=spec,
        inflight=str(inflight.absolute()),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
        reply=reading_of(settings, spec),
        schema=schema_of(spec),
        args=dict(settings.args),
    )


def reading_of(settings: Settings, spec: Spec) -> Reading:
    """What text that the task returns is. Of a model's answer in words, its thinking is no part."""
    if schema_of(spec) is not None:
        return "json"
    if settings.reply == "text":
        return "answer" if settings.prompt is not None else "text"
    return settings.reply or ("json" if asks_for_json(spec) else "auto")


def teller(reporter: Reporter, log: Log) -> Callable[[str], None]:
    """Tells the user, and the log."""

    def say(text: str) -> None:
        reporter.say(text)
        log.say(text)

    return say


def plan_of(checkpoint: Checkpoint, settings: Settings, bound: Bound, task: int) -> Plan:
    """What is left. Raises `ChangedError` where `--on-change stop` forbids to go on."""
    policy = Policy(settings.retry, settings.on_change == "redo", settings.limit, settings.rows, settings.redo)
    changed = [row[0] for row in checkpoint.db.execute("SELECT position FROM changed")]
    gone = checkpoint.db.execute("SELECT count(*) FROM ledger WHERE position < 0").fetchone()[0]
    plan = make_plan(bound.rows, checkpoint.stretches(), policy, task=task, changed=changed, gone=gone)
    if plan.stale and settings.on_change == "stop" and not settings.redo:  # the others keep their results
        raise has_changed(plan, settings, bound.moved)
    return plan


def require(spec: Spec, plan: Plan, settings: Settings) -> None:
    """What a ready-made task lacks is said before a row is tried, but only if there is one to try."""
    if plan.to_run and not (settings.dry_run or settings.reparse or isinstance(spec, (str, bytes))):
        spec.require()


def preview(spec: Spec, bound: Bound, plan: Plan, checkpoint: Checkpoint, say: Callable[[str], None]) -> None:
    """For a dry run: what a ready-made task would do with the first row."""
    if isinstance(spec, (str, bytes)):
        return
    convert = converter(*bound.task_table(), bound.table.missing)
    for ticket in islice(tickets(bound, plan, checkpoint, 0, {}), 1):
        say(f"row {ticket.position:,}:\n{spec.preview(convert([ticket.cells])[0])}")


def slots_for(settings: Settings, rows: int, *, is_async: bool) -> tuple[int, ...]:
    """The slots of the lanes for so many rows at once."""
    return slots_of_lanes(rows, is_async=is_async, threads=settings.threads, cpus=cpus())


def allowance_for(settings: Settings, jobs: int) -> Allowance:
    """What may be asked of the other side, and spent. Calls of a ready-made prompt cost money: careful.

    `jobs`: rows in flight at most.
    """
    now = time.monotonic()
    return Allowance(
        Throttle(jobs, careful=settings.prompt is not None),
        rpm=Bucket(settings.rpm, now) if settings.rpm else None,
        tpm=Bucket(settings.tpm, now) if settings.tpm else None,
        prices=settings.prices,
        most=settings.max_cost,
        all_cost=settings.prompt is not None,
    )
