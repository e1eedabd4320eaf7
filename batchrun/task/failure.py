"""What an exception means: its kind, the HTTP status that it carries, how long a server asked to wait. Pure."""

from email.utils import parsedate_to_datetime

from batchrun.core import kinds


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
        return kinds.of_status(status)
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, ConnectionError) or names & {"APIConnectionError", "TransportError", "ConnectError"}:
        return kinds.CONNECTION
    return kinds.EXCEPTION


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
