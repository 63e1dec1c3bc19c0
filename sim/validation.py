"""Validation: the same story, shrunk to this machine, run for real and simulated, and compared.

The simulation is blind: its constants come from a host profile that was measured before, and what changes within
minutes (the pace of starts and of memory) from containers of its own between the real runs, never from the runs it is
judged by. It is then repeated with the other load that was measured during the real runs, and with physics deliberately
broken (negative controls), which the comparison must catch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from scenarios.scale import changed_ratios, shrink
from scenarios.story_json import story_to_json
from sim.bands import BandRun, bands
from sim.baseline import Baseline, key_of_story, load_baseline
from sim.compare import ChangedRatio, Circumstances, Comparison, Harness, NegativeControl, compare, far_apart
from sim.course_comparison import compare_findings
from sim.physics.host_profile import Pace
from sim.physics.variant import BROKEN, Variant
from sim.record import write_json
from sim.report_text import metric_label
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenarios.story import Container, Story
    from sim.agreement import MetricComparison
    from sim.physics.host_profile import HostProfile
    from sim.worlds import Say, World

# A run that was disturbed is made again at most so many times per validation.
REPEATED_RUNS_MAX = 3
# Physics seeds of a control: enough to see a difference of a tenth.
# The kernel keeps some pages of a limit free.
FULL_RATIO = 0.95
CONTROL_REPLICATIONS = 10
# Fewer real runs than this say nothing about noise, so an interrupted validation with fewer is not judged.
RUNS_COUNT_MIN = 2
PROGRESS_INTERVAL_S = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to validate and how often: `repeats_count` real runs, `replications_count` simulated ones."""

    story: Story
    repeats_count: int
    replications_count: int
    directory: Path
    home: Path | None
    profile: HostProfile


def validate(plan: Plan, world: World, say: Say) -> Comparison:
    """Run both worlds and compare them; everything is kept in the plan's directory."""
    small = shrink(plan.story)
    began = time.monotonic()
    real: list[Outcome] = []
    try:
        with world.hold(small, say):
            _run_for_real(plan, small, world, real, say)
    except KeyboardInterrupt:
        if len(real) >= RUNS_COUNT_MIN:
            judge(plan, small, real, time.monotonic() - began, say)
            say(f"interrupted; what the {len(real)} real runs so far came to is kept in {plan.directory}")
        raise
    return judge(plan, small, real, time.monotonic() - began, say)


