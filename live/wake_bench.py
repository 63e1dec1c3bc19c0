"""Measures how soon an idle core fetches work that waits elsewhere, by a baseline story of its own.

Three agents without a quota on this machine's cores wait for CPU only as much as the kernel fails to spread them.
The story is run for real, simulated with a range of values, and the value whose mean wait for CPU is nearest is kept.
It is a baseline: no story that predictions are judged by takes part in it.
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
REPLICATIONS_COUNT = 10

STORY = """
purpose: Three agents without a quota, to see how the kernel spreads them.
duration: 15s
hosts: {{local: {{cpus: {cpus}, memory: 4g}}}}
containers: {{agents: {{mem_limit: 256m}}}}
agents:
  worker:
    count: {count}
    container: agents
    think: {{exponential: 60ms}}
    steps:
      - compute: {{exponential: 20ms}}
"""


def with_idle_pull(profile: HostProfile, say: Callable[[str], None]) -> HostProfile:
    """The profile with `idle_pull_s_mean` as this machine shows it; left as it is where no run was undisturbed."""
    story = load_text(STORY.format(cpus=profile.cpus_count, count=profile.cpus_count + 1), "baseline")
    say("seeing how the kernel spreads three agents over the cores")
    waits = _real_waits_s(story, say)
    if not waits:
        return dataclasses.replace(profile, origin=profile.origin | {"idle_pull_s_mean": "not measured: disturbed"})
    seen = sum(waits) / len(waits)
    best = min(CANDIDATES_S, key=lambda value: abs(math.log(_predicted_wait_s(story, profile, value) / seen)))
    told = f"fitted to the mean wait for CPU of {profile.cpus_count + 1} agents without a quota: {seen * 1e3:.2f} ms"
    return dataclasses.replace(profile, idle_pull_s_mean=best, origin=profile.origin | {"idle_pull_s_mean": told})


def _real_waits_s(story: Story, say: Callable[[str], None]) -> list[float]:
    """The mean wait for CPU of each undisturbed real run."""
    waits: list[float] = []
    for _ in range(RUNS_COUNT + DISTURBED_RUNS_MAX):
        outcome = replay(story, directory=None, say=lambda _text: None)
        if outcome.comparable:
            waits.append(_wait_s(outcome))
        else:
            say(f"disturbed, once more: {outcome.reasons[0]}")
        if len(waits) == RUNS_COUNT:
            break
    return waits


def _predicted_wait_s(story: Story, profile: HostProfile, idle_pull_s_mean: float) -> float:
    tried = dataclasses.replace(profile, idle_pull_s_mean=idle_pull_s_mean)
    waits = [_wait_s(simulate(story, profile=tried, physics_seed=seed)) for seed in range(1, REPLICATIONS_COUNT + 1)]
    return sum(waits) / len(waits)


def _wait_s(outcome: Outcome) -> float:
    return next(metric.value for metric in outcome.metrics if metric.name == "cpu_wait_s")
