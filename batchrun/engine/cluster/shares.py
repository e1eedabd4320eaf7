"""How many rows each host runs and holds. Pure."""

from collections.abc import Mapping

from batchrun.engine.deal import whole_calls
from batchrun.engine.local.pace import Pace

# Seven times what a lane on this machine holds (see `pace`): the next rows come over a network, through a scheduler.
WORTH_SECONDS = 0.3
_ROW_SECONDS = 5e-5
_MOST_ROWS = 5000
_MOST_BYTES = 16 << 20


def quotas(jobs: int, threads: Mapping[str, int]) -> dict[str, int]:
    """Rows at once for each host: `jobs` shared out by threads, or (0) as many as each has threads."""
    total = sum(threads.values())
    if not jobs or not total:
        return dict(threads)
    exact = {host: jobs * count / total for host, count in threads.items()}
    shares = {host: int(share) for host, share in exact.items()}
    # What rounding down has left goes to those who lost most by it: quotas add up to `jobs`, and none is off by one
    # row.
    rest = jobs - sum(shares.values())
    for host in sorted(exact, key=lambda host: shares[host] - exact[host])[:rest]:
        shares[host] += 1
    return shares


def hold(quota: int, pace: Pace, row_bytes: float, a_call: int = 1) -> int:
    """Rows that a host with this quota should hold now, those that run included. `a_call`: so many are called together.

    Enough for its lanes to be busy until the next ones have come over the network; where rows are longer than
    that takes, no more than run at once, since a row that waits there could start elsewhere.
    """
    if pace.seconds is None:
        return quota
    by_pace = int(quota / a_call * WORTH_SECONDS / (pace.seconds + _ROW_SECONDS))
    by_bytes = int(_MOST_BYTES / (row_bytes + 1))
    return max(quota, whole_calls(min(by_pace, quota + 2 * pace.finished, by_bytes, _MOST_ROWS), a_call))
