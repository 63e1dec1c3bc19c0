"""Shrinking a story: what is scaled, what is not, and what that changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios import library, load, load_text
from scenarios import story as told
from scenarios.scale import ChangedRatio, changed_ratios, shrink
from scenarios.story import Law, LiveScale, Story

MIB = 1024**2
TEXT = """\
purpose: Something of every kind, to be shrunk.
duration: 100s
sample_interval: 500ms
hosts: {local: {cpus: 8, memory: 16g, swap: 4g, reserve: 1g}}
containers:
  box: {cpus: 2, mem_limit: 1g, memswap_limit: 2g, cpuset: 0-3, pids_limit: 99, stop_grace_period: 7s}
  free: {cpu_shares: 256}
agents:
  worker:
    count: 3
    container: box
    think: 100ms
    steps:
      - take: {from: bucket, tokens: 60}
      - call: {provider: llm, input_tokens: 10, output_tokens: 20}
      - hold: {uniform: [160m, 320m]}
      - leak: 16k
      - compute: {cpu: {lognormal: {mean: 200ms, cv: 0.5}}, threads: 2}
      - sleep: {exponential: 1s}
      - release
    restart_delay: 2s
rate_limits:
  bucket: {kind: token_bucket, rate: 10, capacity: 100, debt: true}
  window: {kind: rolling_window, limit: 600}
providers:
  llm: {latency: 4s, requests_per_minute: 60, tokens_per_minute: 1000, retry_after: 2s, jitter: 0.5}
goals:
  a: {metric: memory_bytes_max, max: 512m}
  b: {metric: cpu_cores_mean, min: 1, max: 2}
  c: {metric: steps_per_s, min: 3}
  d: {metric: step_latency_s_p95, max: 2s}
  e: {metric: oom_kill_count, max: 2}
  f: {metric: ready_s, max: 10s}
live: {scale: {memory: 1/16, time: 1/10, cpus: 1/2}}
"""


@pytest.fixture(name="full")
def _full() -> Story:
    """A story with something of every kind."""
    return load_text(TEXT, "every-kind")


def test_hosts_and_limits_shrink_by_memory_and_cpus(full: Story) -> None:
    """Sizes by one factor, quotas and cores together by another; weights, counts and grace times stay."""
    small = shrink(full)

    assert (told.Host("local", 4.0, 1024 * MIB, 256 * MIB, 64 * MIB, None),) == small.hosts
    assert (
        told.Container("box", "local", 1.0, 64 * MIB, 128 * MIB, 1024, (0, 1), 99, 7.0),
        told.Container("free", "local", None, None, None, 256, None, 256, 10.0),
    ) == small.containers


def test_workload_and_policies_shrink_by_time(full: Story) -> None:
    """Think, CPU, sleep, latency and back-off get shorter, so rates per second grow; tokens and jitter stay."""
    (group,) = shrink(full).agents

    assert (
        told.Take("bucket", Law("constant", (60.0,))),
        told.Call("llm", Law("constant", (10.0,)), Law("constant", (20.0,))),
        told.Hold(Law("uniform", (10.0 * MIB, 20.0 * MIB))),
        told.Leak(Law("constant", (1024.0,))),
        told.Compute(Law("lognormal", (0.2 * 0.1, 0.5)), 2),
        told.Sleep(Law("exponential", (0.1,))),
        told.Release(),
    ) == group.stages
    assert (Law("constant", (0.1 * 0.1,)), 2 * 0.1) == (group.think_s, group.restart_delay_s)


def test_rate_limits_and_providers_shrink_by_time(full: Story) -> None:
    """Rates per second grow; a window and a provider's minute get shorter, and what they allow stays."""
    small = shrink(full)
    (provider,) = small.providers

    assert (
        told.TokenBucket("bucket", 10 / 0.1, 100.0, 100.0, "shared", debt=True),
        told.RollingWindow("window", 600.0, 6.0, "shared"),
    ) == small.rate_limits
    assert (60.0, 1000.0, 6.0) == (provider.requests_per_minute, provider.tokens_per_minute, provider.window_s)
    assert (0.4, 0.2, 0.5) == (provider.latency_s.numbers[0], provider.retry_after_s, provider.jitter_ratio)


def test_sampling_has_a_floor(full: Story) -> None:
    """The interval drives real probes, so it stops at a tenth of a second; the duration does not."""
    small = shrink(full)

    assert (10.0, 0.1) == (small.duration_s, small.sample_interval_s)


