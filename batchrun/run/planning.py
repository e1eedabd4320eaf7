"""The plan of a run, made of what the checkpoint says; and what a dry run shows of it."""

from collections.abc import Callable
from itertools import islice

from batchrun.checkpoint import reading
from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.options.settings import Settings
from batchrun.run.deals import deals
from batchrun.run.notes import has_changed
from batchrun.run.plan import Plan, Policy, make_plan
from batchrun.table.convert import converter
from batchrun.task.spec import Spec


def plan_of(checkpoint: Checkpoint, settings: Settings, bound: Bound, task: int) -> Plan:
    """What is left. Raises `ChangedError` where `--on-change stop` forbids going on."""
    again = settings.on_change == "redo"
    policy = Policy(settings.retry, again, settings.limit, settings.rows, settings.redo, settings.seed)
    changed, gone = reading.changed_rows(checkpoint.db), reading.gone_rows(checkpoint.db)
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
    for deal in islice(deals(bound, plan, checkpoint, 0, {}), 1):
        say(f"row {deal.positions[0]:,}:\n{spec.preview(convert([deal.ticket(0).cells])[0])}")
