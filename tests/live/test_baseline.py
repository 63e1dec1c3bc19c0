"""The baseline that tells how the kernel spreads work and what runs beside it, without an engine."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest

from live import baseline
from sim.compare import Harness
from sim.physics.host_profile import load_profile
from sim.run import simulate

if TYPE_CHECKING:
    from scenarios import Story
    from sim.run import Outcome


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("seen_ratio", "pull_s"), [(1.0, 0.0), (0.0, 0.064), (0.5, 0.008)])
def test_what_was_simulated_is_found_again(monkeypatch: pytest.MonkeyPatch, seen_ratio: float, pull_s: float) -> None:
    """Runs made by the model with known values are fitted with those values or their neighbours."""
    told: list[str] = []
    stories: list[Story] = []

    def seen(story: Story, _say: object) -> list[Outcome]:
        stories.append(story)
        true = dataclasses.replace(
            load_profile(None), idle_seen_ratio=seen_ratio, idle_pull_s_mean=pull_s, background_cores_mean=0.05
        )
        beside = Harness(0.001, 0.03, 0.0, 0.02)
        # Physics seeds that the fit does not use.
        return [
            dataclasses.replace(simulate(story, profile=true, physics_seed=seed), harness=beside) for seed in (98, 99)
        ]

    monkeypatch.setattr(baseline, "_real_runs", seen)

    profile = baseline.with_baseline(load_profile(None), told.append)

    count = profile.cpus_count + 1
    assert profile.idle_seen_ratio == pytest.approx(seen_ratio, abs=0.25)
    pulls_s = sorted({pull_s for _, pull_s in baseline.CANDIDATES})
    assert abs(pulls_s.index(profile.idle_pull_s_mean) - pulls_s.index(pull_s)) <= 1
    assert profile.background_cores_mean == pytest.approx(0.05)
    assert told == [f"seeing how the kernel spreads {count} agents over {profile.cpus_count} cores"]
    assert stories[0].containers[0].memory_bytes_limit == (64 + 8 * count) * 1024**2


def test_waits_that_nothing_explains_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no candidate has steps like the real ones the constants stay, and their origin says why."""
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

    assert (after.idle_seen_ratio, after.idle_pull_s_mean) == (before.idle_seen_ratio, before.idle_pull_s_mean)
    assert after.origin["idle_seen_ratio"].startswith("not fitted")
    assert after.background_cores_mean == pytest.approx(0.05)


def test_a_disturbed_baseline_leaves_the_profile_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every run was disturbed the constants stay, and their origin says why."""
    monkeypatch.setattr(baseline, "_real_runs", lambda _story, _say: [])
    before = load_profile(None)
    after = baseline.with_baseline(before, lambda _text: None)

    assert (after.idle_seen_ratio, after.idle_pull_s_mean) == (before.idle_seen_ratio, before.idle_pull_s_mean)
    assert after.origin["background_cores_mean"] == "not measured: every run was disturbed"
