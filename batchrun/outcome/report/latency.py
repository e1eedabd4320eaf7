"""How long attempts took: the distribution, in one pass over the ordered durations. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

SHARES = (0.5, 0.9, 0.95, 0.99)
LEAST_BARS, MOST_BARS = 15, 60
_SHORTEST = 1e-6
_PER_DECADE = (50, 20, 10, 5, 2, 1)


class Bar(NamedTuple):
    """How many attempts took from `low` to `high` seconds."""

    low: float
    high: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations in seconds. `quantiles`: for a share, the duration that this share of the attempts did not exceed."""

    count: int
    mean: float
    quantiles: dict[float, float]
    longest: float
    bars: tuple[Bar, ...]


def latency_of(ordered: Iterable[float], count: int, shortest: float, longest: float) -> Latency | None:
    """The distribution of `count` durations, told from the shortest to the longest; None if there are none."""
    if not count:
        return None
    edges = _edges(shortest, longest)
    ranks = {share: min(count - 1, int(share * count)) for share in SHARES}  # nearest rank
    at_rank = dict.fromkeys(ranks.values(), longest)
    counts = [0] * (len(edges) - 1)
    at, total = 0, 0.0
    for rank, seconds in enumerate(ordered):
        while seconds >= edges[at + 1] and at + 2 < len(edges):
            at += 1
        counts[at] += 1
        total += seconds
        if rank in at_rank:
            at_rank[rank] = seconds
    bars = tuple(map(Bar, edges, edges[1:], counts))
    quantiles = {share: at_rank[rank] for share, rank in ranks.items()}
    return Latency(count, total / count, quantiles, longest, bars)


def _edges(shortest: float, longest: float) -> list[float]:
    """Limits of the bars, at equal ratios: latencies span decades, and a long tail must not hide the rest."""
    low, high = max(shortest, _SHORTEST), max(longest, _SHORTEST)
    decades = math.log10(high / low)
    fine = next((n for n in _PER_DECADE if decades * n <= MOST_BARS - 2), _PER_DECADE[-1])
    first, last = math.floor(math.log10(low) * fine), math.ceil(math.log10(high) * fine)
    missing = max(0, LEAST_BARS - (last - first))  # durations that are all alike are one bar among others
    first, last = first - missing // 2, last + (missing + 1) // 2
    return [10 ** (n / fine) for n in range(first, last + 1)]
