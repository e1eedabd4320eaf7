"""Time in which this process stood still: stopped by a signal, in a paused container, on a machine that was suspended.

Nobody tells a process of it; it sees its clock jump. What it does by itself may take long, too (a slow disk): that is
learnt, and does not count as standing still. Pure: the time is an argument.
"""

NOTICED_SECONDS = 1.0
HALF_LIFE_SECONDS = 60.0
_AT_LEAST = 0.1


class Stillness:
    """Watches the clock of a loop that waits and works by turns. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._last = now
        self._usual = _AT_LEAST

    def waited(self, now: float, at_most: float) -> float:
        """After a wait of `at_most` seconds: how many of those since the last call the process stood still."""
        passed, self._last = now - self._last, now
        return _noticed(passed - at_most)

    def worked(self, now: float) -> float:
        """The same after some work. What is usual for it does not count."""
        passed, self._last = now - self._last, now
        still = _noticed(passed - self._usual) if passed > 2 * self._usual else 0.0
        # One long stop must not hide the next: what is usual grows by doubling only.
        faded = max(_AT_LEAST, self._usual * 0.5 ** (passed / HALF_LIFE_SECONDS))
        self._usual = min(max(passed, faded), 2 * faded)
        return still


def moved(start: float, since: float, until: float) -> float:
    """The start of something, so that what has passed since then leaves out the time from `since` to `until`."""
    return start + max(0.0, until - max(since, start))


def _noticed(seconds: float) -> float:
    return seconds if seconds > NOTICED_SECONDS else 0.0
