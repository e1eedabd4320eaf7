"""The kinds of clusters that tests run on: each starts a real one. Ray's need Ray, which `make test-ray` installs."""

from importlib.util import find_spec

import pytest
from dask_cluster import dask_cluster
from ray_cluster import ray_cluster

needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed: make test-ray")
KINDS = [pytest.param(dask_cluster, id="dask"), pytest.param(ray_cluster, id="ray", marks=needs_ray)]
