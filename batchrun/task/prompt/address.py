"""Where requests go: the address of a server out of `--base-url`, and the proxy on the way there. Pure."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from batchrun.core.redact import is_secret_name
from batchrun.errors import UsageError

CHAT = "/chat/completions"
_OTHER_ENDS = ("/completions", "/responses", "/embeddings", "/messages")
_SECRET = re.compile(r"(?:.*[-_])?(?:api)?(?:sig|signature|code)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the environment variable that names it."""

    variable: str
    url: str

    def __str__(self) -> str:
        return f"the proxy {place_of(self.url)} ({self.variable})"


def checked_url(url: str) -> str:
    """A `--base-url`, tidied: without a slash or `/chat/completions` at the end of its path. Its query stays.

    Raises `UsageError` for what is not an address, or holds a secret.
    """
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--base-url: {url!r} is not an address", "it looks like http://localhost:8000/v1") from None
    if parts.username is not None or any(_is_secret(name) for name, _ in parse_qsl(parts.query)):
        raise UsageError("--base-url holds a password, which others could read", "--api-key-env names a variable")
    path = parts.path.rstrip("/").removesuffix(CHAT).rstrip("/")
    tidy = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    if end := next((end for end in _OTHER_ENDS if path.endswith(end)), None):
        shorter = urlunsplit((parts.scheme, parts.netloc, path.removesuffix(end), parts.query, ""))
        raise UsageError(f"--base-url: {url!r} ends in {end}, and {CHAT} is what requests go to", f"give {shorter}")
    return tidy


def _is_secret(name: str) -> bool:
    return is_secret_name(name) or _SECRET.fullmatch(name) is not None


def is_another_server(asked: str, target: str) -> bool:
    """Whether an answer that sends a request from one address to another sends it to somebody else.

    The same host is the same server, also where it asks for TLS.
    """
    here, there = urlsplit(asked), urlsplit(target)
    if (here.hostname or "") != (there.hostname or ""):
        return True
    return _door(here) != _door(there) and (_door(here), _door(there)) != (("http", 80), ("https", 443))


def _door(parts: SplitResult) -> tuple[str, int | None]:
    return parts.scheme, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def parted(url: str) -> tuple[str, str]:
    """A tidy address without its query, and the query."""
    address, _, query = url.partition("?")
    return address, query


def proxy_for(url: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy through which a server is reached; None if it is reached without one, as always on this machine.

    The variables are those that curl and Python know: `HTTPS_PROXY` or `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in lower
    case first.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if is_here(host) or any(_covers(rule.strip(), host, parts.port) for rule in excepted.split(",")):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if said := environment.get(variable, "").strip():
                return Proxy(variable, said if "://" in said else f"http://{said}")
    return None


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped is not None and (mapped.is_loopback or mapped.is_unspecified)


def place_of(url: str) -> str:
    """Host and port of an address, without the password that may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2] or url.rpartition("@")[2]


def _covers(rule: str, host: str, port: int | None) -> bool:
    """Whether a rule of `NO_PROXY` (`*`, `example.com`, `.example.com`, `10.0.0.0/8`, `host:8000`) is for a host."""
    if not rule or not host:
        return False
    if rule == "*":
        return True
    address = _address(host)
    if address is not None and "/" in rule:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, colon, number = rule.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if port != int(number):
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*").removeprefix(".").casefold()
    return host.casefold() == rule or (address is None and host.casefold().endswith(f".{rule}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
