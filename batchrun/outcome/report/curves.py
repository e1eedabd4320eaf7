"""The charts: what happened over time, and how long attempts took. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from batchrun.core.kinds import CRASH, TIMEOUT
from batchrun.core.states import CRASHED, STATE_NAMES, TIMED_OUT, spoken
from batchrun.core.text import counted

from .charts import Series, bars, legend
from .facts import Course, Facts
from .labels import Label
from .latency import SHARES, Latency
from .markup import Markup, element
from .pieces import note, number, section, table, unit
from .timeline import Timeline
from .words import NBSP, clock, date_and_time, offset, took

_MOST_TICKS = 4
# As the state that they lead to, in the chart above.
_LOOKS = {TIMEOUT: STATE_NAMES[TIMED_OUT], CRASH: STATE_NAMES[CRASHED]}
_DAY = 86400


def over_time(facts: Facts) -> Markup | None:
    """Throughput, failures and rows in flight over the time in which runs went on."""
    course = facts.course
    if course is None:
        return None
    notes = ["The time between runs is left out." if sum(run.busy for run in facts.runs) > 1 else ""]
    if facts.timeless:
        notes.append(f"Not shown: {counted(facts.timeless, 'row')} settled by a version that recorded no times.")
    return section(
        "Over time",
        note(*notes),
        _throughput(facts, course),
        _failures(facts, course),
        _flight(facts, course),
        *_held_back(facts, course),
    )


def _throughput(facts: Facts, course: Course) -> Markup | None:
    if not course.settled:
        return None
    covered = course.timeline.covered
    rates = {
        name: [count / seconds for count, seconds in zip(bins, covered, strict=True)]
        for name, bins in course.settled.items()
    }
    factor, name = unit(max(map(sum, zip(*rates.values(), strict=True))))
    series = [Series(spoken(status), status, [factor * rate for rate in bins]) for status, bins in rates.items()]
    hints = [_counts(course.settled, index) for index in range(len(course.timeline.bins))]
    return _over_time(f"Rows settled a {name}", facts, course, series, hints)


def _failures(facts: Facts, course: Course) -> Markup | None:
    if not course.failed:
        return None
    series = [
        Series(kind, _LOOKS.get(kind, f"kind{nth}"), bins) for nth, (kind, bins) in enumerate(course.failed.items())
    ]
    hints = [_counts(course.failed, index) for index in range(len(course.timeline.bins))]
    title = f"Attempts that failed in each {_width(course.timeline)}, retried ones included"
    return _over_time(title, facts, course, series, hints, whole=True)


def _flight(facts: Facts, course: Course) -> Markup | None:
    if not course.settled:
        return None
    series = [Series("in flight", "busy", course.in_flight)]
    hints = [f"{number(value)} in flight" for value in course.in_flight]
    return _over_time("Rows in flight, on average", facts, course, series, hints)


def _held_back(facts: Facts, course: Course) -> Iterator[Markup]:
    """Refusals, limits and pauses, each as far as there were any."""
    refusals, limit, paused = course.held_back
    if any(refusals):
        hints = [f"{counted(count, 'refusal')}" for count in refusals]
        series = [Series("refused", "timed_out", refusals)]
        title = f"Refusals (429, busy) in each {_width(course.timeline)}: they are no attempts"
        yield _over_time(title, facts, course, series, hints, whole=True)
    if any(limit):
        hints = [f"at most {most:,} in flight" if most else "no limit" for most in limit]
        yield _over_time("Limit on rows in flight", facts, course, [Series("limit", "busy", limit)], hints, whole=True)
    if any(paused):
        hints = [f"paused for {share:.0%}" for share in paused]
        percent = [100 * share for share in paused]
        yield _over_time("Time in which the run was paused, in percent", facts, course,
                         [Series("paused", "skipped", percent)], hints)  # fmt: skip


def _counts(bins: Mapping[str, list[int]], index: int) -> str:
    return ", ".join(f"{counts[index]:,} {spoken(name)}" for name, counts in bins.items() if counts[index]) or "none"


def _over_time(
    title: str, facts: Facts, course: Course, series: list[Series], hints: list[str], *, whole: bool = False
) -> Markup:
    line = course.timeline
    dated = line.begin(len(line.bins) - 1) - line.origin > _DAY / 2
    ticks = line.ticks(_MOST_TICKS, offset(facts.made))
    step = min((late.at - early.at for early, late in pairwise(ticks)), default=line.width)
    date = "\n{}" if dated and step < _DAY else ""
    labels = [Label(place, clock(at, step) + date.format(clock(at, _DAY))) for place, at in ticks]
    marks = [Label(line.place(run.started), f"run {run.number}") for run in facts.runs if run.busy]
    when = [f"{date_and_time(line.begin(index))}: {hint}" for index, hint in enumerate(hints)]
    return _figure(title, series, bars(title, series, when, labels, marks, whole=whole))


def _width(line: Timeline) -> str:
    for seconds, name in ((_DAY, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if line.width >= seconds:
            return f"{line.width / seconds:g}{NBSP}{name}"
    return f"{line.width * 1000:g}{NBSP}ms"


def _figure(title: str, series: Sequence[Series], chart: Markup) -> Markup:
    keys = legend(series) if len(series) > 1 else None
    return element("figure", element("figcaption", title, element("span", keys, class_="keys")), chart)


def latencies(facts: Facts) -> Markup | None:
    """How long attempts took."""
    found = facts.latency
    if found is None:
        return None
    series = [Series("attempts", "took", [bar.attempts for bar in found.bars])]
    hints = [f"{took(bar.low)} to {took(bar.high)}: {counted(bar.attempts, 'row')}" for bar in found.bars]
    title = "Rows by how long their last attempt took"
    chart = bars(title, series, hints, _decades(found), _quantile_marks(found), whole=True)
    return section("Latency", _figure(title, series, chart), _quantiles(found))


def _decades(found: Latency) -> list[Label]:
    """Labels at the limits of bars: powers of ten, or what there is where none is in sight."""
    edges = [bar.low for bar in found.bars]
    round_ones = [Label(index / len(edges), took(edge)) for index, edge in enumerate(edges) if _is_power_of_ten(edge)]
    every = -(-len(edges) // 4)
    return (
        round_ones
        if len(round_ones) > 1
        else [Label(index / len(edges), took(edges[index])) for index in range(0, len(edges), every)]
    )


def _is_power_of_ten(seconds: float) -> bool:
    return abs(math.log10(seconds) - round(math.log10(seconds))) < 1e-6


def _quantile_marks(found: Latency) -> list[Label]:
    return [Label(_place(found, found.quantiles[share]), f"{share:.0%}") for share in (0.5, 0.9, 0.99)]


def _place(found: Latency, seconds: float) -> float:
    index = next((nth for nth, bar in enumerate(found.bars) if seconds < bar.high), len(found.bars) - 1)
    bar = found.bars[index]
    inside = min(1.0, max(0.0, (seconds - bar.low) / (bar.high - bar.low)))
    return (index + inside) / len(found.bars)


def _quantiles(found: Latency) -> Markup:
    names = [f"{share:.0%} within" for share in SHARES]
    values = [took(found.quantiles[share]) for share in SHARES]
    return table(["mean", *names, "longest"], [[took(found.mean), *values, took(found.longest)]])
