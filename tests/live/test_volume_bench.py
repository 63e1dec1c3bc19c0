"""The bench of volumes, on a simulated machine: it must give back the constants that the machine is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from live.host_bench import Collected, HostBench, bench_story
from live.volume_bench import VOLUME_COSTS, volume_costs
from sim.physics.host_profile import load_profile
from sim.run import simulated_bench

if TYPE_CHECKING:
    import docker

    from live.docker_machine import DockerMachine
    from live.real_time import LiveEnvironment

PROFILE = load_profile(None)
GIB = 1024**3


def measured() -> dict[str, float]:
    """What the bench finds on a machine of the reference profile."""
    heard = Collected()
    env, machine = simulated_bench(bench_story(2, 8 * GIB), heard, PROFILE)
    # It asks the machine alone, which is the same port in both worlds, and lets time pass.
    bench = HostBench(
        cast("docker.DockerClient", None), cast("LiveEnvironment", env), cast("DockerMachine", machine), heard
    )
    worker = {"step_cpu_s": PROFILE.step_cpu_s, "submit_cpu_s": PROFILE.submit_cpu_s}
    found: Any = env.run(until=env.process(volume_costs(bench, worker | {"sample_cpu_s": PROFILE.sample_cpu_s})))
    return cast("dict[str, float]", found)


def test_the_bench_finds_what_is_there() -> None:
    """Each constant within a tenth: the disk rests until a first dirty page has to go, which counts as writing."""
    found = measured()

    assert list(VOLUME_COSTS) == list(found)
    for name in VOLUME_COSTS:
        assert getattr(PROFILE, f"{name}_per_byte") == pytest.approx(found[name], rel=0.1), name
