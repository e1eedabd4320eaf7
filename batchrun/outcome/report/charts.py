"""Bars as inline SVG: stacked, over bins of equal width. Pure; as wide as the page, text stays readable on a phone.

Places along the width are in percent and heights in pixels, so that the browser stretches bars and not letters.
The values of the grid stand in a picture of their own, at the left of the bars.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .labels import Label, looks, text_anchor
from .markup import Markup, element, joined

HEIGHT = 132
ABOVE, BELOW, LINE = 24, 22, 13
_AXIS_WIDTH = 40
MOST_MARKS = 40
_BAR = 0.86
_LEAST_HEIGHT = 1.5


class Series(NamedTuple):
    """What one colour shows: a value for each bin. `look`: the colour's class in the style sheet."""

    name: str
    look: str
    values: Sequence[float]


def bars(
    says: str,
    series: Sequence[Series],
    hints: Sequence[str],
    ticks: Sequence[Label],
    marks: Sequence[Label] = (),
    *,
    whole: bool = False,
) -> Markup:
    """A chart of stacked bars, one for each of `hints` (shown when a bar is pointed at).

    `says`: the chart in words, for those who don't see it; `ticks`: below the bars; `marks`: lines across them;
    `whole`: the values are counts, so the grid has no fractions.
    """
    tops = [sum(values) for values in zip(*(one.values for one in series), strict=True)]
    scale = nice(max(tops, default=0.0), whole=whole)
    width = 1 / max(1, len(hints))
    height = ABOVE + HEIGHT + BELOW + LINE * max((tick.text.count("\n") for tick in ticks), default=0)
    axis = element("svg", *_grid_values(scale), aria_hidden="true", width=_AXIS_WIDTH, height=height)
    plot = element(
        "svg",
        *_grid(scale),
        *(bar for bars in _stacks(series, scale, width) for bar in bars),
        *_marks(marks),
        *_ticks(ticks),
        *(_hint(index * width, width, text) for index, text in enumerate(hints)),
        role="img",
        aria_label=says,
        width="100%",
        height=height,
    )
    return element("div", axis, element("div", plot), class_="chart")


def nice(top: float, *, whole: bool = False) -> list[float]:
    """Round values for the lines of a grid, from 0; the last one is not below `top`."""
    if top <= 0:
        return [0.0, 1.0]
    size = 10 ** math.floor(math.log10(top))
    step = next(step for step in (0.25 * size, 0.5 * size, size, 2.5 * size) if step * 4 >= top)
    if whole:
        step = math.ceil(step)
    return [step * n for n in range(math.ceil(round(top / step, 9)) + 1)]


def _stacks(series: Sequence[Series], scale: list[float], width: float) -> Iterator[Iterator[Markup]]:
    below = [0.0] * len(series[0].values)
    for one in series:
        yield _one_colour(one, list(below), scale[-1], width)
        below = [low + value for low, value in zip(below, one.values, strict=True)]


def _one_colour(one: Series, below: list[float], top: float, width: float) -> Iterator[Markup]:
    for index, (low, value) in enumerate(zip(below, one.values, strict=True)):
        if value > 0:
            height = max(_LEAST_HEIGHT, value / top * HEIGHT)  # a single failure among thousands is seen
            foot = ABOVE + HEIGHT - low / top * HEIGHT
            yield element(
                "rect",
                class_=one.look,
                x=css_percent((index + (1 - _BAR) / 2) * width),
                width=css_percent(_BAR * width),
                y=pixels(max(ABOVE, foot - height)),
                height=pixels(height),
            )


def _grid(scale: list[float]) -> Iterator[Markup]:
    for value in scale:
        y = pixels(_height_of(value, scale))
        yield element("line", class_="grid", x1="0", x2="100%", y1=y, y2=y)


def _grid_values(scale: list[float]) -> Iterator[Markup]:
    for value in scale:
        y = pixels(_height_of(value, scale) + 4)
        yield element("text", short(value), x=_AXIS_WIDTH - 6, y=y, text_anchor="end")


def short(value: float) -> str:
    """`0.25`, `7,500`, `25k`, `1.5M`: never longer than the axis is wide."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (value >= size > 1e3):
            return f"{value / size:,.4g}{letter}"
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _height_of(value: float, scale: list[float]) -> float:
    return ABOVE + HEIGHT * (1 - value / scale[-1])


def _ticks(ticks: Sequence[Label]) -> Iterator[Markup]:
    foot = ABOVE + HEIGHT
    for (place, text), look in looks(ticks):
        x = css_percent(place)
        yield element("line", class_="tick", x1=x, x2=x, y1=foot, y2=foot + 5)
        for nth, line in enumerate(text.split("\n")):
            yield element("text", line, class_=look, x=x, y=foot + 17 + nth * LINE, text_anchor=text_anchor(place))


def _marks(marks: Sequence[Label]) -> Iterator[Markup]:
    """Lines across the chart; too many of them would hide it. A label that has no room is left out."""
    if len(marks) > MOST_MARKS:
        return
    for place, _ in marks:
        x = css_percent(place)
        yield element("line", class_="mark", x1=x, x2=x, y1=ABOVE - 8, y2=ABOVE + HEIGHT)
    for (place, text), look in looks(marks):
        class_ = f"name {look}" if look else "name"
        yield element("text", text, class_=class_, x=css_percent(place), y=ABOVE - 12, text_anchor=text_anchor(place))


def _hint(place: float, width: float, text: str) -> Markup:
    area = {"x": css_percent(place), "width": css_percent(width), "y": ABOVE, "height": HEIGHT}
    return element("rect", element("title", text), class_="hint", **area)


def share_bar(says: str, parts: Sequence[tuple[str, int]]) -> Markup:
    """One bar in which each part (look, count) has its share of the width; a small one stays visible."""
    whole = sum(count for _, count in parts)
    shown = [(look, max(0.004, count / whole)) for look, count in parts if count]
    scale = sum(share for _, share in shown)
    pieces, at = [], 0.0
    for look, share in shown:
        width = css_percent(share / scale)
        pieces.append(element("rect", class_=look, x=css_percent(at), width=width, y="0", height="100%"))
        at += share / scale
    return element("svg", *pieces, class_="shares", role="img", aria_label=says, width="100%", height="14")


def legend(series: Sequence[Series]) -> Markup:
    """What the colours mean."""
    return joined(*(element("span", element("i", class_=one.look), one.name, class_="key") for one in series))


def css_percent(share: float) -> str:
    """A share of the width."""
    return f"{round(100 * share, 3):g}%"


def pixels(value: float) -> str:
    """A height."""
    return f"{round(value, 1):g}"
