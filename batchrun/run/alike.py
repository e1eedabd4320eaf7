"""Counts of errors, those that differ only in what varies from row to row taken together; in bounded memory."""

from collections import Counter

from batchrun.core.folding import fold

_MOST = 1000


class Alike:
    """Errors by kind and folded message. The first thousand sorts are counted, which is where the common ones are."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._messages: dict[tuple[str, str], str] = {}

    def saw(self, kind: str, message: str) -> None:
        """There was one more."""
        sort = (kind, fold(message))
        if sort not in self._counts and len(self._counts) >= _MOST:
            return
        self._counts[sort] += 1
        if self._messages.setdefault(sort, message) != message:
            self._messages[sort] = sort[1]

    def count(self, kind: str, message: str) -> int:
        """How many were like this one."""
        return self._counts.get((kind, fold(message)), 0)

    def most_common(self, most: int) -> list[tuple[str, str, int]]:
        """Kind, message and count, the most common first. A message that varies is told with that folded."""
        return [(sort[0], self._messages[sort], count) for sort, count in self._counts.most_common(most)]
