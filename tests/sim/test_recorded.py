"""Records read back as the runs they were: ended, killed, damaged, and held against each other."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from scenarios import load
from sim.calibration_course import CALIBRATION
from sim.compare import Harness
from sim.errors import RecordError, RequestError
from sim.goals import GoalResult
from sim.machine import Sample, StepDone
from sim.metrics import Metric
from sim.record import Recorder, begin_record, write_json
from sim.recorded import compare_recorded, harness_of, recall, recall_all, story_of
from tests.sim.made_courses import course

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.story import Story
    from sim.run import Outcome

STORY = load("cpu-quota-bursts").story
GOAL = GoalResult("quick", "step_latency_s_p95", "agents", 0.1, "s", "at most 300 ms", met=True)


def rate(value: float) -> Metric:
    """A rate of steps."""
    return Metric("steps_per_s", "agents", "physics", "1/s", value)


def ended(directory: Path, value: float, *, story: Story = STORY, **provenance: Any) -> Path:  # noqa: ANN401  # JSON.
    """The record of a run with this rate of steps that came to its end."""
    begin_record(directory, story, {}, {})
    if provenance:
        write_json(directory / "provenance.json", provenance)
    recorder = Recorder(directory)
    recorder.finish(
        {
            "window_start_s": 1.0,
            "window_end_s": 31.0,
            "metrics": [dataclasses.asdict(rate(value))],
            "goals": [dataclasses.asdict(GOAL)],
            "checks": [{"name": "no token is minted", "ok": True, "detail": ""}],
        }
    )
    return directory


def killed(directory: Path, samples: tuple[tuple[float, float], ...], finishes_s: tuple[float, ...]) -> Path:
    """The record of a run killed in its window from 10 to 40 s; `samples` are times and CPU times."""
    begin_record(directory, STORY, {}, {})
    recorder = Recorder(directory)
    recorder.begin_window(10.0, 40.0)
    for at_s, cpu_s in samples:
        recorder.sample(Sample("agents", at_s, cpu_s, 0, 0, 0.0, 100, 100, 100, 0))
    for index, at_s in enumerate(finishes_s):
        recorder.step(StepDone("agents", "worker/0", index, at_s - 0.2, at_s, 0.2, 0.05, 0.1))
    recorder.abandon()
    return directory


def rates(outcomes: list[Outcome]) -> list[float]:
    """The rate of steps of each run."""
    return [outcome.metrics[0].value for outcome in outcomes]


# One run.


def test_an_ended_run_is_what_its_summary_says(tmp_path: Path) -> None:
    """Metrics, goals and window come from the summary, the world and whether it may be judged from the provenance."""
    again = recall(ended(tmp_path / "r", 3.0, world="docker", comparable=False, reasons=["other load was 0.61 cores"]))

    assert ((rate(3.0),), (GOAL,)) == (again.metrics, again.goals)
    assert [True] == [check.ok for check in again.checks]
    assert ("docker", tmp_path / "r", (1.0, 31.0)) == (again.world, again.record, again.recorder.window)
    assert (False, ("other load was 0.61 cores",)) == (again.comparable, again.reasons)


def test_a_run_without_provenance_is_a_simulated_one(tmp_path: Path) -> None:
    """Nothing is known against it, and nothing of how it was driven."""
    again = recall(ended(tmp_path / "r", 3.0))

    assert ("sim", True, (), None) == (again.world, again.comparable, again.reasons, again.harness)


def test_a_killed_run_is_measured_up_to_its_last_sample(tmp_path: Path) -> None:
    """From 10 s to the last sample at 14 s: four steps and two CPU seconds in 4 s; the step after it does not count."""
    record = killed(tmp_path / "r", ((10.0, 1.0), (14.0, 3.0)), (9.5, 10.5, 11.0, 12.0, 14.0, 14.5))
    found = {metric.name: metric.value for metric in recall(record).metrics}

    assert (1.0, 0.5) == (found["steps_per_s"], found["cpu_cores_mean"])
    assert [0.2, 0.1] == [pytest.approx(found[name]) for name in ("step_latency_s_mean", "cpu_wait_s")]


def test_a_killed_run_of_many_steps_keeps_its_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 steps in 100 s, half of them 0.1 and half 0.3 s long, are as many and as long with a table of 100 rows."""
    monkeypatch.setattr("sim.record.STEPS_COUNT_MAX", 100)
    begin_record(tmp_path / "r", STORY, {}, {})
    recorder = Recorder(tmp_path / "r")
    recorder.begin_window(0.0, 200.0)
    for second in range(101):
        recorder.sample(Sample("agents", float(second), float(second), 0, 0, 0.0, 100, 100, 100, 0))
        for index in range(10 * second, 10 * second + 10):
            due_s, latency_s = second + 0.05, 0.3 if index % 2 else 0.1
            recorder.step(StepDone("agents", "w/0", index, due_s, due_s + latency_s, latency_s, 0.05, 0.0))
    recorder.abandon()
    again = recall(tmp_path / "r")
    found = {metric.name: metric.value for metric in again.metrics}

    assert 10.0 == found["steps_per_s"]
    assert pytest.approx(0.2) == found["step_latency_s_mean"]
    # What is left of the rows is an even sample, also of the time before the table was full.
    gaps = {late - early for early, late in itertools.pairwise(again.recorder.tables["steps"]["index"])}
    assert 1 == len(gaps)


