"""Validation: both worlds run, compared, controlled and written down. The real world is played by a simulated one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from scenarios import Story, load
from sim.calibration_course import CALIBRATION
from sim.compare import Comparison, Harness
from sim.course_comparison import courses_of
from sim.physics.host_profile import Pace, load_profile
from sim.report_text import comparison_text
from sim.run import Outcome, simulate
from sim.validation import REPEATED_RUNS_MAX, Plan, validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sim.physics.variant import Variant
    from sim.worlds import Say

PROFILE = load_profile(None)
# As short as the stories can be and still show what they are about; the ecology is shrunk ten times in time.
DURATIONS = {
    "cpu-quota-bursts": "15s",
    "memory-oom": "20s",
    "cpu-weights": "10s",
    "agent-ecology": "100s",
    "page-cache": "15s",
}
# It ends by itself after three windows of 12 s.
CALIBRATING = "calibration-converges"


@dataclasses.dataclass
class Stage:
    """A world that plays the real one: another stream of physics seeds, perhaps broken, perhaps disturbed at first."""

    variant: Variant = "kernel"
    disturbed_count: int = 0
    runs_count: int = 0
    name: str = "docker"
    held: list[bool] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def hold(self, story: Story, say: Say) -> Iterator[None]:
        """Remember when it is held and when it is let go."""
        self.held.append(True)
        try:
            yield
        finally:
            self.held.append(False)

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate with a seed that the judged simulation never uses."""
        say("playing")
        assert [True] == self.held
        self.runs_count += 1
        outcome = simulate(
            story, profile=PROFILE, physics_seed=10_000 + physics_seed, variant=self.variant, directory=directory
        )
        if self.runs_count <= self.disturbed_count:
            return dataclasses.replace(outcome, comparable=False, reasons=("somebody else used the machine",))
        return dataclasses.replace(outcome, harness=Harness(0.001, 0.05, 0.0))


SLOW = Pace(
    3 * (PROFILE.create_s_mean + PROFILE.start_s(1)), 2 * PROFILE.touch_s_per_byte, 2 * PROFILE.release_s_per_byte
)


class Slow(Stage):
    """A world whose engine starts containers in three times the profile's time, with memory half as fast."""

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate at that pace; of five times it is measured twice as it is, a tenth off in two, and once far off."""
        outcome = simulate(story, profile=PROFILE.at_pace(SLOW), physics_seed=10_000 + physics_seed)
        off = (1.0, 1.1, 0.9, 1.0, 10.0)[physics_seed % 5]
        pace = Pace(off * SLOW.start_s, off * SLOW.touch_s_per_byte, off * SLOW.release_s_per_byte)
        return dataclasses.replace(outcome, harness=Harness(0.001, 0.05, 0.0, pace=pace))


class Oscillating(Stage):
    """A world whose calibrations are told to have oscillated."""

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate, and change the outcome of the course alone."""
        outcome = super().run(story, directory=directory, physics_seed=physics_seed, say=say)
        outcome.recorder.findings[CALIBRATION]["outcome"] = "oscillating"
        return outcome


def calibrated(world: Stage, directory: Path) -> Comparison:
    """Validate a story that calibrates, twice for real and three times simulated."""
    return validate(Plan(load(CALIBRATING).story, 2, 3, directory, None, PROFILE), world, lambda _text: None)


def validated(name: str, world: Stage, directory: Path, repeats_count: int = 6) -> Comparison:
    """Validate a library story against a played world."""
    story = load(name, sets=[("duration", DURATIONS[name])]).story
    return validate(Plan(story, repeats_count, 8, directory, None, PROFILE), world, lambda _text: None)


@pytest.mark.parametrize("name", ["cpu-quota-bursts", "memory-oom", "agent-ecology"])
def test_model_agrees_with_itself(name: str, tmp_path: Path) -> None:
    """Where the real world follows the same physics, errors are small and nothing is different."""
    comparison = validated(name, Stage(), tmp_path)

    assert (comparison.median_error_ratio or 0) < 0.03
    assert 0 == comparison.different_count


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("cpu-quota-bursts", "fluid_quota"),
        ("memory-oom", "no_oom"),
        ("page-cache", "no_reclaim"),
        ("cpu-weights", "wrong_weights"),
    ],
)
def test_broken_physics_is_caught(name: str, control: str, tmp_path: Path) -> None:
    """Each control is run where the story can show it, and the comparison does not agree with it."""
    controls = {one.name: one.caught for one in validated(name, Stage(), tmp_path).circumstances.negative_controls}

    assert controls[control]


