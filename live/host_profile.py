"""Measures the physics constants of this machine: what `tonnage measure-host` does, in about five minutes."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from live.comparable import OTHER_LOAD_CORES_MAX
from live.host_bench import (
    AGENTS_COUNT,
    FOURS_COUNT,
    IDLE_S,
    OOM_BYTES_LIMIT,
    OOM_KILLS_COUNT,
    PAIRS_COUNT,
    PROBING_S,
    RESTARTS_COUNT,
    SLEEPS_COUNT,
    SPAWNS_COUNT,
    STARTS,
    STEPS_COUNT,
    SUBMITS_COUNT,
    TOUCHES_COUNT,
    WRITES_COUNT,
    Collected,
    HostBench,
    bench_story,
    medians,
)
from live.kernel_constants import kernel_constants
from live.run import held, staged
from live.volume_bench import PARTS_COUNT, VOLUME_COSTS, WHOLES_COUNT, volume_costs
from sim.physics.host_profile import HostProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import docker
    import simpy

    from live.run import Held, Stage

    Say = Callable[[str], None]
    Measured = dict[str, float]

# An engine is faster at one time than at another: in one measurement right after other work on the machine starts took
# 12 % longer, and pairs of them 38 %, than in the half hour after it. So these are measured at the beginning and some
# minutes later at the end.
TWICE = (1, 2)
SINGLE_STARTS_COUNT = 2 * STARTS[1]

# How each measured constant was found, as a person would want to read it beside the figure.
ORIGINS = {
    "create_s_mean": f"median of {SINGLE_STARTS_COUNT} creates, one at a time",
    "start_s_by_concurrency": "engine time of one start by how many are started at once, less create, median of rounds",
    "attach_s_mean": f"asked to start returned, less create and start, median of {SINGLE_STARTS_COUNT}",
    "start_cpu_s": f"container CPU at its first sample, less boot and sample, median of {SINGLE_STARTS_COUNT}",
    "ready_s_mean": f"start returned to supervisor's first word, median of {SINGLE_STARTS_COUNT}, no CPU limit",
    "stop_s_mean": f"stop asked to container removed, median of {SINGLE_STARTS_COUNT}, one at a time",
    "supervisor_memory_bytes": f"memory of a container without agents, its own sample, median of {SINGLE_STARTS_COUNT}",
    "agent_memory_bytes": f"what each of {AGENTS_COUNT} agents that had worked added to it",
    "thread_memory_bytes": f"what each of two threads more added to it, hired at once by {FOURS_COUNT} agents",
    "hire_memory_bytes": f"what a second thread of each of {PAIRS_COUNT} agents added to it, less one of those",
    "probe_memory_bytes": f"highest memory of a container probed for {PROBING_S:.0f} s, less what it has at rest",
    "touch_s_per_byte": f"container CPU to hold 64 MiB after a pause, mean of {TOUCHES_COUNT}",
    "release_s_per_byte": f"container CPU to give 64 MiB back after a pause, mean of {TOUCHES_COUNT}",
    "step_cpu_s": f"container CPU beyond the demand, {STEPS_COUNT} steps of 1 ms in one program",
    "submit_cpu_s": f"container CPU beyond the step, {SUBMITS_COUNT} programs of one step",
    "sample_cpu_s": f"container CPU per own sample over {IDLE_S:.0f} s of idling",
    "wake_s_mean": f"lateness of {SLEEPS_COUNT} sleeps of 5 ms, mean",
    "notice_s_mean": f"step's end on the worker's clock to outcome in the driver, mean of {SUBMITS_COUNT}",
    "oom_kill_cpu_s": f"container CPU of a kill beyond touching and giving back, median of {OOM_KILLS_COUNT}",
    "background_cores_mean": "not measured yet: the baseline tells",
    "idle_seen_ratio": "not measured yet: idle cores are taken as seen",
    "restart_s_mean": f"crash to started anew by the engine, less its wait of 100 ms, median of {RESTARTS_COUNT}",
    "probe_cpu_s": f"container CPU per health probe over {PROBING_S:.0f} s of idling",
    "write_s_per_byte": f"container CPU to write 32 MiB to a tmpfs, mean of {WRITES_COUNT}",
    "append_s_per_byte": f"container CPU to write 8 MiB to a volume after a pause, mean of {PARTS_COUNT}",
    "read_s_per_byte": f"container CPU to read 8 MiB of page cache after a pause, mean of {PARTS_COUNT}",
    "drop_s_per_byte": f"container CPU to delete a file of 8 MiB of page cache, mean of {PARTS_COUNT}",
    "fetch_s_per_byte": f"container CPU to read 96 MiB of a disk, less that of page cache, median of {WHOLES_COUNT}",
    "disk_read_s_per_byte": f"latency beyond CPU of reading 96 MiB of a disk, median of {WHOLES_COUNT}",
    "disk_write_s_per_byte": f"latency of writing what memory has no room for, median of {WHOLES_COUNT}",
    "disk_free_s_per_byte": f"latency beyond CPU of deleting 96 MiB on a disk, median of {WHOLES_COUNT}",
    "respawn_s_mean": f"an agent's first program less its second, medians of {SPAWNS_COUNT}",
}


def measure_host(client: docker.DockerClient, say: Say) -> HostProfile:
    """Measure this machine with real containers; raises EngineBusy and EngineRefused, and leaves nothing behind."""
    with held(client, say) as engine:
        story = bench_story(int(engine.info["NCPU"]), int(engine.info["MemTotal"]))
        collected = Collected()
        with staged(engine, story, collected, say) as stage:
            bench = HostBench(client, stage.env, stage.machine, collected)
            measured: Any = stage.env.run(until=stage.env.process(_measure(bench, say)))
        return _profile(engine, measured, _noise(stage, measured["quiet_s"], say))


def _measure(bench: HostBench, say: Say) -> Generator[simpy.Event, Any, dict[str, Any]]:
    """All experiments, the later ones with what the earlier found."""
    starts: dict[int, list[Measured]] = {}
    # The first start of a new engine or image took 0.4 s longer to create here, and no later run pays that again.
    yield from bench.starts(1, 1)
    for count, rounds in STARTS.items():
        say(f"starting {count} at once, {rounds} times")
        starts[count] = yield from bench.starts(count, rounds)
    say("memory and CPU of the worker")
    yield from bench.up("quiet")
    quiet_from_s = bench.now_s
    found: Measured = yield from bench.idling("quiet")
    found |= yield from bench.memory("quiet")
    found |= yield from bench.steps("quiet", found["sample_cpu_s"])
    found |= yield from bench.submits("quiet", found["sample_cpu_s"], found["step_cpu_s"])
    say("sleeping, forking, touching memory")
    found |= yield from bench.sleeps("quiet")
    found |= yield from bench.spawns("quiet")
    found |= yield from bench.touches("quiet", found["sample_cpu_s"])
    # From here on the engine itself has work, which is no other load.
    quiet_s = (quiet_from_s, bench.now_s)
    yield from bench.down("quiet")
    say("running out of memory")
    yield from bench.up("tight", OOM_BYTES_LIMIT)
    found |= yield from bench.oom_kills("tight", found)
    yield from bench.down("tight")
    say("writing to a tmpfs and a volume, health probes")
    found |= yield from bench.writes("writing", found["sample_cpu_s"])
    yield from bench.down("writing")
    found |= yield from volume_costs(bench, found)
    found |= yield from bench.probes("probed", found["sample_cpu_s"])
    # Nobody samples or is probed beside the starts that follow.
    yield from bench.down("probed")
    say(f"crashing and starting anew, {RESTARTS_COUNT} times")
    found |= yield from bench.restarts()
    for count in TWICE:
        say(f"starting {count} at once, {STARTS[count]} times more")
        starts[count] += yield from bench.starts(count, STARTS[count])
    return {**found, "starts": {count: medians(rounds) for count, rounds in starts.items()}, "quiet_s": quiet_s}


def _noise(stage: Stage, quiet_s: tuple[float, float], say: Say) -> str:
    """What else was going on, for the profile; a warning too where it was enough to spoil the figures."""
    load = stage.watch.between(*quiet_s)
    if load is None:
        return f"other load not known: {stage.watch.unreadable}"
    if load.cores_mean > OTHER_LOAD_CORES_MAX:
        say(f"{load.cores_mean:.2f} cores were busy with something else: measure again when the machine is quiet")
    return f"other load meanwhile: {load.cores_mean:.2f} cores, {load.steal_ratio:.1%} of the CPU stolen"


def _profile(engine: Held, found: dict[str, Any], noise: str) -> HostProfile:
    info = engine.info
    starts: dict[int, Measured] = found["starts"]
    create_s = starts[1]["create_s"]
    is_this_kernel = platform.system() == "Linux" and info["KernelVersion"] == platform.release()
    kernel = kernel_constants(int(info["NCPU"]), is_this_kernel=is_this_kernel)
    return HostProfile(
        name=info["Name"],
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        kernel=info["KernelVersion"],
        engine=info["ServerVersion"],
        cgroup_version=int(info.get("CgroupVersion", "1")),
        cpus_count=int(info["NCPU"]),
        memory_bytes=int(info["MemTotal"]),
        create_s_mean=create_s,
        # What creating takes longer when it is not alone is kept here, so that the two add up to what was seen.
        start_s_by_concurrency={count: seen["start_s"] + seen["create_s"] - create_s for count, seen in starts.items()},
        attach_s_mean=starts[1]["attach_s"],
        ready_s_mean=starts[1]["ready_s"],
        stop_s_mean=starts[1]["stop_s"],
        supervisor_memory_bytes=round(starts[1]["memory"]),
        agent_memory_bytes=round(found["agent_memory_bytes"]),
        touch_s_per_byte=found["touch_s"],
        release_s_per_byte=found["release_s"],
        step_cpu_s=found["step_cpu_s"],
        submit_cpu_s=found["submit_cpu_s"],
        sample_cpu_s=found["sample_cpu_s"],
        wake_s_mean=found["wake_s"],
        notice_s_mean=found["notice_s"],
        oom_kill_cpu_s=found["oom_kill_cpu_s"],
        respawn_s_mean=found["respawn_s"],
        restart_s_mean=found["restart_s"],
        start_cpu_s=max(0.0, starts[1]["cpu"] - starts[1]["ready_s"] - found["sample_cpu_s"]),
        thread_memory_bytes=round(found["thread_memory_bytes"]),
        hire_memory_bytes=round(found["hire_memory_bytes"]),
        probe_memory_bytes=round(found["probe_memory_bytes"]),
        probe_cpu_s=found["probe_cpu_s"],
        write_s_per_byte=found["write_s"],
        **{f"{what}_per_byte": found[what] for what in VOLUME_COSTS},
        idle_seen_ratio=1.0,
        background_cores_mean=0.0,
        origin=ORIGINS | {name: constant.origin for name, constant in kernel.items()} | {"measured_at": noise},
        **{name: constant.value_s for name, constant in kernel.items()},
    )