def test_a_killed_run_is_not_judged(tmp_path: Path) -> None:
    """Goals and invariants are for whole runs, and who compares it is told why not."""
    again = recall(killed(tmp_path / "r", ((10.0, 1.0), (14.0, 3.0)), ()))

    assert ((), (), False) == (again.goals, again.checks, again.comparable)
    assert ("the run did not come to its end",) == again.reasons


@pytest.mark.parametrize("samples", [(), ((10.0, 1.0),)], ids=["no sample", "one at the window's start"])
def test_a_run_killed_as_its_window_opened_has_no_metrics(
    tmp_path: Path, samples: tuple[tuple[float, float], ...]
) -> None:
    """A window without length gives no rates."""
    assert () == recall(killed(tmp_path / "r", samples, (10.0,))).metrics


def test_a_run_killed_before_its_window_has_no_metrics(tmp_path: Path) -> None:
    """While containers start there is nothing to measure, and nothing breaks."""
    begin_record(tmp_path / "r", STORY, {}, {})

    assert () == recall(tmp_path / "r").metrics


def test_a_record_keeps_its_story(tmp_path: Path) -> None:
    """The story comes back equal, from a record and from a validation's first real run."""
    ended(tmp_path / "v" / "live-1", 3.0)

    assert [STORY, STORY] == [story_of(tmp_path / "v" / "live-1"), story_of(tmp_path / "v")]


# How a real run was driven.


def test_the_harness_is_driver_and_engine() -> None:
    """What driver and engine burnt is one figure, the load of others another."""
    told = {
        "harness": {"lag_s_p99": 0.004, "driver_cpu_cores": 0.25, "engine_cpu_cores": 0.5},
        "other_load": {"cores_mean": 0.125, "steal_ratio": 0.01},
    }

    assert Harness(0.004, 0.125, 0.01, 0.75) == harness_of(told)


@pytest.mark.parametrize("told", [{}, {"harness": {"lag_s_p99": 0.1}}, {"other_load": {"cores_mean": 0.1}}])
def test_half_of_a_harness_is_none(told: dict[str, Any]) -> None:
    """Without both the driver's figures and the host's nothing is said."""
    assert harness_of(told) is None


# Damage.


@pytest.mark.parametrize(
    "summary",
    [
        {"ended": True},
        {"ended": True, "metrics": [{"name": "steps_per_s"}], "goals": [], "checks": []},
        {"ended": True, "metrics": 3, "goals": [], "checks": []},
        {"ended": True, "metrics": [], "goals": [], "checks": [], "window_start_s": "soon", "window_end_s": 1},
        {"ended": True, "metrics": [], "goals": [], "checks": [], "window_start_s": 0},
    ],
    ids=["no metrics", "half a metric", "a number for metrics", "a word for a time", "half a window"],
)
def test_a_damaged_summary_is_told(tmp_path: Path, summary: dict[str, Any]) -> None:
    """JSON that was edited into something else is one line that names the record, not a bug."""
    record = ended(tmp_path / "r", 3.0)
    write_json(record / "summary.json", summary)

    with pytest.raises(RecordError, match=r"/r: is damaged \("):
        recall(record)


def test_a_table_that_is_no_table_is_told(tmp_path: Path) -> None:
    """A file that was cut off is named."""
    record = ended(tmp_path / "r", 3.0)
    whole = (record / "steps.parquet").read_bytes()
    (record / "steps.parquet").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(RecordError, match=r"/r: steps\.parquet cannot be read"):
        recall(record)


def test_a_damaged_record_stops_a_comparison(tmp_path: Path) -> None:
    """A record whose story is gone is told whichever side it is on."""
    sound, broken = ended(tmp_path / "a", 3.0), ended(tmp_path / "b", 3.0)
    write_json(broken / "scenario.json", {"schema_version": 1})

    for pair in ((sound, broken), (broken, sound)):
        with pytest.raises(RecordError, match=r"/b: is damaged \(KeyError: 'story'\)"):
            compare_recorded(*pair, tmp_path)


# Several runs.


@pytest.mark.parametrize("value", [None, "x"])
def test_a_value_that_is_no_number_is_damage(tmp_path: Path, value: object) -> None:
    """A summary whose metric has no figure is told with its place, before anybody calculates with it."""
    path = ended(tmp_path / "r", 3.0) / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["metrics"][0]["value"] = value
    write_json(path, summary)

    with pytest.raises(RecordError, match=r"r: is damaged \("):
        recall(tmp_path / "r")