def test_broken_world_does_not_agree(tmp_path: Path) -> None:
    """A world that ignores weights is found out by the right model: the verdict is about the world, not a habit."""
    assert "does not agree" == validated("cpu-weights", Stage("wrong_weights"), tmp_path).verdict


def test_disturbed_runs_are_made_again(tmp_path: Path) -> None:
    """A disturbed run is repeated and not used."""
    world = Stage(disturbed_count=2)
    comparison = validated("cpu-quota-bursts", world, tmp_path, repeats_count=3)

    assert 5 == world.runs_count
    assert [True, False] == world.held
    assert 3 == comparison.live_count
    assert comparison.circumstances.comparable


def test_world_that_is_never_quiet_is_marked(tmp_path: Path) -> None:
    """When every run was disturbed they are used after all, and the comparison says that it is not comparable."""
    world = Stage(disturbed_count=100)
    comparison = validated("cpu-quota-bursts", world, tmp_path, repeats_count=2)

    assert 2 + REPEATED_RUNS_MAX == world.runs_count
    assert ("not comparable", ("somebody else used the machine",)) == (
        comparison.verdict,
        comparison.circumstances.reasons,
    )


def test_everything_is_written_down(tmp_path: Path) -> None:
    """The directory holds the comparison, the bands, the real records and one simulated one."""
    comparison = validated("cpu-quota-bursts", Stage(), tmp_path, repeats_count=2)
    bands = json.loads((tmp_path / "bands.json").read_text(encoding="utf-8"))

    assert json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8")) == comparison.to_json()
    assert CALIBRATION not in comparison.to_json()
    assert {"cpu_cores", "throttled_cores", "memory_bytes", "steps_per_s"} == set(bands["agents"])
    assert all((tmp_path / name / "summary.json").exists() for name in ("live-1", "live-2", "sim-1"))


def test_calibrations_of_both_worlds_are_compared(tmp_path: Path) -> None:
    """Where the real world follows the same physics, outcome and rate are the same, and every window is there."""
    comparison = calibrated(Stage(), tmp_path)
    courses = comparison.circumstances.courses
    assert courses is not None

    assert ({"converged": 2}, {"converged": 3}, True) == (courses.live_outcomes, courses.sim_outcomes, courses.agree)
    assert [(1, 2, 3), (2, 2, 3), (3, 2, 3)] == [(one.index, one.live_count, one.sim_count) for one in courses.windows]
    assert courses == courses_of(json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8")))


def test_a_world_that_calibrates_to_another_outcome_does_not_agree(tmp_path: Path) -> None:
    """The verdict is against it, and says why."""
    comparison = calibrated(Oscillating(), tmp_path)
    courses = comparison.circumstances.courses
    assert courses is not None

    assert ({"oscillating": 2}, False, True) == (courses.live_outcomes, courses.same_outcome, courses.rate_within_step)
    assert "does not agree" == comparison.verdict
    assert "the calibrations come to another outcome" in comparison_text(comparison)


def test_the_pace_measured_beside_the_runs_is_predicted_with(tmp_path: Path) -> None:
    """A host three times as slow to start as its profile, with memory half as fast, is predicted as slow as it is."""
    comparison = validated("memory-oom", Slow(), tmp_path, repeats_count=5)
    starts, cpu = comparison.row("start_s_mean", None), comparison.row("cpu_cores_mean", "agents")

    assert starts is not None
    assert starts.error_ratio is not None
    assert starts.error_ratio < 0.1
    assert cpu is not None
    assert cpu.verdict == "equivalent"
    assert comparison.circumstances.harness is not None
    pace = comparison.circumstances.harness.pace
    assert pace is not None
    assert pytest.approx(dataclasses.astuple(SLOW)) == dataclasses.astuple(pace)
