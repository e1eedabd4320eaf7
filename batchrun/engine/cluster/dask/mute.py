"""Dask logs to stderr by itself. That is where people look, and what matters to them is said there by us."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application", "asyncio")


@contextmanager
def mute_dask() -> Iterator[None]:
    """No line of Dask's inside the block."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
