"""Measuring step by step: each step's profile is kept, and no other live run slips into any of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from live import baseline, engine_bench, host_profile
from live.errors import EngineBusy
from live.lock import is_held, live_lock
from live.measuring import measure_and_keep
from sim import places
from sim.physics.host_profile import load_profile

if TYPE_CHECKING:
    import docker

    from sim.physics.host_profile import HostProfile

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]


class Steps:
    """Stands in for the experiments: each puts a figure of its own into the profile."""

    def __init__(self) -> None:
        """Have done none."""
        self.held: list[bool] = []
        self.kept: list[float] = []

    def measure_host(self, _client: object, _say: object) -> HostProfile:
        """The first step holds the engine itself."""
        return dataclasses.replace(load_profile(None), background_cores_mean=1.0)

    def with_engine_start(self, profile: HostProfile, _say: object) -> HostProfile:
        """The second runs while it is held."""
        self._look()
        return dataclasses.replace(profile, background_cores_mean=2.0)

    def with_baseline(self, profile: HostProfile, _say: object) -> HostProfile:
        """The third holds it itself again."""
        self._look()
        return dataclasses.replace(profile, background_cores_mean=3.0)

    def _look(self) -> None:
        self.held.append(is_held())
        self.kept.append(load_profile(places.host_profile()).background_cores_mean)


@pytest.fixture(name="steps")
def _steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.setattr(host_profile, "measure_host", steps.measure_host)
    monkeypatch.setattr(engine_bench, "with_engine_start", steps.with_engine_start)
    monkeypatch.setattr(baseline, "with_baseline", steps.with_baseline)
    return steps


def test_each_step_finds_the_one_before_kept(steps: Steps) -> None:
    """What fails later takes nothing along, and crashing an engine of our own happens while the machine's is held."""
    profile = measure_and_keep(lambda _: None)

    assert [1.0, 2.0] == steps.kept
    assert [True, False] == steps.held
    assert profile == load_profile(places.host_profile())
    assert profile.background_cores_mean == 3.0


def test_another_run_is_not_joined(steps: Steps, docker_engine: docker.DockerClient) -> None:
    """Where another run has the engine by then, the first step's profile is kept and the error names the run."""
    with live_lock("theirs", docker_engine), pytest.raises(EngineBusy, match="run theirs"):
        measure_and_keep(lambda _: None)

    assert steps.held == []
    assert load_profile(places.host_profile()).background_cores_mean == 1.0
