"""Measures what only a run shows: the machine's own load beside a run, and how well its kernel spreads work.

A baseline story is run for it: agents without a quota, one more than cores, wait for CPU only as much as the kernel
fails to spread them. It is simulated with a range of values, and the one whose waits for CPU are nearest is kept.
No story that predictions are judged by takes part in it.
"""

from __future__ import annotations

import dataclasses
from math import ceil, isfinite
from typing import TYPE_CHECKING

from live.run import replay
from live.spreading import Spread, distance, spread_of
from scenarios import load_text
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scenarios import Story
    from sim.physics.host_profile import HostProfile

# How often a waking task sees an idle core, and a core that falls idle looks for work.
CANDIDATES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0)
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


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """A profile with the constant of spreading that explains real runs best, and how well they do.

    `distance_ratio` is `live.spreading.distance` between the runs' waits for CPU and the predicted ones; it is infinite
    where no value explains the runs, and the profile then has its own. `wait_s_mean` is the mean wait in the runs.
    """

    profile: HostProfile
    distance_ratio: float
    wait_s_mean: float


def with_baseline(profile: HostProfile, say: Callable[[str], None]) -> HostProfile:
    """The profile with what the baseline shows; left as it is where no run was undisturbed."""
    count = profile.cpus_count + 1
    text = STORY.format(cpus=profile.cpus_count, count=count, memory_mib=SUPERVISOR_MIB + AGENT_MIB * count)
    story = load_text(text, "baseline")
    say(f"seeing how the kernel spreads {count} agents over {profile.cpus_count} cores")
    runs = _real_runs(story, say)
    if not runs:
        told = "not measured: every run was disturbed"
        origin = profile.origin | dict.fromkeys(("idle_seen_ratio", "background_cores_mean"), told)
        return dataclasses.replace(profile, origin=origin)
    loaded = dataclasses.replace(profile, background_cores_mean=sum(map(_beside_cores, runs)) / len(runs))
    fit = fitted(loaded, story, runs)
    if not isfinite(fit.distance_ratio):
        told = "not fitted: no value explains the waits of the baseline"
        return dataclasses.replace(loaded, origin=profile.origin | {"idle_seen_ratio": told})
    told = f"fitted to the waits for CPU of {count} agents without a quota, {fit.wait_s_mean * 1e3:.2f} ms in the mean"
    origin = profile.origin | {
        "idle_seen_ratio": told,
        "background_cores_mean": f"driver, engine and everything else beside {len(runs)} runs of {count} agents",
    }
    return dataclasses.replace(fit.profile, origin=origin)


def fitted(profile: HostProfile, story: Story, runs: Sequence[Outcome]) -> Fit:
    """The profile with the one of the candidates whose waits for CPU are nearest to those of real runs of a story.

    Nothing else of the profile changes; how its origin is worded is up to whoever chose the story.
    """
    seen = _spread_in(story, runs)
    tried = [dataclasses.replace(profile, idle_seen_ratio=ratio) for ratio in CANDIDATES]
    apart_ratio, best = min(((distance(seen, _spread(story, one)), one) for one in tried), key=lambda found: found[0])
    return Fit(best if isfinite(apart_ratio) else profile, apart_ratio, seen.mean_s)


def as_it_is(profile: HostProfile, story: Story, runs: Sequence[Outcome]) -> Fit:
    """How well a profile explains real runs of a story with the value that it has."""
    seen = _spread_in(story, runs)
    return Fit(profile, distance(seen, _spread(story, profile)), seen.mean_s)


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


def _spread(story: Story, profile: HostProfile) -> Spread:
    """What a profile predicts of a story."""
    seeds = range(1, REPLICATIONS_COUNT + 1)
    return _spread_in(story, (simulate(story, profile=profile, physics_seed=seed) for seed in seeds))


def _spread_in(story: Story, runs: Iterable[Outcome]) -> Spread:
    """What runs of a story show, in either world, on the cores that the story has."""
    cores_count = sum(ceil(host.cpus_count) for host in story.hosts)
    return spread_of((run.recorder.tables["steps"] for run in runs), cores_count)


def _beside_cores(outcome: Outcome) -> float:
    """What was burnt on the host beside the containers."""
    harness = outcome.harness
    return harness.other_load_cores + harness.harness_cores if harness else 0.0
