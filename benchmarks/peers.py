"""The peers, each a whole program: `python -m benchmarks.peers PEER TASK TABLE JOBS` prints the number of rows done.

They do what a careful person writes by hand, with each library's own quickest way.
"""

import asyncio
import csv
import importlib
import importlib.util
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tasks import Row

CHUNK = 256
BATCH = 64
"""Rows in one call, where many are."""
Task = Callable[[Row], Any]

# peer -> what has to be installed for it; a program begins with a "!"
NEEDS = {
    "joblib": "joblib",
    "one file a row": "joblib",
    "pool": "multiprocessing",
    "mpire": "mpire",
    "pebble": "pebble",
    "ray": "ray",
    "ray map_batches": "ray",
    "datasets map": "datasets",
    "asyncio": "asyncio",
    "GNU parallel": "!parallel",
    "read with pandas": "pandas",
    "copy with csv": "csv",
    "copy with pandas": "pandas",
}


def is_installed(peer: str) -> bool:
    """Whether a peer can run here."""
    need = NEEDS[peer]
    if need.startswith("!"):
        return shutil.which(need[1:]) is not None
    return importlib.util.find_spec(need) is not None


def rows_of(table: Path) -> list[Row]:
    """The rows as dicts, `id` an integer, as a hand-written script reads them."""
    with table.open(newline="", encoding="utf-8") as file:
        return [{**row, "id": int(row["id"])} for row in csv.DictReader(file)]


def count(found: Iterable[Any]) -> int:
    """Take everything as it comes, keep nothing."""
    return sum(1 for _ in found)


def with_joblib(task: Task, table: Path, jobs: int) -> int:
    """A generator of results: no checkpoint at all."""
    from joblib import Parallel, delayed

    return count(Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(task)(row) for row in rows_of(table)))


def with_files(task: Task, table: Path, jobs: int) -> int:
    """joblib, and one JSON file for each row: skip what is there. Nothing is synced to disk."""
    from joblib import Parallel, delayed

    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        Parallel(n_jobs=jobs)(delayed(_into_file)(task, folder, row) for row in rows_of(table))
        return count(Path(folder).iterdir())


def _into_file(task: Task, folder: str, row: Row) -> None:
    path = Path(folder, f"{row['id']}.json")
    if not path.exists():
        path.write_text(json.dumps(task(row)))


def with_pool(task: Task, table: Path, jobs: int) -> int:
    """multiprocessing.Pool: no checkpoint at all."""
    with multiprocessing.Pool(jobs) as workers:
        return count(workers.imap_unordered(task, rows_of(table), _chunk(table, jobs)))


def with_mpire(task: Task, table: Path, jobs: int) -> int:
    """mpire: no checkpoint at all. (A dict would be taken for keyword arguments, hence the tuples.)"""
    from mpire.pool import WorkerPool

    rows = [(row,) for row in rows_of(table)]
    with WorkerPool(n_jobs=jobs) as workers:
        return count(workers.imap_unordered(task, rows, chunk_size=_chunk(table, jobs)))


def with_pebble(task: Task, table: Path, jobs: int) -> int:
    """pebble: no checkpoint at all."""
    from pebble import ProcessPool

    with ProcessPool(max_workers=jobs) as workers:
        return count(workers.map(task, rows_of(table), chunksize=_chunk(table, jobs)).result())


