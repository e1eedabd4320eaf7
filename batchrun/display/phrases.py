"""What a snapshot says, phrase by phrase, for all displays. Pure; ASCII but for texts of the task's own."""

import signal
from collections.abc import Sequence

from batchrun.checkpoint.inflight import Running
from batchrun.core.states import SETTLED_NAMES, spoken
from batchrun.core.text import (
    a_minute,
    ceil_seconds,
    counted,
    duration,
    memory,
    money,
    one_line,
    percent,
    rate,
    whole_seconds,
)
from batchrun.engine.events import Loading

from .snapshot import Allowed, Drain, LastError, LastResult, Pause, Slowest, Snapshot, SpentSoFar

_MOST_RUNNING = 20
_MOST_WORKERS = 8


def progress(snap: Snapshot) -> list[str]:
    """How far, how fast, how long still."""
    return [f"{snap.fresh:,} of {counted(snap.to_run, 'row')}", speed(snap), remaining(snap)]


def share_done(snap: Snapshot) -> str:
    """The part of the rows to run that this run has settled."""
    return percent(snap.fresh, snap.to_run)


def speed(snap: Snapshot) -> str:
    """The rate of fresh rows."""
    return rate(snap.rate) if snap.fresh else "no rows yet"


def remaining(snap: Snapshot) -> str:
    """Until when, as far as anyone can know."""
    if snap.draining:
        return "stopping"
    if snap.full:
        return f"ETA unknown: new rows wait while {snap.resting:,} rest before a retry"
    return "ETA unknown" if snap.eta is None else f"ETA {whole_seconds(snap.eta)}"


def elapsed(snap: Snapshot) -> str:
    """Since when it runs."""
    return f"{whole_seconds(snap.elapsed)} so far"


def states(snap: Snapshot) -> list[tuple[str, int]]:
    """Name and count of each state of the whole table, in the usual order."""
    return [(spoken(state), snap.counts.get(state, 0)) for state in SETTLED_NAMES]


def flow(snap: Snapshot) -> list[tuple[str, int]]:
    """What moves: attempts made again, rows out, rows that wait for their backoff."""
    return [("retried", snap.retried), ("in flight", snap.in_flight), ("resting", snap.resting)]


def usual_latency(snap: Snapshot) -> str:
    """How long attempts take."""
    if snap.p50 is None or snap.p95 is None:
        return ""
    return f"p50 {duration(snap.p50)}, p95 {duration(snap.p95)}"


def lanes(snap: Snapshot) -> str:
    """Lanes, how often a worker was replaced, and the memory of the largest where that matters."""
    if not snap.lanes:
        return ""
    restarts = f", {counted(snap.restarts, 'restart')}" if snap.restarts else ""
    largest = f", largest worker {memory(snap.largest)}" if snap.largest else ""
    return f"{counted(snap.lanes, 'lane')}{restarts}{largest}"


def workers(snap: Snapshot) -> list[str]:
    """Each worker of a cluster, with its rows in flight and its failed attempts."""
    shown = [
        f"{one_line(name)}: {in_flight:,} in flight{f', {failed:,} failed' if failed else ''}"
        for name, in_flight, failed in snap.workers[:_MOST_WORKERS]
    ]
    more = len(snap.workers) - _MOST_WORKERS
    return [*shown, f"and {more:,} more"] if more > 0 else shown


def jobs_by_ctl(most: int) -> str:
    """Rows at once, where the user has changed that."""
    return f"limited to {counted(most, 'row')} at once by ctl"


def slowest_row(found: Slowest | None) -> str:
    """The row that runs for longest."""
    return f"row {found.row}, for {whole_seconds(found.seconds)}" if found else ""


def allowed(found: Allowed | None) -> list[str]:
    """How many rows may be in flight, where that is less than was asked for, and why others wait."""
    if found is None:
        return []
    limit = [f"{found.limit:,} of {found.ceiling:,} in flight"] if found.limit < found.ceiling else []
    return [*limit, f"waiting: {found.reason}"] if found.reason else limit


def spent(found: SpentSoFar | None) -> list[str]:
    """Tokens, and money where there are prices."""
    if found is None:
        return []
    tokens = f"{counted(found.tokens, 'token')}, {a_minute(found.per_minute)}"
    if found.cost is None:
        return [tokens]
    projected = "" if found.projected is None else f", {money(found.projected)} projected"
    return [tokens, f"cost {money(found.cost)}{projected}"]