@pytest.mark.parametrize(("every", "every_s"), [("1s", 0.1), ("100ms", 0.02)])
def test_a_probe_shrinks_by_time_and_comes_not_too_often(every: str, every_s: float) -> None:
    """A tenth of the time and of the CPU; fifty times a second is the most, which changes what it asks for."""
    text = TEXT.replace("reserve: 1g}", f"reserve: 1g, probe: {{every: {every}, compute: 20ms}}}}")
    full = load_text(text, "t")
    small = shrink(full)
    changed = {ratio.name for ratio in changed_ratios(full, small)}
    [probe] = [host.probe for host in small.hosts]

    assert probe is not None
    assert pytest.approx([every_s, 0.002]) == [probe.every_s, probe.compute_s]
    assert "local: CPU of its probe per quota period" in changed
    assert (every == "100ms") == ("local: CPU of its probe per time between two" in changed)


def test_goals_shrink_with_what_they_bound(full: Story) -> None:
    """A bound on bytes, cores, rates or times is scaled; one on a count or on the engine's own time is not."""
    bounds = {goal.name: (goal.value_min, goal.value_max) for goal in shrink(full).goals}

    assert {
        "a": (None, 32.0 * MIB),
        "b": (0.5, 1.0),
        "c": (30.0, None),
        "d": (None, pytest.approx(0.2)),
        "e": (None, 2.0),
        "f": (None, 10.0),
    } == bounds


def test_shrinking_twice_is_shrinking_once(full: Story) -> None:
    """The shrunk story's own scale is 1, so nobody can shrink it by mistake."""
    small = shrink(full)

    assert small == shrink(small)
    assert LiveScale(1.0, 1.0, 1.0) == small.live_scale


def test_shrinking_leaves_the_full_story_alone(full: Story) -> None:
    """It is a pure function: the same story in, an equal story out, the argument as it was."""
    before = replace(full)

    assert shrink(full) == shrink(full)
    assert before == full


def test_at_full_scale_nothing_changes() -> None:
    """Without a live scale both worlds run the story as written."""
    story = load("cpu-quota-bursts").story

    assert story is shrink(story)
    assert [] == changed_ratios(story, shrink(story))


def test_the_changed_ratios_name_what_shrinking_did_to_the_physics(full: Story) -> None:
    """Each is between something that was scaled and something that was not, with both values."""
    changed = {ratio.name: (ratio.full, ratio.shrunk) for ratio in changed_ratios(full, shrink(full))}

    # 200 ms of CPU on a quota of 200 ms a period; 20 ms on one of 100 ms.
    assert changed["worker: CPU of a step per quota of one period"] == pytest.approx((1.0, 0.2))
    assert changed["worker: think time per quota period"] == pytest.approx((1.0, 0.1))
    assert changed["worker: threads per core of the host"] == pytest.approx((0.75, 1.5))
    # 240m and 15m on average, on a process of 1 MB.
    assert changed["worker: working set per own memory of its process"] == pytest.approx((251.65824, 15.72864))
    assert changed["samples per run"] == pytest.approx((200, 100))
    assert "free: memory limit per own memory of one agent process" not in changed


def test_scaling_time_alone_keeps_the_load_on_the_cpu() -> None:
    """CPU times and think times shrink together, so the share of the quota that is asked for stays."""
    story = load_text(TEXT.replace("memory: 1/16, time: 1/10, cpus: 1/2", "time: 1/10"), "t")
    names = [ratio.name for ratio in changed_ratios(story, shrink(story))]

    assert "worker: CPU asked for per CPU limit" not in names
    assert "worker: CPU of a step per quota of one period" in names


@pytest.mark.parametrize("name", [entry.name for entry in library()])
def test_every_library_story_shrinks_to_what_docker_takes(name: str) -> None:
    """Limits stay above Docker's own lowest, cores stay whole, and the run stays longer than a second."""
    small = shrink(load(name).story)

    assert small.duration_s >= 1
    assert all(host.cpus_count == int(host.cpus_count) >= 1 for host in small.hosts)
    assert all((container.memory_bytes_limit or 6 * MIB) >= 6 * MIB for container in small.containers)


# What has a life: containers that restart, write and fail.


@pytest.fixture(name="alive")
def _alive(life_text: str) -> Story:
    """Every key of a container's life and every fault, to be halved in memory and cpus and run in a tenth."""
    return load_text(life_text, "life")


