"""What a checkpoint says of its runs, summed up by SQLite within one moment.

Only rows that are in the table now count, and of each its last settling; of failed attempts all that were kept.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.explain import explained, status_name
from batchrun.core.money import Tokens
from batchrun.core.states import STATE_NAMES
from batchrun.outcome.export.joined import snapshot
from batchrun.outcome.failures import Group, groups

from .facts import Course, Facts, Ran, Slow, Spent
from .in_flight import Moments, in_flight
from .latency import Latency, latency_of
from .timeline import MOST_BINS, Span, Timeline, timeline

SLOWEST = 10
FEWEST_BINS = 12
MOST_KINDS = 5
OTHER_KINDS = "other kinds"

_RUNS = """
SELECT r.id, r.started, r.ended, r.exit, r.versions, r.options, r.counts,
       s.cost, s.prompt, s.completion, s.cached, s.reasoning
FROM run r LEFT JOIN spent s ON s.run = r.id ORDER BY r.id
"""
_SETTLED_BY = "SELECT run, count(*), max(at) FROM ledger WHERE position > 0 GROUP BY run"
_FAILED_BY = "SELECT run, count(*), max(at) FROM failure WHERE position > 0 GROUP BY run"
# The last attempt of a row is in the ledger; those before it, and those of rows that are left, are failures.
_ATTEMPTS = """
(SELECT at, coalesce(seconds, 0) AS seconds FROM ledger WHERE position > 0 AND at IS NOT NULL
 UNION ALL
 SELECT f.at, coalesce(f.seconds, 0) FROM failure f LEFT JOIN ledger l ON l.position = f.position
 WHERE f.position > 0 AND (l.position IS NULL OR f.attempt < l.attempts))
