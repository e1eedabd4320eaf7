"""`--reparse`: run the ladder again over the replies that were kept, without calling the task."""

from collections.abc import Callable, Iterator
from typing import Any

from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.ledger import Ledger
from batchrun.checkpoint.records import Failure, Settled
from batchrun.core.kinds import FILTERED, REFUSED, TRUNCATED
from batchrun.core.states import DONE, FAILED
from batchrun.engine.choose import reading_of
from batchrun.engine.wire import Reply, Ticket
from batchrun.engine.worker.attempt import finisher
from batchrun.options.settings import Settings
from batchrun.task.command.running import without_line_end
from batchrun.task.spec import Spec, schema_of

from .tally import Tally

_KEPT = f"""
SELECT l.position, l.fingerprint, l.key, l.status, l.attempts, l.task, l.seconds, r.body, r.how,
       coalesce(r.raw, f.raw) AS raw, f.kind,
       coalesce(l.at, f.at), coalesce(l.lane, f.lane)
FROM ledger l LEFT JOIN result r ON r.id = l.result LEFT JOIN failure f ON f.id = l.failure
WHERE l.position > ? AND coalesce(r.raw, f.raw) IS NOT NULL AND (r.raw IS NOT NULL OR f.http_status IS NULL)
      AND coalesce(f.kind, '') NOT IN ('{FILTERED}', '{REFUSED}', ?)
ORDER BY l.position LIMIT 1000
"""


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
    for row in _kept(checkpoint, unless):
        position, fingerprint, key, status, attempts, task, seconds, body, how, raw, kind, at, lane = row
        if stop():
            break
        if settings.rows and position not in settings.rows:
            continue
        if settings.command is not None:  # earlier versions kept it with its last line end
            raw = without_line_end(raw)
        reply = finish(Ticket(position, attempts, fingerprint, ()), seconds or 0.0, raw)
        told = reply.error[0] if reply.error else None
        if (reply.body, reply.how, told) == (body, how, kind if status == FAILED else None):
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


def _kept(checkpoint: Checkpoint, unless: str) -> Iterator[tuple[Any, ...]]:
    at = 0
    while rows := checkpoint.db.execute(_KEPT, (at, unless)).fetchall():
        yield from rows
        at = rows[-1][0]


def _failure(reply: Reply, attempts: int, at: float, lane: int, raw: str) -> Failure | None:
    if reply.error is None:
        return None
    return Failure(reply.position, attempts, at, reply.seconds, lane, *reply.error, raw)