def test_a_containers_life_shrinks_only_where_it_is_the_storys(alive: Story) -> None:
    """Its file systems and its own program's delay do; the engine's intervals, restarts and grace do not."""
    before, after = alive.container("worker"), shrink(alive).container("worker")

    assert (told.Tmpfs("/scratch", 32 * MIB), told.Tmpfs("/run", None)) == after.tmpfs
    assert pytest.approx(0.3) == after.start_delay_s
    assert (before.health, before.restart, before.stop_grace_s) == (after.health, after.restart, after.stop_grace_s)
    assert (before.dependencies, before.networks) == (after.dependencies, after.networks)
    assert (alive.networks, alive.container("store").foreign) == (
        shrink(alive).networks,
        shrink(alive).container("store").foreign,
    )


def test_writes_shrink_by_memory(alive: Story) -> None:
    """With the file system they go to; erasing stays."""
    stages = shrink(alive).agents[0].stages

    assert (told.Write(Law("uniform", (0.5 * MIB, 1.0 * MIB))), told.Erase()) == (stages[0], stages[2])


def test_reads_shrink_by_memory_and_a_volume_stays() -> None:
    """What is read is a size like what was written; a volume has no size, only a name and a place."""
    text = TEXT.replace("  free: {cpu_shares: 256}", "  free: {cpu_shares: 256, volumes: ['data:/data']}")
    text = text.replace("container: box\n    think", "container: free\n    think")
    small = shrink(load_text(text.replace("- release\n", "- read: {uniform: [16m, 32m]}\n      - write: 1m\n"), "t"))

    assert (told.Read(Law("uniform", (MIB, 2.0 * MIB))), told.Write(Law("constant", (MIB / 16,)))) == (
        small.agents[0].stages[-2:]
    )
    assert told.Volume("data", "/data") == small.container("free").volume


def test_faults_shrink_with_what_they_strike(alive: Story) -> None:
    """Times, hangs, leaks and lateness by time, sizes by memory, quotas by cpus; an engine is away as long as ever."""

    def at(first_s: float) -> told.When:
        return told.When(Law("constant", (first_s * 0.1,)), None)

    faults = shrink(alive).faults
    crash = faults[1]

    assert isinstance(crash, told.CrashContainer)
    assert Law("exponential", (2.0,)) == crash.when.every_s
    assert (
        told.KillContainer(at(1.0), "plain"),
        told.HangContainer(at(3.0), "worker", 0.5),
        told.KillAgent(at(4.0), "writer"),
        told.LeakMemory(at(5.0), "worker", 32 * MIB, 1.0),
        told.FillDisk(at(6.0), "worker"),
        told.ChangeLimits(at(7.0), "worker", 0.25, 64 * MIB),
        told.ChangeLimits(at(8.0), "plain", 1.0, None),
        told.StrikeHost(at(9.0), "left", "stop", 5.0),
        told.StrikeHost(at(20.0), "left", "crash", 6.0),
        told.StrikeHost(at(50.0), "right", "loss", None),
        told.StrikeHost(at(60.0), "left", "loss", 7.0),
        told.RudeNotices(Law("constant", (0.2,)), 1.0, 0.1, 0.2, 0.3),
    ) == (faults[0], *faults[3:])


def test_what_the_engine_does_in_its_own_time_changes_in_proportion(alive: Story) -> None:
    """Fewer health checks in a shorter run, and more of it without an engine."""
    changed = {ratio.name: (ratio.full, ratio.shrunk) for ratio in changed_ratios(alive, shrink(alive))}

    assert (20.0, 2.0) == changed["worker: health checks per run"]
    assert (0.05, 0.5) == changed["fault 9 (left): time its engine is away per run"]


FULL = load_text(TEXT, "every-kind")
RATIOS = st.sampled_from([1.0, 0.5, 0.25, 0.1, 1 / 3, 1 / 16])


@given(RATIOS, RATIOS, st.sampled_from([1.0, 0.5, 0.25, 0.125]))
def test_any_scale_gives_a_consistent_story(memory: float, time: float, cpus: float) -> None:
    """Whatever the scale, shrinking is idempotent and limits keep their order."""
    story = replace(FULL, live_scale=LiveScale(memory, time, cpus))
    small = shrink(story)
    box = small.container("box")

    assert small == shrink(small)
    assert box.memory_swap_bytes_limit == pytest.approx(2 * (box.memory_bytes_limit or 0), abs=1)
    assert set(box.cpuset_cpus or ()) <= set(range(int(small.hosts[0].cpus_count)))
    assert all(isinstance(ratio, ChangedRatio) for ratio in changed_ratios(story, small))
    assert (memory, time, cpus) == (1.0, 1.0, 1.0) or changed_ratios(story, small)
