"""From a table that was changed to a checkpoint that is bound to it: the pass over it, and how its rows are found."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchrun.checkpoint import reading
from batchrun.checkpoint.checkpoint import Checkpoint
from batchrun.checkpoint.places import Places
from batchrun.errors import Interrupted, UsageError
from batchrun.table.interface import Table
from batchrun.table.options import ReadOptions
from batchrun.table.scan import Scan, scan

from . import old_names, roll
from .anchor import Moved, anchor
from .kept_cells import KeptCells
from .naming import BY_NAME, BY_PLACE, Change, Naming, change_of, naming_of
from .rebind import rebind
from .spool import Spool

_NO_PART_OF_THE_TEXT = frozenset({"columns", "key", "content", "dtype", "missing", "rules", "form"})


def bind(
    checkpoint: Checkpoint,
    table: Table,
    options: ReadOptions,
    reading: dict[str, Any],
    places: Places,
    stop: Callable[[], int],
    *,
    keep_roll: bool,
) -> tuple[Scan, Moved]:
    """Read the table and bind the checkpoint to it, inside the caller's transaction.

    `reading`: the options that the rows depend on. `stop()` is the signal that asks to end, or 0.
    """
    known_by = {**reading, "header": list(table.columns)}
    with Spool(places.folder) as spool, roll.opened_roll(places.roll, known_by) as old:
        cells = KeptCells(checkpoint.db)
        keeps_cells = options.key is None and options.content is None

        def take(fingerprints: list[bytes], keys: list[bytes] | None) -> None:
            if signum := stop():
                raise Interrupted(signum, "interrupted while the table was read; nothing was changed")
            spool.add(fingerprints, keys)

        def take_cells(fingerprints: list[bytes], columns: Sequence[str], digests: list[bytes]) -> None:
            cells.add(b"".join(fingerprints), columns, digests)

        recorder = roll.Recorder(spool, old, cells if keeps_cells else None)
        found = scan(table, options, take, recorder.memo, take_cells if keeps_cells else None)
        now = naming_of(reading, found.columns)
        same_table = _same_text(checkpoint.get("reading"), reading) and _same_rows(checkpoint, found)
        change = change_of(naming_before(checkpoint) or now, now, found.columns, same_table=same_table)
        moved = _bound(checkpoint, table, options, spool, cells, change, places.folder)
        cells.close()
        if keep_roll and recorder.entries:
            # It says what pages hold, and nothing of the checkpoint: no harm if the caller's transaction is given up
            # yet.
            with suppress(OSError):  # it only saves time
                roll.keep_roll(places.roll, spool, recorder.entries, known_by)
    checkpoint.put(named={**now.as_fact(), "renamed": _any_renamed(checkpoint, change)})
    return found, moved


def naming_before(checkpoint: Checkpoint) -> Naming | None:
    """How the checkpoint's rows are named; None if there are none."""
    if not reading.any_settled(checkpoint.db):
        return None
    if named := checkpoint.get("named"):
        return Naming(tuple(named["key"]), tuple(named["content"]), named["chosen"])
    return naming_of(checkpoint.get("reading"), checkpoint.get("columns"))


def _same_text(before: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Whether the same bytes are read as the same table. What older versions did not know was not said to them."""
    text = now.keys() - _NO_PART_OF_THE_TEXT
    return before is not None and all((before.get(option) or None) == (now[option] or None) for option in text)


def _same_rows(checkpoint: Checkpoint, found: Scan) -> bool:
    """Whether the same bytes were found, and as much in them (another version may read them otherwise)."""
    before = checkpoint.get("digest"), checkpoint.get("rows"), checkpoint.get("columns")
    return before == (found.digest, found.rows, list(found.columns))


def _any_renamed(checkpoint: Checkpoint, change: Change) -> bool:
    if change.by == BY_NAME:
        return bool((checkpoint.get("named") or {}).get("renamed"))
    return reading.any_keys(checkpoint.db)


def _bound(
    checkpoint: Checkpoint,
    table: Table,
    options: ReadOptions,
    spool: Spool,
    cells: KeptCells,
    change: Change,
    folder: Path,
) -> Moved:
    if change.by == BY_NAME:
        renamed = (checkpoint.get("named") or {}).get("renamed", False)
        return anchor(checkpoint, spool, folder, renamed=renamed)
    if change.by == BY_PLACE:
        return rebind(checkpoint, spool, [], change, folder)
    if change.before.key and change.lost_key:
        raise _unknown(f"{_columns(change.lost_key)}, which named the rows (--key), {_have(change.lost_key)} gone")
    unclear, was, settled = 0, [], _settled(checkpoint)
    with ExitStack() as stack:
        if change.by_names or not cells:
            was.append(stack.enter_context(Spool(folder)))
            old_names.by_columns(table, options, change.before, was[-1])
        if cells and change.shared and change.shared != change.before.content:
            was.append(stack.enter_context(Spool(folder)))
            unclear = old_names.by_cells(table, change.shared, options.form, cells, was[-1], folder)
        moved = rebind(checkpoint, spool, was, change, folder)
    if settled and not moved.kept and (change.went or change.before.key != change.now.key):
        raise _unknown(_why_nothing(change, cells, unclear))
    return replace(moved, unclear=min(unclear, spool.rows - moved.kept))


def _settled(checkpoint: Checkpoint) -> bool:
    return reading.any_settled(checkpoint.db, here=True)


def _why_nothing(change: Change, cells: KeptCells, unclear: int) -> str:
    """Why not one row was found again."""
    if not change.went:
        return "--key has changed, and so has every row"
    gone = f"{_columns(change.went)} {_have(change.went)} gone"
    if not change.shared:
        return f"{gone}, and no other column is as it was"
    if unclear:
        return f"{gone}, and in the other columns rows that were different look alike"
    if not cells:
        return f"{gone}, and an earlier version of batchrun identified rows only by all their columns"
    return f"{gone}, and every row has changed in the others"


def _unknown(why: str) -> UsageError:
    return UsageError(
        f"the table, or how it is read, has changed so much that none of its rows can be recognised: {why}. "
        "Nothing was run",
        "to keep the results, make the table and the options what they were, run once with --limit 0, and change one "
        "thing at a time; --fresh starts over, --name NAME starts another checkpoint",
    )


def _columns(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {', '.join(map(repr, names))}"


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
