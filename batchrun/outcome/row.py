"""All that is known of one row, and whether it will run next time."""

import json
import os
import time
from typing import Any

from batchrun.checkpoint import reading
from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.damage import naming_damage
from batchrun.checkpoint.inflight import Running, left_behind
from batchrun.checkpoint.lock import is_held
from batchrun.checkpoint.log import printed_by
from batchrun.checkpoint.owner import files_now, lies_in, task_folders
from batchrun.checkpoint.places import Places
from batchrun.checkpoint.records import Failure, Settled
from batchrun.checkpoint.row_reader import row_at
from batchrun.core.kinds import CRASH, with_type
from batchrun.core.states import CRASHED, FAILED, LEFT, STATE_NAMES, TIMED_OUT
from batchrun.core.text import counted, duration, moment, one_line
from batchrun.errors import UsageError
from batchrun.options.settings import Settings
from batchrun.outcome.export.json_value import value_of
from batchrun.task.load import source_digest

from .next_run import Standing, runs_next_time
from .sample import inputs
from .sent import what_was_sent

_LEFT = Settled(0, b"", None, LEFT, 0, 0, None)
PRINTED_LINES = 20
"""The last ones that are shown of a row."""
_BAD = (FAILED, TIMED_OUT, CRASHED)


def inspect(checkpoint: Checkpoint, bound: Bound, row: int, places: Places, settings: Settings) -> dict[str, Any]:
    """The record of one row, as `show --json` prints it. Raises `UsageError` for a row that is not there,
    and `CheckpointError` for one whose record is not what was written.

    `settings`: what the next run is to be told, as far as it is known without its command line.
    """
    if not 1 <= row <= bound.rows:
        raise UsageError(
            f"row {row:,} does not exist: the table has {counted(bound.rows, 'row')}", "the first row is 1"
        )
    with naming_damage(checkpoint.path, checkpoint.db):
        found = row_at(checkpoint.db, row)
    version = reading.task_version(checkpoint.db, found.task) if found else ""
    failures = [_attempt(failure) for failure in reading.failures_of(checkpoint.db, row)]
    _, _, _, status, attempts, _, seconds, body, raw, how, note, _, at, lane = found or _LEFT
    last = failures[-1] if failures else None
    running = is_held(places.lock)
    in_flight = next((one for one in left_behind(places.inflight).running if one.position == row), None)
    standing = Standing(
        status,
        attempts=len(failures),
        deaths=sum(failure["kind"] == CRASH for failure in failures),
        executing=_age(in_flight) if running else None,
        run_goes_on=running,
        left_in_flight=in_flight is not None,
        task_changed=bool(found) and _task_changed(checkpoint, places, settings, version),
        content_changed=row in reading.changed_rows(checkpoint.db),
    )
    cells = inputs(bound, [row])[0]
    since = [failure["at"] - failure["seconds"] for failure in failures] + ([at - (seconds or 0.0)] if at else [])
    will_run, why = runs_next_time(standing, settings.retry, settings.on_change)
    return {
        "row": row,
        "status": STATE_NAMES[status],
        "attempts": attempts or len(failures),
        "seconds": seconds,
        "at": at,
        "lane": None if lane is None else lane + 1,
        "input": cells,
        **what_was_sent(checkpoint, row, cells),
        "result": None if body is None else value_of(body, row),
        "raw": raw if raw is not None or status not in (LEFT, *_BAD) else last and last["raw"],
        "how": how,
        "note": note,
        "error": last if status in _BAD else None,
        "failed_attempts": failures,
        "printed": printed_by(places.log, row, min(since), PRINTED_LINES) if since else [],
        "will_run": will_run,
        "next": why,
    }


def _age(running: Running | None) -> float | None:
    return None if running is None else max(0.0, time.monotonic() - running.started)


def _task_changed(checkpoint: Checkpoint, places: Places, settings: Settings, version: str) -> bool:
    """Whether the task is another one today than the one a row was settled under."""
    known = checkpoint.get("task")
    if settings.task_version is not None and not (known or {}).get("args"):  # what this command is not told
        return version != settings.task_version
    if not known:
        return False
    # Only files of the task that the user has named, or of his project: what is sent may name any.
    folders = (*task_folders(settings.task), os.getcwd(), str(places.input.parent))
    return version != known["version"] or any(
        lies_in(path, folders) and source_digest(path) != digest for path, digest in files_now(checkpoint, places)
    )


def _attempt(failure: Failure) -> dict[str, Any]:
    names = ("attempt", "at", "seconds", "lane", "kind", "message", "type", "http_status", "traceback", "raw")
    return {name: getattr(failure, name) for name in names} | {"lane": (failure.lane or 0) + 1}


def row_in_words(found: dict[str, Any]) -> str:
    """The record for people."""
    parts = [
        [
            f"row {found['row']:,}: {_state(found)}, {counted(found['attempts'], 'attempt')}",
            f"next: {found['next']}",
            *_by(found),
        ],
        _titled("input", [f"{name}: {value!r}" for name, value in found["input"].items()]),
        _titled("sent", found["sent"].splitlines() if found["sent"] else []),
        _titled("attempts", _attempts(found)),
        _titled("printed", found["printed"]),
    ]
    if found["error"] and found["error"]["traceback"]:
        parts.append(_titled("traceback", found["error"]["traceback"].rstrip().splitlines()))
    if found["raw"] is not None:
        parts.append(_titled("reply, as it came", found["raw"].splitlines()))
    if found["result"] is not None:
        pretty = json.dumps(found["result"], indent=2, ensure_ascii=False)
        parts.append(_titled(f"result ({found['how']})", pretty.splitlines()))
    if found["note"]:
        parts.append([f"note: {found['note']}"])
    return "\n\n".join("\n".join(part) for part in parts if part)


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _state(found: dict[str, Any]) -> str:
    return str(found["status"]).replace("_", " ")


def _by(found: dict[str, Any]) -> list[str]:
    """The run, the model, and what an attempt has used."""
    if found["run"] is None:
        return []
    parts = [f"run {found['run']}", *([f"model {found['model']}"] if found["model"] else [])]
    if tokens := found["tokens"]:
        parts.append(f"on average {tokens['prompt']:,} tokens in, {tokens['completion']:,} out for an attempt")
    if found["cost"] is not None:
        parts.append(f"cost {found['cost']:,.2g}")
    return [f"settled by {', '.join(parts)}"]


def _attempts(found: dict[str, Any]) -> list[str]:
    """One line for each attempt. Those that failed are known each; of others the last, which settled the row."""
    lines = [
        _line(each, f"{each['kind']}: {one_line(with_type(each['kind'], each['message'], each['type']), 1000)}")
        for each in found["failed_attempts"]
    ]
    if found["at"] is not None and found["error"] is None:
        lines.append(_line({**found, "attempt": found["attempts"]}, _state(found)))
    return lines


def _line(attempt: dict[str, Any], what: str) -> str:
    lane = "" if attempt["lane"] is None else f"lane {attempt['lane']}, "
    where = f"{lane}{duration(attempt['seconds'])}"
    return f"{attempt['attempt']}  {moment(attempt['at'])}, {where}: {what}"
