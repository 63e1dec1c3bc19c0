"""Reads the counters of the cgroup this process is in, version 1 or 2.

The files stay open and are read anew at offset 0, which costs a third of opening them each time.
Units: version 1 gives CPU and throttled time in nanoseconds, version 2 in microseconds; both add the
throttled time of all CPUs up. Memory is in bytes. Sources: the kernel's documentation,
`admin-guide/cgroup-v1/memory.rst`, `admin-guide/cgroup-v2.rst` and `scheduler/sched-bwc.rst`.
"""

from __future__ import annotations

import os

_READ_BYTES_MAX = 16384


def field(data: bytes, name: bytes) -> int:
    """The number after `name` in a file of `name number` lines; 0 if it is not there."""
    at = data.find(b"\n" + name + b" ")
    if at < 0 and not data.startswith(name + b" "):
        return 0
    start = at + 1 + len(name) + 1
    end = data.find(b"\n", start)
    return int(data[start : end if end >= 0 else len(data)])


class CounterFile:
    """One file of a cgroup, kept open; a file that is not there reads as empty."""

    __slots__ = ("_fd",)

    def __init__(self, directory: str, name: str) -> None:
        try:
            self._fd = os.open(f"{directory}/{name}", os.O_RDONLY)
        except OSError:
            self._fd = -1

    def read(self) -> bytes:
        """The file's present text."""
        return os.pread(self._fd, _READ_BYTES_MAX, 0) if self._fd >= 0 else b""

    def number(self) -> int:
        """The file's present text as one number; 0 if it is empty or says `max`."""
        text = self.read().strip()
        return int(text) if text.isdigit() else 0


class Counters:
    """One reading of a cgroup; the meaning of each is that of the wire's sample."""

    __slots__ = (
        "cpu_s",
        "memory_bytes",
        "memory_peak_bytes",
        "memory_raw_bytes",
        "oom_kills_count",
        "periods_count",
        "throttled_periods_count",
        "throttled_s",
    )

    def __init__(
        self,
        cpu_s: float,
        periods_count: int,
        throttled_periods_count: int,
        throttled_s: float,
        memory_bytes: int,
        memory_raw_bytes: int,
        memory_peak_bytes: int,
        oom_kills_count: int,
    ) -> None:
        self.cpu_s = cpu_s
        self.periods_count = periods_count
        self.throttled_periods_count = throttled_periods_count
        self.throttled_s = throttled_s
        self.memory_bytes = memory_bytes
        self.memory_raw_bytes = memory_raw_bytes
        self.memory_peak_bytes = memory_peak_bytes
        self.oom_kills_count = oom_kills_count


class CgroupV1:
    """Reads version 1, where each controller has a tree of its own."""

    version = 1

    def __init__(self, cpu: str, cpuacct: str, memory: str) -> None:
        self._cpu_stat = CounterFile(cpu, "cpu.stat")
        self._cpu_usage = CounterFile(cpuacct, "cpuacct.usage")
        self._memory_usage = CounterFile(memory, "memory.usage_in_bytes")
        self._memory_stat = CounterFile(memory, "memory.stat")
        self._memory_peak = CounterFile(memory, "memory.max_usage_in_bytes")
        self._oom_control = CounterFile(memory, "memory.oom_control")

    def oom_kills_count(self) -> int:
        """How many processes the kernel has killed for memory so far."""
        return field(self._oom_control.read(), b"oom_kill")

    def read(self) -> Counters:
        """All counters now."""
        cpu = self._cpu_stat.read()
        usage_bytes = self._memory_usage.number()
        inactive_bytes = field(self._memory_stat.read(), b"total_inactive_file")
        return Counters(
            self._cpu_usage.number() / 1e9,
            field(cpu, b"nr_periods"),
            field(cpu, b"nr_throttled"),
            field(cpu, b"throttled_time") / 1e9,
            max(0, usage_bytes - inactive_bytes),
            usage_bytes,
            max(usage_bytes, self._memory_peak.number()),
            self.oom_kills_count(),
        )


class CgroupV2:
    """Reads version 2, the unified tree. `memory.peak` came late to it, so the peak is also tracked here."""

    version = 2

    def __init__(self, directory: str) -> None:
        self._cpu_stat = CounterFile(directory, "cpu.stat")
        self._memory_current = CounterFile(directory, "memory.current")
        self._memory_stat = CounterFile(directory, "memory.stat")
        self._memory_peak = CounterFile(directory, "memory.peak")
        self._memory_events = CounterFile(directory, "memory.events")
        self._peak_bytes = 0

    def oom_kills_count(self) -> int:
        """How many processes the kernel has killed for memory so far."""
        return field(self._memory_events.read(), b"oom_kill")

    def read(self) -> Counters:
        """All counters now."""
        cpu = self._cpu_stat.read()
        usage_bytes = self._memory_current.number()
        self._peak_bytes = max(self._peak_bytes, usage_bytes, self._memory_peak.number())
        return Counters(
            field(cpu, b"usage_usec") / 1e6,
            field(cpu, b"nr_periods"),
            field(cpu, b"nr_throttled"),
            field(cpu, b"throttled_usec") / 1e6,
            max(0, usage_bytes - field(self._memory_stat.read(), b"inactive_file")),
            usage_bytes,
            self._peak_bytes,
            self.oom_kills_count(),
        )


class Mount:
    """One cgroup tree as mounted here: where, which part of the tree, which controllers (none in version 2)."""

    __slots__ = ("controllers", "point", "root", "version")

    def __init__(self, version: int, root: str, point: str, controllers: tuple[str, ...]) -> None:
        self.version = version
        self.root = root
        self.point = point
        self.controllers = controllers

    def directory(self, path: str) -> str:
        """Where the cgroup called `path` lies; the mount point itself where it shows no more than that cgroup."""
        root = self.root.rstrip("/")
        if path != root and not path.startswith(root + "/"):
            return self.point
        return (self.point + path[len(root) :]).rstrip("/")


def mounts(mountinfo: str) -> list[Mount]:
    """The cgroup mounts in the text of `/proc/self/mountinfo`."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        if kind == "cgroup2":
            found.append(Mount(2, root, point, ()))
        elif kind == "cgroup":
            found.append(Mount(1, root, point, tuple(options.split(","))))
    return found


def memberships(proc_cgroup: str) -> dict[str, str]:
    """The cgroup path of each controller in the text of `/proc/self/cgroup`; version 2's key is empty."""
    paths = {}
    for line in proc_cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is too heavy for the container.
        return file.read()


def own_cgroup() -> CgroupV1 | CgroupV2:
    """The reader of the cgroup this process is in."""
    found = mounts(_text("/proc/self/mountinfo"))
    paths = memberships(_text("/proc/self/cgroup"))
    directories: dict[str, str] = {}
    for mount in found:
        for controller in mount.controllers or ("",):
            if controller in paths:
                directories.setdefault(controller, mount.directory(paths[controller]))
    if "memory" in directories:
        return CgroupV1(directories.get("cpu", ""), directories.get("cpuacct", ""), directories["memory"])
    return CgroupV2(directories.get("", "/sys/fs/cgroup"))
