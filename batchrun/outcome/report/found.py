"""The section on results: how they were found, what each key holds, and some of them. Pure."""

import json

from batchrun.core.text import counted

from .charts import css_percent, pixels, short
from .facts import Facts
from .findings import MOST_VALUES, Bins, KeyFindings
from .markup import Markup, element
from .pieces import excerpt, note, section, share_of, table

_HEIGHT = 34


def found_results(facts: Facts) -> Markup | None:
    """What the results say, if there are any."""
    found = facts.findings
    if found is None:
        return None
    hows = ", ".join(f"{count:,} {how}" for how, count in found.hows.items())
    more = f"And {counted(found.more_keys, 'further key')}." if found.more_keys else ""
    return section(
        "Results",
        note(f"{counted(found.rows, 'row')} with a result. How they were found: {hows}."),
        table(["key", "rows", "types", "values"], [_key(key, found.rows) for key in found.keys]),
        note(more),
        element("h3", "Some of them"),
        table(["row", "how", "result"], [[f"{one.row:,}", one.how, _code(one.text)] for one in found.samples]),
    )


def _key(key: KeyFindings, rows: int) -> list[object]:
    name = element("em", "the result itself") if key.name is None else _code(key.name)
    share = "" if key.rows == rows else f" ({share_of(key.rows, rows)})"
    types = ", ".join(name if len(key.types) == 1 else f"{count:,} {name}" for name, count in key.types)
    return [name, f"{key.rows:,}{share}", types, _values(key)]


def _values(key: KeyFindings) -> object:
    if key.bins:
        return _histogram(key.bins)
    if key.common and key.common[0][1] > 1:
        told = [element("span", _code(_value(value)), f" × {count:,}", class_="value") for value, count in key.common]
        rest = key.different - len(told)
        return element("div", *told, f" and {rest:,} more" if rest > 0 else None, class_="values")
    return f"{'more than ' if key.different >= MOST_VALUES else ''}{key.different:,} different" if key.different else ""


def _value(value: object) -> str:
    if isinstance(value, str) and not value.strip():
        return json.dumps(value)  # else nobody sees it
    return str(value).lower() if isinstance(value, bool) else str(value)


def _histogram(bins: Bins) -> Markup:
    top, width = max(bins.counts), 1 / len(bins.counts)
    bars = [
        element(
            "rect",
            element("title", f"{short_number(low)} to {short_number(low + bins.width)}: {counted(count, 'row')}"),
            class_="took",
            x=css_percent(nth * width),
            width=css_percent(0.9 * width),
            y=pixels(_HEIGHT - max(1.5, count / top * _HEIGHT)),
            height=pixels(max(1.5, count / top * _HEIGHT)),
        )
        for nth, count in enumerate(bins.counts)
        if count
        for low in [bins.low + nth * bins.width]
    ]
    ends = f"{short_number(bins.low)} to {short_number(bins.low + len(bins.counts) * bins.width)}"
    picture = element("svg", *bars, role="img", aria_label=f"numbers from {ends}", width="100%", height=_HEIGHT)
    return element("div", picture, element("small", ends), class_="spread")


def short_number(value: float) -> str:
    """`-2.5`, `7,500`, `25k`."""
    return f"-{short(-value)}" if value < 0 else short(value)


def _code(text: str) -> Markup:
    return element("code", excerpt(text))
