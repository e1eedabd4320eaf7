"""How many CPUs a process may use where a container gives it a share of them."""

import subprocess
import sys

import pytest

from batchrun.core.processes import cpu_quotas, cpus


def groups(folder, membership, files):
    (folder / "membership").write_text(membership)
    for name, text in files.items():
        path = folder / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpu_quotas(folder / "membership", folder / "mounted")


@pytest.mark.parametrize(
    ("membership", "files", "found"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, [2]),
        ("0::/\n", {"cpu.max": "max 100000\n"}, []),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, [2]),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "400000 100000\n"}, [4, 1]),
        ("0::/docker/1f\n", {"cpu.max": "300000 100000\n"}, [3]),
        ("0::/../../a\n", {"cpu.max": "300000 100000\n"}, []),
        ("4:cpu,acct:/x\n", {"cpu,acct/x/cpu.cfs_quota_us": "250000", "cpu,acct/x/cpu.cfs_period_us": "100000"}, [3]),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("3:memory:/\n", {"memory/cpu.cfs_quota_us": "100000\n", "memory/cpu.cfs_period_us": "100000\n"}, []),
        ("odd\n0::/\n", {"cpu.max": "many\n"}, []),
        ("0::/\n", {"cpu.max": "1 0\n"}, []),
    ],
)  # fmt: skip
def test_the_quotas_of_all_groups_above_a_process_count(tmp_path, membership, files, found):
    assert groups(tmp_path, membership, files) == found


def test_where_there_are_no_groups_there_is_no_quota(tmp_path):
    assert cpu_quotas(tmp_path / "membership", tmp_path) == []


def test_a_process_bound_to_one_cpu_has_one():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from batchrun.core.processes import cpus; print(cpus())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
    assert cpus() >= 1
