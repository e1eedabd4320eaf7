"""What a snapshot says, phrase by phrase, for all displays. Pure; ASCII but for texts of the task's own."""

import signal
from collections.abc import Sequence

from batchrun.inflight import Running

from .snapshot import Drain, LastError, Pause, Slowest, Snapshot
from .words import ceil_seconds, counted, duration, one_line, percent, rate, whole_seconds

STATES = ("done", "failed", "timed_out", "crashed", "skipped")
_MOST_RUNNING = 20


def progress(snap: Snapshot) -> list[str]:
    """How far, how fast, how long still."""
    return [f"{snap.fresh:,} of {counted(snap.to_run, 'row')}", speed(snap), remaining(snap)]


def share(snap: Snapshot) -> str:
    """The part of the rows to run that this run has settled."""
    return percent(snap.fresh, snap.to_run)


def speed(snap: Snapshot) -> str:
    """The rate of fresh rows."""
    return rate(snap.rate) if snap.fresh else "no row yet"


def remaining(snap: Snapshot) -> str:
    """Until when, as far as anyone can know."""
    if snap.draining:
        return "stopping"
    return "ETA unknown" if snap.eta is None else f"ETA {whole_seconds(snap.eta)}"


def elapsed(snap: Snapshot) -> str:
    """Since when it runs."""
    return f"{whole_seconds(snap.elapsed)} so far"


def states(snap: Snapshot) -> list[tuple[str, int]]:
    """Name and count of each state of the whole table, in the usual order."""
    return [(state.replace("_", " "), snap.counts.get(state, 0)) for state in STATES]


def flow(snap: Snapshot) -> list[tuple[str, int]]:
    """What moves: attempts made again, rows out, rows that wait for their backoff."""
    return [("retried", snap.retried), ("in flight", snap.in_flight), ("resting", snap.resting)]


def latency(snap: Snapshot) -> str:
    """How long attempts take."""
    if snap.p50 is None or snap.p95 is None:
        return ""
    return f"p50 {duration(snap.p50)}, p95 {duration(snap.p95)}"


def lanes(snap: Snapshot) -> str:
    """Lanes, and how often a worker was replaced."""
    if not snap.lanes:
        return ""
    restarts = f", {counted(snap.restarts, 'restart')}" if snap.restarts else ""
    return f"{counted(snap.lanes, 'lane')}{restarts}"


def slowest(found: Slowest | None) -> str:
    """The row that runs for longest."""
    return f"row {found.row}, for {whole_seconds(found.seconds)}" if found else ""


def error(last: LastError | None, times: str = "x") -> str:
    """The last error and its count. `times`: the multiplication sign."""
    return f"{last.count:,} {times} {one_line(last.message) or last.kind}" if last else ""


def pause(found: Pause) -> str:
    """Why nothing is handed out, and for how long."""
    reason = f": {one_line(found.reason)}" if found.reason else ""
    return f"paused for {ceil_seconds(found.seconds)}{reason}"


def drain(found: Drain, in_flight: int, longest: Slowest | None) -> str:
    """What is waited for before the run ends, and how not to wait."""
    rows = f"{counted(in_flight, 'row')} in flight"
    if found.killing:
        return f"ending {rows} now"
    age = f" (longest {whole_seconds(longest.seconds)})" if longest else ""
    if found.reason:
        return f"stopping: {rows}{age}; {one_line(found.reason.removeprefix('stopped early: '))}"
    again = " again" if found.signum == signal.SIGINT else ""
    return f"stopping: {rows}{age}; Ctrl-C{again} to end them now"


def running(rows: Sequence[tuple[int, Running]], now: float) -> list[str]:
    """Lines: what is executing, the longest first."""
    if not rows:
        return ["running now: nothing"]
    ordered = sorted(rows, key=lambda row: row[1].started)
    lines = [f"running now: {counted(len(rows), 'row')}"]
    lines += [
        f"  row {row.position} for {duration(now - row.started)} (lane {lane + 1}, attempt {row.attempt})"
        for lane, row in ordered[:_MOST_RUNNING]
    ]
    more = len(rows) - _MOST_RUNNING
    return [*lines, f"  and {more:,} more, for less long"] if more > 0 else lines


def line(snap: Snapshot) -> str:
    """The snapshot as one line, for logs: only what there is to say."""
    counts = [f"{count:,} {name}" for name, count in [*states(snap), *flow(snap)] if count or name == "done"]
    parts = [f"{share(snap)}, {', '.join(progress(snap))}", ", ".join(counts)]
    parts += [latency(snap), lanes(snap)]
    if snap.slowest and snap.slowest.seconds >= 1:
        parts.append(f"slowest {slowest(snap.slowest)}")
    if snap.last_error:
        parts.append(f"last error {error(snap.last_error)}")
    if snap.pause:
        parts.append(pause(snap.pause))
    return f"{whole_seconds(snap.elapsed)}: {'; '.join(part for part in parts if part)}"
