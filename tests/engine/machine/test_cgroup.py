"""The smaller of machine and control group: on written trees of both versions, and a real group."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guard.budget import RAM_RESERVE, device_for, ram_reserve
from engine.home import PROJECT
from engine.install import facts as install_facts
from engine.machine import cgroup, facts
from engine.machine import memory as machine_memory
from engine.machine.cgroup import GroupMemory
from engine.machine.memory import MemorySample, sample_host
from engine.presets import load_presets
from engine.text import NOTHING
from engine.worker.process import worker_environment

MIB = 1 << 20
GIB = 1 << 30
V2 = "31 23 0:28 {inside} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {inside} /sys/fs/cgroup/{name} rw shared:9 - cgroup cgroup rw,{options}"
NO_LIMIT = str((1 << 63) - 4096)


def tree(root: Path, own: str, mounts: list[str], files: Mapping[str, str]) -> Path:
    """``files`` below /sys/fs/cgroup, and what /proc says of this process."""
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(own + "\n")
    (proc / "mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/x rw\n" + "\n".join(mounts) + "\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_without_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert cgroup.memory(tmp_path) == GroupMemory()
    assert cgroup.cores(tmp_path) is None
    hybrid = tree(tmp_path / "hybrid", "0::/", [V2.format(inside="/")], {"cgroup.procs": "1"})
    assert cgroup.memory(hybrid) == GroupMemory()
    assert cgroup.cores(hybrid) is None


def test_the_smallest_of_all_levels_counts_without_the_cache_of_files(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "0::/machine.slice/pod/box",
        [V2.format(inside="/")],
        {
            "machine.slice/memory.max": "max",
            "machine.slice/cpu.max": "max 100000",
            "machine.slice/pod/memory.max": str(900 * MIB),
            "machine.slice/pod/memory.high": "max",
            "machine.slice/pod/memory.current": str(700 * MIB),
            "machine.slice/pod/memory.stat": (
                f"anon {300 * MIB}\ninactive_file {250 * MIB}\nactive_file {100 * MIB}\n"
                f"slab_reclaimable {50 * MIB}\nslab_unreclaimable 0\nshmem {40 * MIB}"
            ),
            "machine.slice/pod/memory.swap.max": str(100 * MIB),
            "machine.slice/pod/memory.swap.current": str(30 * MIB),
            "machine.slice/pod/cpu.max": "150000 100000",
            "machine.slice/pod/box/memory.max": str(4 * GIB),
            "machine.slice/pod/box/memory.high": str(3 * GIB),
            "machine.slice/pod/box/memory.current": str(200 * MIB),
            "machine.slice/pod/box/memory.swap.max": "max",
            "machine.slice/pod/box/cpu.max": "800000 100000",
        },
    )
    assert cgroup.memory(root) == GroupMemory(900 * MIB, 600 * MIB, 100 * MIB, 70 * MIB)
    assert cgroup.cores(root) == 2, "one and a half are two threads' worth"


@pytest.mark.parametrize(
    ("most", "high", "limit"), [("max", "500", 500), ("400", "500", 400), ("600", "max", 600)]
)
def test_what_throttles_is_a_limit_too(tmp_path: Path, most: str, high: str, limit: int) -> None:
    files = {"memory.max": most, "memory.high": high, "memory.current": "900"}
    root = tree(tmp_path, "0::/", [V2.format(inside="/")], files)
    assert cgroup.memory(root) == GroupMemory(limit, 0)


def test_version_1_has_each_controller_in_a_tree_of_its_own(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n3:cpuset:/docker/abc\n0::/",
        [
            V1.format(inside="/", name="memory", options="memory"),
            V1.format(inside="/", name="cpu,cpuacct", options="cpu,cpuacct"),
            V1.format(inside="/", name="cpuset", options="cpuset"),
            "38 31 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        ],
        {
            "memory/memory.limit_in_bytes": NO_LIMIT,
            "memory/memory.memsw.limit_in_bytes": NO_LIMIT,
            "memory/docker/abc/memory.limit_in_bytes": str(900 * MIB),
            "memory/docker/abc/memory.memsw.limit_in_bytes": str(1000 * MIB),
            "memory/docker/abc/memory.usage_in_bytes": str(500 * MIB),
            "memory/docker/abc/memory.stat": (
                f"inactive_file 1\ntotal_inactive_file {80 * MIB}\ntotal_active_file {20 * MIB}\n"
                f"total_swap {10 * MIB}\nhierarchical_memory_limit {900 * MIB}"
            ),
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/docker/cpu.cfs_quota_us": "-1",
            "cpuset/docker/abc/cpuset.effective_cpus": "0-1,4,6-7",
        },
    )
    assert cgroup.memory(root) == GroupMemory(900 * MIB, 500 * MIB, 100 * MIB, 90 * MIB)
    assert cgroup.cores(root) == 3


def test_a_container_sees_its_own_group_only(tmp_path: Path) -> None:
    """Version 1 without a namespace: /proc has the outside's path, mounted is our group."""
    root = tree(
        tmp_path,
        "4:memory:/docker/abc/inner\n5:cpuset:/docker/abc/inner",
        [V1.format(inside="/docker/abc", name="memory", options="memory")],
        {
            "memory/memory.limit_in_bytes": NO_LIMIT,
            "memory/memory.usage_in_bytes": "300",
            "memory/memory.stat": "hierarchical_memory_limit 2000\nhierarchical_memsw_limit 2000",
            "memory/inner/memory.limit_in_bytes": NO_LIMIT,
        },
    )
    assert cgroup.memory(root) == GroupMemory(2000, 1700, 0, 0), "a group above has the limit"
    outside = tree(
        tmp_path / "outside",
        "0::/../elsewhere",
        [V2.format(inside="/"), "9 9 0:1 /other /mnt/a\\040b rw - cgroup2 none rw"],
        {"memory.max": "1000", "cpu.max": "50000 100000"},
    )
    assert cgroup.memory(outside) == GroupMemory(1000, 1000)
    assert cgroup.cores(outside) == 1