def test_a_validation_is_its_real_runs_in_order(tmp_path: Path) -> None:
    """The tenth run comes after the second, and simulated runs are not among them."""
    for name, value in (("live-10", 10.0), ("live-2", 2.0), ("live-1", 1.0), ("sim-1", 99.0)):
        ended(tmp_path / "v" / name, value)

    assert [1.0, 2.0, 10.0] == rates(recall_all(tmp_path / "v"))
    assert [99.0] == rates(recall_all(tmp_path / "v" / "sim-1"))


def test_a_directory_without_runs_is_told(tmp_path: Path) -> None:
    """What is neither a record nor a validation is said to be neither."""
    with pytest.raises(RecordError, match="is neither a record"):
        recall_all(tmp_path)


# Comparing.


def test_the_first_is_the_real_side(tmp_path: Path) -> None:
    """Real runs of 9 and 11 steps a second have a mean of 10; 12 is 20 % more."""
    for name, value in (("live-1", 9.0), ("live-2", 11.0)):
        ended(tmp_path / "v" / name, value)
    comparison = compare_recorded(tmp_path / "v", ended(tmp_path / "r", 12.0), tmp_path)
    (row,) = comparison.metrics

    assert (10.0, 12.0) == (row.live, row.sim)
    assert row.difference_ratio == pytest.approx(0.2)
    assert (2, 1) == (comparison.live_count, comparison.simulated_count)
    assert (True, STORY.name) == (row.headline, comparison.circumstances.scenario)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"duration_s": 31.0}, {"name": "other"}], ids=" ".join)
def test_different_stories_are_not_compared(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Another seed or value is another story, and both places are named."""
    other = ended(tmp_path / "b", 3.0, story=dataclasses.replace(STORY, **changed))

    with pytest.raises(RequestError, match=r"/a holds cpu-quota-bursts, .*/b holds .*compare records of one story$"):
        compare_recorded(ended(tmp_path / "a", 3.0), other, tmp_path)


def test_one_disturbed_run_spoils_a_comparison(tmp_path: Path) -> None:
    """However equal the figures, nothing is judged; a reason that two runs share is said once."""
    for name in ("live-1", "live-2"):
        ended(tmp_path / "v" / name, 3.0, comparable=False, reasons=["other load was 0.61 cores"])
    comparison = compare_recorded(ended(tmp_path / "r", 3.0), tmp_path / "v", tmp_path)

    assert ("not comparable", ("other load was 0.61 cores",)) == (
        comparison.verdict,
        comparison.circumstances.reasons,
    )


def test_recorded_calibrations_are_compared_too(tmp_path: Path) -> None:
    """Two records of one calibrating story are held against each other by the courses their summaries tell."""
    story = load("calibration-converges").story
    paths = []
    for rate_found in (10.0, 20.0):
        path = ended(tmp_path / f"{rate_found}", 10.0, story=story)
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        found = course("converged", (rate_found, 0.75), found=rate_found)
        write_json(path / "summary.json", {**summary, CALIBRATION: dataclasses.asdict(found)})
        paths.append(path)
    courses = compare_recorded(paths[0], paths[1], tmp_path).circumstances.courses

    assert courses is not None
    assert (True, False) == (courses.same_outcome, courses.rate_within_step)


@pytest.mark.parametrize(
    ("host", "noise_ratio"), [("here", pytest.approx(math.sqrt(2 * 4 / 3) / 10)), ("elsewhere", None)]
)
def test_noise_comes_from_earlier_validations_of_the_same_host(
    tmp_path: Path, host: str, noise_ratio: float | None
) -> None:
    """Runs of 9, 11, 9 and 11 have a variance of 4/3, and two of them differ by sqrt(2) deviations of a mean of 10."""
    for number, value in enumerate((9.0, 11.0, 9.0, 11.0), start=1):
        run = tmp_path / "validations" / "v" / f"live-{number}"
        ended(run, value, world="docker", comparable=True, host={"name": host})
    first = ended(tmp_path / "a", 10.0, host={"name": "here"})
    (row,) = compare_recorded(first, ended(tmp_path / "b", 10.0), tmp_path).metrics

    assert noise_ratio == row.noise_ratio


def test_a_validation_is_no_noise_of_its_own_run(tmp_path: Path) -> None:
    """One run out of a validation is not held to vary as that validation's runs do, for it is one of them."""
    for number, value in enumerate((9.0, 11.0, 9.0, 11.0), start=1):
        run = tmp_path / "validations" / "v" / f"live-{number}"
        ended(run, value, world="docker", comparable=True, host={"name": "here"})
    validation = tmp_path / "validations" / "v"
    (row,) = compare_recorded(validation / "live-1", ended(tmp_path / "b", 10.0), tmp_path).metrics

    assert row.noise_ratio is None
