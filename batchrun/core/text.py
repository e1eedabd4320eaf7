"""Numbers and texts as people read them. Pure; ASCII, but for what a text brings along."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

_SPELT = str.maketrans({"×": "x", "…": "...", "→": "->", "–": "-", "·": "|", "✓": "ok"})
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_END_OF_CLOCKS = 253402300800  # the year 10000


def duration(seconds: float) -> str:
    """`0.4 ms`, `250 ms`, `3.2 s`, `12 s`, `4 min 10 s`, `2 h 05 min`, `3 d 04 h`."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.00995:
        return f"{max(0.1, seconds * 1000):.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else whole_seconds(seconds)


def whole_seconds(seconds: float) -> str:
    """Like `duration`, but never finer than a second: for what changes while it is looked at."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    minutes = round(seconds / _MINUTE)
    if minutes < 2 * _DAY // _MINUTE:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / _HOUR)
    return f"{hours // 24} d {hours % 24:02} h"


def rate(per_second: float) -> str:
    """`1,234 rows/s`, `4.2 rows/s`, `12 rows/min`, `3.5 rows/h`: the unit with a digit before the point."""
    for factor, unit in ((1, "s"), (60, "min")):
        if round(per_second * factor, 1) >= 1:
            text = _short(per_second * factor)
            return f"{text} row{'' if text == '1' else 's'}/{unit}"
    return f"{_short(per_second * 3600)} rows/h" if per_second > 0 else "0 rows/s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")


def memory(size: int) -> str:
    """`44 KB`, `312 MB`, `1.5 GB`, of 1024 kilobytes to the megabyte, as process tables say it."""
    if size < 1 << 20:
        return f"{-(-size // 1024):,} KB"
    return f"{size / (1 << 20):,.0f} MB" if size < 1 << 30 else f"{size / (1 << 30):,.1f} GB"


def percent(part: int, whole: int) -> str:
    """`61.2 %`, rounded down: 100 % means all of them."""
    share = 1000 * part // whole if whole else 1000
    return "100 %" if share >= 1000 else f"{share / 10:.1f} %"


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,234 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def were(count: int, noun: str) -> str:
    """`1 row was`, `1,234 rows were`."""
    return f"{counted(count, noun)} {'was' if count == 1 else 'were'}"


def have(count: int, noun: str) -> str:
    """`1 row has`, `1,234 rows have`."""
    return f"{counted(count, noun)} {'has' if count == 1 else 'have'}"


def one_line(text: str, most: int = 200) -> str:
    """A text of somebody else's as one line, of at most `most` characters."""
    clean = " ".join(printable(text[: 4 * most]).split())
    return clean if len(clean) <= most else f"{clean[: most - 3]}..."


def printable(text: str) -> str:
    """A text that cannot steer a terminal; its spaces stay as they are."""
    return "".join(char if char.isprintable() else " " for char in text)


def shown_in(text: str, encoding: str) -> str:
    """A text of many lines that cannot steer a terminal, in characters that `encoding` has."""
    clean = "\n".join(map(printable, text.split("\n")))
    try:
        clean.encode(encoding)
    except (UnicodeError, LookupError):
        return clean.translate(_SPELT).encode("ascii", "backslashreplace").decode()
    return clean


def from_here(path: Path, here: Path) -> str:
    """A path as one would type it in the folder `here`."""
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def moment(at: float) -> str:
    """A time (seconds since 1970) as clocks here show it: `2026-03-01 14:05:09`. Raises `OverflowError` if none can."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_on_clocks(at)))


def iso_time(at: float) -> str:
    """A time (seconds since 1970) for machines: `2026-03-01T14:05:09+00:00`. Raises as `moment` does."""
    return datetime.fromtimestamp(_on_clocks(at), UTC).isoformat(timespec="seconds")


def _on_clocks(at: float) -> float:
    if not 0 <= at < _END_OF_CLOCKS:
        raise OverflowError(f"no clock shows {at:g} s since 1970")
    return at


def ceil_seconds(seconds: float) -> str:
    """A countdown: `1 s` until it is over."""
    return whole_seconds(math.ceil(seconds))


def a_minute(count: float) -> str:
    """`1,234 a minute`, `0.4 a minute`."""
    return f"{_short(count)} a minute"


def money(amount: float) -> str:
    """An amount in the currency of the prices."""
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


def numbers(rows: Iterable[int]) -> str:
    """Row numbers in order, as `--rows` takes them: `3, 7, 17-20`."""
    ordered = sorted(rows)
    # Neighbours share the difference between a row and its place in the order.
    stretches = [[row for _, row in group] for _, group in groupby(enumerate(ordered), key=lambda at: at[1] - at[0])]
    return ", ".join(_stretch(rows) for rows in stretches)


def _stretch(rows: list[int]) -> str:
    return f"{rows[0]}-{rows[-1]}" if len(rows) > 2 else ", ".join(map(str, rows))
