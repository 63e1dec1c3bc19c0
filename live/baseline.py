"""Measures what only a run shows: the machine's own load beside a run, and how well its kernel spreads work.

A baseline story is run for it: agents without a quota, one more than cores, wait for CPU only as much as the kernel
fails to spread them. It is simulated with a range of values, and those whose waits for CPU are nearest are kept.
No story that predictions are judged by takes part in it.
"""

from __future__ import annotations

import dataclasses
from itertools import product
from math import isfinite
from typing import TYPE_CHECKING

from live.run import replay
from live.spreading import Spread, distance, spread_of
from scenarios import load_text
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Story
    from sim.physics.host_profile import HostProfile

# How often a waking task sees an idle core, and how soon an idle core fetches what was overlooked: a kernel that sees
# them all, or each chance with delays of one tick up to "hardly ever".
CANDIDATES = ((1.0, 0.0), *product((0.75, 0.5, 0.25, 0.0), (0.004, 0.008, 0.016, 0.032, 0.064)))
RUNS_COUNT = 2
DISTURBED_RUNS_MAX = 3
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
        origin = profile.origin | dict.fromkeys(("idle_seen_ratio", "idle_pull_s_mean", "background_cores_mean"), told)
        return dataclasses.replace(profile, origin=origin)
    loaded = dataclasses.replace(profile, background_cores_mean=sum(map(_beside_cores, runs)) / len(runs))
    seen = spread_of((run.recorder.tables["steps"] for run in runs), profile.cpus_count)
    tried = [_with(loaded, *values) for values in CANDIDATES]
    apart, best = min(((distance(seen, _spread(story, one)), one) for one in tried), key=lambda found: found[0])
    if not isfinite(apart):
        told = "not fitted: no values explain the waits of the baseline"
        origin = profile.origin | dict.fromkeys(("idle_seen_ratio", "idle_pull_s_mean"), told)
        return dataclasses.replace(loaded, origin=origin)
    fitted = f"fitted to the waits for CPU of {count} agents without a quota, {seen.mean_s * 1e3:.2f} ms in the mean"
    origin = profile.origin | {
        "idle_seen_ratio": fitted,
        "idle_pull_s_mean": fitted,
        "background_cores_mean": f"driver, engine and everything else beside {len(runs)} runs of {count} agents",
    }
    return dataclasses.replace(best, origin=origin)


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


def _with(profile: HostProfile, idle_seen_ratio: float, idle_pull_s_mean: float) -> HostProfile:
    return dataclasses.replace(profile, idle_seen_ratio=idle_seen_ratio, idle_pull_s_mean=idle_pull_s_mean)


def _spread(story: Story, profile: HostProfile) -> Spread:
    """What a profile predicts of the baseline."""
    runs = (simulate(story, profile=profile, physics_seed=seed) for seed in range(1, REPLICATIONS_COUNT + 1))
    return spread_of((run.recorder.tables["steps"] for run in runs), profile.cpus_count)


def _beside_cores(outcome: Outcome) -> float:
    """What was burnt on the host beside the containers."""
    harness = outcome.harness
    return harness.other_load_cores + harness.harness_cores if harness else 0.0
