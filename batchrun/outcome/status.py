"""What a checkpoint says of its task: counts, the current run, the last run. For machines and people."""

import json
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from batchrun.checkpoint.checkpoint import Checkpoint, last_run
from batchrun.checkpoint.kept import as_said
from batchrun.checkpoint.lock import is_held
from batchrun.checkpoint.opening import NothingYet, opened
from batchrun.checkpoint.places import Places, check_folder, folder_of, names_in, places_of, safe, tables_below
from batchrun.checkpoint.reading import spent_in_all
from batchrun.core.states import SETTLED_NAMES, spoken
from batchrun.core.suggest import meant
from batchrun.core.text import counted, iso_time, moment, percent, rate, whole_seconds
from batchrun.errors import BatchrunError, InputError, UsageError
from batchrun.run.remote import NotListening, Request, ask
from batchrun.table.members import PATTERN_ENDING, is_pattern

_ANSWERS_WITHIN_SECONDS = 0.5


def all_statuses(input_path: Path | None, directory: Path | None, name: str | None = None) -> list[dict[str, Any]]:
    """One record for a table, or for each that has a checkpoint in the working directory (or `directory`) or below."""
    if input_path:
        return [{"input": str(as_said(input_path)), "tasks": statuses(input_path, directory, name)}]
    found = []
    for table, place in tables_below(directory or Path()):
        if name is None or safe(name) in names_in(places_of(table, place, "any").folder):
            found.append({"input": str(said_as(table, place)), "tasks": statuses(table, place, name)})
    return found


def said_as(table: Path, place: Path) -> Path:
    """The pattern after which a checkpoint's folder is named, as a path from here; any other table as it is."""
    folder = folder_of(table, place)
    if table.name.endswith(PATTERN_ENDING):
        for name in names_in(folder):
            with suppress(BatchrunError), opened(folder / f"{name}.sqlite", write=False) as checkpoint:
                if where := checkpoint.get("place"):
                    return Path(os.path.normpath(folder / where))
    return table


def statuses(input_path: Path, directory: Path | None, name: str | None = None) -> list[dict[str, Any]]:
    """One record for each task of an input (or the one called `name`), as `status --json` prints it."""
    folder = places_of(input_path, directory, "any").folder
    check_folder(folder)
    names = names_in(folder)
    if not names and not input_path.exists() and not is_pattern(input_path):
        beside = [path.name for path in input_path.absolute().parent.glob("*")]
        hint = f"{meant(input_path.name, beside)}'batchrun status' alone lists what is here"
        raise InputError(f"{input_path} does not exist", hint)
    if name is not None:
        if names and safe(name) not in names:
            raise UsageError(f"{input_path} has no checkpoint {name!r}", f"it has: {', '.join(names)}")
        names = [known for known in names if known == safe(name)]
    return [status_of(input_path, directory, task) for task in names]


def status_of(input_path: Path, directory: Path | None, name: str) -> dict[str, Any]:
    """Rows by state, and whether a run is in progress, its pid, rate (rows a second) and ETA (seconds)."""
    places = places_of(input_path, directory, name)
    running = is_held(places.lock)
    try:
        with opened(places.checkpoint, write=False) as checkpoint:
            told = _told(checkpoint, running)
        if told["pid"]:
            told |= _asked(places)
    except NothingYet:
        told = {"rows": 0, **dict.fromkeys((*SETTLED_NAMES, "left"), 0), **_idle(running)}
    return {"task": name, **told, "checkpoint": str(places.checkpoint)}


def _asked(places: Places) -> dict[str, Any]:
    """What the run itself says; nothing where it does not answer at once, as while it reads its table."""
    with suppress(OSError, NotListening):
        answer = ask(places.socket, Request(), _ANSWERS_WITHIN_SECONDS)
        return {"paused": answer.get("paused") is True}
    return {}


def _idle(running: bool) -> dict[str, Any]:
    return {"running": running, "paused": False, "pid": None, "rate": None, "eta_seconds": None, "last_run": None}


