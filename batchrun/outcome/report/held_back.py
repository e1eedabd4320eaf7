"""What held runs back, as bins of the report's timeline: refusals, pauses, limits. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .timeline import Timeline

_LONGEST_SECONDS = 1e7


class HeldBack(NamedTuple):
    """For each bin: refusals (429, busy), the lowest limit on rows in flight (0: none), the share that was paused."""

    refusals: list[int]
    limit: list[int]
    paused: list[float]


class _Stretch(NamedTuple):
    begin: float
    end: float
    refusals: int
    limit: int | None
    paused: float


def held_back(line: Timeline, told: Iterable[tuple[float, Any]]) -> HeldBack:
    """`told`: of each run, when it started and what it has kept, as `Restraint.as_fact` made it, or anything else."""
    bins = len(line.bins)
    found = HeldBack([0] * bins, [0] * bins, [0.0] * bins)
    for begin, end, refusals, limit, paused in (one for at, fact in told for one in _stretches(at, fact)):
        first, last = (line.index(int((at - line.origin) // line.width)) for at in (begin, end))
        found.refusals[first] += refusals
        for index in range(first, last + 1):
            found.paused[index] = max(found.paused[index], paused)
            if limit:
                found.limit[index] = min(found.limit[index] or limit, limit)
    return found


def _stretches(at: float, fact: Any) -> Iterator[_Stretch]:
    """Bin by bin; nothing of what cannot be true, for whoever sends a checkpoint can make one."""
    try:
        width = float(fact["width"])
        if not 0 < width < _LONGEST_SECONDS:
            return
        for nth, (refusals, limit, paused) in enumerate(
            zip(fact["refusals"], fact["limit"], fact["paused"], strict=True)
        ):
            begin = at + nth * width
            yield _Stretch(begin, begin + 0.999 * width, int(refusals), limit and int(limit), float(paused))
    except (TypeError, KeyError, ValueError, OverflowError):
        return
