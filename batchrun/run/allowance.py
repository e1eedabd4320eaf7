"""How many rows may be handed out now, as far as the other side and the purse are concerned. Pure: no clock."""

import time
from math import ceil

from batchrun.core.money import Prices
from batchrun.engine.wire import Reply
from batchrun.options.settings import Settings

from .bucket import Bucket
from .throttle import RUNG_SECONDS, Throttle

GUESSED_TOKENS = 1000.0
FREE_ROWS = 20
BOUNDLESS = 1 << 30
_MEMORY = 0.1


class Allowance:
    """What a server takes (`throttle`), what was asked for by the minute (`rpm`, `tpm`), what may be spent.

    `most`: the largest sum that a run may cost at these `prices`. `all_cost`: whether every reply must tell tokens;
    else a row may have made no call. `a_call`: how many rows a call may have. Times are monotonic seconds.
    """

    def __init__(
        self,
        throttle: Throttle | None = None,
        *,
        rpm: Bucket | None = None,
        tpm: Bucket | None = None,
        prices: Prices | None = None,
        most: float | None = None,
        all_cost: bool = True,
        a_call: int = 1,
    ) -> None:
        self.throttle = throttle or Throttle(1, careful=False)
        self.prices = prices
        self.most = most
        self.spent = 0.0
        self._all_cost = all_cost
        self._a_call = a_call
        self._untold = 0
        self._dearest: float | None = None
        self._rpm = rpm
        self._tpm = tpm
        self._tokens_a_row = GUESSED_TOKENS

    @property
    def boundless(self) -> bool:
        """Whether nothing limits rows."""
        return self.throttle.open and not self._rpm and not self._tpm and self.most is None

    def rows(self, in_flight: int, now: float) -> int:
        """Rows that may be handed out beside those in flight."""
        # Each limit counts for itself and the smallest holds. None of them shares rows out among lanes: which lane
        # gets a row is the engine's affair (`Lanes.send`), so that a limit of 3 is 3 rows on however many lanes.
        limits = [BOUNDLESS if self.throttle.open else self.throttle.allowed(now) * self._a_call - in_flight]
        if self._rpm:
            limits.append(int(self._rpm.level(now)) * self._a_call)
        if self._tpm:
            limits.append(ceil(max(0.0, self._tpm.level(now)) / max(1.0, self._tokens_a_row)))
        limits.append(self._affordable(in_flight))
        return max(0, min(limits))

    def exhausted(self, in_flight: int) -> bool:
        """Whether another row could cost more than may be spent, with nothing in flight to wait for."""
        return self._blind or (not in_flight and self._affordable(0) <= 0)

    @property
    def _blind(self) -> bool:
        """Whether nobody knows what rows cost: a call has told no tokens, or none of many rows has."""
        return self._untold > 0 if self._all_cost else self._untold > FREE_ROWS and not self._dearest

    def exhaustion(self) -> tuple[str, str]:
        """What has been spent, and what to do, for people."""
        if self._blind:
            return (
                f"stopped early: the replies report no tokens, so --max-cost {self.most:g} cannot be enforced",
                "leave --max-cost out, or have tokens reported (a server's usage, batchrun.count_tokens in a task)",
            )
        return (
            f"stopped early: {self.spent:.4g} has been spent, another row could exceed --max-cost {self.most:g}",
            "raise --max-cost; the same command resumes too, and may spend as much again",
        )

    def cost(self, tokens: tuple[int, int, int, int]) -> float | None:
        """What tokens cost; None without prices."""
        return self.prices.cost(tokens) if self.prices else None

    def _affordable(self, in_flight: int) -> int:
        """Every row in flight may cost as much as the dearest so far. Until one has cost anything, they go alone."""
        if self.most is None or self.prices == Prices(0.0, 0.0):
            return BOUNDLESS
        if not self._dearest:
            return 0 if in_flight else 1
        # The sums are of rounded numbers: a hair's breadth is not an excess.
        return int((self.most - self.spent) / self._dearest + 1e-9) - in_flight

    def due(self, now: float, at_most: float) -> float:
        """Seconds until more rows may be handed out; `at_most` if that is not a matter of time."""
        # The longest, since all of them must allow a row. Where a refusal or a price has to be learnt first, no time
        # helps: the next reply ends the wait.
        waits = [bucket.due(units, now) for bucket, units in ((self._rpm, 1.0), (self._tpm, 1e-3)) if bucket]
        if self.throttle.ramping:
            waits.append(RUNG_SECONDS)
        return max(waits, default=0.0) or at_most

    def why(self, in_flight: int, now: float) -> str:
        """What holds rows back, for people; empty if nothing does."""
        if self._rpm and self._rpm.level(now) < 1:
            return "--rpm"
        if self._tpm and self._tpm.level(now) <= 0:
            return "--tpm"
        if self._affordable(in_flight) <= 0:
            return "--max-cost"
        if self.throttle.refused_at is not None and not self.throttle.open:
            return "throttled by the server"
        return ""

    def handed_out(self, rows: int, now: float) -> None:
        """So many rows were handed out."""
        if self._rpm:
            self._rpm.take(rows / self._a_call, now)
        if self._tpm:
            self._tpm.take(rows * self._tokens_a_row, now)

    def came_back(self, rows: int, now: float) -> None:
        """So many rows never started."""
        self.handed_out(-rows, now)

    def ended(self, reply: Reply, now: float) -> None:
        """An attempt has ended by itself."""
        if reply.outcome == "refused":
            self.throttle.refused(now - reply.seconds, now)
        else:
            self.throttle.succeeded()
        if self.most is not None and reply.outcome == "done" and not reply.tokens:
            self._untold += 1
        tokens = reply.tokens or (0, 0, 0, 0)
        # A row's tokens are known at its end. It was handed out for the usual number, and pays or gets back the rest.
        if self._tpm:
            used = float(tokens[0] + tokens[1])
            self._tpm.take(used - self._tokens_a_row, now)
            if reply.tokens:
                self._tokens_a_row += _MEMORY * (used - self._tokens_a_row)
        if self.prices and reply.tokens:
            cost = self.prices.cost(tokens)
            self.spent += cost
            self._dearest = max(self._dearest or 0.0, cost)


def allowance_for(settings: Settings, jobs: int) -> Allowance:
    """What may be asked of the other side, and spent. Calls of a ready-made prompt cost money: careful.

    `jobs`: calls in flight at most.
    """
    now = time.monotonic()
    return Allowance(
        Throttle(jobs, careful=settings.prompt is not None, warmup=settings.warmup),
        rpm=Bucket(settings.rpm, now) if settings.rpm else None,
        tpm=Bucket(settings.tpm, now) if settings.tpm else None,
        prices=settings.prices,
        most=settings.max_cost,
        all_cost=settings.prompt is not None,
        a_call=settings.rows_a_call,
    )
