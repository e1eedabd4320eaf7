"""Labels along a chart's width: where each begins and ends, and which of them have room. Pure.

How wide a chart becomes is known to the browser alone. So what has no room on a computer's screen is left out, and what
has none on a phone only is of the class `roomy`, which the style sheet hides there.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

SCREEN, PHONE = 480.0, 270.0
"""The narrowest plot of each, in pixels."""
_LETTER, _APART = 6.5, 8.0


class Label(NamedTuple):
    """Text at a place along the width, from 0 to 1; below the bars it may have two lines."""

    place: float
    text: str


def text_anchor(place: float) -> str:
    """Which part of a text stands at its place: near the edges it must not reach out of the chart."""
    return "start" if place < 0.06 else "end" if place > 0.94 else "middle"


def looks(labels: Sequence[Label]) -> Iterator[tuple[Label, str | None]]:
    """The labels that are shown, each with its class: None, or `roomy`."""
    shown = with_room(labels, SCREEN)
    everywhere = with_room(shown, PHONE)
    for label in shown:
        yield label, None if label in everywhere else "roomy"


def with_room(labels: Sequence[Label], width: float) -> list[Label]:
    """The labels without those that would touch one before them, on a chart so many pixels wide."""
    shown = []
    free_from = -math.inf
    for label in sorted(labels):
        left, right = extent(label, width)
        if left >= free_from:
            shown.append(label)
            free_from = right + _APART
    return shown


def extent(label: Label, width: float) -> tuple[float, float]:
    """Where a label begins and ends, in pixels."""
    size = _LETTER * max(map(len, label.text.split("\n")))
    left = label.place * width - {"start": 0.0, "middle": size / 2, "end": size}[text_anchor(label.place)]
    return left, left + size
