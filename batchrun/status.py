"""What a checkpoint says of its task: counts, the run that is going on, the last run. For machines and people."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .checkpoint import STATUS_NAMES, Checkpoint, NothingYet, last_run, opened, status_name
from .errors import InputError, UsageError
from .lock import is_held
from .places import names_in, places_of, safe


def statuses(input_path: Path, directory: Path | None, name: str | None = None) -> list[dict[str, Any]]:
    """One record for each task of an input (or the one called `name`), as `status --json` prints it."""
    folder = places_of(input_path, directory, "any").folder
    names = names_in(folder)
    if not names and not input_path.exists():
        raise InputError(f"there is no {input_path}", "check the name; 'batchrun status' alone lists what is here")
    if name is not None:
        if names and safe(name) not in names:
            raise UsageError(f"{input_path} has no checkpoint {name!r}", f"it has: {', '.join(names)}")
        names = [known for known in names if known == safe(name)]
    return [status_of(input_path, directory, task) for task in names]


def status_of(input_path: Path, directory: Path | None, name: str) -> dict[str, Any]:
    """Rows by state, and whether a run goes on, its pid, rate (rows a second) and ETA (seconds)."""
    places = places_of(input_path, directory, name)
    running = is_held(places.lock)
    try:
        with opened(places.checkpoint, write=False) as checkpoint:
            told = _told(checkpoint, running)
    except NothingYet:
        told = {"rows": 0, **dict.fromkeys((*STATUS_NAMES[1:], "left"), 0), **_idle(running)}
    return {"task": name, **told, "checkpoint": str(places.checkpoint)}


def _idle(running: bool) -> dict[str, Any]:
    return {"running": running, "pid": None, "rate": None, "eta_seconds": None, "last_run": None}


def _told(checkpoint: Checkpoint, running: bool) -> dict[str, Any]:
    last = last_run(checkpoint.db)
    run = checkpoint.db.execute("SELECT max(id) FROM run").fetchone()[0]
    counts = dict.fromkeys(STATUS_NAMES[1:], 0)
    fresh = 0
    sql = "SELECT status, run = ?, count(*) FROM ledger WHERE position > 0 GROUP BY 1, 2"
    for status, by_this_run, count in checkpoint.db.execute(sql, (run,)):
        counts[status_name(checkpoint.path, status)] += count
        fresh += count if by_this_run else 0
    rows = checkpoint.get("rows", 0)
    left = rows - sum(counts.values())
    record = {"rows": rows, **counts, "left": left, **_idle(running)}
    if last and running and last["ended"] is None:
        seconds = max(time.time() - last["started"], 0.001)
        rate = fresh / seconds
        record |= {
            "pid": last["pid"],
            "rate": round(rate, 3),
            "eta_seconds": round(left / rate, 1) if rate else None,
        }
    if last:
        record["last_run"] = {
            "started": _iso(last["started"]),
            "ended": _iso(last["ended"]),
            "exit": last["exit"],
        }
    return record


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def in_words(record: dict[str, Any]) -> str:
    """One task's record for people."""
    states = [f"{record[name]:,} {name.replace('_', ' ')}" for name in (*STATUS_NAMES[1:], "left") if record[name]]
    text = f"{record['task']}: {record['rows']:,} rows: {', '.join(states) or 'none settled'}"
    if record["running"]:
        text += f"\n  running now, pid {record['pid']}" if record["pid"] else "\n  a run is starting"
        if record["rate"]:
            text += f", {record['rate']:,.1f} rows/s, {record['eta_seconds'] or 0:,.0f} s left"
    elif (last := record["last_run"]) is None:
        text += "\n  never run"
    elif last["ended"] is None:
        text += f"\n  the last run, started {last['started']}, died; the same command goes on"
    else:
        text += f"\n  last run ended {last['ended']} with exit code {last['exit']}"
    return text
