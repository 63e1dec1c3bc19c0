"""Reality in small: what a broken model gets wrong, a real run has as the model has it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from live.run import DockerWorld
from scenarios import load
from scenarios.scale import shrink
from sim.physics.host_profile import load_profile
from sim.run import simulate
from sim.worlds import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from sim.physics.variant import Variant
    from sim.run import Outcome

PROFILE = load_profile(None)
DURATION_S = 10.0
# Other load is no fault of the model: a run that had some is made again, and the last of these is taken as it is.
RUNS_COUNT_MAX = 3
# A real run is at least three times as near to the model as to the broken one.
NEAR_RATIO = 1 / 3


@pytest.mark.docker
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "variant", "metric", "container"),
    [
        ("cpu-quota-bursts", "fluid_quota", "throttled_period_ratio", "agents"),
        ("cpu-weights", "wrong_weights", "cpu_cores_mean", "light"),
        ("memory-oom", "no_oom", "memory_bytes_max", "agents"),
    ],
)
def test_reality_is_near_the_model_and_far_from_a_broken_one(
    name: str, variant: Variant, metric: str, container: str, tmp_path: Path
) -> None:
    """Ten seconds of the story, once: quotas are periods, weights weigh, and memory has a limit."""
    story = replace(shrink(load(name).story), duration_s=DURATION_S)

    def value(outcome: Outcome) -> float:
        return next(found.value for found in outcome.metrics if (found.name, found.container) == (metric, container))

    def predicted(variant: Variant) -> float:
        return value(simulate(story, profile=PROFILE, physics_seed=1, variant=variant))

    def runs() -> list[Outcome]:
        world = DockerWorld(Terms())
        made: list[Outcome] = []
        while len(made) < RUNS_COUNT_MAX and not (made and made[-1].comparable):
            directory = tmp_path / str(len(made))
            made.append(world.run(story, directory=directory, physics_seed=1, say=lambda _text: None))
        return made

    right, broken, real = predicted("kernel"), predicted(variant), value(runs()[-1])
    assert abs(real - right) < NEAR_RATIO * abs(broken - right)
