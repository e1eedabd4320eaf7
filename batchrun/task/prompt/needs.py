"""What a prompt needs besides its options: a key in the environment, and the openai package."""

import os
from importlib.util import find_spec

from batchrun.core.installing import how_to_install_extra
from batchrun.errors import TaskError


def check_package() -> None:
    """Raise `TaskError` if the openai package is not installed. Does not load it."""
    if find_spec("openai") is None:
        raise TaskError("--prompt needs the package openai", how_to_install_extra("llm"))


def key_in(variable: str, *, required: bool) -> str:
    """The key that an environment variable holds; empty if it holds none and none is required.

    Raises `TaskError`, which never says what the variable holds.
    """
    key = os.environ.get(variable, "").strip()
    if required and not key:
        raise TaskError(
            f"the environment variable {variable} holds no key",
            f"export {variable}=…, or name another variable: --api-key-env NAME",
        )
    if not (key.isascii() and key.isprintable()):
        raise TaskError(
            f"the environment variable {variable} holds something that cannot be a key",
            "a key is one line of ASCII characters",
        )
    return key
