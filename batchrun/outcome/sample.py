"""Some rows beside their results, to be looked at."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batchrun.checkpoint import reading
from batchrun.checkpoint.bind import Bound
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.damage import naming_damage
from batchrun.checkpoint.records import Settled
from batchrun.checkpoint.row_reader import row_at, rows_at
from batchrun.core.kinds import with_type
from batchrun.core.states import CRASHED, DONE, FAILED, STATE_NAMES, TIMED_OUT, spoken
from batchrun.table.convert import converter
from batchrun.table.options import needed, pick

from .export.json_value import text_of, value_of

WHICH = {
    "done": ((DONE,), None),
    "failed": ((FAILED, TIMED_OUT, CRASHED), None),
    "repaired": ((DONE,), "repaired"),
    "text": ((DONE,), "text"),
}
"""What can be asked for: states, and how results were found."""


def sample(checkpoint: Checkpoint, bound: Bound, which: str, most: int) -> list[dict[str, Any]]:
    """At most so many rows of this kind, spread over the table from the first one on, in its order.

    Each as `row`, `status`, `input` (an object), `result`, `how` and `error`, as `export` writes them to JSON Lines.
    Raises `CheckpointError` for a record that is not what was written.
    """
    rows = spread_rows(checkpoint, which, most)
    cells = inputs(bound, [row["row"] for row in rows])
    return [
        {"row": row["row"], "status": row["status"], "input": cell} | row for row, cell in zip(rows, cells, strict=True)
    ]


def spread_rows(checkpoint: Checkpoint, which: str, most: int) -> list[dict[str, Any]]:
    """The same without their cells: the table is not read."""
    with naming_damage(checkpoint.path, checkpoint.db):
        return [_record(row) for row in _read(checkpoint, _spread(checkpoint, which, most))]


def settled_rows(checkpoint: Checkpoint, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The same for these rows (rising), without their cells. Rows that are left are left out."""
    with naming_damage(checkpoint.path, checkpoint.db):
        yield from map(_record, rows_at(checkpoint.db, positions))


def _spread(checkpoint: Checkpoint, which: str, most: int) -> list[int]:
    """Rows with equal distances between them; counted first, so that nothing is kept for each row."""
    count = sum(len(rows) for rows in reading.rows_like(checkpoint.db, *WHICH[which]))
    wanted = [nth * count // most for nth in range(most)] if count > most else list(range(count))
    found: list[int] = []
    before = 0
    for rows in reading.rows_like(checkpoint.db, *WHICH[which]):
        while len(found) < len(wanted) and wanted[len(found)] < before + len(rows):
            found.append(rows[wanted[len(found)] - before])
        if len(found) == len(wanted):
            break
        before += len(rows)
    return found


def _read(checkpoint: Checkpoint, positions: Iterable[int]) -> Iterator[Settled]:
    found = (row_at(checkpoint.db, position) for position in positions)
    return (row for row in found if row is not None)


def _record(row: Settled) -> dict[str, Any]:
    keys = ("kind", "message", "type", "http_status", "traceback")
    return {
        "row": row.position,
        "status": STATE_NAMES[row.status],
        "result": None if row.body is None else value_of(row.body, row.position),
        "how": row.how,
        "error": {key: getattr(row.failure, key) for key in keys} if row.failure else None,
    }


def _told(kind: str, message: str, type: str | None, **_: Any) -> str:  # noqa: A002 - the field's name
    return with_type(kind, message, type) or kind


def inputs(bound: Bound, rows: Sequence[int]) -> list[dict[str, Any]]:
    """The cells that the task is given of these rows (in order), in one pass that ends with the last of them."""
    names, types = bound.task_table()
    cells_of, convert = pick(bound.table.columns, bound.options), converter(names, types, bound.table.missing)
    found: list[dict[str, Any]] = []
    end = 0
    for chunk in bound.table.chunks(needed(bound.options)) if rows else ():
        first, end = end + 1, end + len(chunk)
        wanted = [chunk[row - first] for row in rows[len(found) :] if row <= end]
        found += convert(cells_of(wanted))
        if len(found) == len(rows):
            break
    return found


def beside(row: dict[str, Any]) -> dict[str, str]:
    """A row as people read it: its number, cells, result (an object's keys apart), state and error, as text."""
    told = {"row": f"{row['row']:,}"} | {name: text_of(value) for name, value in row.get("input", {}).items()}
    result = row["result"]
    if row["error"]:
        result = {spoken(row["status"]): _told(**row["error"])}
    elif row["status"] != STATE_NAMES[DONE]:
        result = {"status": spoken(row["status"])}
    for key, value in (result if isinstance(result, dict) else {"result": result}).items():
        told[f"result_{key}" if key in told else key] = "null" if value is None else text_of(value)
    if row["how"] not in (None, "value"):
        told["result_how" if "how" in told else "how"] = row["how"]
    return told
