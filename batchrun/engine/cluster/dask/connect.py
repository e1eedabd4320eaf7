"""From `--cluster` to an engine."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchrun.core.installing import how_to_install_extra
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import UsageError
from batchrun.options.settings import Settings

if TYPE_CHECKING:
    from batchrun.engine.cluster.engine import Cluster


def cluster_engine(settings: Settings, setup: WorkerSetup, say: Callable[[str], None], stack: ExitStack) -> "Cluster":
    """The engine for `--engine dask`; it connects when it is started. `stack`: ends what this starts.

    Raises `UsageError` if `distributed` is not installed, or no cluster is named.
    """
    try:
        import dask
        import distributed  # noqa: F401 - the slow import, and the one that may be missing
    except ImportError as error:
        raise UsageError(
            f"--engine dask needs the package distributed ({error})", how_to_install_extra("dask")
        ) from None
    from batchrun.engine.cluster.engine import Cluster

    from .dask_link import DaskLink

    address = settings.cluster or os.environ.get("DASK_SCHEDULER_ADDRESS") or dask.config.get("scheduler-address", None)
    where, shown = _where(address, stack)
    return stack.enter_context(Cluster(settings, DaskLink(where, shown), setup, say))


def _where(address: str | None, stack: ExitStack) -> tuple[Mapping[str, Any], str]:
    """What finds the scheduler, and its name for people."""
    if not address:
        raise UsageError(
            "--engine dask: which cluster?",
            "give --cluster tcp://HOST:8786, a scheduler file, or local:N to try it; or set DASK_SCHEDULER_ADDRESS",
        )
    if address.startswith("local:"):
        from .trial import trial_cluster

        return {"address": stack.enter_context(trial_cluster(int(address.removeprefix("local:"))))}, address
    if "://" not in address and Path(address).is_file():
        return {"scheduler_file": str(Path(address))}, address
    return {"address": address}, address
