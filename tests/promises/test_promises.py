"""Promises across runs and around secrets, each named by its test."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    alive,
    batchrun,
    descendants,
    kill,
    lines_of,
    numbered,
    records,
    settled,
    start,
    starts,
    wait_for,
    write_table,
)

from batchrun.checkpoint import suspects
from batchrun.checkpoint.inflight import Running
from batchrun.core.limits import Timeout
from batchrun.core.redact import Redactor
from batchrun.engine.wire import Reply

SECRET = 'sk-live-"0123456789'

KILLER = """
import os, signal, time
from tasks import note

def killer(row):
    note(row)
    if row["id"] == 3:
        nursery = os.getppid()
        coordinator = int(open(f"/proc/{nursery}/stat").read().rpartition(")")[2].split()[1])
        os.kill(coordinator, signal.SIGKILL)
        time.sleep(60)
    time.sleep(0.05)
    return {"double": row["id"] * 2}
"""


def test_a_row_that_takes_the_run_down_with_it_is_not_tried_for_ever(folder):
    (folder / "killer.py").write_text(KILLER)
    table = numbered(folder / "data.csv", 12)
    command = ("process", table, "--task", "killer.py:killer", "--jobs", 2, "--retries", 0, "--no-output", "--json")
    runs = 0
    while (ran := batchrun(*command, cwd=folder)).returncode == -9:
        runs += 1
        assert runs <= 6
    assert ran.returncode == 1, ran.stderr
    done = records(ran.stdout)[1]
    assert (done["done"], done["crashed"]) == (11, 1)
    assert runs == 4
    assert starts(folder)[3] == 4


def everything_shown(folder, table, rows):
    """All that the commands which read a checkpoint say of it; the report is a file in the folder, too."""
    ways = [("errors", "--full"), ("errors", "--json"), ("report", "-o", folder / "report.html"), ("status",)]
    ways += [("show", row) for row in range(1, rows + 1)]
    read = [batchrun(name, table, *options, cwd=folder) for name, *options in ways]
    assert [ran.returncode for ran in read] == [0] * len(ways), read
    return "".join(ran.stdout + ran.stderr for ran in read) + (folder / "report.html").read_text()


def test_secrets_never_reach_checkpoint_log_results_or_screen(folder):
    (folder / "leaky.py").write_text(
        "import os, sys\n\ndef leaky(row):\n    key = os.environ['SERVICE_API_KEY']\n    print('using', key)\n"
        "    if row['id'] == 1:\n        raise ValueError(f'401 for {key}')\n"
        "    if row['id'] == 2:\n        os.abort()\n"
        "    return {'echo': key} if row['id'] == 3 else 'Sorry, ' + key + ' is not JSON'\n"
    )
    table = numbered(folder / "data.csv", 4)
    command = ("process", table, "--task", "leaky.py:leaky", "--jobs", 1, "--retries", 0)
    ran = batchrun(*command, cwd=folder, env={"SERVICE_API_KEY": SECRET})
    assert ran.returncode == 1
    shown = ran.stdout + ran.stderr + everything_shown(folder, table, 4)
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    for form in (SECRET, json.dumps(SECRET)[1:-1]):
        assert form not in shown
        assert form.encode() not in kept
    assert settled(table, "leaky")[3][1] == {"echo": "[redacted]"}


def test_what_a_row_that_fails_has_in_its_local_variables_is_kept_nowhere(folder):
    """A key that is in no environment variable cannot be redacted: it must not be written in the first place."""
    (folder / "local.py").write_text(
        "import ctypes\n\nSHIFTED = 'vn0olyh0<;:98765'\n\n"
        "def local(row):\n    key = ''.join(chr(ord(c) - 3) for c in SHIFTED)\n    headers = {'authorization': key}\n"
        "    if row['id'] == 1:\n        return len(headers) / 0\n"
        "    if row['id'] == 2:\n        ctypes.string_at(0)\n"
        "    if row['id'] == 3:\n"
        "        try:\n            headers['cookie']\n        except KeyError as error:\n"
        "            raise RuntimeError('no cookie') from error\n"
        "    return {'length': len(key)}\n"
    )
    key = "sk-live-98765432"
    table = numbered(folder / "data.csv", 4)
    ran = batchrun("process", table, "--task", "local.py:local", "--jobs", 1, "--retries", 0, cwd=folder)
    assert ran.returncode == 1, ran.stderr
    assert settled(table, "local")[4][1] == {"length": len(key)}
    shown = ran.stdout + ran.stderr + everything_shown(folder, table, 4)
    assert "len(headers) / 0" in shown, "there is no traceback to look into"
    assert key not in shown
    assert not [path for path in folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_short_values_and_other_variables_are_no_secrets():
    redactor = Redactor({"API_KEY": "short", "HOME": "/home/somebody", "DB_PASSWORD": "correct horse"})
    assert redactor.text("short /home/somebody correct horse") == "short /home/somebody [redacted]"
    reply = Reply(1, "failed", 0.1, raw="correct horse", error=("exception", "correct horse!", "E", None, None))
    assert reply.redacted(redactor).raw == "[redacted]"
    assert reply.redacted(redactor).error[1] == "[redacted]!"


def test_an_option_whose_name_sounds_like_a_secret_is_none(folder):
    table = write_table(folder / "data.csv", [(1, "a")], header=("customer_id", "text"))
    command = ("process", table, "--task", "tasks.py:echo", "--no-output")
    ran = batchrun(*command, cwd=folder, env={"BATCHRUN_KEY": "customer_id"})
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "echo")[1][1] == {"customer_id": 1, "text": "a"}


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"12345678", "[redacted]"),
        (b'{"pin":12345678,"n":-12345678.5,"ok":[1.5,true,null]}',
         {"pin": "[redacted]", "n": "[redacted]", "ok": [1.5, True, None]}),
        (b'{"12345678":[12345678,"no 12345678"]}', {"[redacted]": ["[redacted]", "no [redacted]"]}),
        ('{"ä":"12345678"}'.encode(), {"ä": "[redacted]"}),
        (b'{"half":"\\ud800","n":12345678}', {"half": "\ud800", "n": "[redacted]"}),
        (b'[1,2,3,4,5]', "[redacted]"),
    ],
)  # fmt: skip
def test_a_number_that_is_a_secret_becomes_text_and_the_result_stays_json(body, masked):
    secrets = {"PIN_TOKEN": "12345678", "LIST_KEY": "1,2,3,4,5"}
    found = Reply(1, "done", 0.1, body=body).redacted(Redactor(secrets)).body
    assert json.loads(found) == masked


def test_a_task_may_return_a_number_that_is_a_secret(folder):
    (folder / "pins.py").write_text("def pin(row):\n    return {'pin': 12345678, 'id': row['id']}\n")
    table = numbered(folder / "data.csv", 2)
    command = ("process", table, "--task", "pins.py:pin")
    ran = batchrun(*command, cwd=folder, env={"PIN_TOKEN": "12345678"})
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "pin")[2][1] == {"pin": "[redacted]", "id": 2}


def test_a_timeout_may_be_a_multiple_of_the_median_and_waits_until_that_is_known():
    assert Timeout(5).limit(None) == 5
    assert Timeout(10, multiple=True).limit(None) is None
    assert Timeout(10, multiple=True).limit(2.0) == 20
    assert Timeout(10, multiple=True).limit(0.001) == 1


def test_a_stuck_row_is_ended_after_a_multiple_of_the_median(folder):
    table = numbered(folder / "data.csv", 60)
    (folder / "late.py").write_text(
        "import time\n\ndef late(row):\n    time.sleep(60 if row['id'] == 55 else 0.01)\n    return row\n"
    )
    ran = batchrun(
        "process",
        table,
        "--task",
        "late.py:late",
        "--jobs",
        4,
        "--timeout",
        "20x",
        "--retries",
        0,
        "--json",
        cwd=folder,
    )
    done = records(ran.stdout)[1]
    assert (done["done"], done["timed_out"]) == (59, 1)


ROWS = st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True)


@given(st.lists(ROWS, max_size=12))
def test_a_row_is_guilty_only_of_deaths_that_it_died_alone(deaths):
    known = {}
    for rows in deaths:
        # The run has seen to it: who must run alone does.
        alone = [row for row in rows if bytes([row] * 16) in suspects.to_run_alone(known)]
        rows[:] = alone[:1] or rows
        known = suspects.after_run(known, [Running(0.0, 1, bytes([row] * 16), row) for row in rows])
    for name in suspects.guilty(known, 1):
        assert name in suspects.to_run_alone(known)
        assert [name[0]] in deaths
        assert sum(name[0] in rows for rows in deaths) > suspects.IN_COMPANY


def test_a_row_that_had_ended_but_for_its_cell_does_not_speak_for_one_that_died_alone():
    ended, alone = Running(1.0, 1, bytes([1] * 16), 1), Running(2.0, 1, bytes([2] * 16), 2)
    known = {alone.fingerprint.hex(): (suspects.IN_COMPANY, 0)}
    assert suspects.after_run(known, [ended, alone]) == {alone.fingerprint.hex(): (suspects.IN_COMPANY, 1)}


def test_a_busy_service_pauses_all_lanes_and_charges_nobody(folder):
    (folder / "busy.py").write_text(
        "import os, time, batchrun\nfrom pathlib import Path\n\n"
        "def busy(row):\n"
        "    with open('calls', 'a') as file:\n        file.write(f'{time.monotonic()} {row[\"id\"]}\\n')\n"
        "    if row['id'] == 20 and not Path('asked').exists():\n"
        "        Path('asked').touch()\n        Path('asked').write_text(str(time.monotonic()))\n"
        "        raise batchrun.RetryLater(1.0)\n"
        "    time.sleep(0.01)\n    return {'attempt': batchrun.current().attempt}\n"
    )
    table = numbered(folder / "data.csv", 200)
    ran = batchrun("process", table, "--task", "busy.py:busy", "--jobs", 4, "--retries", 0, "--json", cwd=folder)
    assert ran.returncode == 0, ran.stderr
    asked = float((folder / "asked").read_text())
    times = sorted(float(line.split()[0]) for line in lines_of(folder / "calls"))
    # Rows that had started before the refusal was heard may end; then nobody calls until the second is over.
    assert not [at for at in times if asked + 0.15 < at < asked + 0.99]
    assert len(times) == 201
    assert settled(table, "busy")[20][1] == {"attempt": 1}


def test_the_wait_that_an_exceptions_response_asks_for_is_kept(folder):
    (folder / "limits.py").write_text(
        "import time\nfrom pathlib import Path\n\nclass Response:\n    status_code = 429\n"
        "    headers = {'retry-after': '0.7'}\n\nclass Busy(Exception):\n    response = Response()\n\n"
        "def limited(row):\n    place = Path('asked')\n    if not place.exists():\n"
        "        place.write_text(str(time.monotonic()))\n        raise Busy('slow down')\n"
        "    return {'waited': time.monotonic() - float(place.read_text())}\n"
    )
    table = numbered(folder / "data.csv", 1)
    ran = batchrun("process", table, "--task", "limits.py:limited", "--retries", 0, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert settled(table, "limited")[1][1]["waited"] >= 0.7


@pytest.mark.parametrize(("edited", "where"), [(False, ""), (True, " of the table as it was then")])
def test_a_command_that_runs_nothing_leaves_it_to_the_next_to_say_which_row_ran_at_the_death(folder, edited, where):
    (folder / "held.py").write_text(
        "import time\nfrom pathlib import Path\nfrom tasks import note\n\ndef held(row):\n    note(row)\n"
        "    while row['id'] == 3 and not Path('free').exists():\n        time.sleep(0.01)\n    return row\n"
    )
    table = numbered(folder / "data.csv", 4)
    command = ("process", table, "--task", "held.py:held", "--jobs", 1, "--no-output")
    run = start(*command, cwd=folder)
    wait_for(lambda: len(lines_of(folder / "started")) == 3)
    workers = descendants(run.pid)
    kill(run)
    wait_for(lambda: not alive(workers))
    (folder / "free").touch()
    if edited:
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, "9,new", *rows]) + "\n")
    assert batchrun(*command, "--rows", 99, cwd=folder).returncode == 2
    note = f"the last run died while row 3{where} was running; it runs again, which does not count as an attempt"
    again = batchrun(*command, cwd=folder)
    assert (again.returncode, note in again.stderr) == (0, True), again.stderr
    assert "the last run died" not in batchrun(*command, cwd=folder).stderr
