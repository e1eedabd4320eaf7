"""Where did the rows of a table go, if only some places of it were edited? In one pass, in flat memory.

The old rows are compared with the new ones at the same distance, thousands at a time. Where they part, the
next old row is looked for a little further on: rows were inserted; or it is set aside: it has been deleted,
edited or moved far. Rows that were set aside are looked for at the end among the new rows that nothing has
matched. A table that was shuffled gives up soon, and is joined as a whole (`partition`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

WIDTH = 16
WINDOW_ROWS = 4096
MOST_ASIDE = 10_000
MOST_SEGMENTS = 20_000

Names = Callable[[int, int], bytes]


class Segment(NamedTuple):
    """Old rows `old`, `old` + 1, … (`length` of them) stand at `new`, `new` + 1, … now."""

    old: int
    length: int
    new: int


class Aligned(NamedTuple):
    """Segments in the new table's order; `aside`: identity and old position of rows that are nowhere."""

    segments: list[Segment]
    aside: dict[bytes, int]


def align(old: Iterable[tuple[int, bytes]], names: Names, rows: int, gone: dict[bytes, int]) -> Aligned | None:
    """Find each old row in a table of `rows` rows; None if too many stand elsewhere.

    `old`: first position and joined identities (16 bytes each, all different) of stretches of old rows, in
    order. `names(first, count)`: the joined identities of new rows from position `first`, fewer at the end.
    `gone`: identity and (negative) position of rows that an earlier table had.
    """
    walk = _Walk(names, dict(gone), len(gone) + MOST_ASIDE)
    for first, block in old:
        if not walk.take(first, block):
            return None
    found = sorted([*walk.segments, *walk.strays(rows)], key=lambda segment: segment.new)
    return Aligned(found, walk.aside)


class _Walk:
    """The pass. `last`: the last new position that has been matched, the `shift` that held there."""

    def __init__(self, names: Names, aside: dict[bytes, int], most_aside: int) -> None:
        self.names = names
        self.aside = aside
        self.most_aside = most_aside
        self.segments: list[Segment] = []
        self.last = 0
        self.shift = 0

    def take(self, first: int, block: bytes) -> bool:
        """Match a stretch of old rows; False when too many are set aside, or they lie in too many pieces."""
        done, rows = 0, len(block) // WIDTH
        while done < rows:
            matched = self._match(first + done, block[done * WIDTH :])
            done += matched
            if not matched:
                name = block[done * WIDTH : (done + 1) * WIDTH]
                place = self._further_on(name)
                if place:
                    self.shift = place - (first + done)
                elif name in self.aside:  # a line of an earlier table has this name: only the general way keeps both
                    return False
                else:
                    self.aside[name] = first + done
                    done += 1
            if len(self.aside) > self.most_aside or len(self.segments) > MOST_SEGMENTS:
                return False
        return True

    def _match(self, old: int, block: bytes) -> int:
        new = old + self.shift
        if new <= self.last:  # never look back: that row is matched already
            return 0
        matched = common(block, self.names(new, len(block) // WIDTH)) // WIDTH
        if matched:
            self._add(Segment(old, matched, new))
            self.last = new + matched - 1
        return matched

    def _add(self, segment: Segment) -> None:
        before = self.segments[-1] if self.segments else Segment(0, 0, 0)
        if before.old + before.length == segment.old and before.new + before.length == segment.new:
            self.segments[-1] = before._replace(length=before.length + segment.length)
        else:
            self.segments.append(segment)

    def _further_on(self, name: bytes) -> int:
        """The new position of a row in the window after the last match, or 0."""
        # One search in joined bytes in place of thousands of comparisons. Two neighbours may hold the name across their
        # border, so only a hit at the beginning of a name counts.
        window = self.names(self.last + 1, WINDOW_ROWS)
        at = window.find(name)
        while at > 0 and at % WIDTH:
            at = window.find(name, at + 1)
        return 0 if at < 0 else self.last + 1 + at // WIDTH

    def strays(self, rows: int) -> Iterator[Segment]:
        """Rows that were set aside and stand among the new rows that nothing has matched."""
        for first, last in gaps(self.segments, rows):
            for start in range(first, last + 1, WINDOW_ROWS):
                if not self.aside:
                    return
                names = self.names(start, min(WINDOW_ROWS, last + 1 - start))
                for nth in range(len(names) // WIDTH):
                    old = self.aside.pop(names[nth * WIDTH : (nth + 1) * WIDTH], None)
                    if old is not None:
                        yield Segment(old, 1, start + nth)


def gaps(segments: list[Segment], rows: int) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of new positions that no segment covers."""
    at = 1
    for segment in segments:
        if segment.new > at:
            yield at, segment.new - 1
        at = segment.new + segment.length
    if at <= rows:
        yield at, rows


def split(joined: bytes) -> list[bytes]:
    """Joined names one by one."""
    return [joined[at : at + WIDTH] for at in range(0, len(joined), WIDTH)]


def split_at(joined: bytes, nth: int) -> bytes:
    """One of joined names."""
    return joined[WIDTH * nth : WIDTH * (nth + 1)]


def common(one: bytes, other: bytes) -> int:
    """Length of the common beginning, in whole names."""
    length = min(len(one), len(other)) // WIDTH * WIDTH
    if one[:length] == other[:length]:
        return length
    # By halves: comparing slices is the quickest that Python has, and the first difference is a dozen slices away.
    low, high = 0, length // WIDTH
    while high - low > 1:
        middle = (low + high) // 2
        if one[low * WIDTH : middle * WIDTH] == other[low * WIDTH : middle * WIDTH]:
            low = middle
        else:
            high = middle
    return low * WIDTH
