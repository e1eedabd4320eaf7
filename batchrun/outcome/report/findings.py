"""What the results say, key by key: one pass over them, in memory that does not grow with the rows.

Of each key up to a thousand different values are counted. Where numbers are more than that, they are counted in bins
instead, which become twice as wide as often as needed.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_KEYS = 50
MOST_VALUES = 1000
MOST_BINS = 40
_MOST_NAMES = 1000
_SHOWN_VALUES = 5
_LONGEST = 100
_TYPES = {bool: "boolean", int: "number", float: "number", str: "text", list: "array", dict: "object"}
_FARTHEST = 1e300


class Bins(NamedTuple):
    """How many numbers there are in each of some bins of one width, the first of which begins at `low`."""

    low: float
    width: float
    counts: tuple[int, ...]


class KeyFindings(NamedTuple):
    """A key of the results; None: results that are no objects. `rows`: how many have it, null included.

    `types`: of its values, the most common first. `common`: its most common values with their counts, of those of one
    type; empty where there are too many different ones. `different`: how many those are, at least. `bins`: numbers.
    """

    name: str | None
    rows: int
    types: tuple[tuple[str, int], ...]
    common: tuple[tuple[Any, int], ...]
    different: int
    bins: Bins | None


class Sampled(NamedTuple):
    """A row that is done, and its result as text."""

    row: int
    how: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """`rows`: how many have a result. `hows`: how those were found. `more_keys`: which are not told, at least."""

    rows: int
    hows: Mapping[str, int]
    keys: tuple[KeyFindings, ...]
    more_keys: int
    samples: tuple[Sampled, ...]


def findings(pages: Iterable[Sequence[Any]], hows: Mapping[str, int], samples: Iterable[Sampled]) -> Findings | None:
    """What these results say, some at a time; None if there are none."""
    seen: dict[str | None, _Seen] = {}
    others: set[str | None] = set()
    rows = 0
    for page in pages:
        rows += len(page)
        for name, values in _columns(page).items():
            if name in seen or len(seen) < MOST_KEYS:
                seen.setdefault(name, _Seen()).see(values)
            elif len(others) < _MOST_NAMES:
                others.add(name)
    keys = tuple(one.told(name) for name, one in seen.items())
    return Findings(rows, hows, keys, len(others), tuple(samples)) if rows else None


def _columns(page: Sequence[Any]) -> dict[str | None, list[Any]]:
    columns: dict[str | None, list[Any]] = {}
    for value in page:
        if type(value) is dict:
            for key, part in value.items():
                columns.setdefault(key, []).append(part)
        else:
            columns.setdefault(None, []).append(value)
    return columns


class _Seen:
    """The values of one key so far, apart by what they are."""

    def __init__(self) -> None:
        self.rows = 0
        self.types: Counter[str] = Counter()
        self.values: dict[str, Counter[Any]] = {}
        self.overflowed: set[str] = set()
        self.bins: _Widening | None = None

    def see(self, values: list[Any]) -> None:
        self.rows += len(values)
        for kind, count in Counter(map(type, values)).items():
            name = _TYPES.get(kind, "null")
            self.types[name] += count
            if name in ("boolean", "number", "text"):
                same = values if count == len(values) else [value for value in values if type(value) is kind]
                self._count(name, same)

    def _count(self, name: str, values: list[Any]) -> None:
        if name == "text":
            values = [text[:_LONGEST] for text in values]
        elif name == "number":
            values = [number for number in values if abs(number) < _FARTHEST]
        if name == "number" and self.bins:
            self.bins.see(Counter(values))
        elif name not in self.overflowed:
            counts = self.values.setdefault(name, Counter())
            counts.update(values)
            if len(counts) > MOST_VALUES:
                self.overflowed.add(name)
                del self.values[name]
                if name == "number":
                    self.bins = _Widening(counts)

    def told(self, name: str | None) -> KeyFindings:
        kind = next((kind for kind, _ in self.types.most_common() if kind in self.values), None)
        counts = self.values[kind] if kind else Counter()
        bins = self.bins
        if bins is None and kind == "number" and len(counts) > _SHOWN_VALUES:
            bins = _Widening(counts)
        different = len(counts) if kind else MOST_VALUES if self.overflowed else 0
        common = tuple(counts.most_common(_SHOWN_VALUES))
        return KeyFindings(
            name, self.rows, tuple(self.types.most_common()), common, different, bins.told() if bins else None
        )


class _Widening:
    """Numbers in bins whose width is a power of two."""

    def __init__(self, counts: Mapping[float, int]) -> None:
        span = max(counts) - min(counts)
        self._power = math.frexp(span / MOST_BINS or 1.0)[1]
        self._bins: Counter[int] = Counter()
        self.see(counts)

    def see(self, counts: Mapping[float, int]) -> None:
        width = 2.0**self._power
        for value, count in counts.items():
            self._bins[math.floor(value / width)] += count
        while max(self._bins) - min(self._bins) >= MOST_BINS:
            self._power += 1
            wider: Counter[int] = Counter()
            for number, count in self._bins.items():
                wider[number >> 1] += count
            self._bins = wider

    def told(self) -> Bins:
        first, last = min(self._bins), max(self._bins)
        width = 2.0**self._power
        return Bins(first * width, width, tuple(self._bins[number] for number in range(first, last + 1)))
