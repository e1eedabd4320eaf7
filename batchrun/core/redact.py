"""Secrets never reach the disk or the screen: values of environment variables that are named like secrets.

Everything that a task says passes here before it is written: results, replies, errors, what workers print.
"""

import json
import re
from collections.abc import Collection, Mapping

MASK = "[redacted]"
SHORTEST = 8
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)


def without_secret(name: str, value: object) -> object:
    """The value, unless it is named like a secret."""
    return MASK if _SECRET_NAME.search(name) else value


class Redactor:
    """Replaces the values (8 characters or more) of variables with KEY, TOKEN, SECRET or PASSWORD in their name.

    Those that are options of ours (BATCHRUN_KEY) hold none. `also`: the names of other variables that hold secrets.
    """

    def __init__(self, environment: Mapping[str, str], also: Collection[str] = ()) -> None:
        secret = [name for name in environment if _SECRET_NAME.search(name) and not name.startswith("BATCHRUN_")]
        named = (environment[name].strip() for name in {*secret, *also} & environment.keys())
        values = {value for value in named if len(value) >= SHORTEST}
        # As it stands in JSON too; the longest first, since one secret may begin with another.
        forms = values | {json.dumps(value)[1:-1] for value in values}
        ordered = sorted(map(re.escape, forms), key=len, reverse=True)
        self._text = re.compile("|".join(ordered)) if forms else None
        self._data = re.compile("|".join(ordered).encode("utf-8", "surrogateescape")) if forms else None

    @property
    def active(self) -> bool:
        """Whether there are any secrets."""
        return self._text is not None

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
