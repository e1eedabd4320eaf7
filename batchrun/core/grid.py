"""Records as a table that fits a width, or one below the other where it would be too narrow to be read. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from unicodedata import combining, east_asian_width

from .text import one_line

_GAP = "  "
_NARROWEST = 16
_LONGEST = 400
_CUT = "..."

Record = Mapping[str, str]


def grid(records: Sequence[Record], width: int) -> list[str]:
    """Lines of at most `width` characters. Columns are the records' keys, in order of first appearance; a record that
    lacks one has an empty cell. What a cell holds is shown as one line that cannot steer a terminal, cut where it must
    be.
    """
    clean = [
        {one_line(name, _LONGEST): one_line(cell, _LONGEST) for name, cell in record.items()} for record in records
    ]
    if not clean:
        return []
    names = list(dict.fromkeys(name for record in clean for name in record))
    columns = [[name, *(record.get(name, "") for record in clean)] for name in names]
    natural = [max(map(_cells, column)) for column in columns]
    room = width - len(_GAP) * (len(columns) - 1)
    widest = _widest(natural, room)
    if widest < min(_NARROWEST, max(natural)):
        return _one_below_the_other(clean, width)
    widths = [min(wide, widest) for wide in natural]
    rules = ["-" * wide for wide in widths]
    head, *lines = [
        _GAP.join(map(_fitted, cells, widths)).rstrip()
        for cells in [names, *([record.get(name, "") for name in names] for record in clean)]
    ]
    return [head, _GAP.join(rules), *lines]


def _widest(natural: Sequence[int], room: int) -> int:
    """How wide a column may be at most, so that all fit; those that need less leave their room to the others."""
    for wide, others in zip(sorted(natural), range(len(natural), 0, -1), strict=True):
        if wide * others > room:
            return max(0, room // others)
        room -= wide
    return max(natural)


def _one_below_the_other(records: Iterable[Record], width: int) -> list[str]:
    """Each record as a block: its first cell as the heading, the others with their names."""
    blocks = []
    for record in records:
        (first, head), *rest = record.items()
        label = min(max((_cells(name) for name, _ in rest), default=0), max(4, width // 3))
        blocks.append([
            _cut(f"{first} {head}", width),
            *(_cut(f"{_GAP}{_fitted(name, label)}{_GAP}{cell}".rstrip(), width) for name, cell in rest),
        ])  # fmt: skip
    return [line for nth, block in enumerate(blocks) for line in ([""] * (nth > 0) + block)]


def _fitted(text: str, width: int) -> str:
    cut = _cut(text, width)
    return cut + " " * (width - _cells(cut))


def _cut(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    kept, used = [], len(_CUT)
    for char in text:
        used += _cells(char)
        if used > width:
            break
        kept.append(char)
    return f"{''.join(kept)}{_CUT}"[:width]


def _cells(text: str) -> int:
    """How wide a terminal shows it."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)
