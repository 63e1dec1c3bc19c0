"""A story performed in virtual time, from the first start to the last stop."""

from __future__ import annotations

import dataclasses

import pytest

from scenarios import Story, load
from scenarios.scale import shrink
from sim.physics.host_profile import load_profile
from sim.run import Outcome, simulate

PROFILE = load_profile(None)


def story(name: str, **sets: str) -> Story:
    """A library story, shrunk, with values set."""
    return shrink(load(name, sets=[(path.replace("__", "."), value) for path, value in sets.items()]).story)


def metric(outcome: Outcome, name: str, container: str | None = "agents") -> float:
    """One metric's value."""
    return {(one.name, one.container): one.value for one in outcome.metrics}[name, container]


@pytest.mark.parametrize("name", ["agent-ecology", "cpu-quota-bursts", "memory-oom", "cpu-weights"])
def test_library_stories_break_no_law(name: str) -> None:
    """Every library story runs to its end, in full and shrunk, and every invariant holds."""
    for one in (load(name).story, story(name)):
        outcome = simulate(one, profile=PROFILE)

        assert [] == [check for check in outcome.checks if not check.ok]
        assert all(goal.value is not None for goal in outcome.goals)


def test_bucket_sets_the_pace_of_agent_ecology() -> None:
    """Sixty tokens a step at ten a second is a step each six seconds and agent, once the first hundred are spent."""
    outcome = simulate(load("agent-ecology").story, profile=PROFILE)

    assert 5 / 6 == pytest.approx(metric(outcome, "steps_per_s"), rel=0.06)
    assert 0 < metric(outcome, "debt_tokens_max", None) <= 60 + 1e-6
    assert metric(outcome, "token_wait_s_mean", None) > 0


def test_memory_kills_are_survived() -> None:
    """In the memory story processes die, their steps are lost, all agents and the container live on."""
    outcome = simulate(story("memory-oom"), profile=PROFILE)
    events = outcome.recorder.tables["events"]

    assert 5 <= metric(outcome, "oom_kill_count") <= 30
    assert 0.8 < metric(outcome, "completion_ratio") < 1
    assert events["what"].count("lost") == events["what"].count("process_killed")
    assert 4 == metric(outcome, "agents_up_count", None)


def test_agents_that_stop_on_a_kill_are_gone() -> None:
    """With `on_kill: stop` every killed agent stays away, and the figure says so."""
    base = story("memory-oom")
    agents = tuple(dataclasses.replace(group, on_kill="stop") for group in base.agents)
    outcome = simulate(dataclasses.replace(base, agents=agents), profile=PROFILE)

    assert 4 - metric(outcome, "oom_kill_count") <= metric(outcome, "agents_up_count", None) < 4


def test_memory_of_the_main_process_ends_the_container() -> None:
    """Agents that live in PID 1 take the container with them."""
    base = story("memory-oom")
    agents = tuple(dataclasses.replace(group, process="main") for group in base.agents)
    outcome = simulate(dataclasses.replace(base, agents=agents), profile=PROFILE)

    assert 0 == metric(outcome, "containers_up_count", None)
    assert 0 == metric(outcome, "agents_up_count", None)
    assert "died" in outcome.recorder.tables["events"]["what"]


def test_weights_favour_the_heavier() -> None:
    """With four times the shares a container finishes more, and waits less per step."""
    outcome = simulate(load("cpu-weights").story, profile=PROFILE)
    names = [container.name for container in load("cpu-weights").story.containers]
    rates = [metric(outcome, "steps_per_s", name) for name in names]

    assert max(rates) > 1.2 * min(rates)
    assert sum(rates) == pytest.approx(metric(outcome, "steps_per_s", None))


@pytest.mark.parametrize(
    ("variant", "name", "told"),
    [
        ("fluid_quota", "cpu-quota-bursts", "step_latency_s_mean"),
        ("no_oom", "memory-oom", "oom_kill_count"),
    ],
)
def test_broken_physics_shows(variant: str, name: str, told: str) -> None:
    """Each negative control moves the metric it is there to move by more than a third."""
    right = metric(simulate(story(name), profile=PROFILE), told)
    wrong = metric(simulate(story(name), profile=PROFILE, variant=variant), told)  # type: ignore[arg-type]

    assert abs(wrong / right - 1) > 1 / 3


def test_other_load_slows_a_story_down() -> None:
    """A core taken by somebody else leaves less for two containers that want both."""
    one = load("cpu-weights").story
    free = simulate(one, profile=PROFILE)
    loaded = simulate(one, profile=PROFILE, other_load_cores=0.8)

    assert metric(loaded, "steps_per_s", None) < 0.95 * metric(free, "steps_per_s", None)


def test_seed_of_the_workload_changes_the_workload() -> None:
    """Another workload seed is another story; another physics seed is the same story on another day."""
    one = story("cpu-quota-bursts")
    same = [simulate(one, profile=PROFILE, physics_seed=seed).recorder.tables["steps"] for seed in (1, 2)]
    other = simulate(dataclasses.replace(one, seed=99), profile=PROFILE).recorder.tables["steps"]

    demands = [
        {
            (agent, index): round(cpu_s, 9)
            for agent, index, cpu_s in zip(t["agent"], t["index"], t["cpu_s"], strict=True)
        }
        for t in (*same, other)
    ]
    shared = demands[0].keys() & demands[1].keys()
    assert all(demands[0][key] == demands[1][key] for key in shared)
    assert any(demands[0][key] != demands[2][key] for key in shared & demands[2].keys())