def _told(checkpoint: Checkpoint, running: bool) -> dict[str, Any]:
    last = last_run(checkpoint.db)
    goes_on = last is not None and running and last["ended"] is None
    known = last["counts"] if last and goes_on else None
    counts, fresh, to_run = _standing(known) if known else (checkpoint.counted(), 0, 0)
    rows = checkpoint.get("rows", 0)
    left = rows - sum(counts.values())
    record = {"rows": rows, **counts, "left": left, **_idle(running)}
    if last and goes_on:
        seconds = max(time.time() - last["started"], 0.001)
        rate = fresh / seconds
        record |= {
            "pid": last["pid"],
            "rate": round(rate, 3),
            "eta_seconds": round((to_run - fresh) / rate, 1) if rate else None,
        }
    if spent := _spent(checkpoint):
        record |= spent
    if last:
        record["last_run"] = {
            "started": _iso(last["started"]),
            "ended": _iso(last["ended"]),
            "exit": last["exit"],
        }
    return record


def _standing(told: str) -> tuple[dict[str, int], int, int]:
    """Rows by state, rows that the run has settled, and of how many: as it has written them down with a commit."""
    found = json.loads(told)  # to count a large table takes long
    return {name: found.get(name, 0) for name in SETTLED_NAMES}, found["fresh"], found["to_run"]


def _spent(checkpoint: Checkpoint) -> dict[str, Any]:
    """Tokens and cost of all runs, failed attempts included; nothing where none are known."""
    kinds = ("prompt", "completion", "cached", "reasoning")
    *tokens, cost = spent_in_all(checkpoint.db)
    if not any(count is not None for count in tokens):
        return {}
    return {"tokens": {kind: count or 0 for kind, count in zip(kinds, tokens, strict=True)}, "cost": cost}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)


def status_in_words(record: dict[str, Any]) -> str:
    """The tasks of one table for people; `record` as `status --json` prints it."""
    if not record["tasks"]:
        command = f"batchrun process {record['input']} --task file.py:function"
        return f"{record['input']}: nothing has been run yet; '{command}' starts"
    return "\n".join(
        [record["input"], *(f"  {line}" for task in record["tasks"] for line in _task(task, record["input"]))]
    )


def _task(record: dict[str, Any], table: str) -> list[str]:
    states = [f"{record[name]:,} {spoken(name)}" for name in (*SETTLED_NAMES, "left") if record[name]]
    lines = [f"{record['task']}: {counted(record['rows'], 'row')}: {', '.join(states) or 'none settled'}"]
    lines.append(f"  {_now(record, table) if record['running'] else _before(record)}")
    if tokens := record.get("tokens"):
        lines.append(f"  {_tokens(tokens, record['cost'])}")
    return lines


def _now(record: dict[str, Any], table: str) -> str:
    if not record["pid"]:
        return "a run is starting"
    if record["paused"]:
        return f"paused by ctl, pid {record['pid']}: 'batchrun ctl {shlex.quote(table)} --resume' resumes"
    parts = [f"{percent(record['rows'] - record['left'], record['rows'])} settled"]
    if record["rate"]:
        parts += [rate(record["rate"]), f"ETA {whole_seconds(record['eta_seconds'] or 0)}"]
    return f"running now, pid {record['pid']}: {', '.join(parts)}"


def _before(record: dict[str, Any]) -> str:
    last = record["last_run"]
    if last is None:
        return "never run"
    if last["ended"] is None:
        return f"last run, started {_here(last['started'])}, was killed; run the same command to resume"
    return f"last run ended {_here(last['ended'])} with exit code {last['exit']}"


def _here(iso: str) -> str:
    return moment(datetime.fromisoformat(iso).timestamp())


def _tokens(tokens: dict[str, int], cost: float | None) -> str:
    text = f"{counted(tokens['prompt'], 'token')} in ({tokens['cached']:,} cached), {tokens['completion']:,} out"
    return text if cost is None else f"{text}, cost {cost:,.4g}"


def any_running(records: Sequence[dict[str, Any]]) -> bool:
    """Whether a run is in progress for any task of these tables."""
    return any(task["running"] for record in records for task in record["tasks"])
