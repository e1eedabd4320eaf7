"""How it stands: one sentence, and the totals. Pure."""

from collections.abc import Iterable

from batchrun.core.states import CRASHED, FAILED, STATE_NAMES, TIMED_OUT, spoken
from batchrun.core.text import counted

from .charts import share_bar
from .facts import Facts
from .markup import Markup, element, joined
from .pieces import cost, number, share_of, unit
from .words import took

_BAD = tuple(STATE_NAMES[state] for state in (FAILED, TIMED_OUT, CRASHED))
_STATES = ("done", "skipped", *_BAD, "left")


def verdict(facts: Facts) -> Markup:
    """In one sentence: how does it stand?"""
    counts = facts.counts
    bad = [f"{counts[name]:,} {spoken(name)}" for name in _BAD if counts[name]]
    if not facts.rows:
        said = "The table has no rows."
    elif counts["done"] == facts.rows:
        said = f"All {counted(facts.rows, 'row')} are done." if facts.rows > 1 else "The one row is done."
    else:
        others = [f"{counts['skipped']:,} skipped"] if counts["skipped"] else []
        left = [f"{counts['left']:,} left"] if counts["left"] else []
        said = f"{counts['done']:,} of {counted(facts.rows, 'row')} done, {', '.join([*bad, *others, *left])}."
    if facts.runs and facts.runs[-1].goes_on:
        said += f" Run {facts.runs[-1].number} was in progress when this page was made."
    return element("p", said, class_="verdict bad" if bad else "verdict")


def totals(facts: Facts) -> Markup:
    """Rows by state, and what it took."""
    counts = facts.counts
    says = ", ".join(f"{counts[name]:,} {spoken(name)}" for name in _STATES)
    usual = ("done", "failed", "left")
    tiles = [
        _tile(spoken(name), f"{counts[name]:,}", share_of(counts[name], facts.rows) if facts.rows else "", look=name)
        for name in _STATES
        if counts[name] or name in usual
    ]
    return joined(
        share_bar(says, [(name, counts[name]) for name in _STATES]),
        element("div", *tiles, *_effort(facts), class_="tiles"),
    )


def _effort(facts: Facts) -> Iterable[Markup]:
    busy = [run for run in facts.runs if run.busy]
    seconds, settled = sum(run.seconds for run in busy), sum(run.settled for run in busy)
    yield _tile("attempts", f"{facts.attempts:,}", "at settled rows")
    if seconds:
        yield _tile("time", took(seconds), f"in {counted(len(busy), 'run')}")
    if seconds and settled:
        factor, name = unit(settled / seconds)
        yield _tile(f"rows a {name}", number(factor * settled / seconds), "on average")
    if facts.latency:
        yield _tile(
            "median latency", took(facts.latency.quantiles[0.5]), f"99 % within {took(facts.latency.quantiles[0.99])}"
        )
    if facts.spent:
        yield _tile("tokens", f"{facts.spent.tokens.prompt + facts.spent.tokens.completion:,}", "asked and answered")
        if facts.spent.cost is not None:
            yield _tile("cost", cost(facts.spent.cost), "failed attempts included")


def _tile(name: str, value: str, note: str, look: str = "") -> Markup:
    mark = element("i", class_=look) if look else None
    return element("div", element("h3", mark, name), element("b", value), element("small", note), class_="tile")
