"""Measures how long an engine takes from its own start until it answers, on one that is nobody else's."""

from __future__ import annotations

import dataclasses
import time
from statistics import mean
from typing import TYPE_CHECKING

from live.errors import EngineMissing, EngineRefused
from live.private_engine import PrivateEngine, obstacle

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.physics.host_profile import HostProfile

CRASHES_COUNT = 5
PAUSE_S = 1.0


def with_engine_start(profile: HostProfile, say: Callable[[str], None]) -> HostProfile:
    """The profile with the time an engine takes to be back; left as it is where none can be started here.

    To be called while the machine's own engine is held, since both share its cores and its disk.
    """
    why_not = obstacle()
    if why_not:
        return _not_measured(profile, why_not)
    say(f"crashing an engine of our own, {CRASHES_COUNT} times")
    try:
        took_s = _starts_s()
    except (EngineRefused, EngineMissing) as problem:
        say(str(problem))
        return _not_measured(profile, str(problem))
    return _told(profile, mean(took_s), f"start of a crashed engine until it answers, mean of {CRASHES_COUNT}")


def _starts_s() -> list[float]:
    took_s = []
    with PrivateEngine() as engine:
        for _ in range(CRASHES_COUNT):
            time.sleep(PAUSE_S)
            engine.strike("crash", None)
            began_s = time.monotonic()
            engine.bring_back()
            took_s.append(time.monotonic() - began_s)
    return took_s


def _not_measured(profile: HostProfile, why: str) -> HostProfile:
    return _told(profile, profile.engine_start_s_mean, f"not measured: {why}")


def _told(profile: HostProfile, engine_start_s: float, origin: str) -> HostProfile:
    return dataclasses.replace(
        profile, engine_start_s_mean=engine_start_s, origin=profile.origin | {"engine_start_s_mean": origin}
    )
