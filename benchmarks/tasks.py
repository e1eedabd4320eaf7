"""The functions that are measured."""

import asyncio
import time


def trivial(row: dict) -> dict:
    """Nothing to do: what is left is the tool."""
    return {"double": row["id"] * 2}


def sleeping(row: dict) -> dict:
    """Waits 50 ms, as a quick service does."""
    time.sleep(0.05)
    return {"id": row["id"]}


def busy(row: dict) -> dict:
    """About 2 ms of CPU."""
    return {"sum": sum(n * n for n in range(20_000)) + row["id"]}


def messy(row: dict) -> str:
    """Text that holds JSON, as language models write it."""
    return f'Sure, here it is:\n```json\n{{"id": {row["id"]}, "same": true}}\n```'


async def waiting(row: dict) -> dict:
    """Waits half a second without a thread."""
    await asyncio.sleep(0.5)
    return {"id": row["id"]}
