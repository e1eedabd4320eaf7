"""What this run has done so far: counts, pace, latencies, errors. Everything that is shown comes from here."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice

from batchrun.core.kinds import RATE_LIMITED
from batchrun.core.money import Tokens
from batchrun.core.stillness import moved

from .alike import Alike
from .restraint import Restraint

WINDOW_SECONDS = 30.0
ENOUGH = 25
FEW = 5
_KEPT_LATENCIES = 2000


class Tally:
    """Counts of one run. `rows`: settled by this run; `ran`: attempts it made; times are monotonic seconds. `few`: the
    first rows that it has settled, one more than `FEW` at most. `last_done`: a row that is done, one of
    the latest, and its result as JSON.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.ran = 0
        self.rows = 0
        self.rows_failed = 0
        self.first_rows = 0
        self.first_failed = 0
        self.retried = 0
        self.refusals = 0
        self.tokens: Tokens | None = None
        self.errors = Alike()
        self.row_errors = Alike()
        self.hows: Counter[str | None] = Counter()
        self.only_nulls = True
        self.latest: tuple[str, str] | None = None
        self.few: list[int] = []
        self.last_done: tuple[int, bytes] | None = None
        self.restraint = Restraint(started)
        self._median: float | None = None
        self._median_until = started
        self._latencies: deque[float] = deque(maxlen=_KEPT_LATENCIES)
        self._marks: deque[tuple[float, int]] = deque([(started, 0)])

    def attempted(self, seconds: float, *, retried: bool = False) -> None:
        """An attempt has ended after `seconds`."""
        self.ran += 1
        self.retried += retried
        self._latencies.append(seconds)

    def succeeded(self, seconds: Sequence[float], firsts: int) -> None:
        """Attempts that took so many seconds each have settled their rows; `firsts` of them for the first time."""
        self.ran += len(seconds)
        self.rows += len(seconds)
        self.first_rows += firsts
        self._latencies.extend(seconds)

    def saw(self, rows: Iterable[int]) -> None:
        """These rows are settled."""
        if len(self.few) <= FEW:
            self.few += islice(rows, FEW + 1 - len(self.few))

    def found(self, hows: Iterable[str | None]) -> None:
        """Rows are done; how the result of each was found."""
        self.hows.update(hows)

    def returned(self, bodies: Iterable[bytes | None]) -> None:
        """What rows have returned, as JSON. It is looked at only until the first that is not null."""
        if self.only_nulls:
            self.only_nulls = all(body == b"null" for body in bodies)

    def settled(self, *, failed: bool, first: bool = True) -> None:
        """A row is settled; `first`: no earlier run had settled it."""
        self.rows += 1
        self.rows_failed += failed
        self.first_rows += first
        self.first_failed += first and failed

    def failed(self, kind: str, message: str, *, final: bool = False) -> None:
        """An attempt failed; `final`: its row with it."""
        self.latest = (kind, message.split("\n", 1)[0][:200])
        self.errors.saw(*self.latest)
        if final:
            self.row_errors.saw(*self.latest)

    def refused(self, message: str) -> None:
        """A server said that it is busy."""
        self.refusals += 1
        self.latest = (RATE_LIMITED, message[:200])

    def used(self, tokens: tuple[int, int, int, int]) -> Tokens:
        """An attempt has used tokens; returns those of all attempts."""
        self.tokens = (self.tokens or Tokens()).plus(tokens)
        return self.tokens

    def stood_still(self, since: float, until: float) -> None:
        """Between these times nothing could be done: the pace is that of the time without it."""
        self.started = moved(self.started, since, until)
        self._marks = deque((moved(at, since, until), rows) for at, rows in self._marks)

    @property
    def last_error(self) -> str:
        """The most common error, as one line."""
        return next((message for _, message, _ in self.errors.most_common(1)), "")

    def rate(self, now: float) -> float:
        """Rows settled per second over the last half minute."""
        # Marks a fifth of a second apart, half a minute of them: whoever asks, and how often, does not change the rate.
        marks = self._marks
        if now - marks[-1][0] >= 0.2:
            marks.append((now, self.rows))
        while len(marks) > 2 and now - marks[1][0] > WINDOW_SECONDS:
            marks.popleft()
        then, rows = marks[0]
        return (self.rows - rows) / (now - then) if now > then else 0.0

    def median(self, now: float) -> float | None:
        """The median latency in seconds, found anew once a second; None before 25 attempts have ended."""
        # Asked for on every turn of the loop (--timeout 10x), and found by sorting up to 2,000 numbers.
        if now >= self._median_until:
            self._median_until = now + 1.0
            self._median = self.latency(0.5) if len(self._latencies) >= ENOUGH else None
        return self._median

    def latency(self, share: float) -> float | None:
        """The latency in seconds that `share` of the latest attempts did not exceed."""
        return quantile(sorted(self._latencies), share)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile of numbers in order; None if there are none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
