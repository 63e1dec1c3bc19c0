"""A host profile: the physics constants of one machine, each with the way it was measured.

`tonnage measure-host` writes one; without it the reference profile that ships beside this file is used.
Constants come from a profile and never from the runs they are judged by.
Source of the meanings: kernel/sched/fair.c (tick, slice, period, base slice), Docker's API (create, start).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from sim.errors import ProfileError

REFERENCE = Path(__file__).with_name("reference_profile.json")

# Constants that a profile may lack, and where the values come from that stand in for them.
ESTIMATES = {
    "restart_s_mean": "not measured: the time of a first start, create left out",
    "probe_cpu_s": "not measured: the order of magnitude of an interpreter's start",
    "write_s_per_byte": "not measured: the order of magnitude of a page fault and a copy",
    "append_s_per_byte": "not measured: what appending to a volume took on the reference machine",
    "read_s_per_byte": "not measured: what reading from memory took on the reference machine",
    "fetch_s_per_byte": "not measured: what reading from a disk took besides on the reference machine",
    "drop_s_per_byte": "not measured: what deleting a file took on the reference machine",
    "disk_read_s_per_byte": "not measured: the wait for the reference machine's disk",
    "disk_write_s_per_byte": "not measured: the wait for the reference machine's disk",
    "disk_free_s_per_byte": "not measured: the wait for the reference machine's disk",
    "engine_start_s_mean": "not measured: the upper end of 0.15 to 0.7 s seen on the reference machine",
    "start_cpu_s": "not measured: what a start cost its container on the reference machine",
    "thread_memory_bytes": "not measured: what a worker's thread occupied on the reference machine",
    "hire_memory_bytes": "not measured: counted with the threads",
    "probe_memory_bytes": "not measured: what a probe's interpreter occupied on the reference machine",
}

# Constants that older profiles have and no model takes any more.
RETIRED = frozenset({"idle_pull_s_mean"})


STARTS = ("create_s_mean", "start_s_by_concurrency", "restart_s_mean")
TOUCHES = ("touch_s_per_byte", "release_s_per_byte", "write_s_per_byte")


@dataclass(frozen=True, slots=True)
class Pace:
    """What changes on a host within minutes, by up to a third: measured beside real runs in a container of its own.

    `start_s` is create and start of one container on an engine at rest; the others are CPU per byte of memory.
    """

    start_s: float
    touch_s_per_byte: float
    release_s_per_byte: float


@dataclass(frozen=True, slots=True)
class HostProfile:
    """The constants of one machine, in seconds, bytes and cores; `origin` says per constant how it was measured.

    Names with `_mean` are what the model takes for a mean; those of container life are measured as medians.
    `start_s_by_concurrency` maps how many starts were under way at once to the time each took.
    `idle_seen_ratio` is how often a waking task whose last core is busy sees an idle one, and how often a core that
    falls idle looks for work: 1 on a plain kernel, less in a virtual machine whose halted CPUs count as preempted.
    `background_cores_mean` is what driver, engine and the rest of the machine burn beside the containers of a live run.
    `oom_kill_cpu_s` is what a kill over the limit costs the container beyond giving the victim's memory back.
    `step_cpu_s`, `submit_cpu_s` and `sample_cpu_s` are CPU that the harness itself burns in the container.

    The constants after `origin` may be missing in a profile that was written before they were known; `ESTIMATES` says
    where their values come from then. `restart_s_mean` is the engine's time from the end of a back-off until the
    container is started anew, alone; None takes that of a first start. `probe_cpu_s` is what one health probe costs
    the container, `engine_start_s_mean` what an engine takes from its own start until it answers. `start_cpu_s` is what
    the engine's own work to start a container costs that container, beside what its first process burns itself.
    `thread_memory_bytes` is what each further thread of an agent occupies (the worker has a process for each), and
    `hire_memory_bytes` what the agent itself does besides whenever it gets some: pages that it no longer shares.
    `probe_memory_bytes` is what a health probe occupies while it runs.
    On a volume, in CPU per byte: `append_s_per_byte` to write into page cache, `read_s_per_byte` to read what is in
    memory (on a tmpfs, too), `fetch_s_per_byte` more for what is not, `drop_s_per_byte` to delete what is in memory.
    The three of the `disk` are what a process waits for it, per byte: to read, to have dirty pages written back, to
    give place back.
    """

    name: str
    measured_at: str
    kernel: str
    engine: str
    cgroup_version: int
    cpus_count: int
    memory_bytes: int
    tick_s: float
    slice_s: float
    period_s: float
    base_slice_s: float
    balance_interval_s: float
    idle_seen_ratio: float
    background_cores_mean: float
    create_s_mean: float
    start_s_by_concurrency: dict[int, float]
    attach_s_mean: float
    ready_s_mean: float
    stop_s_mean: float
    supervisor_memory_bytes: int
    agent_memory_bytes: int
    touch_s_per_byte: float
    release_s_per_byte: float
    step_cpu_s: float
    submit_cpu_s: float
    sample_cpu_s: float
    wake_s_mean: float
    notice_s_mean: float
    oom_kill_cpu_s: float
    respawn_s_mean: float
    origin: dict[str, str]
    restart_s_mean: float | None = None
    probe_cpu_s: float = 0.02
    write_s_per_byte: float = 6e-10
    engine_start_s_mean: float = 0.7
    start_cpu_s: float = 0.022
    thread_memory_bytes: int = 786_432
    probe_memory_bytes: int = 3_000_000
    hire_memory_bytes: int = 0
    append_s_per_byte: float = 2.1e-10
    read_s_per_byte: float = 1.3e-10
    fetch_s_per_byte: float = 5e-11
    drop_s_per_byte: float = 6.3e-11
    disk_read_s_per_byte: float = 4.6e-10
    disk_write_s_per_byte: float = 7e-10
    disk_free_s_per_byte: float = 1.4e-10

    def __post_init__(self) -> None:
        """Name the origin of the constants that nobody measured."""
        object.__setattr__(self, "origin", ESTIMATES | self.origin)

    def to_json(self) -> dict[str, object]:
        """The profile as JSON-ready data; keys of `start_s_by_concurrency` become strings."""
        data = asdict(self)
        data["start_s_by_concurrency"] = {str(count): s for count, s in self.start_s_by_concurrency.items()}
        return data

    def at_pace(self, pace: Pace | None) -> HostProfile:
        """The profile with what changes within minutes as it is just now; unchanged where nobody measured that.

        All starts are as much slower or faster as a lone one is, and writing changes as touching does.
        """
        if pace is None:
            return self
        start_ratio = pace.start_s / (self.create_s_mean + self.start_s(1))
        touch_ratio = pace.touch_s_per_byte / self.touch_s_per_byte
        told = f"times {start_ratio:.2f}, the pace of starts beside the real runs"
        origin = {name: f"{self.origin.get(name, '')}; {told}" for name in STARTS}
        writing = f"{self.origin.get('write_s_per_byte', '')}; times {touch_ratio:.2f}, as touching is"
        return replace(
            self,
            create_s_mean=self.create_s_mean * start_ratio,
            start_s_by_concurrency={count: s * start_ratio for count, s in self.start_s_by_concurrency.items()},
            restart_s_mean=None if self.restart_s_mean is None else self.restart_s_mean * start_ratio,
            touch_s_per_byte=pace.touch_s_per_byte,
            release_s_per_byte=pace.release_s_per_byte,
            write_s_per_byte=self.write_s_per_byte * touch_ratio,
            origin=self.origin
            | origin
            | dict.fromkeys(TOUCHES, "container CPU beside the real runs")
            | {"write_s_per_byte": writing},
        )

    def start_s(self, concurrency: int) -> float:
        """The time one start takes while `concurrency` starts are under way, by linear interpolation."""
        known = sorted(self.start_s_by_concurrency.items())
        below = known[0]
        for above in known:
            if above[0] >= concurrency:
                if above[0] == below[0]:
                    return above[1]
                share = (concurrency - below[0]) / (above[0] - below[0])
                return below[1] + share * (above[1] - below[1])
            below = above
        return below[1] * concurrency / below[0]

    def start_anew_s(self, concurrency: int) -> float:
        """As `start_s`, for a container that was created before; beside others it grows in the same proportion."""
        if self.restart_s_mean is None:
            return self.start_s(concurrency)
        return self.restart_s_mean * self.start_s(concurrency) / self.start_s(1)


def profile_from_json(data: dict[str, object], place: str) -> HostProfile:
    """A profile from JSON data; ProfileError names `place` and the first key that is missing or unknown."""
    names = [field.name for field in fields(HostProfile)]
    missing = [name for name in names if name not in data and name not in ESTIMATES]
    unknown = [name for name in data if name not in names and name not in RETIRED]
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has the unknown key {unknown[0]}"
        raise ProfileError(place, what)
    starts = data["start_s_by_concurrency"]
    if not isinstance(starts, dict) or not starts:
        raise ProfileError(place, "has no start times by concurrency")
    values = {name: value for name, value in data.items() if name not in RETIRED}
    values["start_s_by_concurrency"] = {int(count): float(s) for count, s in starts.items()}
    return HostProfile(**values)  # type: ignore[arg-type]  # The keys were checked just above.


def load_profile(path: Path | None) -> HostProfile:
    """The profile in `path`, or the reference profile where `path` is None or does not exist."""
    chosen = path if path is not None and path.exists() else REFERENCE
    try:
        data = json.loads(chosen.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ProfileError(str(chosen), f"cannot be read ({problem})") from None
    if not isinstance(data, dict):
        raise ProfileError(str(chosen), "is not a JSON object")
    return profile_from_json(data, str(chosen))
