"""Secrets never reach the disk or the screen: values of variables that are named like secrets, and passwords
inside the addresses that any environment variable holds.

Everything that a task says passes here before it is written: results, replies, errors, what workers print.
"""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

MASK = "[redacted]"
SHORTEST = 8
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CRED|AUTH(?!OR(?!I[SZ]))|DSN", re.IGNORECASE)
_NO_SECRETS = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK"})
"""Every shell sets these: a folder, and a socket's place."""
_USER = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\s@]*:([^/?#\s]*))@", re.IGNORECASE)


def without_secret(name: str, value: object) -> object:
    """The value without what is named like a secret, in it too. A number of tokens is none."""
    if isinstance(value, Mapping):
        inner: object = {key: without_secret(str(key), item) for key, item in value.items()}
    elif isinstance(value, list):
        inner = [without_secret("", item) for item in value]
    else:
        inner = _USER.sub(lambda found: found[0].replace(found[1], MASK), value) if isinstance(value, str) else value
    counted = name.lower().endswith("tokens") and isinstance(value, int | float)
    return MASK if is_secret_name(name) and not counted else inner


def is_secret_name(name: str) -> bool:
    """Whether a variable, parameter or field of this name is taken to hold a secret."""
    return _SECRET_NAME.search(name) is not None and name not in _NO_SECRETS


def _forms(value: str) -> Iterator[str]:
    """A secret as it may be written: itself, in JSON, in an address, in base64 alone or anywhere in what is encoded."""
    yield from (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    data = value.encode("utf-8", "surrogateescape")
    yield from (quote(data, safe=""), quote(data), quote_plus(data))
    for encode in (b64encode, urlsafe_b64encode):
        yield from (whole := encode(data).decode(), whole.rstrip("="))
        for before in range(3):  # bytes that share a group of four characters with the secret's first
            text = encode(bytes(before) + data).decode()
            yield text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


def _passwords(value: str) -> Iterator[str]:
    """The passwords in addresses such as `http://user:password@host`, as they stand there and as they are meant."""
    for user, password in _USER.findall(value):
        yield from (user, password, unquote(user), unquote(password))


class Redactor:
    """Replaces secrets of 8 characters or more: the values of variables with KEY, TOKEN, SECRET, PASS, PWD, CRED, AUTH
    or DSN in their name, and passwords in the addresses of all variables.

    Those that are options of ours (BATCHRUN_KEY) hold none. `also`: the names of other variables that hold secrets.
    """

    def __init__(self, environment: Mapping[str, str], also: Collection[str] = ()) -> None:
        secret = [name for name in environment if is_secret_name(name) and not name.startswith("BATCHRUN_")]
        named = {environment[name].strip() for name in {*secret, *also} & environment.keys()}
        within = {password for value in environment.values() if "@" in value for password in _passwords(value)}
        forms = {form for value in named | within if len(value) >= SHORTEST for form in _forms(value)}
        # The longest first, since one secret may begin with another.
        ordered = sorted(map(re.escape, forms), key=len, reverse=True)
        self._text = re.compile("|".join(ordered)) if forms else None
        self._data = re.compile("|".join(ordered).encode("utf-8", "surrogateescape")) if forms else None

    @property
    def active(self) -> bool:
        """Whether there are any secrets."""
        return self._text is not None

    def finds(self, *texts: bytes | None) -> bool:
        """Whether there is a secret in these texts, or in this JSON."""
        return self._data is not None and any(self._data.search(text) for text in texts if text)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._text.sub(MASK, text) if self._text else text

    def optional(self, text: str | None) -> str | None:
        """The text without secrets, if there is one."""
        return None if text is None else self.text(text)

    def json(self, body: bytes) -> bytes:
        """JSON without secrets. It stays JSON: a number that is one becomes text."""
        if self._data is None:
            return body
        masked = self._data.sub(MASK.encode(), body)
        if masked != body:
            try:
                json.loads(masked)
            except ValueError:
                found = json.dumps(self._without(json.loads(body)), separators=(",", ":"))
                return (found if self.text(found) == found else json.dumps(MASK)).encode()
        return masked

    def _without(self, value: object) -> object:
        if isinstance(value, dict):
            return {self.text(name): self._without(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._without(item) for item in value]
        if isinstance(value, (int, float)):
            text = json.dumps(value)
            return value if self.text(text) == text else MASK
        return self.text(value) if isinstance(value, str) else value
