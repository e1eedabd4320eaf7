"""All that is known of one row, and whether it will run next time."""

import time
from typing import Any

import orjson

from .checkpoint import CRASHED, DONE, FAILED, SKIPPED, STATUS_NAMES, TIMED_OUT, Checkpoint
from .errors import UsageError
from .source import Bound
from .table import converter, pick

_RECORD = """
SELECT l.status, l.attempts, l.seconds, l.task = (SELECT max(id) FROM task),
       l.position IN (SELECT position FROM changed), r.body, r.raw, r.how, r.note
FROM ledger l LEFT JOIN result r ON r.id = l.result WHERE l.position = ?
"""
_FAILURES = """
SELECT attempt, at, seconds, lane, kind, message, type, http_status, traceback, raw FROM failure
WHERE position = ? ORDER BY id
"""
_NEXT = {
    DONE: "it is done: it will not run again",
    SKIPPED: "the task skipped it: it will not run again",
    FAILED: "it failed: the next run takes it up again (--retry failed, the default)",
    TIMED_OUT: "it timed out: the next run takes it up again (--retry failed, the default)",
    CRASHED: "quarantined, for it killed its worker: it runs again only with --retry crashed",
}


def inspect(checkpoint: Checkpoint, bound: Bound, row: int) -> dict[str, Any]:
    """The record of one row, as `show --json` prints it. Raises `UsageError` for a row that is not there."""
    if not 1 <= row <= bound.rows:
        raise UsageError(f"there is no row {row:,}: the table has {bound.rows:,} rows", "rows are numbered from 1")
    found = checkpoint.db.execute(_RECORD, (row,)).fetchone()
    failures = [_attempt(failure) for failure in checkpoint.db.execute(_FAILURES, (row,))]
    status, attempts, seconds, current, changed, body, raw, how, note = found or (0, 0, None, 1, 0, *[None] * 4)
    last = failures[-1] if failures else None
    failed = status in (FAILED, TIMED_OUT, CRASHED)
    return {
        "row": row,
        "status": STATUS_NAMES[status],
        "attempts": attempts or len(failures),
        "seconds": seconds,
        "input": _input(bound, row),
        "result": None if body is None else orjson.loads(body),
        "raw": raw if raw is not None else last and last["raw"],
        "how": how,
        "note": note,
        "error": last if failed else None,
        "failed_attempts": failures,
        "next": _next(status, stale=not current or bool(changed)),
    }


def _attempt(failure: tuple[Any, ...]) -> dict[str, Any]:
    names = ("attempt", "at", "seconds", "lane", "kind", "message", "type", "http_status", "traceback", "raw")
    return dict(zip(names, failure, strict=True)) | {"lane": (failure[3] or 0) + 1}


def _input(bound: Bound, row: int) -> dict[str, Any]:
    first = 1
    names, types = bound.task_table()
    for chunk in bound.table.chunks():
        if row < first + len(chunk):
            cells = pick(bound.table.columns, bound.options)(chunk[row - first])
            return converter(names, types)([cells])[0]
        first += len(chunk)
    return {}


def _next(status: int, *, stale: bool) -> str:
    if not status:
        return "it has not been settled: the next run takes it up"
    text = _NEXT[status]
    if stale:
        text += "; task or content have changed since: --on-change redo runs it anew"
    return text


def in_words(found: dict[str, Any]) -> str:
    """The record for people."""
    lines = [f"row {found['row']:,}: {found['status'].replace('_', ' ')}, {found['attempts']} attempts"]
    lines[0] += f", {found['seconds']:.3g} s" if found["seconds"] is not None else ""
    lines.append(f"next: {found['next']}")
    lines += ["", "input", *(f"  {name}: {value!r}" for name, value in found["input"].items())]
    for failure in found["failed_attempts"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(failure["at"]))
        what = f"{failure['kind']}: {failure['message']}"
        lines += [
            "",
            f"attempt {failure['attempt']}, {when}, lane {failure['lane']}, {failure['seconds']:.3g} s: {what}",
        ]
    if found["error"] and found["error"]["traceback"]:
        lines += [f"  {line}" for line in found["error"]["traceback"].rstrip().splitlines()]
    if found["raw"] is not None:
        lines += ["", "reply, as it came", *(f"  {line}" for line in found["raw"].splitlines())]
    if found["result"] is not None:
        pretty = orjson.dumps(found["result"], option=orjson.OPT_INDENT_2).decode()
        lines += ["", f"result ({found['how']})", *(f"  {line}" for line in pretty.splitlines())]
    return "\n".join(lines + ([f"note: {found['note']}"] if found["note"] else []))
