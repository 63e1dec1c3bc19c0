"""Recorded runs: a record read back as the outcome it was, for comparing and showing again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scenarios.story_json import story_from_json, story_to_json
from sim.baseline import key_of_story, load_baseline
from sim.calibration_course import CALIBRATION
from sim.checks import Check
from sim.compare import Circumstances, Comparison, Harness, compare
from sim.course_comparison import compare_findings
from sim.errors import RecordError, RequestError
from sim.goals import GoalResult
from sim.metrics import Metric, measure
from sim.physics.host_profile import Pace
from sim.record import Record, Recorder, StepTotals, read_record
from sim.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenarios.story import Story

COARSE = "a run was simulated in whole CPU periods, and a model is judged by slices and ticks"


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Turn what goes wrong with hand-edited JSON of the right syntax into a RecordError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RecordError(str(path), f"is damaged ({type(problem).__name__}: {problem})") from None


def recall(path: Path) -> Outcome:
    """The outcome of one recorded run; of a run that was killed, the metrics up to its last second."""
    with _undamaged(path):
        return _outcome(read_record(path), path)


def _outcome(record: Record, path: Path) -> Outcome:
    told = record.provenance
    if record.ended:
        metrics = tuple(Metric(**row | {"value": float(row["value"])}) for row in record.summary["metrics"])
        goals = tuple(GoalResult(**row) for row in record.summary["goals"])
        checks = tuple(Check(**row) for row in record.summary["checks"])
        reasons = tuple(told.get("reasons", ()))
        comparable = bool(told.get("comparable", True))
    else:
        metrics, goals, checks = tuple(_so_far(record)), (), ()
        comparable, reasons = False, ("the run did not come to its end",)
    return Outcome(
        world=str(told.get("world", "sim")),
        metrics=metrics,
        goals=goals,
        checks=checks,
        recorder=_recorder(record),
        record=path,
        harness=harness_of(told),
        comparable=comparable,
        reasons=reasons,
        is_coarse=record.scenario.get("physics", {}).get("variant") == "periods",
    )


def recall_all(path: Path) -> list[Outcome]:
    """The runs a directory stands for: itself if it is a record, else the real runs of a validation in it."""
    if (path / "scenario.json").exists():
        return [recall(path)]
    inside = sorted(path.glob("live-*/"), key=lambda found: (len(found.name), found.name))
    if not inside:
        raise RecordError(str(path), "is neither a record (scenario.json) nor a validation (live-1, live-2, ...)")
    return [recall(found) for found in inside]


def story_of(path: Path) -> Story:
    """The story a record or a validation was made of."""
    inside = path if (path / "scenario.json").exists() else path / "live-1"
    with _undamaged(inside):
        return story_from_json(read_record(inside).story)


def compare_recorded(first: Path, second: Path, home: Path) -> Comparison:
    """Compare what two directories hold, the first taken as the real side; RequestError if they are different stories.

    The noise of earlier validations of the same story on the first one's host is taken from `home`.
    """
    real, other = recall_all(first), recall_all(second)
    story, theirs = story_of(first), story_of(second)
    if story != theirs:
        told = f"{first} holds {story.name}, {second} holds {theirs.name} or the same with other values or another seed"
        raise RequestError(f"{told}; compare records of one story")
    with _undamaged(first):
        host = str(read_record(real[0].record or first).provenance.get("host", {}).get("name", ""))
    compared = (first, first.parent, second, second.parent)
    baseline = load_baseline(home, key_of_story(story_to_json(story)), host, excluding=compared)
    comparison = compare(
        [run.metrics for run in real], [run.metrics for run in other], baseline=baseline, headline=story.headline
    )
    runs = [*real, *other]
    reasons = [*(reason for run in runs for reason in run.reasons), *(COARSE for run in runs if run.is_coarse)]
    circumstances = Circumstances(
        scenario=story.name,
        comparable=all(run.comparable for run in runs) and COARSE not in reasons,
        reasons=tuple(dict.fromkeys(reasons)),
        courses=compare_findings(story.calibrate, *([run.recorder.findings for run in side] for side in (real, other))),
    )
    return replace(comparison, circumstances=circumstances)


def _recorder(record: Record) -> Recorder:
    recorder = Recorder(None)
    recorder.tables = record.tables
    recorder.window = record.window
    recorder.findings = {name: record.summary[name] for name in (CALIBRATION,) if name in record.summary}
    return recorder


def _so_far(record: Record) -> list[Metric]:
    """Measure a run that did not end over the part of its window that was recorded.

    Where there were more steps than rows, a container's steps are known up to its own last sample only.
    """
    if record.window is None:
        return []
    recorder = _recorder(record)
    last_s = max(record.samples["at_s"], default=record.window[0])
    recorder.window = (record.window[0], min(record.window[1], last_s))
    if recorder.window[1] <= recorder.window[0]:
        return []
    steps = record.steps
    recorder.totals = dict(record.totals)
    for row in zip(steps["container"], steps["finish_s"], steps["latency_s"], steps["cpu_wait_s"], strict=True):
        if row[0] not in record.totals and recorder.window[0] <= row[1] <= recorder.window[1]:
            totals = recorder.totals.setdefault(row[0], StepTotals())
            totals.steps_count += 1
            totals.latency_s_sum += row[2]
            totals.cpu_wait_s_sum += row[3]
    return measure(story_from_json(record.story), recorder, {})


def harness_of(told: dict[str, Any]) -> Harness | None:
    """How well a real run could be driven, from its provenance; None where that is not known."""
    harness, load = told.get("harness"), told.get("other_load")
    if not harness or not load:
        return None
    own = harness.get("driver_cpu_cores", 0.0) + harness.get("engine_cpu_cores", 0.0)
    pace = harness.get("pace")
    beside = None if pace is None else Pace(**pace)
    return Harness(harness["lag_s_p99"], load["cores_mean"], load["steal_ratio"], own, beside)
