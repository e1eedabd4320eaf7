"""A token bucket: so many a minute, without bursts. Pure: the time is an argument."""

SPARE_SECONDS = 0.1


class Bucket:
    """Fills evenly with `per_minute` units a minute and holds what 0.1 s bring, or one. It starts with one: the first
    row need not wait.

    Times are monotonic seconds.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * SPARE_SECONDS)
        self._level = 1.0
        self._at = now

    def level(self, now: float) -> float:
        """What is in it; below zero if more was taken."""
        self._level = min(self._most, self._level + self._rate * max(0.0, now - self._at))
        self._at = now
        return self._level

    def take(self, units: float, now: float) -> None:
        """Take units out, or with a negative number put them back."""
        self._level = self.level(now) - units

    def due(self, units: float, now: float) -> float:
        """Seconds until it holds so many units (at most what it can hold)."""
        missing = min(units, self._most) - self.level(now)
        return max(0.0, missing / self._rate)
