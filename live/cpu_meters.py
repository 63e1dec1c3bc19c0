"""Counters of CPU time: of the whole host, of a container, of the processes that make up the harness.

The host's total is read where the kernel keeps it exactly (the root of cgroup v1's cpuacct);
elsewhere from /proc/stat, which is sampled at ticks and so right to about a hundredth of a core over half a minute.
Sources: proc(5), Documentation/admin-guide/cgroup-v1/cpuacct.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpuacct", "cpu,cpuacct", "cpuacct,cpu")
PROC_STAT = Path("/proc/stat")
# Where engines put a container's cgroup: Docker and Podman, each without systemd and with it.
CONTAINER_PLACES = (
    "docker/{}",
    "system.slice/docker-{}.scope",
    "libpod_parent/libpod-{}",
    "machine.slice/libpod-{}.scope",
)
ENGINE_PROCESS_NAMES = ("dockerd", "containerd", "docker-proxy", "rootlesskit", "podman", "conmon")
# Those of them that are there as long as the engine; the others come and go with containers.
LASTING_NAMES = frozenset({"dockerd", "containerd"})
# How often engine processes are looked for anew; one found late counts in full, since its counter began at zero.
# For as long after the engine itself ended they are looked for at each reading: the next one should be found at once.
DISCOVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class HostTimes:
    """The host's CPU seconds since boot, all cores together."""

    busy_s: float
    steal_s: float
    total_s: float


def host_times() -> HostTimes:
    """The host's counters now; OSError where there is no /proc."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    fields = PROC_STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    # In proc(5)'s order; guest time is part of user time.
    user, nice, system, idle, iowait, irq, softirq, steal = (int(field) / ticks_per_s for field in fields[:8])
    sampled_s = user + nice + system + irq + softirq
    exact_s = _exact_busy_s()
    return HostTimes(
        busy_s=sampled_s if exact_s is None else exact_s,
        steal_s=steal,
        total_s=sampled_s + idle + iowait + steal,
    )


def container_cpu_s(container_id: str) -> float | None:
    """A container's CPU seconds as the host's cgroups have them; None where they cannot be read from here."""
    places = [place.format(container_id) for place in CONTAINER_PLACES]
    for controller in V1_CONTROLLERS:
        for place in places:
            usage = _read(CGROUPS / controller / place / "cpuacct.usage")
            if usage is not None:
                return int(usage) / 1e9
    for place in places:
        stat = _read(CGROUPS / place / "cpu.stat")
        if stat is not None:
            return _usage_usec(stat) / 1e6
    return None


class EngineMeter:
    """The CPU seconds of the engine's own processes, those of containers not included."""

    def __init__(self) -> None:
        """Begin with no process known."""
        self._processes: dict[int, psutil.Process] = {}
        self._lasting_pids: set[int] = set()
        self._cpu_s_by_pid: dict[int, float] = {}
        self._discover_at_s = 0.0
        self._missing_until_s = 0.0

    def cpu_s(self) -> float:
        """The CPU seconds of all engine processes seen so far, ended ones included."""
        if time.monotonic() >= self._discover_at_s or time.monotonic() < self._missing_until_s:
            self._discover()
        for pid, process in tuple(self._processes.items()):
            try:
                times = process.cpu_times()
            except psutil.Error:
                self._forget(pid)
                continue
            self._cpu_s_by_pid[pid] = times.user + times.system
        return sum(self._cpu_s_by_pid.values())

    def _discover(self) -> None:
        self._discover_at_s = time.monotonic() + DISCOVERY_S
        for process in psutil.process_iter(["name"]):
            name = process.info["name"] or ""
            if name.startswith(ENGINE_PROCESS_NAMES) and process.pid not in self._processes:
                self._processes[process.pid] = process
                if name in LASTING_NAMES:
                    self._lasting_pids.add(process.pid)

    def _forget(self, pid: int) -> None:
        del self._processes[pid]
        if pid in self._lasting_pids:
            self._lasting_pids.remove(pid)
            self._missing_until_s = time.monotonic() + DISCOVERY_S


def driver_cpu_s() -> float:
    """The CPU seconds of this process, all threads."""
    return time.process_time()


def _exact_busy_s() -> float | None:
    for controller in V1_CONTROLLERS:
        usage = _read(CGROUPS / controller / "cpuacct.usage")
        if usage is not None:
            return int(usage) / 1e9
    return None


def _usage_usec(stat: str) -> int:
    return next(int(line.split()[1]) for line in stat.splitlines() if line.startswith("usage_usec"))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
