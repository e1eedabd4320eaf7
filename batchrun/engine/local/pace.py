"""How many rows a lane should hold. Pure: times come in, a number comes out."""

# Many times what the coordinator needs to send the next rows, and little enough that nobody minds when a pause or a
# slow row has them taken back.
WORTH_SECONDS = 0.04
# Of longer rows a lane holds one that waits: each would begin a millisecond or two late, when the coordinator has got
# to it. Not from the start, for in a short run that row could have started elsewhere; nor of rows for which those
# behind them are taken back again (see `overdue.STUCK_SECONDS`).
AHEAD_SECONDS = 0.08
STEADY_ROWS = 10
MAX_HELD = 8000
_WEIGHT = 0.2
MOST_ABSENCE = 1.0
_FORGOTTEN = 0.95


class Pace:
    """The measured pace of one lane, and from it the rows it should hold so as never to wait.

    A lane holds what is worth about 40 ms of its own work: one row while nothing is known or rows are slow, two where
    they are not that slow, more as short ones have been seen. It never more than doubles what has been finished, so
    that a table which starts with quick rows does not hoard slow ones.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.finished = 0

    def saw(self, rows: int, seconds: float) -> None:
        """So many rows took so long, together."""
        mean, known = seconds / rows, self.seconds
        # As if each had taken the mean: all the newer rows weigh what they would have, one after the other.
        weight = 1 - (1 - _WEIGHT) ** rows
        self.finished += rows
        self.seconds = mean if known is None else known + weight * (mean - known)

    def hold(self, away: float = 0.0) -> int:
        """Rows that the lane should hold now, the one that runs included; at least 1.

        `away`: seconds for which the coordinator is expected to do something else (see `Absence`).
        """
        if self.seconds is None:
            return 1
        # A row costs its worker a few microseconds besides the task itself.
        by_pace = int((WORTH_SECONDS + away) / (self.seconds + 5e-6))
        ahead = 1 if self.seconds < AHEAD_SECONDS and self.finished >= STEADY_ROWS else 0
        return max(1 + ahead, min(by_pace, 2 * self.finished, MAX_HELD))


class Absence:
    """How long the coordinator is away from its lanes of late: on a slow disk a commit takes longer than many a row.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None

    def begins(self, now: float) -> None:
        """The coordinator turns to something else."""
        self._since = now

    def ends(self, now: float) -> None:
        """It is back."""
        if self._since is not None:
            # What was long once will be again, and is slowly forgotten. A process that was stopped is no slow disk.
            self.seconds = min(max(now - self._since, _FORGOTTEN * self.seconds), MOST_ABSENCE)
