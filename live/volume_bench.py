"""Measures what files on a volume cost on this machine: CPU to write and read page cache, and waits for the disk.

A container with room for its files shows what memory costs, one without what the disk does: it writes a file twice as
large as its memory, so that page cache gives way to it, and reads it, of which the beginning is never in memory.
Model: `sim/physics/storage.py`.
"""

from __future__ import annotations

from statistics import mean, median
from typing import TYPE_CHECKING, Any

from scenarios.story import Volume
from sim.machine import Erase, Read, Step, Write
from sim.physics.page_cache import RECORD_RATIO

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from live.host_bench import HostBench
    from sim.machine import Work

MIB = 1024 * 1024
# What an agent reads or writes in a step, and how often.
PART_BYTES = 8 * MIB
PARTS_COUNT = 16
ROOMY_BYTES_LIMIT = 128 * MIB
SMALL_BYTES_LIMIT = 48 * MIB
# Twice what fits, so that no page of it is in memory any more when it is read from its beginning.
WHOLE_BYTES = 96 * MIB
WHOLES_COUNT = 8
PAUSE_S = 0.2

Costs = dict[str, float]
VOLUME_COSTS = ("append_s", "read_s", "drop_s", "fetch_s", "disk_write_s", "disk_read_s", "disk_free_s")


def volume_costs(bench: HostBench, found: Costs) -> Generator[simpy.Event, Any, Costs]:
    """All constants of volumes, in seconds per byte, with what was `found` about the worker before."""
    overhead_s = found["step_cpu_s"] + found["submit_cpu_s"]
    yield from bench.up("roomy", ROOMY_BYTES_LIMIT, volume=Volume("roomy", "/disk"))
    costs: Costs = yield from _in_memory(bench, found["sample_cpu_s"], overhead_s)
    yield from bench.down("roomy")
    yield from bench.up("small", SMALL_BYTES_LIMIT, volume=Volume("small", "/disk"))
    costs |= yield from _from_disk(bench, found["sample_cpu_s"], overhead_s, costs)
    yield from bench.down("small")
    return costs


def _in_memory(bench: HostBench, sample_cpu_s: float, overhead_s: float) -> Generator[simpy.Event, Any, Costs]:
    """CPU to append, to read what is in memory, and to delete it."""
    works: dict[str, Work] = {"append_s": Write(PART_BYTES), "read_s": Read(PART_BYTES), "drop_s": Erase()}
    used_s: dict[str, list[float]] = {what: [] for what in works}
    # The first step of an agent pays for its process.
    yield from _step(bench, "roomy", Erase(), sample_cpu_s)
    for _ in range(PARTS_COUNT):
        for what, work in works.items():
            cpu_s, _latency_s = yield from _step(bench, "roomy", work, sample_cpu_s)
            used_s[what].append(cpu_s - overhead_s)
    return {what: max(0.0, mean(times)) / PART_BYTES for what, times in used_s.items()}


def _from_disk(
    bench: HostBench, sample_cpu_s: float, overhead_s: float, costs: Costs
) -> Generator[simpy.Event, Any, Costs]:
    """CPU to read what is not in memory, beyond reading it, and what each kind of request waits for the disk."""
    fetch_s: list[float] = []
    waits_s: dict[str, list[float]] = {what: [] for what in ("disk_write_s", "disk_read_s", "disk_free_s")}
    yield from _step(bench, "small", Erase(), sample_cpu_s)
    for _ in range(WHOLES_COUNT):
        before = yield from bench.counters("small")
        room_bytes = (SMALL_BYTES_LIMIT - before.memory_raw_bytes) / (1 + RECORD_RATIO)
        cpu_s, latency_s = yield from _step(bench, "small", Write(WHOLE_BYTES), sample_cpu_s)
        # Beyond that room the writer is as fast as the disk, which works while it does.
        written_back_s = latency_s - costs["append_s"] * room_bytes
        waits_s["disk_write_s"].append(written_back_s / (WHOLE_BYTES - room_bytes))
        cpu_s, latency_s = yield from _step(bench, "small", Read(WHOLE_BYTES), sample_cpu_s)
        fetch_s.append((cpu_s - overhead_s) / WHOLE_BYTES - costs["read_s"])
        waits_s["disk_read_s"].append((latency_s - cpu_s + overhead_s) / WHOLE_BYTES)
        cpu_s, latency_s = yield from _step(bench, "small", Erase(), sample_cpu_s)
        waits_s["disk_free_s"].append((latency_s - cpu_s + overhead_s) / WHOLE_BYTES)
    return {what: max(0.0, median(times)) for what, times in ({"fetch_s": fetch_s} | waits_s).items()}


def _step(
    bench: HostBench, name: str, work: Work, sample_cpu_s: float
) -> Generator[simpy.Event, Any, tuple[float, float]]:
    """The CPU a step of one stage takes after a pause, with handing it over, and its latency."""
    yield bench.rest(PAUSE_S)
    used_s = yield from bench.cpu_of(name, sample_cpu_s, [("filing", (Step(0, None, 0.0, (work,)),))])
    return used_s, bench.last_latency_s
