"""Rows of the tables: what records and comparisons say, in words and units; the dashboard only lays them out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dashboard import wording
from sim.report_text import points_text
from sim.standing import standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dashboard.record_shelf import Shelved
    from sim.course_comparison import CourseComparison
    from sim.policies.calibration import Course
    from sim.standing import Standing

Row = dict[str, Any]


def run_rows(runs: Iterable[Shelved]) -> list[Row]:
    """A row per run: story, world, when, verdict of its goals and checks, and whether it may be compared."""
    return [
        {
            "Story": run.story,
            "World": wording.world_words(run.world),
            "When (UTC)": wording.moment(run.started_at),
            "Verdict": run_verdict(run.facts["summary"]),
            "Comparable": comparable_words(run.facts["provenance"]),
            "Kept in": run.id,
        }
        for run in runs
    ]


def validation_rows(validations: Iterable[Shelved]) -> list[Row]:
    """A row per validation: how far the model was off and what was concluded; ratios in percent."""
    return [_validation_row(validation, validation.facts["comparison"]) for validation in validations]


def _validation_row(validation: Shelved, comparison: Mapping[str, Any]) -> Row:
    """The row of one validation."""
    return {
        "Story": validation.story,
        "When (UTC)": wording.moment(validation.started_at),
        "Verdict": wording.verdict_words(str(comparison.get("verdict", ""))),
        "Median error": _in_percent(comparison.get("median_error_ratio")),
        "Error, 90th percentile": _in_percent(comparison.get("p90_error_ratio")),
        "Equivalent": _in_percent(comparison.get("equivalent_ratio")),
        "Runs": f"{comparison.get('live_count', 0)} real, {comparison.get('simulated_count', 0)} simulated",
        "Kept in": validation.id,
    }


def standing_rows(validations: Iterable[Shelved]) -> list[Row]:
    """A row per story: how far the model is off it, what two real runs differ by, and what was judged by whom."""
    return [_standing_row(validation, standing(validation.facts["comparison"])) for validation in validations]


def _standing_row(validation: Shelved, told: Standing) -> Row:
    """The row of one story."""
    provenance = validation.facts["provenance"]
    return {
        "Story": validation.story,
        "Verdict": wording.verdict_words(told.verdict),
        "Median error": _in_percent(told.median_error_ratio),
        "Error, 90th percentile": _in_percent(told.p90_error_ratio),
        "Equivalent": f"{told.equivalent_count} of {told.physics_count}",
        "Different": told.different_count,
        "Noise": _in_percent(told.noise_ratio),
        "When (UTC)": wording.moment(validation.started_at),
        "Commit": wording.commit_words(provenance.get("commit")),
        "Machine": _machine_words(provenance.get("host") or {}),
        "Kept in": validation.id,
    }


def run_verdict(summary: Mapping[str, Any]) -> str:
    """Whether a run met its goals and passed its checks, in words with a sign."""
    if not summary.get("ended"):
        return "… not ended"
    failed = [check for check in summary.get("checks", ()) if not check["ok"]]
    if failed:
        return f"✗ {wording.counted(len(failed), 'check')} failed"
    goals = summary.get("goals", ())
    if not goals:
        return "– no goals"
    met = sum(1 for goal in goals if goal["met"])
    return f"{'✓' if met == len(goals) else '✗'} {met} of {wording.counted(len(goals), 'goal')} met"


def comparable_words(provenance: Mapping[str, Any]) -> str:
    """Whether a run may be compared with one of the other world."""
    if "comparable" not in provenance:
        return "? unknown"
    return "✓ yes" if provenance["comparable"] else "⊘ no"


def result_rows(story: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Row]:
    """The figures that matter: goals first, then the story's headline metrics that no goal is about."""
    goals = [goal_row(goal, story) for goal in summary.get("goals", ())]
    told = {(goal["metric"], goal["container"]) for goal in summary.get("goals", ())}
    headline = set(story.get("headline", ()))
    others = [
        {**_metric_row(metric), "Goal": "", "Result": ""}
        for metric in summary.get("metrics", ())
        if metric["name"] in headline and (metric["name"], metric["container"]) not in told
    ]
    return [*goals, *others]


def goal_row(goal: Mapping[str, Any], story: Mapping[str, Any]) -> Row:
    """One goal: what was measured, what was wanted, and whether it was met."""
    metric = str(goal["metric"])
    return {
        "Metric": wording.metric_words(metric),
        "Where": wording.place_words(goal["container"]),
        "Value": wording.quantity(goal["value"], metric),
        "Goal": _bound_words(goal, story),
        "Result": "✓ met" if goal["met"] else "✗ missed",
    }


