"""From `--cluster` to an engine."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec

from batchrun.core.installing import how_to_install_extra
from batchrun.engine.cluster.engine import Cluster
from batchrun.engine.worker_setup import WorkerSetup
from batchrun.errors import UsageError
from batchrun.options.settings import Settings

from .ray_link import RayLink


def ray_engine(settings: Settings, setup: WorkerSetup, say: Callable[[str], None], stack: ExitStack) -> Cluster:
    """The engine for `--engine ray`; it connects when it is started. `stack`: ends what this starts.

    Raises `UsageError` if `ray` is not installed, or no cluster is named.
    """
    if find_spec("ray") is None:
        raise UsageError("--engine ray needs the package ray, which is not installed", how_to_install_extra("ray"))
    address = settings.cluster or os.environ.get("RAY_ADDRESS")
    if not address:
        raise UsageError(
            "--engine ray: which cluster?",
            "give --cluster auto on one of its machines, HOST:6379, ray://HOST:10001, or local:N to try it; "
            "or set RAY_ADDRESS",
        )
    gpus = {"GPU": settings.gpus_per_job} if settings.gpus_per_job else {}
    return stack.enter_context(Cluster(settings, RayLink(address, {**settings.resources, **gpus}), setup, say))
