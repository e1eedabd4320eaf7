"""What held a run back over time: refusals, pauses, limits on rows in flight; for the report. Pure."""

from dataclasses import dataclass, field
from typing import Any

MOST_BINS = 120
EVERY_SECONDS = 0.25
_FIRST_WIDTH = 1.0


@dataclass(slots=True)
class _Bin:
    """`limit`: the lowest, if there was one. `paused`: in how many of the `looks` the run was."""

    refusals: int = 0
    limit: int | None = None
    looks: int = 0
    paused: int = 0

    def add(self, other: "_Bin") -> None:
        self.refusals += other.refusals
        self.looks += other.looks
        self.paused += other.paused
        if other.limit is not None:
            self.limit = other.limit if self.limit is None else min(self.limit, other.limit)


@dataclass(slots=True)
class Restraint:
    """Looks at a run four times a second. Bins of a second become twice as wide as often as they are too many.

    `begin`: when the run did, in monotonic seconds.
    """

    begin: float
    due: float = 0.0
    _width: float = _FIRST_WIDTH
    _refusals: int = 0
    _bins: list[_Bin] = field(default_factory=list)

    def look(self, now: float, *, refusals: int, limit: int | None, paused: bool) -> None:
        """`refusals`: so far. `limit`: rows that may be in flight, where that is less than was asked for."""
        self.due = now + EVERY_SECONDS
        while (index := int(max(0.0, now - self.begin) / self._width)) >= MOST_BINS:
            self._widen()
        self._bins += [_Bin() for _ in range(index + 1 - len(self._bins))]
        self._bins[index].add(_Bin(refusals - self._refusals, limit, 1, int(paused)))
        self._refusals = refusals

    def _widen(self) -> None:
        self._width *= 2
        for first, second in zip(self._bins[::2], self._bins[1::2], strict=False):
            first.add(second)
        self._bins = self._bins[::2]

    def as_fact(self) -> dict[str, Any] | None:
        """What the checkpoint keeps of it: values of bins `width` seconds wide; `paused`: a share.

        None where nothing has held the run back.
        """
        if not any(one.refusals or one.paused or one.limit is not None for one in self._bins):
            return None
        return {
            "width": self._width,
            "refusals": [one.refusals for one in self._bins],
            "limit": [one.limit for one in self._bins],
            "paused": [round(one.paused / one.looks, 3) if one.looks else 0.0 for one in self._bins],
        }