def _bound_words(goal: Mapping[str, Any], story: Mapping[str, Any]) -> str:
    """What a goal asks for: at most 500 ms. The story tells both ends; the record alone tells the bound only."""
    metric = str(goal["metric"])
    told = next((known for known in story.get("goals", ()) if known["name"] == goal["name"]), None)
    if told is None:
        return str(goal["bound"])
    low, high = told.get("value_min"), told.get("value_max")
    parts = [] if low is None else [f"at least {wording.quantity(low, metric)}"]
    parts += [] if high is None else [f"at most {wording.quantity(high, metric)}"]
    return " and ".join(parts)


def metric_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Every metric of a run, with the name the scenario language knows it by."""
    return [
        {
            **_metric_row(metric),
            "Decided by": "physics" if metric["kind"] == "physics" else "shared code",
            "Name": metric["name"],
        }
        for metric in summary.get("metrics", ())
    ]


def _metric_row(metric: Mapping[str, Any]) -> Row:
    """The columns that every table of metrics has."""
    return {
        "Metric": wording.metric_words(metric["name"]),
        "Where": wording.place_words(metric["container"]),
        "Value": wording.quantity(metric["value"], metric["name"], metric.get("unit", "")),
    }


def check_rows(summary: Mapping[str, Any]) -> list[Row]:
    """The laws every record is held against, and whether they held."""
    return [
        {
            "Check": str(check["name"]).replace("_", " "),
            "Result": "✓ holds" if check["ok"] else "✗ broken",
            "Detail": check.get("detail") or "",
        }
        for check in summary.get("checks", ())
    ]


def provenance_rows(provenance: Mapping[str, Any], scenario: Mapping[str, Any]) -> list[Row]:
    """Where a record comes from, a fact a row; facts that were not recorded are left out."""
    harness, load = provenance.get("harness") or {}, provenance.get("other_load") or {}
    host, seeds = provenance.get("host") or {}, scenario.get("seeds") or {}
    facts = {
        "World": wording.world_words(str(provenance.get("world", ""))),
        "Started": wording.moment_words(provenance.get("started_at")),
        "Tonnage": " ".join(filter(None, [provenance.get("version"), _commit_words(provenance.get("commit"))])),
        "Machine": _machine_words(host),
        "Kernel": provenance.get("kernel"),
        "Engine": provenance.get("engine"),
        "Worker image": provenance.get("worker_image"),
        "Python": provenance.get("python"),
        "Physics": (scenario.get("physics") or {}).get("variant"),
        "Seeds": ", ".join(f"{name} {seed}" for name, seed in seeds.items()),
        "Harness lag, 99th percentile": _known(harness.get("lag_s_p99"), "lag_s_p99"),
        "Harness lag, longest": _known(harness.get("lag_s_max"), "lag_s_max"),
        "CPU used by the driver": _known(harness.get("driver_cpu_cores"), "driver_cpu_cores"),
        "Other load on the machine": _known(load.get("cores_mean"), "other_cores_mean"),
        "CPU stolen by the hypervisor": _known(load.get("steal_ratio"), "steal_ratio"),
    }
    return [{"What": what, "Value": str(value)} for what, value in facts.items() if value]


def _commit_words(commit: object) -> str:
    """The commit a run was made with, short."""
    return f"({str(commit)[:10]})" if commit else ""


def _machine_words(host: Mapping[str, Any]) -> str:
    """A machine in one line: its name, cores and memory."""
    parts = [str(host.get("name", ""))]
    if host.get("cpus_count"):
        parts.append(wording.cores(float(host["cpus_count"])))
    if host.get("memory_bytes"):
        parts.append(wording.byte_size(float(host["memory_bytes"])))
    return ", ".join(filter(None, parts))


def _known(value: float | None, metric: str) -> str:
    """A quantity, or nothing where it was not recorded."""
    return "" if value is None else wording.quantity(value, metric)


def error_rows(metrics: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row per compared metric: real beside simulated, the error beside the noise, and the verdict.

    Headline metrics come first and the furthest off before the nearest; ratios are in percent.
    """
    ordered = sorted(metrics, key=lambda metric: (not metric.get("headline"), -(metric.get("error_ratio") or 0.0)))
    return [_error_row(metric) for metric in ordered]


def _error_row(metric: Mapping[str, Any]) -> Row:
    """The row of one compared metric."""
    name, unit = metric["name"], metric.get("unit", "")
    sign = -1.0 if (metric.get("sim") or 0.0) < (metric.get("live") or 0.0) else 1.0
    error = _in_percent(metric.get("error_ratio"))
    return {
        "Metric": ("★ " if metric.get("headline") else "") + wording.metric_words(name),
        "Where": wording.place_words(metric["container"]),
        "Real": wording.quantity(metric.get("live"), name, unit),
        "Simulated": wording.quantity(metric.get("sim"), name, unit),
        "Error": None if error is None else sign * error,
        "Noise": _in_percent(metric.get("noise_ratio")),
        "Margin": _in_percent(metric.get("margin_ratio")),
        "Verdict": wording.verdict_words(str(metric.get("verdict", ""))),
        "Decided by": "physics" if metric.get("kind") == "physics" else "shared code",
    }