"""
_STEPS = "CAST(({moment} - :origin) / :width AS INTEGER)"
_MOMENTS = f"SELECT {_STEPS}, count(*), sum({{moment}} - :origin) FROM {_ATTEMPTS} GROUP BY 1"
_SETTLED = f"""
SELECT {_STEPS.format(moment="at")}, status, count(*) FROM ledger WHERE position > 0 AND at IS NOT NULL GROUP BY 1, 2
"""
_FAILED = f"SELECT {_STEPS.format(moment='at')}, kind, count(*) FROM failure WHERE position > 0 GROUP BY 1, 2"
_TOOK = "FROM ledger WHERE position > 0 AND seconds IS NOT NULL"
_SLOWEST = f"SELECT position, seconds, status, attempts, at, lane {_TOOK} ORDER BY seconds DESC, position LIMIT ?"


def read_facts(checkpoint: Checkpoint, *, table: str, task: str, now: float, goes_on: bool) -> Facts:
    """All facts of one moment; a run may go on beside. `now`: seconds since 1970.

    Raises `CheckpointError` if the checkpoint is damaged.
    """
    with snapshot(checkpoint.db), explained(checkpoint.path):
        counts, rows = checkpoint.counts(), checkpoint.get("rows", 0)
        known = checkpoint.get("task") or {}
        runs = tuple(_runs(checkpoint, now, goes_on=goes_on))
        attempts, timeless = checkpoint.db.execute(
            "SELECT coalesce(sum(attempts), 0), count(*) - count(at) FROM ledger WHERE position > 0"
        ).fetchone()
        spans = [Span(run.started, max(run.started, run.ended)) for run in runs if run.busy]
        most = min(MOST_BINS, max(FEWEST_BINS, attempts))
        try:
            line = timeline(spans, most=most)
        except OverflowError:  # a clock was far off: nothing over time can be drawn
            line = None
        return Facts(
            table=table,
            task=task,
            spec=known.get("spec", ""),
            version=known.get("version", ""),
            made=now,
            counts={**counts, "left": rows - sum(counts.values())},
            rows=rows,
            attempts=attempts,
            timeless=timeless,
            runs=runs,
            course=_course(checkpoint, line) if line else None,
            latency=_latency(checkpoint),
            slowest=tuple(_slowest(checkpoint)),
            groups=tuple(_groups(checkpoint, known.get("spec", ""))),
            spent=_sum([run.spent for run in runs if run.spent]),
        )


def _groups(checkpoint: Checkpoint, task: str) -> list[Group]:
    with closing(checkpoint.failed_rows()) as failed:
        return groups(failed, task)


def _runs(checkpoint: Checkpoint, now: float, *, goes_on: bool) -> Iterator[Ran]:
    db = checkpoint.db
    settled = {run: (count, last) for run, count, last in db.execute(_SETTLED_BY)}
    failed = {run: (count, last) for run, count, last in db.execute(_FAILED_BY)}
    lines = db.execute(_RUNS).fetchall()
    for number, started, ended, code, versions, options, counts, *spent in lines:
        going = goes_on and ended is None and number == lines[-1][0]
        rows, last = settled.get(number, (0, None))
        failures, last_failure = failed.get(number, (0, None))
        last_seen = now if going else max(last or started, last_failure or started)
        yield Ran(
            number=number,
            started=started,
            ended=last_seen if ended is None else ended,
            exit=code,
            goes_on=going,
            settled=rows,
            attempts=json.loads(counts).get("ran") if counts else None,
            busy=bool(rows or failures),
            versions=json.loads(versions),
            options=json.loads(options),
            spent=_spent(*spent),
        )


def _spent(cost: float | None, *tokens: int | None) -> Spent | None:
    if cost is None and not any(tokens):
        return None
    return Spent(Tokens(*(count or 0 for count in tokens)), cost)


def _sum(spent: list[Spent]) -> Spent | None:
    if not spent:
        return None
    costs = [one.cost for one in spent if one.cost is not None]
    tokens = Tokens(*(sum(counts) for counts in zip(*(one.tokens for one in spent), strict=True)))
    return Spent(tokens, sum(costs) if costs else None)


def _course(checkpoint: Checkpoint, line: Timeline) -> Course:
    places = {"origin": line.origin, "width": line.width}
    settled = {
        status_name(checkpoint.path, status): bins
        for status, bins in _binned(line, checkpoint.db.execute(_SETTLED, places)).items()
    }
    failed = _binned(line, checkpoint.db.execute(_FAILED, places))
    begins, ends = (_moments(checkpoint, line, moment) for moment in ("at - seconds", "at"))
    return Course(
        timeline=line,
        settled={name: settled[name] for name in STATE_NAMES if name in settled},
        failed=_commonest(failed),
        in_flight=in_flight(line, begins, ends),
    )


def _binned(line: Timeline, found: Any) -> dict[Any, list[int]]:
    """For each name, how many in each bin. `found`: steps from the origin, name, count."""
    bins: dict[Any, list[int]] = {}
    for steps, name, count in found:
        bins.setdefault(name, [0] * len(line.bins))[line.index(steps)] += count
    return bins


def _commonest(failed: dict[str, list[int]]) -> dict[str, list[int]]:
    """The kinds of error that are most common, and all others as one."""
    kinds = sorted(failed, key=lambda kind: (-sum(failed[kind]), kind))
    shown, others = kinds[:MOST_KINDS], kinds[MOST_KINDS:]
    if len(others) == 1:
        shown, others = kinds, []
    told = {kind: failed[kind] for kind in shown}
    if others:
        told[OTHER_KINDS] = [sum(counts) for counts in zip(*(failed[kind] for kind in others), strict=True)]
    return told


def _moments(checkpoint: Checkpoint, line: Timeline, moment: str) -> dict[int, Moments]:
    sql = _MOMENTS.format(moment=f"({moment})")
    found: dict[int, Moments] = {}
    for steps, count, total in checkpoint.db.execute(sql, {"origin": line.origin, "width": line.width}):
        before = found.get(line.index(steps), Moments(0, 0.0))
        found[line.index(steps)] = Moments(before.number + count, before.total + total)
    return found


def _latency(checkpoint: Checkpoint) -> Latency | None:
    count, shortest, longest = checkpoint.db.execute(
        f"SELECT count(*), coalesce(min(seconds), 0), coalesce(max(seconds), 0) {_TOOK}"
    ).fetchone()
    ordered = (row[0] for row in checkpoint.db.execute(f"SELECT seconds {_TOOK} ORDER BY seconds"))
    return latency_of(ordered, count, shortest, longest)


def _slowest(checkpoint: Checkpoint) -> Iterator[Slow]:
    for row, seconds, status, attempts, at, lane in checkpoint.db.execute(_SLOWEST, (SLOWEST,)):
        yield Slow(row, seconds, status_name(checkpoint.path, status), attempts, at, lane)
