"""How many lanes there are, and how many rows each of them runs at once. Pure."""

from batchrun.core.processes import cpus
from batchrun.options.settings import Settings


def slots_of_lanes(jobs: int, *, is_async: bool, threads: int, cpus: int) -> tuple[int, ...]:
    """The slots of each lane for `jobs` rows in flight at once.

    A plain function gets a process a row, or one for every `threads` rows; an `async def` one a CPU, which
    share the rows evenly.
    """
    if not is_async:
        full, rest = divmod(jobs, threads)
        return (threads,) * full + ((rest,) if rest else ())
    lanes = min(cpus, jobs)
    return tuple(jobs // lanes + (index < jobs % lanes) for index in range(lanes))


def slots_for(settings: Settings, rows: int, *, is_async: bool) -> tuple[int, ...]:
    """The slots of the lanes for so many rows at once."""
    together = settings.threads * settings.rows_a_call
    rows = -(-rows // settings.rows_a_call) * settings.rows_a_call  # a call has a slot for each row that it may get
    return slots_of_lanes(rows, is_async=is_async, threads=together, cpus=cpus())
