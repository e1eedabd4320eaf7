"""Makes `checkpoint.csv` and `checkpoint-vN.db`: a checkpoint of the present format N with a row in each state.

It is run once for each format; the files are kept, and every later version must load them:
`python tests/data/make_checkpoint.py FOLDER`.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

TASK = """
import os, signal
import batchrun

def answer(row):
    word = row["word"]
    if word == "fail":
        raise ValueError("no luck")
    if word == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "skip":
        raise batchrun.Skip("nothing to do")
    if word == "prose":
        return "I cannot say."
    if word == "fence":
        return '```json\\n{"answer": 42,}\\n```'
    return {"word": word, "list": [1, None, 2.5]}
"""
ROWS = ["plain", "gone", "twin", "fail", "twin", "crash", "skip", "prose", "fence", "left"]


def main(folder: Path) -> None:
    (folder / "tasks.py").write_text(TASK)
    table = folder / "checkpoint.csv"

    def process(rows: list[str], *more: str) -> None:
        table.write_text("word,number\n" + "".join(f"{row},007\n" for row in rows))
        command = [sys.executable, "-m", "batchrun", "process", str(table), "--task", "tasks.py:answer", "--jobs", "1"]
        # --reply json: a text without any JSON fails, as it always did before there was a choice.
        options = ["--reply", "json", "--retries", "1", "--no-output"]
        subprocess.run([*command, *options, *more], cwd=folder)

    process(ROWS[:-1])
    process([row for row in ROWS if row != "gone"], "--limit", "0", "--retry", "none")
    path = folder / "checkpoint.csv.batchrun/answer.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    shutil.copy(path, folder / f"checkpoint-v{version}.db")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.getcwd()).absolute())
