"""A task whose module is slow to import, as those that need a model or a data frame are."""

import time

import pandas

from benchmarks.tasks import Row


def sleeping(row: Row) -> Row:
    """Waits 50 ms."""
    time.sleep(0.05)
    return {"id": row["id"], "missing": bool(pandas.isna(row["city"]))}
