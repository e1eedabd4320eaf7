"""The time in which runs went on, cut into bins of equal width; the time between runs is left out. Pure.

So a night's run, one that follows it a week later and one of three seconds are seen side by side.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

MOST_BINS = 120
_LEAST_SECONDS, _LEAST_SHARE = 1.0, 0.2
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
_LONGER = (*(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)), *(n * _HOUR for n in (1, 2, 3, 6, 12)))
WIDTHS = (*_SECONDS, *_LONGER, *(n * _DAY for n in (1, 2, 7, 30, 365)))


class Span(NamedTuple):
    """From when to when something went on, in seconds since 1970."""

    begin: float
    end: float


class Tick(NamedTuple):
    """A moment to be named on the axis. `place`: 0 is its left end, 1 its right end; `at`: seconds since 1970."""

    place: float
    at: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bin `n` begins at `n * width` seconds since 1970; `bins`: those that are shown, in order, at least one.

    `covered`: for how many seconds of each bin something went on. Rates are by these seconds; they are never so
    few that a single row becomes a peak.
    """

    width: float
    bins: tuple[int, ...]
    covered: tuple[float, ...]

    @property
    def origin(self) -> float:
        """When the first bin begins."""
        return self.bins[0] * self.width

    def index(self, steps: int) -> int:
        """Which of the bins shown is `steps` widths behind the origin; the nearest one if none is."""
        return min(bisect_left(self.bins, self.bins[0] + steps), len(self.bins) - 1)

    def begin(self, index: int) -> float:
        """When a bin begins, in seconds since 1970."""
        return self.bins[index] * self.width

    def place(self, at: float) -> float:
        """Where a moment is on the axis, from 0 to 1."""
        index = self.index(math.floor(at / self.width) - self.bins[0])
        inside = min(1.0, max(0.0, at / self.width - self.bins[index]))
        return (index + inside) / len(self.bins)

    def ticks(self, most: int, offset: float) -> list[Tick]:
        """At most so many round moments, well apart. `offset`: seconds that local time is ahead of UTC."""
        step = next((width for width in WIDTHS if width * most >= len(self.bins) * self.width), WIDTHS[-1])
        found: list[Tick] = []
        for tick in self._round(step, offset):
            if not found or tick.place - found[-1].place >= 0.9 / most:
                found.append(tick)
            elif found[-1].place == 0.0:  # where the axis begins is seldom a round moment
                found = [tick]
        return found

    def _round(self, step: float, offset: float) -> Iterator[Tick]:
        before = None
        for index in range(len(self.bins)):
            at = self.begin(index)
            # Half a width: sums of fractions of a second are a little off.
            nth = math.floor((at + offset + self.width / 2) / step)
            if nth != before:
                yield Tick(index / len(self.bins), at)
            before = nth


def timeline(spans: Iterable[Span], most: int = MOST_BINS) -> Timeline | None:
    """The finest timeline of at most so many bins in which all spans lie; None if there are none.

    Raises `OverflowError` for spans that no run can have had.
    """
    ordered = sorted(spans)
    if not ordered:
        return None
    width = next((width for width in WIDTHS if _count(ordered, width) <= most), None)
    if width is None:
        raise OverflowError("a run lasted longer than is possible")
    bins = tuple(n for run in _stretches(ordered, width) for n in run)
    return Timeline(width, bins, tuple(_covered(ordered, width, bins)))


def _covered(spans: list[Span], width: float, bins: tuple[int, ...]) -> Iterator[float]:
    found = dict.fromkeys(bins, 0.0)
    for begin, end in spans:
        for n in range(math.floor(begin / width), math.floor(end / width) + 1):
            found[n] += min(end, (n + 1) * width) - max(begin, n * width)
    least = min(_LEAST_SECONDS, _LEAST_SHARE * width)
    return (min(width, max(least, seconds)) for seconds in found.values())


def _count(spans: list[Span], width: float) -> int:
    return sum(map(len, _stretches(spans, width)))


def _stretches(spans: list[Span], width: float) -> Iterator[range]:
    """The numbers of the bins that each span covers, none twice."""
    after = -1
    for span in spans:
        first = max(math.floor(span.begin / width), after)
        after = max(after, math.floor(span.end / width) + 1)
        yield range(first, after)
