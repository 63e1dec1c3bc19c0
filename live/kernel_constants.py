"""Constants of the kernel's scheduler that can be read or worked out, each with the way it was found.

Sources: kernel/sched/fair.c (base slice and its scaling by CPUs), Documentation/scheduler/sched-bwc.rst (slice and
period), clock_getres(2): the coarse clocks advance once a tick.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from live.containers import CPU_PERIOD_US

SLICE_FILE = Path("/proc/sys/kernel/sched_cfs_bandwidth_slice_us")
BASE_SLICE_FILE = Path("/sys/kernel/debug/sched/base_slice_ns")

# The default of `sched_cfs_bandwidth_slice_us`, and the tick of a 250 Hz kernel: what most distributions ship.
SLICE_S_USUAL = 0.005
TICK_S_USUAL = 0.004

# The kernel scales by 1 + log2 of the CPUs, and counts at most eight.
BASE_SLICE_S_PER_SCALE = 0.0007
SCALING_CPUS_MAX = 8

# Fitted on two containers of different weight on two cores, where 100 ms came within 2 % and 20 ms did not
# (measured 2026-11); the kernel's own interval changes with load and cannot be read.
BALANCE_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Constant:
    """A number of seconds, and how it was found."""

    value_s: float
    origin: str


def kernel_constants(cpus_count: int, *, is_this_kernel: bool) -> dict[str, Constant]:
    """The scheduler's constants by their names in a host profile.

    `is_this_kernel` says whether the engine's kernel is the one this process runs on, and so can be asked.
    """
    return {
        "tick_s": _tick(is_this_kernel=is_this_kernel),
        "slice_s": _slice(is_this_kernel=is_this_kernel),
        "period_s": Constant(CPU_PERIOD_US / 1e6, "set by Tonnage on every container with a CPU limit"),
        "base_slice_s": _base_slice(cpus_count, is_this_kernel=is_this_kernel),
        "balance_interval_s": Constant(
            BALANCE_INTERVAL_S, "not measured: fitted to shared cores on the reference machine"
        ),
    }


def _tick(*, is_this_kernel: bool) -> Constant:
    coarse = getattr(time, "CLOCK_MONOTONIC_COARSE", 6)
    if is_this_kernel:
        return Constant(round(time.clock_getres(coarse), 6), "clock_getres(CLOCK_MONOTONIC_COARSE)")
    return Constant(TICK_S_USUAL, "assumed: the engine's kernel is not this one; 250 Hz is usual")


def _slice(*, is_this_kernel: bool) -> Constant:
    if is_this_kernel and SLICE_FILE.exists():
        return Constant(int(SLICE_FILE.read_text(encoding="ascii")) / 1e6, f"read from {SLICE_FILE}")
    return Constant(SLICE_S_USUAL, "assumed: the kernel's default")


def _base_slice(cpus_count: int, *, is_this_kernel: bool) -> Constant:
    if is_this_kernel:
        try:
            return Constant(int(BASE_SLICE_FILE.read_text(encoding="ascii")) / 1e9, f"read from {BASE_SLICE_FILE}")
        except OSError:
            # Debugfs is often not mounted, and never in a container.
            pass
    scale = min(cpus_count, SCALING_CPUS_MAX).bit_length()
    origin = f"worked out: 0.7 ms x (1 + log2 of {cpus_count} CPUs, at most 8), kernel/sched/fair.c"
    return Constant(BASE_SLICE_S_PER_SCALE * scale, origin)
