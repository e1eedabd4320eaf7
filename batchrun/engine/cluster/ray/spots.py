"""How many hosts a node gets, for how many rows, and what Ray is asked to reserve for each. Pure."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Spot(NamedTuple):
    """Room for one host on a node. `id`: of its node. `number`: among those of the node. `name`: for people.

    `rows`: at once. `request`: what Ray reserves for it, resource -> amount.
    """

    id: str
    number: int
    name: str
    rows: int
    request: Mapping[str, float]

    @property
    def where(self) -> tuple[str, int]:
        """What tells it from all others."""
        return self.id, self.number

    def options(self) -> dict[str, Any]:
        """The request as `ray.remote` takes it."""
        own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        named = {own[name]: amount for name, amount in self.request.items() if name in own}
        return {"num_cpus": 1, **named, "resources": {n: each for n, each in self.request.items() if n not in own}}


def spots_on(node: Mapping[str, Any], per_row: Mapping[str, float]) -> list[Spot]:
    """Those of a node, as Ray tells of it. `per_row`: what each row needs; one CPU if nothing else is said of CPUs.

    One host for all rows, or, with GPUs, one for each: Ray shows a process which GPUs are its own. So that a busy CPU
    does not keep a run from a node, the host of many rows asks for one; of other resources, for all that rows need.
    """
    total, needs = node["Resources"], {"CPU": 1.0, **per_row}
    rows = min(int(total.get(name, 0) / amount + 1e-9) for name, amount in needs.items())
    name = f"{node.get('NodeName') or node['NodeManagerAddress']} ({node['NodeID'][:8]})"
    if rows and "GPU" in per_row:
        return [Spot(node["NodeID"], each, f"{name} {each + 1} of {rows}", 1, per_row) for each in range(rows)]
    request = {resource: _whole(amount * rows) for resource, amount in per_row.items()}
    return [Spot(node["NodeID"], 0, name, rows, request)] if rows else []


def _whole(amount: float) -> float:
    """Ray takes parts of one, and whole numbers."""
    return math.ceil(amount - 1e-9) if amount > 1 else amount
