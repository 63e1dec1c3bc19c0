"""Measures what only a run shows: the machine's own load beside a run, and how soon idle cores fetch waiting work.

A baseline story is run for it: agents without a quota, one more than cores, wait for CPU only as much as the kernel
fails to spread them. It is simulated with a range of values, and the one whose mean wait for CPU is nearest is kept.
No story that predictions are judged by takes part in it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from live.run import replay
from scenarios import load_text
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Story
    from sim.physics.host_profile import HostProfile

# Zero is a kernel that sees its idle cores; the others are powers of two of a tick, up to "hardly ever".
CANDIDATES_S = (0.0, 0.004, 0.008, 0.016, 0.024, 0.032, 0.064, 0.128)
RUNS_COUNT = 2
DISTURBED_RUNS_MAX = 3
# Waits below it are as good as none; a wait of zero has no logarithm.
WAIT_S_MIN = 1e-6
# Room for the supervisor, and for each agent's process.
SUPERVISOR_MIB = 64
AGENT_MIB = 8
REPLICATIONS_COUNT = 10

STORY = """
purpose: One agent more than cores, without a quota, to see how the kernel spreads them.
duration: 15s
hosts: {{local: {{cpus: {cpus}, memory: 4g}}}}
containers: {{agents: {{mem_limit: {memory_mib}m}}}}
agents:
  worker:
    count: {count}
    container: agents
    think: {{exponential: 60ms}}
    steps:
      - compute: {{exponential: 20ms}}
"""


def with_baseline(profile: HostProfile, say: Callable[[str], None]) -> HostProfile:
    """The profile with what the baseline shows; left as it is where no run was undisturbed."""
    count = profile.cpus_count + 1
    text = STORY.format(cpus=profile.cpus_count, count=count, memory_mib=SUPERVISOR_MIB + AGENT_MIB * count)
    story = load_text(text, "baseline")
    say(f"seeing how the kernel spreads {count} agents over {profile.cpus_count} cores")
    runs = _real_runs(story, say)
    if not runs:
        told = "not measured: every run was disturbed"
        origin = profile.origin | {"idle_pull_s_mean": told, "background_cores_mean": told}
        return dataclasses.replace(profile, origin=origin)
    loaded = dataclasses.replace(profile, background_cores_mean=sum(map(_beside_cores, runs)) / len(runs))
    seen = sum(map(_wait_s, runs)) / len(runs)
    best = min(CANDIDATES_S, key=lambda value: _distance(_predicted_wait_s(story, loaded, value), seen))
    origin = profile.origin | {
        "idle_pull_s_mean": f"fitted to the mean wait for CPU of {count} agents without a quota: {seen * 1e3:.2f} ms",
        "background_cores_mean": f"driver, engine and everything else beside {len(runs)} runs of {count} agents",
    }
    return dataclasses.replace(loaded, idle_pull_s_mean=best, origin=origin)


def _real_runs(story: Story, say: Callable[[str], None]) -> list[Outcome]:
    """The undisturbed real runs of the baseline."""
    runs: list[Outcome] = []
    for _ in range(RUNS_COUNT + DISTURBED_RUNS_MAX):
        outcome = replay(story, directory=None, say=lambda _text: None)
        if outcome.comparable:
            runs.append(outcome)
        else:
            say(f"disturbed, once more: {outcome.reasons[0]}")
        if len(runs) == RUNS_COUNT:
            break
    return runs


def _predicted_wait_s(story: Story, profile: HostProfile, idle_pull_s_mean: float) -> float:
    tried = dataclasses.replace(profile, idle_pull_s_mean=idle_pull_s_mean)
    waits = [_wait_s(simulate(story, profile=tried, physics_seed=seed)) for seed in range(1, REPLICATIONS_COUNT + 1)]
    return sum(waits) / len(waits)


def _distance(one_s: float, other_s: float) -> float:
    """How far two waits are apart, as a ratio in either direction; zero where both are as good as none."""
    return abs(math.log(max(one_s, WAIT_S_MIN) / max(other_s, WAIT_S_MIN)))


def _beside_cores(outcome: Outcome) -> float:
    """What was burnt on the host beside the containers."""
    harness = outcome.harness
    return harness.other_load_cores + harness.harness_cores if harness else 0.0


def _wait_s(outcome: Outcome) -> float:
    return next(metric.value for metric in outcome.metrics if metric.name == "cpu_wait_s")
