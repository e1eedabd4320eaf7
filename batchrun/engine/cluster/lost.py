"""What becomes of rows whose machine was lost. They may have run, or not; and one of them may have been the reason."""

from collections import Counter

IN_COMPANY = 3
ALONE = 2


class HostDeaths:
    """How often each row has lost its machine, in company and alone.

    Losing a machine charges nothing. A row that has lost three runs alone from then on, and one that has lost
    two more while it was alone is the culprit.
    """

    def __init__(self) -> None:
        self._together: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()

    def seen(self, rows: set[int]) -> None:
        """A host was lost, and these rows were all that it had."""
        for row in rows:
            if len(rows) == 1 and self.suspected(row):
                self._alone[row] += 1
            else:
                self._together[row] += 1

    def suspected(self, row: int) -> bool:
        """Whether the row must run alone."""
        return self._together[row] >= IN_COMPANY

    def guilty(self, row: int) -> bool:
        """Whether it must be the row that takes its machine with it."""
        return self._alone[row] >= ALONE

    def over(self, row: int) -> None:
        """The row has ended otherwise."""
        if self._together:
            del self._together[row]
            del self._alone[row]
