"""`--reparse`: run the ladder again over the replies that were kept, without calling the task."""

from collections.abc import Callable, Iterator

from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.damage import naming_damage
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.records import Failure, Settled
from batchrun.checkpoint.row_reader import each_row
from batchrun.core.kinds import FILTERED, REFUSED, TRUNCATED
from batchrun.core.states import DONE, FAILED
from batchrun.engine.choose import reading_of
from batchrun.engine.wire import Reply
from batchrun.engine.worker.attempt import finisher
from batchrun.options.settings import Settings
from batchrun.task.command.running import without_line_end
from batchrun.task.spec import Spec, schema_of

from .tally import Tally


def reparse(
    checkpoint: Checkpoint,
    ledger: Ledger,
    settings: Settings,
    spec: Spec,
    tally: Tally,
    stop: Callable[[], bool],
) -> int:
    """Parse the kept replies of the table (of --rows) again; rows that come out otherwise are settled anew.

    `stop`: asked between rows. Returns how many changed. No attempt is made, none is counted.
    """
    # What the service said of a reply holds, however the reply looks; a cut-off one is taken if that was asked for.
    unless = TRUNCATED if settings.prompt is not None and not settings.accept_truncated else REFUSED
    finish = finisher(
        reading_of(settings, spec),
        strict=settings.strict_json,
        accept_truncated=settings.accept_truncated,
        schema=schema_of(spec),
    )
    changed = 0
    for row, raw in _kept(checkpoint, unless):
        position, fingerprint, key, status, attempts, task, seconds, body, _, how, _, failed, at, lane = row
        if failed:  # format 1 knew it of failed attempts alone
            at, lane = at or failed.at, failed.lane if lane is None else lane
        if stop():
            break
        if settings.rows and position not in settings.rows:
            continue
        if settings.command is not None:  # earlier versions kept it with its last line end
            raw = without_line_end(raw)
        reply = finish(position, seconds or 0.0, raw)
        told = reply.error[0] if reply.error else None
        if (reply.body, reply.how, told) == (body, how, failed.kind if failed and status == FAILED else None):
            continue
        changed += 1
        failure = _failure(reply, attempts, at or 0.0, lane or 0, raw)
        now = Settled(
            position, fingerprint, key, FAILED if failure else DONE, attempts, task, seconds or 0.0, reply.body,
            None if failure else raw, reply.how, reply.note, failure, at, lane,
        )  # fmt: skip
        ledger.settle([now])
        ledger.unsettle(status)
        tally.settled(failed=failure is not None)
        tally.found([reply.how])
        ledger.commit_if_due(idle=False)
    ledger.commit()
    return changed


def _kept(checkpoint: Checkpoint, unless: str) -> Iterator[tuple[Settled, str]]:
    """The rows whose reply was kept and may be read again, each with it."""
    with naming_damage(checkpoint.path, checkpoint.db):
        for row in each_row(checkpoint.db):
            failure = row.failure
            if row.raw is None:
                continue
            if failure is None or (failure.http_status is None and failure.kind not in (FILTERED, REFUSED, unless)):
                yield row, row.raw


def _failure(reply: Reply, attempts: int, at: float, lane: int, raw: str) -> Failure | None:
    if reply.error is None:
        return None
    return Failure(reply.position, attempts, at, reply.seconds, lane, *reply.error, raw)