def error(last: LastError | None, times: str = "x") -> str:
    """The last error and its count. `times`: the multiplication sign."""
    return f"{last.count:,} {times} {one_line(last.message) or last.kind}" if last else ""


def result(last: LastResult) -> str:
    """The last result."""
    return f"row {last.row:,}: {one_line(last.text)}"


def pause(found: Pause, input_name: str) -> str:
    """Why nothing is handed out, and for how long."""
    if found.seconds is None:
        return f"paused {found.reason}: rows in flight finish; 'batchrun ctl {input_name} --resume' resumes"
    reason = f": {one_line(found.reason)}" if found.reason else ""
    return f"paused for {ceil_seconds(found.seconds)}{reason}"


def scarce(why: str) -> str:
    """Why memory lets no row start."""
    return f"no row starts: {why}" if why else ""


def drain(found: Drain, in_flight: int, longest: Slowest | None) -> str:
    """What is waited for before the run ends, and how not to wait."""
    rows = f"{counted(in_flight, 'row')} in flight"
    if found.killing:
        return f"ending {rows} now"
    if not in_flight:
        return "stopping"
    age = f" (longest: row {longest.row}, {whole_seconds(longest.seconds)})" if longest else ""
    if found.most is not None:
        rest = f", at most {ceil_seconds(found.most)} more"
    else:
        waited = f", waited {whole_seconds(found.seconds)} so far" if found.seconds >= 1 else ""
        rest = f", however long {'it takes' if in_flight == 1 else 'they take'}{waited}"
    if found.reason:
        how, reason = "Ctrl-C twice", f"; {one_line(found.reason.removeprefix('stopped early: '))}"
    else:
        how, reason = "Ctrl-C again" if found.signum == signal.SIGINT else "a second signal", ""
    return f"stopping: {rows}{age}{rest}; {how} to end {'it' if in_flight == 1 else 'them'} now{reason}"


def still_loading(found: Loading | None) -> str:
    """What is waited for while no worker is up; not worth a word before a second has passed."""
    return f"loading {one_line(found.what)} for {whole_seconds(found.seconds)}" if found and found.seconds >= 1 else ""


def running(rows: Sequence[tuple[int, Running]], now: float, waited_for: Loading | None = None) -> list[str]:
    """Lines: what is executing, the longest first. Nothing may be, because of what is `waited_for`."""
    if not rows and waited_for:
        reason = f"running now: nothing, {still_loading(waited_for) or f'loading {one_line(waited_for.what)}'}"
        return [f"{reason}; it is here:", *waited_for.stack] if waited_for.stack else [reason]
    if not rows:
        return ["running now: nothing"]
    ordered = sorted(rows, key=lambda row: row[1].started)
    lines = [f"running now: {counted(len(rows), 'row')}"]
    lines += [
        f"  row {row.position} for {duration(now - row.started)} (lane {lane + 1}, attempt {row.attempt})"
        for lane, row in ordered[:_MOST_RUNNING]
    ]
    more = len(rows) - _MOST_RUNNING
    return [*lines, f"  and {more:,} more, for a shorter time"] if more > 0 else lines


def line(snap: Snapshot) -> str:
    """The snapshot as one line, for logs: only what there is to say."""
    counts = [f"{count:,} {name}" for name, count in [*states(snap), *flow(snap)] if count or name == "done"]
    parts = [f"{share_done(snap)}, {', '.join(progress(snap))}", ", ".join(counts)]
    parts += [usual_latency(snap), lanes(snap), still_loading(snap.loading)]
    if snap.workers:
        parts.append(counted(len(snap.workers), "machine"))
    if snap.slowest and snap.slowest.seconds >= 1:
        parts.append(f"slowest {slowest_row(snap.slowest)}")
    if snap.last_error:
        parts.append(f"last error {error(snap.last_error)}")
    if snap.jobs:
        parts.append(jobs_by_ctl(snap.jobs))
    parts += [", ".join(allowed(snap.allowance)), *spent(snap.spent)]
    if snap.pause:
        parts.append(pause(snap.pause, snap.input))
    parts.append(scarce(snap.scarce))
    return f"{whole_seconds(snap.elapsed)}: {'; '.join(part for part in parts if part)}"
