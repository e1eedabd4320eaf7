"""The peers, each a whole program: `python -m benchmarks.peers PEER TASK TABLE JOBS`."""

import csv
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path

from benchmarks import tasks


def rows(table):
    """The rows as dicts, `id` an integer, as a hand-written script reads them."""
    with open(table, newline="", encoding="utf-8") as file:
        return [{**row, "id": int(row["id"])} for row in csv.DictReader(file)]


def joblib(task, table, jobs):
    """joblib as a generator: no checkpoint at all."""
    from joblib import Parallel, delayed

    found = Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(task)(row) for row in rows(table))
    return sum(1 for _ in found)


class _ToFile:
    """What people write by hand: skip what is there, else one JSON file a row."""

    def __init__(self, task, folder):
        self.task, self.folder = task, folder

    def __call__(self, row):
        path = Path(self.folder, f"{row['id']}.json")
        if not path.exists():
            path.write_text(json.dumps(self.task(row)))


def files(task, table, jobs):
    """joblib and one JSON file for each row."""
    from joblib import Parallel, delayed

    with tempfile.TemporaryDirectory() as folder:
        Parallel(n_jobs=jobs)(delayed(_ToFile(task, folder))(row) for row in rows(table))
        return len(list(Path(folder).iterdir()))


def pool(task, table, jobs):
    """multiprocessing.Pool with chunks of 256: no checkpoint at all."""
    with multiprocessing.Pool(jobs) as workers:
        return sum(1 for _ in workers.imap_unordered(task, rows(table), 256))


def pandas(_task, table, _jobs):
    """Reading the table once."""
    import pandas as pd

    return len(pd.read_csv(table))


if __name__ == "__main__":
    peer, name, path, number = sys.argv[1:]
    print(
        {"joblib": joblib, "files": files, "pool": pool, "pandas": pandas}[peer](
            getattr(tasks, name), path, int(number)
        )
    )
