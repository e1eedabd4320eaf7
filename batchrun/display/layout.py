"""The live view as lines of styled parts, for a width and a set of characters. Pure, and knows no terminal.

A part is a text and the name of its style. Only lines with a text of the task's own may be too long.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import phrases
from .snapshot import Snapshot

Part = tuple[str, str]
Line = list[Part]

_NARROWEST = 20
_GAP = 3
_LABEL = 9
_WIDEST_BAR = 100
_STYLES = {"done": "good", "failed": "bad", "timed out": "bad", "crashed": "bad"}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that draw: a bar's full, half and empty cell, a dot, times, a cut."""

    full: str
    half: str
    empty: str
    dot: str
    times: str
    cut: str


# Heavy and light lines: the bar can be read without colour.
FANCY = Glyphs("━", "╸", "─", "·", "×", "…")
ASCII = Glyphs("#", ".", ".", "|", "x", "...")


def glyphs_for(encoding: str, environment: Mapping[str, str]) -> Glyphs:
    """What can be shown: ASCII where the encoding or the locale has no more."""
    try:
        "".join((FANCY.full, FANCY.half, FANCY.empty, FANCY.dot, FANCY.times, FANCY.cut)).encode(encoding)
    except (UnicodeError, LookupError):
        return ASCII
    # Python itself turns a C locale into UTF-8, by setting LC_CTYPE; the terminal may still be none.
    locale = environment.get("LC_ALL") or environment.get("LANG") or ""
    return ASCII if locale in ("C", "POSIX") else FANCY


def layout(snap: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """The whole view."""
    lines = [bar(snap, width, glyphs), *_progress(snap, width, glyphs), [], *_counts(snap, width), []]
    return lines + _facts(snap, width, glyphs) + _status(snap, width)


def last_frame(snap: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """What stays on the screen when the run has ended; the summary says the rest."""
    return [bar(snap, width, glyphs)]


def bar(snap: Snapshot, width: int, glyphs: Glyphs) -> Line:
    """The bar over the rows to run, with the percentage."""
    share = phrases.share_done(snap)
    cells = max(4, min(width, _WIDEST_BAR) - 8)
    halves = 2 * cells * snap.fresh // snap.to_run if snap.to_run else 2 * cells
    full, half = divmod(halves, 2)
    empty = cells - full - half
    return [
        (glyphs.full * full, "bar"),
        (glyphs.half * half, "bar"),
        (glyphs.empty * empty, "rest"),
        (f" {share:>7}", "strong"),
    ]


def _progress(snap: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """How far and how fast, on as many lines as it takes."""
    rows, speed, remaining = phrases.progress(snap)
    parts = [(rows, "strong"), (speed, ""), (remaining, "strong"), (phrases.elapsed(snap), "label")]
    lines: list[Line] = []
    for part in parts:
        if lines and sum(len(text) for text, _ in [*lines[-1], part]) + _GAP <= width:
            lines[-1] += [(f" {glyphs.dot} ", "label"), part]
        else:
            lines.append([part])
    return lines


def _counts(snap: Snapshot, width: int) -> list[Line]:
    """The counts as a grid of as many columns as fit."""
    cells = [*phrases.states(snap), *phrases.flow(snap)]
    for columns in (8, 4, 2):
        grid = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        widths = [_column(column) for column in zip(*grid, strict=True)]
        if columns == 2 or sum(map(sum, widths)) + columns + _GAP * (columns - 1) <= width:
            break
    return [_row(row, widths) for row in grid]


def _column(cells: Sequence[tuple[str, int]]) -> tuple[int, int]:
    return max(len(name) for name, _ in cells), max(len(f"{count:,}") for _, count in cells)


def _row(cells: Sequence[tuple[str, int]], widths: Sequence[tuple[int, int]]) -> Line:
    line: Line = []
    for (name, count), (wide_name, wide_count) in zip(cells, widths, strict=True):
        style = _STYLES.get(name, "") if count else "label"
        line += [(" " * _GAP if line else "", ""), (f"{name:<{wide_name}} ", "label")]
        line.append((f"{count:>{wide_count},}", style))
    return line


def _facts(snap: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    latency = [phrases.usual_latency(snap) or "-", phrases.lanes(snap)]
    facts: list[tuple[str, Sequence[str]]] = [
        ("latency", _fitted(latency, f" {glyphs.dot} ", width)),
        ("slowest", [phrases.slowest_row(snap.slowest) or "-"]),
        ("limit", _fitted(phrases.allowed(snap.allowance), ", ", width)),
        ("spent", _fitted(phrases.spent(snap.spent), "; ", width)),
        ("jobs", [phrases.jobs_by_ctl(snap.jobs)] if snap.jobs else []),
        ("workers", phrases.workers(snap)),
        ("result", [phrases.result(snap.last_result)] if snap.last_result else []),
        ("error", [phrases.error(snap.last_error, glyphs.times)] if snap.last_error else []),
    ]
    return [
        [(f"{'' if nth else label:<{_LABEL}}", "label"), (text, "bad" if label == "error" else "")]
        for label, texts in facts
        for nth, text in enumerate(texts)
    ]


def _fitted(parts: Sequence[str], joint: str, width: int) -> list[str]:
    """The parts of a fact on one line, or on one each where that would be cut."""
    said = [part for part in parts if part]
    whole = joint.join(said)
    return [whole] if whole and _LABEL + len(whole) <= width else said


def _status(snap: Snapshot, width: int) -> list[Line]:
    """What is out of the ordinary: worth three lines where one is too short."""
    if snap.drain:
        text = phrases.drain(snap.drain, snap.in_flight, snap.slowest)
    elif snap.pause:
        text = phrases.pause(snap.pause, snap.input)
    else:
        text = phrases.scarce(snap.scarce) or phrases.still_loading(snap.loading)
    lines = textwrap.wrap(text, max(width, _NARROWEST), max_lines=3, placeholder=" ...")
    return [[], *([(line, "warn")] for line in lines)] if lines else []
