"""Whether a live run may be compared with a prediction, by bounds on what disturbed it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scenarios.story import CrashContainer, KillAgent, KillContainer, StrikeHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live.lag import LagSummary
    from live.other_load import OtherLoad
    from scenarios.story import Story
    from sim.record import Table

# About one tick of a 250 Hz kernel: below it the driver reacts within the kernel's own grain.
LAG_S_P99_MAX = 0.005

# On two cores 5 % of the machine, which shifts means by no more than two real runs differ (1-3 %).
# One whole core of other load more than doubled them (measured on 2 cores, 2026-11).
OTHER_LOAD_CORES_MAX = 0.10

# What an engine does around its end and its return is over after this long: it starts the containers it brings back,
# and by then its new processes have been found and are told apart from other load (`cpu_meters.DISCOVERY_S`).
RETURN_S = 6.0

# An agent that is to be killed may have no process just then, because it was killed a moment ago: in either world.
MAY_MISS = KillAgent.__name__

# Time the hypervisor took away: within the same 1-3 % that two real runs differ by.
STEAL_RATIO_MAX = 0.02


# A death for memory is the story's own doing and is predicted; any other end is only where the story asks for it.
PREDICTED_CAUSE = "oom"


def refusals(events: Table) -> dict[str, str]:
    """The containers that were refused at the start, and why; refusals of an agent's work are not among them."""
    rows = zip(events["what"], events["container"], events["agent"], events["detail"], strict=True)
    return {container: detail for what, container, agent, detail in rows if what == "refused" and agent is None}


def failures(story: Story, events: Table) -> list[str]:
    """Why the run was not the story's: containers that did not start, faults not dealt, deaths that nobody planned."""
    deaths = zip(events["what"], events["container"], events["detail"], strict=True)
    mortal = set(_mortal(story))
    reasons = [f"{container} was refused: {why}" for container, why in refusals(events).items()]
    reasons += [
        f"{name} died: {cause}"
        for what, name, cause in deaths
        if what == "died" and cause != PREDICTED_CAUSE and name not in mortal
    ]
    rows = zip(events["what"], events["detail"], strict=True)
    reasons += [
        f"a fault could not be dealt: {why}"
        for what, why in rows
        if what == "fault_refused" and not why.startswith(MAY_MISS)
    ]
    # One that dies again and again is told once.
    return list(dict.fromkeys(reasons))


def _mortal(story: Story) -> Iterator[str]:
    """The containers whose death is part of the story: struck on purpose, or running a program that may end."""
    for fault in story.faults:
        if isinstance(fault, KillContainer | CrashContainer):
            yield fault.container
        elif isinstance(fault, StrikeHost):
            yield from (container.name for container in story.containers if container.host == fault.host)
    yield from (container.name for container in story.containers if container.foreign is not None)


def quiet_spans_s(window: tuple[float, float], events: Table) -> list[tuple[float, float]]:
    """The parts of a window in which the engine was neither away nor just coming back: its own end is no other load."""
    spans_s, quiet_since_s = [], -math.inf
    for at_s, what in zip(events["at_s"], events["what"], strict=True):
        if what == "engine_lost":
            spans_s.append((quiet_since_s, at_s - RETURN_S))
            quiet_since_s = math.inf
        elif what == "engine_back":
            quiet_since_s = at_s + RETURN_S
    spans_s.append((quiet_since_s, math.inf))
    begin_s, end_s = window
    clipped_s = [(max(start_s, begin_s), min(until_s, end_s)) for start_s, until_s in spans_s]
    return [(start_s, until_s) for start_s, until_s in clipped_s if until_s > start_s]


def disturbances(
    lag: LagSummary, load: OtherLoad | None, unreadable: str, *, engine_was_away: bool = False
) -> list[str]:
    """Why the run is not comparable, each reason with its figure and its bound; none where it is.

    `engine_was_away` where the run had no quiet span, in which other load could be measured.
    """
    why = "the engine was away for all of it" if engine_was_away else "the run was too short to measure it"
    reasons = []
    if lag.lag_s_p99 > LAG_S_P99_MAX:
        reasons.append(f"the driver was late: {lag.lag_s_p99 * 1e3:.1f} ms at the 99th percentile, bound 5 ms")
    if load is None:
        reasons.append(f"other load is not known: {unreadable or why}")
        return reasons
    if load.cores_mean > OTHER_LOAD_CORES_MAX:
        reasons.append(f"other load took {load.cores_mean:.2f} cores, bound {OTHER_LOAD_CORES_MAX:.2f}")
    if load.steal_ratio > STEAL_RATIO_MAX:
        reasons.append(f"the hypervisor took {load.steal_ratio:.1%} of the CPU, bound {STEAL_RATIO_MAX:.0%}")
    return reasons
