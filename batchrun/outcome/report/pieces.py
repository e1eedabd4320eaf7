"""Small pieces that the parts of the page are made of. Pure."""

from collections.abc import Iterable, Sequence

from batchrun.core.text import percent

from .markup import Markup, element

_UNITS = ((1.0, "second"), (60.0, "minute"), (3600.0, "hour"), (86400.0, "day"))


def section(title: str, *parts: object) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *parts)


def note(*sentences: str) -> Markup | None:
    """Small print; None if there is nothing to say."""
    said = " ".join(sentence for sentence in sentences if sentence)
    return element("p", said, class_="note") if said else None


def table(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> Markup:
    """A table. A phone, too narrow for its columns, shows each line as a paragraph, with each cell behind its name."""
    head = element("tr", *(element("th", name, scope="col") for name in heads))
    body = [
        element("tr", *(element("td", cell, data_name=name) for name, cell in zip(heads, line, strict=True)))
        for line in lines
    ]
    rows = element("table", element("thead", head), element("tbody", *body))
    return element("div", rows, class_="wide", tabindex="0")


def excerpt(text: str, most: int = 400) -> str:
    """The beginning of somebody else's text: not more of it than the page can bear."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def ending(text: str, most: int = 4000) -> str:
    """The last lines of a text that may be long, as of a traceback: there it says what happened."""
    return text.rstrip() if len(text) <= most else f"…{text.rstrip()[-most:]}"


def unit(per_second: float) -> tuple[float, str]:
    """The unit of time in which a rate has a digit before the point, and its seconds."""
    return next((unit for unit in _UNITS if per_second * unit[0] >= 1), _UNITS[-1] if per_second else _UNITS[0])


def number(value: float) -> str:
    """`1,234`, `12.3`, `4`."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:,.1f}".removesuffix(".0")


def share_of(part: int, whole: int) -> str:
    """`61.2 %`; what is not nothing is not called 0."""
    said = percent(part, whole)
    return "below 0.1 %" if part and said == "0.0 %" else said


def cost(value: float) -> str:
    """Money, of whatever currency."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
