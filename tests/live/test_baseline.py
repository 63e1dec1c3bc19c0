"""The baseline that tells how the kernel spreads work and what runs beside it, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from live import baseline
from sim.compare import Harness
from sim.metrics import Metric
from sim.physics.host_profile import load_profile
from sim.record import Recorder
from sim.run import Outcome

if TYPE_CHECKING:
    from scenarios import Story


def run(wait_s: float) -> Outcome:
    """A real run with this mean wait for CPU, beside 0.03 cores of other load and 0.02 of harness."""
    wait = Metric("cpu_wait_s", "agents", "physics", "s", wait_s)
    return Outcome("docker", (wait,), (), (), Recorder(None), None, harness=Harness(0.001, 0.03, 0.0, 0.02))


@pytest.mark.parametrize(("seen_s", "best_s"), [(0.0, 0.0), (0.016, 0.016), (0.5, 0.128)])
def test_the_nearest_candidate_is_kept(monkeypatch: pytest.MonkeyPatch, seen_s: float, best_s: float) -> None:
    """Waits of zero, seen or predicted, are as good as none and fail nothing; the agents have the room they need."""
    told: list[str] = []
    stories: list[Story] = []

    def seen(story: Story, _say: object) -> list[Outcome]:
        stories.append(story)
        return [run(seen_s)]

    monkeypatch.setattr(baseline, "_real_runs", seen)
    monkeypatch.setattr(baseline, "_predicted_wait_s", lambda _story, _profile, value: value)

    profile = baseline.with_baseline(load_profile(None), told.append)

    count = profile.cpus_count + 1
    assert profile.idle_pull_s_mean == best_s
    assert profile.background_cores_mean == pytest.approx(0.05)
    assert told == [f"seeing how the kernel spreads {count} agents over {profile.cpus_count} cores"]
    assert stories[0].containers[0].memory_bytes_limit == (64 + 8 * count) * 1024**2


def test_a_disturbed_baseline_leaves_the_profile_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every run was disturbed the constants stay, and their origin says why."""
    monkeypatch.setattr(baseline, "_real_runs", lambda _story, _say: [])
    before = load_profile(None)
    after = baseline.with_baseline(before, lambda _text: None)

    assert after.idle_pull_s_mean == before.idle_pull_s_mean
    assert after.origin["background_cores_mean"] == "not measured: every run was disturbed"