def judge(plan: Plan, small: Story, real: Sequence[Outcome], seconds_live: float, say: Say) -> Comparison:
    """Simulate a shrunk story, compare it with real runs that are there, and write the comparison down."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    used = [run for run in real if run.comparable] or list(real)
    harness = _harness(used)
    plan = replace(plan, profile=plan.profile.at_pace(harness.pace if harness else None))
    say(f"simulating {small.name} {plan.replications_count} times")
    began = time.monotonic()
    blind = _simulations(plan, small, plan.replications_count, say, first=plan.directory / "sim-1")
    seconds_simulated = time.monotonic() - began
    baseline = _baseline(plan, small)
    comparison = _compare(used, blind, baseline, small)
    load = harness.other_load_cores + harness.harness_cores if harness else 0.0
    say(f"simulating with the measured other load of {load:.2f} cores")
    given = _compare(used, _simulations(plan, small, plan.replications_count, say, load=load), baseline, small)
    say("simulating with broken physics, which must be caught")
    circumstances = Circumstances(
        kind="validation",
        scenario=small.name,
        comparable=all(run.comparable for run in used) and not _broken_laws(used),
        reasons=tuple(dict.fromkeys([*(reason for run in used for reason in run.reasons), *_broken_laws(used)])),
        load_given=given,
        live_runs=tuple(str(run.record) for run in used),
        seconds_simulated=seconds_simulated,
        seconds_live=seconds_live,
        harness=harness,
        changed_ratios=tuple(
            ChangedRatio(ratio.name, ratio.full, ratio.shrunk) for ratio in changed_ratios(plan.story, small)
        ),
        negative_controls=tuple(_controls(plan, small, used, baseline, comparison, say)),
        courses=compare_findings(small.calibrate, _findings(used), _findings(blind)),
    )
    comparison = replace(comparison, circumstances=circumstances)
    write_json(plan.directory / "comparison.json", comparison.to_json())
    drawn = bands(
        [_band_run(run) for run in used], [_band_run(run) for run in blind], interval_s=small.sample_interval_s
    )
    write_json(plan.directory / "bands.json", drawn)
    return comparison


def _broken_laws(real: Sequence[Outcome]) -> list[str]:
    """The invariants that real runs broke: a world that does not work as described is no judge."""
    return [f"law broken: {check.name}: {check.detail}" for run in real for check in run.checks if not check.ok]


def _run_for_real(plan: Plan, small: Story, world: World, runs: list[Outcome], say: Say) -> None:
    """Run the story for real as often as asked, and again where a run was disturbed; outcomes go into `runs`."""
    wanted, made = plan.repeats_count, 0
    while made < wanted:
        made += 1
        say(f"real run {made} of {wanted}: {small.duration_s:g} s")
        run = world.run(small, directory=plan.directory / f"live-{made}", physics_seed=made, say=say)
        runs.append(run)
        if not run.comparable and wanted < plan.repeats_count + REPEATED_RUNS_MAX:
            say(f"that run was disturbed ({run.reasons[0]}); it will be made again")
            wanted += 1


def _simulations(
    plan: Plan,
    small: Story,
    count: int,
    say: Say,
    *,
    load: float | None = None,
    variant: Variant = "kernel",
    first: Path | None = None,
) -> list[Outcome]:
    """Simulate with so many physics seeds; the record of the first is kept where `first` says."""
    outcomes = []
    told_at = time.monotonic()
    for seed in range(1, count + 1):
        if time.monotonic() - told_at > PROGRESS_INTERVAL_S:
            say(f"simulation {seed} of {count}")
            told_at = time.monotonic()
        outcomes.append(
            simulate(
                small,
                profile=plan.profile,
                physics_seed=seed,
                variant=variant,
                other_load_cores=load,
                directory=first if seed == 1 else None,
            )
        )
    return outcomes


def _baseline(plan: Plan, small: Story) -> Baseline | None:
    """The noise of earlier real runs of this story on this host."""
    if plan.home is None:
        return None
    return load_baseline(plan.home, key_of_story(story_to_json(small)), plan.profile.name, excluding=(plan.directory,))


def _compare(
    real: Sequence[Outcome], simulated: Sequence[Outcome], baseline: Baseline | None, story: Story
) -> Comparison:
    return compare(
        [run.metrics for run in real], [run.metrics for run in simulated], baseline=baseline, headline=story.headline
    )


def _findings(runs: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [run.recorder.findings for run in runs]


def _harness(real: Sequence[Outcome]) -> Harness | None:
    """The harness over all real runs: the worst lag and steal, the mean other load, the median pace."""
    told = [run.harness for run in real if run.harness is not None]
    if not told:
        return None
    return Harness(
        lag_s_p99=max(one.lag_s_p99 for one in told),
        other_load_cores=sum(one.other_load_cores for one in told) / len(told),
        steal_ratio=max(one.steal_ratio for one in told),
        harness_cores=sum(one.harness_cores for one in told) / len(told),
        pace=_pace([one.pace for one in told if one.pace is not None]),
    )


def _pace(told: Sequence[Pace]) -> Pace | None:
    """The median of what was measured beside several runs: one start that waited for a disk is not the pace."""
    if not told:
        return None
    starts, touches, releases = zip(
        *((one.start_s, one.touch_s_per_byte, one.release_s_per_byte) for one in told), strict=True
    )
    return Pace(median(starts), median(touches), median(releases))


def _controls(
    plan: Plan, small: Story, real: Sequence[Outcome], baseline: Baseline | None, right: Comparison, say: Say
) -> list[NegativeControl]:
    """Break the physics in each way this story could show, and see whether the comparison notices."""
    controls = []
    for variant, broken in BROKEN.items():
        if not _shows(variant, small, real):
            continue
        simulated = _simulations(plan, small, CONTROL_REPLICATIONS, say, variant=variant)
        given_away = _given_away(_compare(real, simulated, baseline, small), right)
        told = "nothing that the right model does not show too"
        if given_away is not None:
            told = f"{metric_label(given_away.name)} is off by {100 * (given_away.error_ratio or 1.0):.0f} %"
        controls.append(NegativeControl(variant, given_away is not None, f"{broken}; given away by: {told}"))
    return controls


def _given_away(broken: Comparison, right: Comparison) -> MetricComparison | None:
    """The metric that is furthest off with broken physics and is not so far off with the right ones."""
    known = {(row.name, row.container) for row in right.physics if far_apart(row)}
    found = [row for row in broken.physics if far_apart(row) and (row.name, row.container) not in known]
    return max(found, key=lambda row: row.error_ratio or float("inf"), default=None)


def _shows(variant: Variant, small: Story, real: Sequence[Outcome]) -> bool:
    """Whether a story has what a control breaks."""
    if variant == "fluid_quota":
        return any(metric.name == "throttled_s" and metric.value > 0 for run in real for metric in run.metrics)
    if variant == "no_reclaim":
        return any(_is_too_small_for_its_files(container, real) for container in small.containers)
    if variant == "wrong_weights":
        return len({container.cpu_shares for container in small.containers}) > 1
    return any(metric.name == "oom_kill_count" and metric.value > 0 for run in real for metric in run.metrics)


def _is_too_small_for_its_files(container: Container, real: Sequence[Outcome]) -> bool:
    """Whether a container's memory was ever full while more lay on its volume, so that page cache had to give way."""
    limit = container.memory_bytes_limit
    if container.volume is None or limit is None:
        return False
    most: dict[str, float] = {"disk_bytes_max": 0.0, "memory_bytes_max": 0.0}
    for metric in (one for run in real for one in run.metrics if one.container == container.name):
        if metric.name in most:
            most[metric.name] = max(most[metric.name], metric.value)
    return most["disk_bytes_max"] > limit and most["memory_bytes_max"] > FULL_RATIO * limit


def _band_run(run: Outcome) -> BandRun:
    window = run.recorder.window or (0.0, 0.0)
    return BandRun(run.recorder.tables["samples"], run.recorder.tables["steps"], window[0], window[1])