def _chunk(table: Path, jobs: int) -> int:
    """Rows handed out at once: 256, or fewer where that would leave workers without any."""
    lines = table.read_bytes().count(b"\n") - 1
    return max(1, min(CHUNK, lines // (4 * jobs)))


def with_ray(task: Task, table: Path, jobs: int) -> int:
    """Ray Data on this machine, with its checkpoint of finished rows."""
    return _in_ray(table, jobs, lambda data: data.map(partial(_with_id, task)))


def with_ray_batches(task: Task, table: Path, jobs: int) -> int:
    """The same, many rows in one call."""
    return _in_ray(table, jobs, lambda data: data.map_batches(partial(_with_ids, task), batch_size=BATCH))


def _in_ray(table: Path, jobs: int, mapped: Callable[[Any], Any]) -> int:
    import ray
    from ray.data import DataContext
    from ray.data.checkpoint import CheckpointConfig

    # Its own files are elsewhere, under a short name: its sockets are among them.
    with tempfile.TemporaryDirectory(dir=table.parent) as folder, tempfile.TemporaryDirectory(prefix="ray-") as own:
        ray.init(num_cpus=jobs, include_dashboard=False, log_to_driver=False, _temp_dir=own)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.checkpoint_config = CheckpointConfig("id", f"{folder}/checkpoint", delete_checkpoint_on_success=False)
        mapped(ray.data.read_csv(str(table))).write_parquet(f"{folder}/results")
        done = ray.data.read_parquet(f"{folder}/results").count()
        ray.shutdown()
        return int(done)


def _with_id(task: Task, row: Row) -> Row:
    return {"id": row["id"], "result": json.dumps(task(row))}


def _with_ids(task: Task, columns: Row) -> Row:
    return {"id": columns["id"], **task(columns)}


def with_datasets(task: Task, table: Path, jobs: int) -> int:
    """Hugging Face datasets: results in its cache, which is not synced to disk."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        data = Dataset.from_csv(str(table), cache_dir=folder)
        return len(data.map(task, batched=True, batch_size=BATCH, num_proc=jobs))


def with_asyncio(task: Task, table: Path, jobs: int) -> int:
    """A semaphore and a task group, written by hand: no checkpoint at all."""

    async def all_of_them() -> int:
        free = asyncio.Semaphore(jobs)

        async def one(row: Row) -> Any:
            async with free:
                return await task(row)

        return len(await asyncio.gather(*(one(row) for row in rows_of(table))))

    return asyncio.run(all_of_them())


def with_parallel(_task: Task, table: Path, jobs: int) -> int:
    """GNU parallel: a program a row, with its log of jobs and its folder of results."""
    with tempfile.TemporaryDirectory(dir=table.parent) as folder:
        log = Path(folder, "log")
        command = [
            "parallel",
            "--will-cite",
            "--colsep",
            ",",
            "--header",
            ":",
            "--jobs",
            str(jobs),
            "--joblog",
            str(log),
        ]
        command += ["--results", f"{folder}/results", "echo", "{id}"]
        with table.open("rb") as file:
            subprocess.run(command, stdin=file, stdout=subprocess.DEVNULL, check=True)
        return log.read_text().count("\n") - 1


def read_with_pandas(_task: Task, table: Path, _jobs: int) -> int:
    """Reading the table once."""
    import pandas

    return len(pandas.read_csv(table))


def copy_with_csv(_task: Task, table: Path, _jobs: int) -> int:
    """Reading and writing the table, one column more."""
    with table.open(newline="") as source, table.with_suffix(".copy").open("w", newline="") as target:
        reader = csv.reader(source)
        csv.writer(target).writerows([*cells, "done"] for cells in reader)
        return reader.line_num - 1


def copy_with_pandas(_task: Task, table: Path, _jobs: int) -> int:
    """The same with pandas."""
    import pandas

    frame = pandas.read_csv(table)
    frame["batchrun_status"] = "done"
    frame.to_csv(table.with_suffix(".copy"), index=False)
    return len(frame)


PEERS: dict[str, Callable[[Task, Path, int], int]] = {
    "joblib": with_joblib,
    "one file a row": with_files,
    "pool": with_pool,
    "mpire": with_mpire,
    "pebble": with_pebble,
    "ray": with_ray,
    "ray map_batches": with_ray_batches,
    "datasets map": with_datasets,
    "asyncio": with_asyncio,
    "GNU parallel": with_parallel,
    "read with pandas": read_with_pandas,
    "copy with csv": copy_with_csv,
    "copy with pandas": copy_with_pandas,
}


def main(peer: str, task: str, table: str, jobs: str) -> None:
    """`task`: `module:function`, within this package."""
    module, _, name = task.partition(":")
    function = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    print(PEERS[peer](function, Path(table), int(jobs)))


if __name__ == "__main__":
    # By its own name: functions of `__main__` would travel by value with each row, which slows some peers down.
    importlib.import_module("benchmarks.peers").main(*sys.argv[1:])
