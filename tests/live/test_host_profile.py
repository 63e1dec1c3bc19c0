"""Measuring this host: every constant is there, plausible, and says how it was found."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from live.host_profile import measure_host
from live.leftovers import labelled
from live.owner import this_owner
from sim.physics.host_profile import profile_from_json

if TYPE_CHECKING:
    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(480)]

# Orders of magnitude on any machine that runs Docker: outside them something was measured wrongly, not slowly.
PLAUSIBLE = {
    "create_s_mean": (0.001, 2.0),
    "attach_s_mean": (1e-5, 2.0),
    "ready_s_mean": (0.0, 2.0),
    "stop_s_mean": (0.005, 5.0),
    "supervisor_memory_bytes": (1 << 20, 64 << 20),
    "agent_memory_bytes": (100_000, 32 << 20),
    "touch_s_per_byte": (1e-11, 1e-8),
    "release_s_per_byte": (1e-13, 1e-8),
    "step_cpu_s": (1e-6, 0.005),
    "submit_cpu_s": (1e-6, 0.01),
    "sample_cpu_s": (1e-6, 0.01),
    "wake_s_mean": (1e-6, 0.05),
    "notice_s_mean": (1e-6, 0.05),
    "oom_kill_cpu_s": (0.0, 0.1),
    "respawn_s_mean": (1e-5, 0.5),
    "append_s_per_byte": (1e-11, 1e-8),
    "read_s_per_byte": (1e-11, 1e-8),
    "drop_s_per_byte": (1e-13, 1e-8),
    "fetch_s_per_byte": (0.0, 1e-8),
    "disk_read_s_per_byte": (1e-12, 1e-6),
    "disk_write_s_per_byte": (1e-12, 1e-6),
    "disk_free_s_per_byte": (0.0, 1e-6),
}


def test_this_host_is_measured(docker_engine: docker.DockerClient) -> None:
    """The profile is whole, plausible and readable again, progress was told, and nothing is left on the engine."""
    told: list[str] = []

    profile = measure_host(docker_engine, told.append)

    assert len(told) >= 5
    values = dataclasses.asdict(profile)
    assert {name: value for name, (low, high) in PLAUSIBLE.items() if not low <= (value := values[name]) <= high} == {}
    assert list(profile.start_s_by_concurrency) == [1, 2, 4, 8]
    assert all(0.01 < start_s < 20 for start_s in profile.start_s_by_concurrency.values())
    unmeasured = {"name", "kernel", "engine", "cgroup_version", "cpus_count", "memory_bytes", "origin"}
    assert set(profile.origin) == set(values) - unmeasured
    assert profile_from_json(json.loads(json.dumps(profile.to_json())), "a test") == profile
    ours = this_owner()
    assert [thing for thing in labelled(docker_engine) if thing.owner_labels and thing.owner_labels.owner == ours] == []