@pytest.mark.parametrize(
    ("own", "mounts", "files"),
    [
        ("nonsense", ["nonsense", " - ", "1 2 - cgroup2"], {}),
        ("0::/", [V2.format(inside="/")], {"memory.max": "", "cpu.max": "", "memory.stat": ""}),
        (
            "0::/",
            [V2.format(inside="/")],
            {"memory.max": "x", "cpu.max": "1", "memory.stat": "a"},
        ),
        ("0::/", [V2.format(inside="/")], {"cpu.max": "100 0", "cpuset.cpus.effective": "a-b,,-"}),
    ],
)
def test_files_that_say_nothing_limit_nothing(
    tmp_path: Path, own: str, mounts: list[str], files: Mapping[str, str]
) -> None:
    root = tree(tmp_path, own, mounts, files)
    assert cgroup.memory(root) == GroupMemory()
    assert cgroup.cores(root) is None


# ---- everywhere that either is read ----------------------------------------------------------


@pytest.fixture
def boxed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine with 900 MiB and one core for us."""
    group = GroupMemory(900 * MIB, 800 * MIB, 0, 0)
    monkeypatch.setattr(cgroup, "memory", lambda: group)
    monkeypatch.setattr(cgroup, "cores", lambda: 1)
    monkeypatch.setattr("psutil.Process.cpu_affinity", lambda _: [0, 1, 2, 3])
    facts.this_machine.cache_clear()
    yield
    facts.this_machine.cache_clear()


@pytest.mark.starts
@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux'")
def test_whoever_asks_for_ram_or_cores_gets_the_groups(boxed: None) -> None:
    host = sample_host(None)
    assert (host.total, host.available, host.used) == (900 * MIB, 800 * MIB, 100 * MIB)
    assert (host.swap_total, host.swap_used, host.limited) == (0, 0, True)
    machine = facts.this_machine()
    assert (machine.ram, machine.cores, facts.core_limit()) == (900 * MIB, 1, 1)
    assert install_facts.this_computer(PROJECT).ram == 900 * MIB
    preset = load_presets().models["wan-tiny"]
    sample = MemorySample(0.0, host, None, "none", NOTHING)
    device = device_for(preset, sample, None)
    assert device is not None
    assert device.budget == 800 * MIB - 900 * MIB // 8
    assert worker_environment(preset, sample)["OMP_NUM_THREADS"] == "1"


def test_the_users_own_number_of_threads_stands(
    boxed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    sample = MemorySample(0.0, sample_host(None), None, "none", NOTHING)
    assert "OMP_NUM_THREADS" not in worker_environment(load_presets().models["wan-tiny"], sample)


def test_a_group_that_is_larger_than_the_machine_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = sample_host(None)
    group = GroupMemory(1 << 50, 1 << 50, 1 << 50, 1 << 50)
    monkeypatch.setattr(cgroup, "memory", lambda: group)
    within = sample_host(None)
    assert (within.total, within.swap_total) == (whole.total, whole.swap_total)
    assert within.limited == whole.limited
    assert ram_reserve(replace(whole, limited=False)) == RAM_RESERVE
    assert ram_reserve(replace(whole, limited=True, total=64 * GIB)) == RAM_RESERVE
    assert machine_memory.sample_host(os.getpid()).worker is not None


CODE = """
import json
from engine.machine.facts import this_machine
from engine.machine.memory import sample_host
host = sample_host(None)
print(json.dumps([host.total, host.available, host.limited, this_machine().ram]))
"""


@pytest.mark.starts
@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux'")
def test_a_real_group_within_a_group() -> None:
    top = Path("/sys/fs/cgroup/memory")
    limit = "memory.limit_in_bytes" if top.is_dir() else "memory.max"
    top = (top if top.is_dir() else top.parent) / f"headroom-test-{os.getpid()}"
    inner = top / "inner"
    try:
        try:
            inner.mkdir(parents=True)
            (top / limit).write_text(str(900 * MIB))
            (inner / "cgroup.procs").read_text()
        except OSError as error:
            pytest.skip(f"no group can be made here: {error}")
        shell = f'echo $$ > {inner}/cgroup.procs && exec {shlex.quote(sys.executable)} -c "$1"'
        done = subprocess.run(
            ["sh", "-c", shell, "sh", CODE], cwd=PROJECT, capture_output=True, text=True
        )
        if done.returncode == 2:
            pytest.skip(f"no process can be put there: {done.stderr}")
        total, available, limited, ram = json.loads(done.stdout)
        assert (total, limited, ram) == (900 * MIB, True, 900 * MIB)
        assert 500 * MIB < available < 900 * MIB
    finally:
        for folder in (inner, top):
            with suppress(OSError):
                folder.rmdir()
