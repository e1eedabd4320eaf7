"""What a failure means: which kind it is, whether to try again, and when. Pure: no clock, no dice of its own.

Backoff is exponential with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
a uniform draw between nothing and the capped exponential spreads the callers best.
"""

import math
from typing import Any

from batchrun.core import kinds

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 60.0
MAX_REFUSED_SECONDS = 600.0

MAX_PAUSE = 10.0
_TOGETHER_SECONDS = 0.1
HOPELESS_TYPES = frozenset(
    {"ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "UnreadableCell"}
)


def after_failure(error: tuple[Any, ...], attempt: int, allowed: int, wait: float | None, dice: float) -> float | None:
    """After the failed attempt number `attempt` of `allowed`: seconds to rest, or None to settle the row.

    `error` is (kind, message, type, http_status, …); `wait` a floor in seconds that the server asked for;
    `dice` a number drawn uniformly from [0, 1).
    """
    kind, _, type_name, status = error[:4]
    if kinds.is_hopeless(kind, status) or type_name in HOPELESS_TYPES or attempt >= allowed:
        return None
    return max(backoff(attempt, dice), min(wait or 0.0, MAX_REFUSED_SECONDS))


def after_refusal(refused_for: float, refusals: int, wait: float | None, dice: float) -> float | None:
    """After the server said "busy": seconds to rest, or None once it has said so for ten minutes."""
    if refused_for >= MAX_REFUSED_SECONDS:
        return None
    # "Come back in no time" would be a loop without a pause.
    pause = wait * (1 + 0.1 * dice) if wait and wait > 0 else backoff(refusals, dice)
    return min(pause, MAX_REFUSED_SECONDS)


def together_at(until: float) -> float:
    """A little later: a time that is the same for all rows which are refused at nearly the same time."""
    return math.ceil(until / _TOGETHER_SECONDS) * _TOGETHER_SECONDS


def pause_for_all(refusals: int, dice: float) -> float:
    """Seconds in which no row is sent, after a service that names no time was unavailable so often in a row.

    From half a second, doubling, up to ten seconds: whoever waits for a model to be loaded asks now and then.
    """
    return float(min(MAX_PAUSE, FIRST_BACKOFF * 2 ** min(refusals - 1, 20)) * (0.75 + 0.25 * dice))


def backoff(attempt: int, dice: float) -> float:
    """Seconds to rest after attempt number `attempt` (from 1): full jitter under a doubling cap."""
    return float(dice * min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(attempt - 1, 20)))
