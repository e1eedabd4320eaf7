"""What a failure means: which kind it is, whether to try again, and when. Pure: no clock, no dice of its own.

Backoff is exponential with full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
a uniform draw between nothing and the capped exponential spreads the callers best.
"""

from email.utils import parsedate_to_datetime
from typing import Any

FIRST_BACKOFF = 0.5
MAX_BACKOFF = 60.0
MAX_REFUSED_SECONDS = 600.0

BUSY = frozenset({429, 503, 529})
UNAVAILABLE = frozenset({503, 529})
"""Nobody is served just now, such as while a model is being loaded."""
MAX_PAUSE = 10.0
HOPELESS_STATUS = frozenset({400, 401, 403, 404, 422})
HOPELESS_TYPES = frozenset(
    {"ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "UnreadableCell"}
)
HOPELESS_KINDS = frozenset({"truncated", "filtered", "refused", "unencodable", "context_length"})

_KIND_OF_STATUS = {400: "bad_request", 401: "auth", 403: "auth", 404: "bad_request", 422: "bad_request"}
_PASSING_STATUS = frozenset({408, 409, 425})


def after_failure(error: tuple[Any, ...], attempt: int, allowed: int, wait: float | None, dice: float) -> float | None:
    """After the failed attempt number `attempt` of `allowed`: seconds to rest, or None to settle the row.

    `error` is (kind, message, type, http_status, …); `wait` a floor in seconds that the server asked for;
    `dice` a number drawn uniformly from [0, 1).
    """
    kind, _, type_name, status = error[:4]
    hopeless = kind in HOPELESS_KINDS or status in HOPELESS_STATUS or type_name in HOPELESS_TYPES
    if hopeless or attempt >= allowed:
        return None
    return max(backoff(attempt, dice), min(wait or 0.0, MAX_REFUSED_SECONDS))


def after_refusal(refused_for: float, refusals: int, wait: float | None, dice: float) -> float | None:
    """After the server said "busy": seconds to rest, or None once it has said so for ten minutes."""
    if refused_for >= MAX_REFUSED_SECONDS:
        return None
    # "Come back in no time" would be a loop without a pause.
    pause = wait * (1 + 0.1 * dice) if wait and wait > 0 else backoff(refusals, dice)
    return min(pause, MAX_REFUSED_SECONDS)


def pause_for_all(refusals: int, dice: float) -> float:
    """Seconds in which no row is sent, after a service that names no time was unavailable so often in a row.

    From half a second, doubling, up to ten seconds: whoever waits for a model to be loaded asks now and then.
    """
    return float(min(MAX_PAUSE, FIRST_BACKOFF * 2 ** min(refusals - 1, 20)) * (0.75 + 0.25 * dice))


def backoff(attempt: int, dice: float) -> float:
    """Seconds to rest after attempt number `attempt` (from 1): full jitter under a doubling cap."""
    return float(dice * min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(attempt - 1, 20)))


def http_status_of(error: BaseException) -> int | None:
    """The HTTP status that an exception carries, as those of requests, httpx, aiohttp, openai and urllib do."""
    if not isinstance(error, Exception):  # the code of a SystemExit is none of HTTP's
        return None
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # those of botocore
        status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "status"),
        (error, "code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
            return status
    return None


def kind_of(error: BaseException, status: int | None) -> str:
    """The kind of an exception, by its HTTP status, else by what it is."""
    if status is not None and status >= 400:
        if status == 429:
            return "rate_limited"
        return _KIND_OF_STATUS.get(status, "server" if status >= 500 or status in _PASSING_STATUS else "bad_request")
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, ConnectionError) or names & {"APIConnectionError", "TransportError", "ConnectError"}:
        return "connection"
    return "exception"


def retry_after_of(error: BaseException, now: float) -> float | None:
    """Seconds that the server asked to wait (`retry-after-ms`, or `Retry-After` as seconds or as a date).

    `now` is wall-clock time in seconds since 1970. None if the exception's response has no such header.
    """
    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
    if headers is None or not hasattr(headers, "get"):
        return None
    try:
        if headers.get("retry-after-ms") is not None:
            return max(0.0, float(headers.get("retry-after-ms")) / 1000)
        after = headers.get("retry-after") or headers.get("Retry-After")
        return None if after is None else _seconds(str(after), now)
    except (TypeError, ValueError):
        return None


def _seconds(after: str, now: float) -> float:
    try:
        return max(0.0, float(after))
    except ValueError:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now)
