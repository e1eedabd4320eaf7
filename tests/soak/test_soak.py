"""Random kills, again and again. `SOAK_KILLS=1000 make soak` does it for long.

After each kill: every acknowledged row is present, and no row starts after its coordinator's death. At the end: the
settled rows of an undisturbed run, each exactly once, and results files that say so.
"""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil
from support import (
    alive,
    batchrun,
    count_settled,
    descendants,
    kill,
    known,
    lines_of,
    numbered,
    settled,
    start,
    wait_for,
)

KILLS = int(os.environ.get("SOAK_KILLS", "0"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
ROWS = 20_000 if KILLS else 2_000
SECONDS = "0.002" if KILLS else "0.003"
BUDGET = None if KILLS else 7.0


@dataclass
class Soak:
    """A table under fire. `kills` counts by what was killed; `deaths` are those of coordinators.

    `late`: rows that wrote down their start when their coordinator was dead already.
    """

    folder: object
    table: object
    dice: random.Random
    rows: int
    kills: Counter = field(default_factory=Counter)
    deaths: int = 0
    late: int = 0
    acknowledged: dict = field(default_factory=dict)

    def command(self):
        output = () if self.dice.random() < 0.3 else ("--no-output",)
        return ("process", self.table, "--task", "tasks.py:short", "--jobs", 4, "--retries", 50, *output)

    def one_run(self):
        """Start a run, kill some of its lanes, then the run itself (if it has not ended)."""
        run = start(*self.command(), cwd=self.folder, env={"SECONDS": SECONDS})
        family = {}
        if self.dice.random() < 0.75:  # the others die while they start, whatever the machine takes for that
            wait_for(lambda: count_settled(self.table, "short") > len(self.acknowledged) or run.poll() is not None, 60)
        until = time.monotonic() + self.dice.choice((0.1, 0.3, 0.6)) * (0.5 + self.dice.random())
        while time.monotonic() < until and run.poll() is None:
            family.update((process.pid, process) for process in descendants(run.pid))
            if self.dice.random() < 0.3:
                self.kill_lane(family.values())
            time.sleep(self.dice.random() * 0.1)
        if run.poll() is None:
            family.update((process.pid, process) for process in descendants(run.pid))
            self.kills["coordinator"] += 1
        run.send_signal(signal.SIGKILL)
        run.wait()
        died = time.monotonic()
        run.communicate()
        wait_for(lambda: not alive(family.values()), 3)
        assert time.monotonic() - died < 1.5
        self.check(died)
        return run.returncode

    def kill_lane(self, family):
        lanes = [process for process in alive(family) if is_lane(process)]
        if lanes:
            self.dice.choice(lanes).send_signal(signal.SIGKILL)
            self.kills["lane"] += 1

    def check(self, died):
        now = known(self.table, "short")
        lost = {row for row, told in self.acknowledged.items() if now.get(row) != told}
        assert not lost, f"acknowledged rows lost or changed: {sorted(lost)[:10]}"
        self.acknowledged = now
        started = [line.split() for line in lines_of(self.folder / "started")]
        late = Counter(pid for _, at, pid in started if float(at) > died)
        # The row that a worker was just about to begin; a second one has started after the death.
        assert max(late.values(), default=0) <= 1, late
        self.late += late.total()
        self.deaths += 1


def is_lane(process):
    """Whether a process runs rows: a grandchild of the coordinator (its parent is the nursery)."""
    try:
        return process.parent().parent().name() != "" and process.pid == os.getpgid(process.pid) and is_forked(process)
    except (psutil.Error, AttributeError, ProcessLookupError):
        return False


def is_forked(process):
    """Lanes are forks of the nursery, and have its command line."""
    return process.cmdline() == process.parent().cmdline()


def oracle(rows):
    return {n: (1, {"double": 2 * n}) for n in range(1, rows + 1)}


def test_killed_at_random_the_same_command_does_exactly_what_is_left(folder):
    print(f"\nseed {SEED}, {ROWS:,} rows")
    table = numbered(folder / "data.csv", ROWS)
    rounds = 0
    total, deaths, late = Counter(), 0, 0
    until = time.monotonic() + (BUDGET or 1e9)
    dice = random.Random(SEED)
    while sum(total.values()) < (KILLS or 10**9) and time.monotonic() < until:
        for path in folder.glob("data.*.batchrun/short*"):
            path.unlink()
        (folder / "started").unlink(missing_ok=True)
        soak = Soak(folder, table, dice, ROWS, kills=Counter())
        rounds += 1
        while soak.one_run() != 0 and time.monotonic() < until and sum((total + soak.kills).values()) < (KILLS or 1e9):
            if KILLS and soak.deaths % 25 == 0:
                print(f"  {dict(total + soak.kills)} kills, {len(soak.acknowledged):,} rows settled", flush=True)
        last = batchrun(
            "process", table, "--task", "tasks.py:short", "--jobs", 4, "--retries", 50, cwd=folder,
            env={"SECONDS": "0"}, timeout=600,
        )  # fmt: skip
        assert last.returncode == 0, last.stderr
        assert settled(table, "short") == oracle(ROWS)
        assert batchrun("verify", table).returncode == 0
        counts = Counter(int(line.split()[0]) for line in lines_of(folder / "started"))
        again = sum(counts.values()) - ROWS
        # What was in flight, and what had ended and was not acknowledged yet, runs again; a lane's row too.
        assert again <= 300 * soak.deaths + soak.kills["lane"]
        written = (folder / "data.results.csv").read_text().splitlines()[1:]
        assert [line.split(",")[2] for line in written] == [str(2 * n) for n in range(1, ROWS + 1)]
        assert not list(folder.glob(".data.results*.part"))
        total += soak.kills
        deaths += soak.deaths
        late += soak.late
        print(f"  table {rounds}: {dict(soak.kills)} kills, {again:,} rows ran again")
    print(f"seed {SEED}: {rounds} tables, {total.total()} kills {dict(total)}, {deaths} runs ended, {late} late starts")
    assert sum(total.values()) > 3


def test_killed_while_an_edited_table_is_bound_again_results_stay_with_their_rows(folder):
    rows = 20_000 if KILLS else 3_000
    dice = random.Random(SEED)
    print(f"\nseed {SEED}")
    table = numbered(folder / "data.csv", rows)
    command = ("process", table, "--task", "tasks.py:echo", "--jobs", 2, "--no-output")
    assert batchrun(*command, cwd=folder).returncode == 0
    ids = list(range(1, rows + 1))
    for turn in range(KILLS // 20 or 4):
        # Move, drop, add: each table differs from what the checkpoint was last bound to.
        ids = ids[(cut := dice.randrange(1, len(ids))) :] + ids[:cut]
        del ids[dice.randrange(len(ids))]
        ids.insert(dice.randrange(len(ids)), rows + turn + 1)
        table.write_text("id,text\n" + "".join(f"{n},text {n}\n" for n in ids))
        run = start(*command, cwd=folder)
        time.sleep(0.2 + dice.random() * 0.5)
        kill(run)
        known = settled(table, "echo")
        by_id = {result["id"]: status for status, result in known.values()}
        assert len(by_id) == len(known) >= rows
    assert batchrun(*command, cwd=folder).returncode == 0
    found = settled(table, "echo")
    assert [found[position][1]["id"] for position in range(1, len(ids) + 1)] == ids
    assert batchrun("verify", table).returncode == 0


def test_killed_in_the_middle_of_an_export_the_old_file_stays_and_nothing_else_is_left(folder):
    dice = random.Random(SEED)
    table = numbered(folder / "data.csv", 20_000)
    assert batchrun("process", table, "--task", "tasks.py:echo", "--no-output", cwd=folder).returncode == 0
    target = folder / "out.csv"
    assert batchrun("export", table, "-o", target).returncode == 0
    whole = target.read_bytes()
    for _ in range(KILLS // 20 or 3):
        run = start("export", table, "-o", target)
        wait_for(lambda run=run: list(folder.glob(".out*.part")) or run.poll() is not None)
        time.sleep(dice.random() * 0.1)
        kill(run)
        assert target.read_bytes() == whole
    assert batchrun("export", table, "-o", target).returncode == 0
    assert target.read_bytes() == whole
    assert not list(folder.glob(".out*.part"))
