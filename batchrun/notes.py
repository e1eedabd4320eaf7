"""What the user should know before anything runs, one sentence each. Pure."""

from collections.abc import Iterable

from .inflight import Running
from .plan import Plan
from .settings import Settings
from .source import Bound

_SHOWN = 10


def notes_on(bound: Bound, plan: Plan, settings: Settings, in_flight: list[Running]) -> list[str]:
    """Sentences on rows in flight at a crash, on what has changed, and on rows that were left out."""
    notes = []
    if in_flight:
        rows = some({running.position for running in in_flight})
        notes.append(f"the last run died while row{'s' * (len(in_flight) > 1)} {rows} ran; they run again, uncharged")
    if plan.stale and settings.on_change != "redo":
        notes.append(
            f"{plan.stale:,} rows were settled under another version of the task or other content and are kept "
            "(--on-change redo runs them again)"
        )
    if bound.moved.moved:
        notes.append(f"the input has changed: {bound.moved.moved:,} results followed their rows")
    if bound.moved.back:
        notes.append(f"{bound.moved.back:,} rows are back in the input, and so are their results")
    if bound.bad_rows:
        notes.append(f"{bound.bad_rows:,} malformed rows of the input were left out (--bad-rows skip)")
    return notes


def some(rows: Iterable[int]) -> str:
    """Row numbers in order, at most ten of them."""
    ordered = sorted(rows)
    more = f" and {len(ordered) - _SHOWN:,} more" if len(ordered) > _SHOWN else ""
    return ", ".join(f"{row:,}" for row in ordered[:_SHOWN]) + more
