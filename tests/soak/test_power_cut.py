"""Power cuts: of what a run has written, only what was synced is sure to be there. Done again from a journal."""

import os
import random
import shutil
import struct

from failing_disk import Trial, proof_of
from power_cut import Disk, steps_of
from support import batchrun, database, numbered, settled

CUTS = int(os.environ.get("POWER_CUTS", "60"))
SEED = int(os.environ.get("POWER_SEED", "7"))
ROWS = 500
TASK = """
import time

def large(row):
    time.sleep(0.002)
    return {"double": row["id"] * 2, "padding": str(row["id"]) * 4000}
"""
RESULTS_AT = 32
"""In the note that a run leaves in its lock file after each commit: how many results have been committed."""


def test_what_was_acknowledged_is_there_after_a_power_cut_at_any_moment(shim, tmp_path):
    """`POWER_CUTS` moments, some of them while the log is folded into the checkpoint."""
    trial = Trial(tmp_path / "run", shim)
    journal = tmp_path / "journal"
    (trial.place / "tasks.py").write_text(TASK)
    numbered(trial.table, ROWS)
    command = ("--task", f"{trial.place}/tasks.py:large", "--jobs", 2)
    ran = trial.run(FAIL_JOURNAL=journal, options=command)
    assert ran.returncode == 0, ran.stderr
    steps, oracle, results = list(steps_of(journal)), settled(trial.table, "large"), trial.results.read_bytes()
    folding = [n for n, step in enumerate(steps) if step.what == "w" and step.path.endswith("large.sqlite")]
    dice = random.Random(SEED)
    moments = sorted(dice.sample(range(len(steps)), CUTS - CUTS // 4) + dice.sample(folding, CUTS // 4))
    disk, acknowledged, lost, done = Disk(), 0, 0, 0
    for moment in moments:
        for step in steps[done:moment]:
            disk.do(step)
            if step.what == "w" and step.path.endswith("large.lock"):
                (acknowledged,) = struct.unpack_from("<q", step.data, RESULTS_AT)
        done = moment
        content = disk.cut(dice)
        # A results file is all there, or not at all.
        assert content.pop(str(trial.results), results) == results, moment
        table = restore(trial, content)
        proof = proof_of(table, "large")
        found = settled(table, "large") if proof else {}
        assert proof is None or not proof.damage, (moment, proof.damage)
        assert len(found) >= acknowledged, (moment, steps[moment - 1][:3])
        assert found.items() <= oracle.items(), moment
        lost += ROWS - len(found)
        if dice.random() < 0.1:
            again = batchrun("process", table, *command, "--no-output")
            assert again.returncode == 0, (moment, again.stderr)
            assert settled(table, "large") == oracle, moment
    print(
        f"seed {SEED}: {len(moments)} power cuts in {len(steps):,} steps, {acknowledged} rows acknowledged at the last"
    )
    assert acknowledged
    assert lost


def restore(trial, content):
    """The table, with the checkpoint that has survived."""
    shutil.rmtree(database(trial.table, "large").parent)
    database(trial.table, "large").parent.mkdir()
    for path, data in content.items():
        with open(path, "wb") as file:
            file.write(data)
    return trial.table
