"""Measures the current engine's host and keeps the profile where simulations look for it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from live.engine import connect
from sim.places import host_profile
from sim.record import write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.physics.host_profile import HostProfile


def measure_and_keep(say: Callable[[str], None]) -> HostProfile:
    """Measure this machine's physics constants and write them down; raises EngineMissing where no engine answers."""
    with contextlib.closing(connect()) as client:
        # Only here, because it needs the SDK, whose absence `connect` puts into words.
        from live.baseline import with_baseline
        from live.engine_bench import with_engine_start
        from live.host_profile import measure_host
        from live.run import held

        # What others have left to be written to disk slows an engine's creates and starts for some minutes.
        os.sync()
        profile = measure_host(client, say)
        # Kept after each experiment, so that none that fails takes the others' results along.
        _keep(profile)
        with held(client, say):
            profile = with_engine_start(profile, say)
    # The last one is a run like any other and reads it.
    _keep(profile)
    profile = with_baseline(profile, say)
    _keep(profile)
    return profile


def _keep(profile: HostProfile) -> None:
    path = host_profile()
    write_json(path, profile.to_json())
