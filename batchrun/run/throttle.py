"""How many rows may be in flight: learnt from what the server takes. Pure: the time is an argument."""

FIRST = 10
FIRST_IN_A_RAMP = 64
CUT = 0.75
FIRST_RUNG_SECONDS = 0.15
RUNG_SECONDS = 0.05
NEAR = 0.9
FORGET = 1.2
_CLIMB = 0.25
_PROBE = 0.1


class Throttle:
    """A limit on rows in flight between 1 and `ceiling` (`--jobs`). Times are monotonic seconds.

    It doubles while all is well: from ten on with every round trip where calls cost money (`careful`), else from
    64 on every 50 ms, which a table of quick rows does not notice; the first time only after 150 ms, in which
    clients connect and a server can refuse. A burst of refusals cuts it by a quarter, once: what was sent before a
    cut says nothing about the new limit. (A ramp that did not wait for replies has gone too far for that: it goes
    back to ten.) From then on the limit creeps up with what succeeds, slowly where it was refused the last time, and
    at the old pace once it is well beyond: the refusal had other reasons.

    `warmup`: rows by which it may rise each second from the start, from one on, where a burst is unwelcome.
    """

    def __init__(self, ceiling: int, *, careful: bool, warmup: float | None = None) -> None:
        self.ceiling = ceiling
        self.limit = float(min(FIRST if careful else FIRST_IN_A_RAMP, ceiling))
        self.refused_at: float | None = None
        self._careful = careful
        self._warmup = warmup
        self._begun: float | None = None
        self._rung: float | None = None
        self._too_much: float | None = None

    @property
    def open(self) -> bool:
        """Whether the ceiling is all that limits."""
        return self._warmup is None and self.limit >= self.ceiling

    @property
    def ramping(self) -> bool:
        """Whether it rises with time."""
        return self._warmup is not None or self._doubling

    @property
    def _doubling(self) -> bool:
        return not self._careful and self.refused_at is None and self.limit < self.ceiling

    def allowed(self, now: float) -> int:
        """Rows that may be in flight now."""
        if self._doubling:
            if self._rung is None:
                self._rung = now + FIRST_RUNG_SECONDS - RUNG_SECONDS
            if now - self._rung >= RUNG_SECONDS:
                self.limit, self._rung = self.limit * 2, now
        return max(1, min(int(self.limit), self.ceiling, self._warm(now)))

    def _warm(self, now: float) -> int:
        """Rows that may be in flight so soon after the start."""
        if self._warmup is None:
            return self.ceiling
        self._begun = now if self._begun is None else self._begun
        warm = 1 + int(self._warmup * (now - self._begun))
        if warm >= self.ceiling:
            self._warmup = None
        return warm

    def succeeded(self) -> None:
        """A call was taken."""
        if self.open:
            return
        if self._too_much is not None and self.limit > FORGET * self._too_much:
            self._too_much = None
        if self.refused_at is None:
            self.limit += 1.0 if self._careful else 0.0
        elif self._too_much is None:
            self.limit += _CLIMB
        else:
            self.limit += (1.0 if self.limit < NEAR * self._too_much else _PROBE) / self.limit

    def refused(self, started: float, now: float) -> None:
        """A call that had started at `started` was refused."""
        # A burst is one refusal: these calls were under way at the old limit (docs/decisions/0017).
        if self.refused_at is not None and started < self.refused_at:
            return
        limit = min(self.limit, float(self.ceiling))
        if self.refused_at is None and not self._careful:
            self.limit = FIRST if limit > FIRST else limit * CUT
        else:
            self._too_much = limit
            self.limit = limit * CUT
        self.limit = max(1.0, self.limit)
        self.refused_at = now
