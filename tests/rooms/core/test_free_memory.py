"""How much memory can still be had: that of the machine, or of the tightest control group around the process."""

import pytest

from batchrun.core.free_memory import Memory, memory_here

MEGABYTE = 1 << 20
MACHINE = "MemTotal: 8192 kB\nMemFree: 1 kB\nMemAvailable: 4096 kB\n"


def here(folder, membership, files):
    for name, text in {"meminfo": MACHINE, "membership": membership, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))
    return memory_here(folder / "meminfo", folder / "membership", folder / "mounted")


def group(total, used, stat="", *, new=True):
    names = ("memory.max", "memory.current") if new else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    return {names[0]: total, names[1]: used, "memory.stat": stat}


def inside(folder, files):
    return {f"mounted/{folder}/{name}": content for name, content in files.items()}


@pytest.mark.parametrize(
    ("membership", "files", "total", "free"),
    [
        ("0::/\n", {}, 8, 4),
        ("0::/a\n", inside("a", group("max", 6 * MEGABYTE)), 8, 4),
        ("0::/a\n", inside("a", group(7 * MEGABYTE, 6 * MEGABYTE)), 7, 1),
        ("0::/a\n", inside("a", group(7 * MEGABYTE, 1 * MEGABYTE)), 7, 4),
        ("0::/a/b\n", inside("a", group(5 * MEGABYTE, 3 * MEGABYTE)) | inside("a/b", group("max", 1)), 5, 2),
        ("0::/docker/1f\n", inside(".", group(5 * MEGABYTE, 5 * MEGABYTE)), 5, 0),
        ("0::/a\n", inside("a", group(2 * MEGABYTE, 3 * MEGABYTE)), 2, 0),
        ("0::/a\n", inside("a", group(4 * MEGABYTE, 4 * MEGABYTE, f"active_file {MEGABYTE}\nshmem 7\n")), 4, 1),
        ("4:cpu,memory:/x\n", inside("memory/x", group(3 * MEGABYTE, MEGABYTE, new=False)), 3, 2),
        ("4:memory:/x\n", inside("memory/x", group(1 << 62, MEGABYTE, "total_inactive_file 0\n", new=False)), 8, 4),
        ("4:cpu:/x\n", inside("memory/x", group(1, 1, new=False)), 8, 4),
        ("odd\n", {}, 8, 4),
    ],
)
def test_the_tightest_of_machine_and_groups_counts_and_what_is_on_disk_as_well_is_free(
    tmp_path, membership, files, total, free
):
    assert here(tmp_path, membership, files) == Memory(total * MEGABYTE, free * MEGABYTE)


def test_a_system_that_says_nothing_of_its_memory_has_none_to_count(tmp_path):
    assert memory_here(tmp_path / "no", tmp_path / "such", tmp_path / "files") is None


def test_this_machine_says_how_much_it_has():
    found = memory_here()
    assert found is not None
    assert 0 < found.free < found.total
