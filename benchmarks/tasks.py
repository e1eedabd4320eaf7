"""The functions that are measured. Peers and batchrun call the same ones."""

import asyncio
import ctypes
import os
import resource
import time
from typing import Any

Row = dict[str, Any]

_REPLIES = (
    'Sure, here it is:\n```json\n{{"id": {id}, "same": true}}\n```',
    "<think>Both are in {city}.</think>{{'id': {id}, 'same': True, 'why': 'one city',}}",
    '{{"id": {id}, "same": false, "why": "another country",}} I hope this helps!',
    '{{"id": {id}, "same": true}}',
)


def trivial(row: Row) -> Row:
    """Nothing to do: what is left is the tool."""
    return {"double": row["id"] * 2}


def waves(rows: list[Row]) -> list[Row]:
    """A little linear algebra for many rows at once."""
    columns = waves_of_columns({"id": [row["id"] for row in rows]})
    return [{"best": best} for best in columns["best"]]


def waves_of_columns(columns: dict[str, Any]) -> dict[str, Any]:
    """The same for tools that hand over columns."""
    import numpy

    angles = numpy.asarray(columns["id"], dtype=float)[:, None] * numpy.arange(1, 65)
    weights = numpy.cos(numpy.arange(64)[:, None] * numpy.arange(1, 9))
    return {"best": (numpy.sin(angles) @ weights).argmax(1).tolist()}


def sleeping(row: Row) -> Row:
    """Waits 50 ms, as a quick service does."""
    time.sleep(0.05)
    return {"id": row["id"]}


async def waiting(row: Row) -> Row:
    """Waits half a second without a thread."""
    await asyncio.sleep(0.5)
    return {"id": row["id"]}


async def weighing(row: Row) -> Row:
    """Waits as long; then says how many bytes of memory its process has held at its most."""
    await asyncio.sleep(0.5)
    return {"process": os.getpid(), "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def busy(row: Row) -> Row:
    """About 2 ms of CPU."""
    return {"sum": sum(n * n for n in range(50_000)) + row["id"]}


def messy(row: Row) -> str:
    """Text that holds JSON, as language models write it. batchrun reads it itself."""
    return _REPLIES[row["id"] % len(_REPLIES)].format_map(row)


def messy_read(row: Row) -> Any:
    """The same, read as people do by hand: what a peer has to call."""
    import json_repair

    return json_repair.loads(messy(row))


def poison(row: Row) -> Row:
    """One row kills its process."""
    note(row)
    time.sleep(0.05)
    if row["id"] == 13:
        ctypes.string_at(0)
    return {"id": row["id"]}


def stuck(row: Row) -> Row:
    """One row never ends."""
    note(row)
    time.sleep(3600 if row["id"] == 13 else 0.05)
    return {"id": row["id"]}


def lasting(row: Row) -> Row:
    """Waits 300 ms and leaves a note."""
    note(row)
    time.sleep(0.3)
    return {"id": row["id"]}


def note(row: Row) -> None:
    """Write down in the file BENCH_NOTES that a row has started, and when: one atomic append."""
    fd = os.open(os.environ["BENCH_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{row['id']} {time.monotonic()}\n".encode())
    os.close(fd)
