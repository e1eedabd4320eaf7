"""Moments, durations and counts as the page says them. Pure but for the time zone, which is this machine's."""

import time

from batchrun.core.text import duration

_MINUTE, _DAY = 60, 86400
NBSP = "\u00a0"


def took(seconds: float) -> str:
    """A duration: `35 µs`, `0.4 ms`, `3.2 s`, `5 s`, `2 h 05 min`."""
    if 0 < seconds < 0.000095:
        return f"{max(1, round(seconds * 1e6))}{NBSP}µs"
    return duration(seconds).replace(".0 ", " ").replace(" ", NBSP)


def date_and_time(at: float) -> str:
    """A time, to the second: `21 Nov 2026, 07:31:05`."""
    return time.strftime("%d %b %Y, %H:%M:%S", time.localtime(at)).lstrip("0").replace(" ", NBSP)


def clock(at: float, step: float) -> str:
    """A time as a label on an axis on which labels are `step` seconds apart."""
    local = time.localtime(at)
    if step >= _DAY:
        return time.strftime("%d %b", local).lstrip("0")
    if step >= _MINUTE:
        return time.strftime("%H:%M", local)
    fraction = f"{at % 1:.3f}"[1:].rstrip("0").rstrip(".") if step < 1 else ""
    return time.strftime("%H:%M:%S", local) + fraction


def zone(at: float) -> str:
    """The time zone of all times on the page: `UTC`, `UTC+02:00`."""
    minutes = int(offset(at)) // 60
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "UTC"


def offset(at: float) -> float:
    """Seconds that clocks here are ahead of UTC."""
    return float(time.localtime(at).tm_gmtoff)
