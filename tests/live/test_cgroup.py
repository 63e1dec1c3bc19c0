"""The cgroup readers, on files recorded from real kernels (`recorded/README.md`) and on this process's own cgroup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from live.worker import cgroup
from live.worker.cgroup import CgroupV1, CgroupV2, Mount

RECORDED = Path(__file__).parent / "recorded"
V1 = RECORDED / "cgroup_v1"
V2 = RECORDED / "cgroup_v2"


def test_version_1_is_read_in_its_units() -> None:
    """Nanoseconds become seconds, and inactive page cache is not memory in use."""
    reader = CgroupV1(str(V1), str(V1), str(V1))
    counters = reader.read()

    assert 0.437897046 == counters.cpu_s
    assert (23, 21) == (counters.periods_count, counters.throttled_periods_count)
    assert 1.805862790 == counters.throttled_s
    assert 26509312 == counters.memory_raw_bytes
    assert 26509312 - 4096 == counters.memory_bytes
    assert 67108864 == counters.memory_peak_bytes
    assert 1 == counters.oom_kills_count == reader.oom_kills_count()


def test_version_2_is_read_in_its_units() -> None:
    """Microseconds become seconds, and inactive page cache is not memory in use."""
    reader = CgroupV2(str(V2))
    counters = reader.read()

    assert 3.910252 == counters.cpu_s
    assert (198, 194) == (counters.periods_count, counters.throttled_periods_count)
    assert 17.337894 == counters.throttled_s
    assert 27803648 == counters.memory_raw_bytes
    assert 27803648 - 98304 == counters.memory_bytes
    assert 67108864 == counters.memory_peak_bytes
    assert 1 == counters.oom_kills_count == reader.oom_kills_count()


def test_version_2_keeps_a_peak_of_its_own(tmp_path: Path) -> None:
    """Where the kernel has no `memory.peak`, the peak is the highest usage that was read."""
    for name in ("cpu.stat", "memory.stat", "memory.events"):
        shutil.copy(V2 / name, tmp_path)
    shutil.copy(V2 / "memory.peak", tmp_path / "memory.current")
    reader = CgroupV2(str(tmp_path))
    first = reader.read()
    (tmp_path / "memory.current").write_bytes((V2 / "memory.current").read_bytes())
    second = reader.read()

    assert [(67108864, 67108864), (27803648, 67108864)] == [
        (counters.memory_raw_bytes, counters.memory_peak_bytes) for counters in (first, second)
    ]


def test_files_that_are_not_there_read_as_zero(tmp_path: Path) -> None:
    """A cgroup without a controller has nothing to tell of it."""
    counters = CgroupV1(str(tmp_path), str(tmp_path), str(tmp_path)).read()

    assert {0} == {getattr(counters, name) for name in counters.__slots__}


def test_a_container_is_found_in_version_1() -> None:
    """Each controller's mount shows the container's own cgroup, whatever it is called outside."""
    found = cgroup.mounts((V1 / "mountinfo").read_text(encoding="utf-8"))
    paths = cgroup.memberships((V1 / "cgroup").read_text(encoding="utf-8"))
    places = {
        controller: mount.directory(paths[controller])
        for mount in found
        for controller in mount.controllers
        if controller in paths
    }

    assert "/sys/fs/cgroup/memory" == places["memory"]
    assert "/sys/fs/cgroup/cpu" == places["cpu"]
    assert "/sys/fs/cgroup/cpuacct" == places["cpuacct"]


def test_a_cgroup_is_found_in_version_2() -> None:
    """The unified tree has one mount and one path."""
    (mount,) = cgroup.mounts((V2 / "mountinfo").read_text(encoding="utf-8"))
    paths = cgroup.memberships((V2 / "cgroup").read_text(encoding="utf-8"))

    assert (2, ()) == (mount.version, mount.controllers)
    assert "/sys/fs/cgroup/docker/box" == mount.directory(paths[""])


@pytest.mark.parametrize(
    ("root", "path", "place"),
    [
        ("/", "/", "/mnt"),
        ("/", "/docker/abc", "/mnt/docker/abc"),
        ("/docker/abc", "/docker/abc", "/mnt"),
        ("/docker/abc", "/docker/abc/inner", "/mnt/inner"),
        ("/docker/abc", "/docker/abcdef", "/mnt"),
        ("/..", "/", "/mnt"),
    ],
)
def test_a_mount_shows_a_part_of_the_tree(root: str, path: str, place: str) -> None:
    """The directory of a cgroup is its path below what is mounted, or the mount point where that is all there is."""
    assert place == Mount(1, root, "/mnt", ("memory",)).directory(path)


def test_a_field_is_a_whole_word() -> None:
    """One name that ends in another is not taken for it, first and last lines included."""
    data = b"file 1\ninactive_file 2\ntotal_inactive_file 3"

    assert [1, 2, 3, 0] == [
        cgroup.field(data, name) for name in (b"file", b"inactive_file", b"total_inactive_file", b"active")
    ]


def test_this_process_has_a_cgroup() -> None:
    """Whatever the version, CPU time is counted and memory in use is not above the peak."""
    reader = cgroup.own_cgroup()
    counters = reader.read()

    assert reader.version in {1, 2}
    assert counters.cpu_s > 0.0
    assert counters.memory_bytes <= counters.memory_raw_bytes <= counters.memory_peak_bytes
