"""A connection to a scheduler that we can work with."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dask
import distributed
from dask.utils import parse_timedelta
from distributed.versions import get_versions

from batchrun.core.installing import DISTRIBUTION
from batchrun.core.version import VERSION
from batchrun.engine.cluster.fit import SAME_VERSIONS, unfit_because
from batchrun.errors import UsageError

CONNECT_SECONDS = 10.0
OF_SCHEDULER = ("distributed", "cloudpickle")
OF_WORKER = (*OF_SCHEDULER, DISTRIBUTION)
"""Packages whose versions must be ours."""


def patience() -> float:
    """Seconds for which a lost scheduler is waited for: Dask's own setting for that."""
    return float(parse_timedelta(dask.config.get("distributed.comm.timeouts.connect")))


async def connected(where: Mapping[str, Any], shown: str, seconds: float | None = None) -> Any:
    """An asynchronous client. `where`: what `distributed.Client` takes to find it; `shown`: its name for people.

    Raises `UsageError` if no scheduler answers within `seconds`, or one of other versions does.
    """
    seconds = min(CONNECT_SECONDS, patience()) if seconds is None else seconds
    try:
        client = await _client(where, seconds)
    except TypeError:  # what Dask raises where a TLS context is missing
        raise UsageError(
            f"{shown} wants TLS, and there is no certificate",
            "set distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration "
            "(in the environment: DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on)",
        ) from None
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(
            f"no scheduler answers at {shown}: {connection_trouble(error)}",
            "check that it is running and that this machine can reach it; --engine local runs the rows here",
        ) from None
    theirs = await client.scheduler.versions()
    if why := unfit_because(theirs["packages"], own_versions(), OF_SCHEDULER):
        await closed(client)
        raise UsageError(f"the scheduler at {shown} {why}", SAME_VERSIONS)
    return client


async def _client(where: Mapping[str, Any], seconds: float) -> Any:
    client = distributed.Client(  # type: ignore[no-untyped-call]
        **where, asynchronous=True, set_as_default=False, timeout=seconds, name="batchrun"
    )
    try:
        return await client
    except BaseException:
        await closed(client)
        raise


async def connected_again(where: Mapping[str, Any], shown: str) -> Any:
    """The same for a scheduler that was lost: it is waited for. Raises `UsageError` if it stays away."""
    until = time.monotonic() + patience()
    while True:
        try:
            return await connected(where, shown, seconds=1.0)
        except (UsageError, OSError):
            if time.monotonic() > until:
                raise


async def closed(client: Any) -> None:
    """Say goodbye, whether the scheduler is there or not."""
    with suppress(Exception):
        await client.close(timeout=1.0)


def own_versions() -> dict[str, Any]:
    """The versions of this process, as Dask tells them; our own is the one that runs, however it came here."""
    return {**get_versions([])["packages"], DISTRIBUTION: VERSION}


def connection_trouble(error: BaseException) -> str:
    """The first line of an error."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