def _in_percent(ratio: float | None) -> float | None:
    """A ratio as a number of percent; None stays None."""
    return None if ratio is None or math.isnan(ratio) else ratio * 100


def changed_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """The ratios that shrinking the story changed, full size beside shrunk."""
    return [
        {"Ratio": str(ratio["name"]), "Full size": _plain(ratio["full"]), "As run": _plain(ratio["shrunk"])}
        for ratio in comparison.get("changed_ratios") or ()
    ]


def control_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """The deliberately broken models, whether the comparison caught each, and what gave it away."""
    return [
        {
            "Broken on purpose": str(control["name"]).replace("_", " "),
            "Caught": "✓ caught" if control["caught"] else "✗ not caught",
            "Given away by": control.get("detail") or "",
        }
        for control in comparison.get("negative_controls") or ()
    ]


def _plain(value: object) -> str:
    """A number to three figures; anything else as it is."""
    return wording.figures(float(value)) if isinstance(value, int | float) else str(value)


def course_rows(course: Course) -> list[Row]:
    """A row per window of a calibration: the rate, what the container did at it, and what the rule wanted then."""
    return [
        {
            "Window": str(found.index),
            "Rate": _rate(found.rate_tokens_per_s),
            "CPU of limit": wording.percent(found.cpu_ratio),
            "Memory of limit": wording.percent(found.memory_ratio),
            "Throttled periods": wording.percent(found.throttled_period_ratio),
            "Waiting for tokens": wording.percent(found.waited_ratio),
            "The rule": found.action,
        }
        for found in course.rounds
    ]


def course_comparison_rows(courses: CourseComparison) -> list[Row]:
    """A row per window of both worlds' calibrations: means side by side, and of how many runs; shares are of limits."""
    return [
        {
            "Window": str(window.index),
            "Rate, real": _rate(window.rate_tokens_per_s.live),
            "Rate, simulated": _rate(window.rate_tokens_per_s.sim),
            "CPU, real": wording.percent(window.cpu_ratio.live),
            "CPU, simulated": wording.percent(window.cpu_ratio.sim),
            "CPU, difference": _points(window.cpu_ratio.difference),
            "Memory, difference": _points(window.memory_ratio.difference),
            "Throttled, difference": _points(window.throttled_period_ratio.difference),
            "Waiting, difference": _points(window.waited_ratio.difference),
            "Runs": f"{window.live_count} real, {window.sim_count} simulated",
        }
        for window in courses.windows
    ]


def _rate(rate_tokens_per_s: float | None) -> str:
    """A rate of tokens, or a dash where no run had it."""
    return wording.NONE if rate_tokens_per_s is None else f"{rate_tokens_per_s:.4g} tokens/s"


def _points(difference: float | None) -> str:
    """A difference of two shares in percentage points, with a true minus as all differences here."""
    return points_text(difference).replace("-", "−")


def what_if_rows(as_shipped: Mapping[str, Any], changed: Mapping[str, Any]) -> list[Row]:
    """The headline metrics of two runs of a story, as it ships and with changed values, and by how much they moved."""
    before = {(metric["name"], metric["container"]): metric for metric in as_shipped.get("metrics", ())}
    return [
        {
            "Metric": wording.metric_words(metric["name"]),
            "Where": wording.place_words(metric["container"]),
            "As shipped": wording.quantity(old["value"], metric["name"], metric["unit"]),
            "With your values": wording.quantity(metric["value"], metric["name"], metric["unit"]),
            "Change": _change_words(old["value"], metric["value"]),
        }
        for metric in changed.get("metrics", ())
        if metric["name"] in as_shipped.get("headline", ())
        and (old := before.get((metric["name"], metric["container"]))) is not None
    ]


def _change_words(before: float, after: float) -> str:
    """How a value moved, relative to what it was."""
    if before == after:
        return "none"
    return "from nothing" if before == 0 else wording.signed_percent((after - before) / abs(before))


def part_rows(parts: Iterable[Shelved]) -> list[Row]:
    """A row per run inside a validation: which world, when, on what, and whether it was disturbed."""
    return [
        {
            "Run": part.path.name,
            "World": wording.world_words(part.world),
            "Started": wording.moment_words(part.started_at),
            "Kernel": part.facts["provenance"].get("kernel") or wording.NONE,
            "Engine": part.facts["provenance"].get("engine") or wording.NONE,
            "Comparable": comparable_words(part.facts["provenance"]),
        }
        for part in parts
    ]
