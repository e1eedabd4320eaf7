"""How many rows a lane should hold. Pure: times come in, a number comes out."""

# Many times what the coordinator needs to send the next rows, and little enough that nobody minds when a pause or a
# slow row has them taken back.
WORTH_SECONDS = 0.04
MAX_HELD = 8000
_WEIGHT = 0.2


class Pace:
    """The measured pace of one lane, and from it the rows it should hold so as never to wait.

    A lane holds what is worth about 40 ms of its own work: one row while nothing is known or rows are slow,
    more as short ones have been seen. It never more than doubles what has been finished, so that a table
    which starts with quick rows does not hoard slow ones.
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

    def hold(self) -> int:
        """Rows that the lane should hold now, the one that runs included; at least 1."""
        if self.seconds is None:
            return 1
        # A row costs its worker a few microseconds besides the task itself.
        by_pace = int(WORTH_SECONDS / (self.seconds + 5e-6))
        return max(1, min(by_pace, 2 * self.finished, MAX_HELD))
