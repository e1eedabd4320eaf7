"""What a checkpoint says of its runs, summed up within one moment."""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from batchrun.checkpoint import sums
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.damage import naming_damage
from batchrun.checkpoint.explain import status_name
from batchrun.core.money import Tokens
from batchrun.core.states import STATE_NAMES
from batchrun.outcome.export.joined import bodies, snapshot
from batchrun.outcome.export.json_value import text_of, values_of
from batchrun.outcome.failures import Group, groups
from batchrun.outcome.sample import spread_rows

from .facts import Course, Facts, Ran, Slow, Spent
from .findings import Findings, Sampled, findings
from .held_back import held_back
from .in_flight import Moments, in_flight
from .latency import Latency, latency_of
from .timeline import MOST_BINS, Span, Timeline, timeline

SLOWEST = SAMPLES = 10
FEWEST_BINS = 12
MOST_KINDS = 5
OTHER_KINDS = "other kinds"


def read_facts(checkpoint: Checkpoint, *, table: str, task: str, now: float, goes_on: bool) -> Facts:
    """All facts of one moment; a run may be in progress. `now`: seconds since 1970.

    Raises `CheckpointError` if the checkpoint is damaged.
    """
    with snapshot(checkpoint.db), naming_damage(checkpoint.path, checkpoint.db):
        sums.check_all(checkpoint.db)
        counts, rows = checkpoint.counts(), checkpoint.get("rows", 0)
        known = checkpoint.get("task") or {}
        runs = tuple(_runs(checkpoint, now, goes_on=goes_on))
        attempts, timeless = sums.attempts(checkpoint.db)
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
            course=_course(checkpoint, line, runs) if line else None,
            latency=_latency(checkpoint),
            slowest=tuple(_slowest(checkpoint)),
            groups=tuple(_groups(checkpoint, known.get("spec", ""))),
            findings=_findings(checkpoint),
            spent=_sum([run.spent for run in runs if run.spent]),
        )


def _groups(checkpoint: Checkpoint, task: str) -> list[Group]:
    with closing(checkpoint.failed_rows()) as failed:
        return groups(failed, task)


def _findings(checkpoint: Checkpoint) -> Findings | None:
    pages = (values_of(found, rows) for rows, found in bodies(checkpoint.db))
    samples = (
        Sampled(row["row"], row["how"] or "", text_of(row["result"]))
        for row in spread_rows(checkpoint, "done", SAMPLES)
    )
    return findings(pages, checkpoint.replies(), samples)


def _runs(checkpoint: Checkpoint, now: float, *, goes_on: bool) -> Iterator[Ran]:
    db = checkpoint.db
    settled, failed = sums.settled_by_run(db), sums.failed_by_run(db)
    lines = sums.all_runs(db)
    for number, started, ended, code, versions, options, counts, *spent in lines:
        going = goes_on and ended is None and number == lines[-1][0]
        rows, last = settled.get(number, (0, None))
        failures, last_failure = failed.get(number, (0, None))
        last_seen = now if going else max(last or started, last_failure or started)
        told = json.loads(counts) if counts else {}
        yield Ran(
            number=number,
            started=started,
            ended=last_seen if ended is None else ended,
            exit=code,
            goes_on=going,
            settled=rows,
            attempts=told.get("ran"),
            busy=bool(rows or failures),
            versions=json.loads(versions),
            options=json.loads(options),
            spent=_spent(*spent),
            restraint=told.get("restraint"),
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


def _course(checkpoint: Checkpoint, line: Timeline, runs: Iterable[Ran]) -> Course:
    over_time = sums.settled_over_time(checkpoint.db, line.origin, line.width)
    settled = {status_name(checkpoint.path, status): bins for status, bins in _binned(line, over_time).items()}
    failed = _binned(line, sums.failed_over_time(checkpoint.db, line.origin, line.width))
    begins, ends = (_moments(checkpoint, line, moment) for moment in ("begin", "end"))
    return Course(
        timeline=line,
        settled={name: settled[name] for name in STATE_NAMES if name in settled},
        failed=_commonest(failed),
        in_flight=in_flight(line, begins, ends),
        held_back=held_back(line, ((run.started, run.restraint) for run in runs if run.restraint)),
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
    found: dict[int, Moments] = {}
    for steps, count, total in sums.moments(checkpoint.db, moment, line.origin, line.width):
        before = found.get(line.index(steps), Moments(0, 0.0))
        found[line.index(steps)] = Moments(before.number + count, before.total + total)
    return found


def _latency(checkpoint: Checkpoint) -> Latency | None:
    count, shortest, longest, ordered = sums.seconds_taken(checkpoint.db)
    return latency_of(ordered, count, shortest, longest)


def _slowest(checkpoint: Checkpoint) -> Iterator[Slow]:
    for row, seconds, status, attempts, at, lane in sums.slowest(checkpoint.db, SLOWEST):
        yield Slow(row, seconds, status_name(checkpoint.path, status), attempts, at, lane)
