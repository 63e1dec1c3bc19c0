"""The baseline that tells how the kernel spreads work and what runs beside it, without an engine."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest

from live import baseline
from scenarios import load
from sim.compare import Harness
from sim.physics.host_profile import load_profile
from sim.run import simulate

if TYPE_CHECKING:
    from scenarios import Story
    from sim.run import Outcome


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seen_ratio", [1.0, 0.5, 0.0])
def test_what_was_simulated_is_found_again(monkeypatch: pytest.MonkeyPatch, seen_ratio: float) -> None:
    """Runs made by the model with a known value are fitted with that candidate or one next to it."""
    told: list[str] = []
    stories: list[Story] = []

    def seen(story: Story, _say: object) -> list[Outcome]:
        stories.append(story)
        true = dataclasses.replace(load_profile(None), idle_seen_ratio=seen_ratio, background_cores_mean=0.05)
        beside = Harness(0.001, 0.03, 0.0, 0.02)
        # Physics seeds that the fit does not use.
        return [
            dataclasses.replace(simulate(story, profile=true, physics_seed=seed), harness=beside) for seed in (98, 99)
        ]

    monkeypatch.setattr(baseline, "_real_runs", seen)

    # It starts from a value that is no candidate, so that a profile left as it was is never near by luck.
    before = dataclasses.replace(load_profile(None), idle_seen_ratio=0.42)
    profile = baseline.with_baseline(before, told.append)

    count = profile.cpus_count + 1
    assert before.idle_seen_ratio not in baseline.CANDIDATES
    candidates = sorted(baseline.CANDIDATES)
    assert abs(candidates.index(profile.idle_seen_ratio) - candidates.index(seen_ratio)) <= 1
    assert profile.background_cores_mean == pytest.approx(0.05)
    assert told == [f"seeing how the kernel spreads {count} agents over {profile.cpus_count} cores"]
    assert stories[0].containers[0].memory_bytes_limit == (64 + 8 * count) * 1024**2


def test_waits_that_nothing_explains_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no candidate has steps like the real ones the constant stays, and its origin says why."""
    before = load_profile(None)
    monkeypatch.setattr(baseline, "distance", lambda _real, _predicted: math.inf)
    monkeypatch.setattr(baseline, "REPLICATIONS_COUNT", 1)
    monkeypatch.setattr(
        baseline,
        "_real_runs",
        lambda story, _say: [
            dataclasses.replace(simulate(story, profile=before), harness=Harness(0.001, 0.03, 0.0, 0.02))
        ],
    )
    after = baseline.with_baseline(before, lambda _text: None)

    assert before.idle_seen_ratio == after.idle_seen_ratio
    assert after.origin["idle_seen_ratio"].startswith("not fitted")
    assert after.background_cores_mean == pytest.approx(0.05)


def test_a_disturbed_baseline_leaves_the_profile_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every run was disturbed the constants stay, and their origin says why."""
    monkeypatch.setattr(baseline, "_real_runs", lambda _story, _say: [])
    before = load_profile(None)
    after = baseline.with_baseline(before, lambda _text: None)

    assert before.idle_seen_ratio == after.idle_seen_ratio
    assert before.background_cores_mean == after.background_cores_mean
    assert after.origin["idle_seen_ratio"] == "not measured: every run was disturbed"
    assert after.origin["background_cores_mean"] == "not measured: every run was disturbed"


@pytest.mark.timeout(60)
def test_a_fit_to_any_story_changes_one_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given runs of a story, the candidate that made them is nearest, and nearer than the profile was."""
    candidates = (1.0, 0.0)
    monkeypatch.setattr(baseline, "CANDIDATES", candidates)
    monkeypatch.setattr(baseline, "REPLICATIONS_COUNT", 3)
    before, true = (dataclasses.replace(load_profile(None), idle_seen_ratio=ratio) for ratio in candidates)
    story = load("cpu-quota-bursts").story
    runs = [simulate(story, profile=true, physics_seed=seed) for seed in (98, 99)]
    fit, unfitted = baseline.fitted(before, story, runs), baseline.as_it_is(before, story, runs)

    assert true == fit.profile
    assert before == unfitted.profile
    assert fit.distance_ratio < unfitted.distance_ratio
    assert fit.wait_s_mean == unfitted.wait_s_mean > 0
