"""Rows of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dashboard import record_shelf, tables
from sim.course_comparison import compare_courses
from tests.sim.made_courses import SAME, TERMS, course
from tests.sim.made_validation import STARTED_AT, compared, keep

if TYPE_CHECKING:
    from pathlib import Path

GOAL = {"name": "p95", "metric": "step_latency_s_p95", "container": "agents", "value": 0.41, "met": False}
STORY = {
    "headline": ["step_latency_s_p95", "steps_per_s"],
    "goals": [{"name": "p95", "value_min": None, "value_max": 0.3}],
}
METRICS: list[dict[str, Any]] = [
    {"name": "step_latency_s_p95", "container": "agents", "kind": "physics", "unit": "s", "value": 0.41},
    {"name": "steps_per_s", "container": "agents", "kind": "physics", "unit": "1/s", "value": 20.0},
    {"name": "cost_usd", "container": None, "kind": "shared", "unit": "usd", "value": 1.5},
]
SUMMARY = {"ended": True, "goals": [{**GOAL, "bound": "at most 0.3"}], "metrics": METRICS, "checks": []}


def test_a_run_is_a_row_with_words(shelf: Path) -> None:
    """Story, world, date, verdict and comparability are there to read, without a look at the record."""
    rows = {row["Story"]: row for row in tables.run_rows(record_shelf.runs()) if row["Kept in"].startswith("runs/")}

    assert ["Simulated", "✓ 2 of 2 goals met", "✓ yes"] == [
        rows["cpu-quota-bursts"][column] for column in ("World", "Verdict", "Comparable")
    ]
    assert rows["cpu-weights"]["Verdict"] == "… not ended"
    assert rows["cpu-quota-bursts"]["When (UTC)"].tzinfo is not None


def test_a_validation_is_a_row_with_its_errors_in_percent(shelf: Path) -> None:
    """What a validation concluded stands in one row."""
    validation = next(one for one in record_shelf.validations() if one.id.startswith("validations/"))
    row = tables.validation_rows([validation])[0]

    assert validation.facts["comparison"]["median_error_ratio"] * 100 == row["Median error"]
    assert row["Runs"] == "3 real, 3 simulated"
    assert row["Verdict"][0] in "✓✗"


def test_a_story_stands_in_a_row_with_who_judged_it(home: Path) -> None:
    """Counts beside their total, percentages as numbers, and the code and the machine behind the figures."""
    keep(home / "validations" / "20261101-100000-burst", compared("burst", 10.2))
    validation = next(one for one in record_shelf.validations() if one.story == "burst")
    row = tables.standing_rows([validation])[0]

    assert ["burst", "✓ agrees", "2 of 2", 0, "e5823a2c", "vm, 2 cores"] == [
        row[column] for column in ("Story", "Verdict", "Equivalent", "Different", "Commit", "Machine")
    ]
    assert [1.0, 1.8] == [round(row[column], 6) for column in ("Median error", "Error, 90th percentile")]
    assert row["When (UTC)"].isoformat() == STARTED_AT


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({}, "… not ended"),
        ({"ended": True, "goals": []}, "– no goals"),
        ({"ended": True, "goals": [{"met": True}]}, "✓ 1 of 1 goal met"),
        ({"ended": True, "goals": [{"met": True}, {"met": False}]}, "✗ 1 of 2 goals met"),
        ({"ended": True, "checks": [{"ok": False}], "goals": [{"met": True}]}, "✗ 1 check failed"),
    ],
)
def test_the_verdict_of_a_run_is_in_words(summary: dict[str, Any], words: str) -> None:
    """A broken law outweighs all goals, and a run without goals is not praised."""
    assert words == tables.run_verdict(summary)


def test_goals_come_first_with_their_bounds_in_units() -> None:
    """A missed goal says by its side what was wanted; headline metrics without a goal follow."""
    expected = [
        ["Step latency, 95th percentile", "agents", "410 ms", "at most 300 ms", "✗ missed"],
        ["Steps finished", "agents", "20 /s", "", ""],
    ]

    assert expected == [list(row.values()) for row in tables.result_rows(STORY, SUMMARY)]


def test_a_goal_that_the_story_does_not_tell_keeps_the_records_words() -> None:
    """A record of another version may name its goals otherwise."""
    assert tables.goal_row({**GOAL, "bound": "at most 0.3"}, {})["Goal"] == "at most 0.3"


def test_a_goal_without_a_figure_is_shown_as_missed() -> None:
    """A goal whose metric the run has not is not met, and has no value."""
    row = tables.goal_row({**GOAL, "value": None, "bound": "at most 0.3"}, STORY)

    assert ("–", "✗ missed") == (row["Value"], row["Result"])


def test_every_metric_says_who_decided_it() -> None:
    """What both worlds take from the same code is told from physics."""
    assert ["physics", "physics", "shared code"] == [row["Decided by"] for row in tables.metric_rows(SUMMARY)]


def test_a_broken_check_shows_its_detail() -> None:
    """The first thing that broke a law stands beside it."""
    summary = {"checks": [{"name": "no token is minted", "ok": False, "detail": "llm gave 12 of 10"}]}

    assert [["no token is minted", "✗ broken", "llm gave 12 of 10"]] == [
        list(row.values()) for row in tables.check_rows(summary)
    ]


def test_provenance_leaves_out_what_is_not_known(shelf: Path) -> None:
    """A simulated run has no harness, and no empty rows for it."""
    run = next(run for run in record_shelf.runs() if run.id.startswith("runs/") and run.story == "cpu-quota-bursts")
    facts = {
        row["What"]: row["Value"] for row in tables.provenance_rows(run.facts["provenance"], run.facts["scenario"])
    }

    assert "Harness lag, longest" not in facts
    assert facts["World"] == "Simulated"
    assert facts["Seeds"] == "physics 1, workload 1"


def test_errors_show_headline_metrics_first_and_the_furthest_off_before_others() -> None:
    """What the story is about comes first; errors have a sign, and noise stands beside them."""
    shared = {"container": "a", "kind": "physics", "noise_ratio": 0.01, "margin_ratio": 0.05, "verdict": "equivalent"}
    metrics = [
        {"name": "cpu_cores_mean", "live": 0.5, "sim": 0.51, "error_ratio": 0.02, "headline": True, **shared},
        {"name": "ready_s", "live": 1.0, "sim": 2.0, "error_ratio": 1.0, "headline": False, **shared},
        {"name": "steps_per_s", "live": 20.0, "sim": 19.0, "error_ratio": 0.05, "headline": True, **shared},
    ]

    assert [("★ Steps finished", -5.0, 1.0), ("★ CPU used", 2.0, 1.0), ("Whole story up after", 100.0, 1.0)] == [
        (row["Metric"], row["Error"], row["Noise"]) for row in tables.error_rows(metrics)
    ]


def test_a_metric_that_one_world_lacks_has_no_error() -> None:
    """There is a verdict, and dashes for what is not there."""
    metric = {"name": "oom_kill_count", "container": None, "live": 3.0, "sim": None, "verdict": "different"}
    row = tables.error_rows([metric])[0]

    assert ("3", "–", None, "✗ different") == (row["Real"], row["Simulated"], row["Error"], row["Verdict"])


def test_broken_models_are_said_to_be_caught_or_not() -> None:
    """A negative control that slipped through is seen at once."""
    controls = [{"name": "fluid_quota", "caught": False, "detail": "the quota is a rate"}]

    assert [["fluid quota", "✗ not caught", "the quota is a rate"]] == [
        list(row.values()) for row in tables.control_rows({"negative_controls": controls})
    ]


def test_changed_ratios_stand_side_by_side() -> None:
    """What shrinking changed is told in numbers."""
    changed = [{"name": "samples per run", "full": 300, "shrunk": 30.0}]

    assert [["samples per run", "300", "30"]] == [
        list(row.values()) for row in tables.changed_rows({"changed_ratios": changed})
    ]


def test_each_window_of_a_calibration_is_a_row() -> None:
    """Rate, parts of the limits, and what the rule wanted then; a window that was not judged is left out."""
    rows = tables.course_rows(course("out_of_rounds", (10, 0.93), None, (8, 0.744)))

    assert [
        ["1", "10 tokens/s", "93 %", "25 %", "10 %", "50 %", "reduce"],
        ["3", "8 tokens/s", "74.4 %", "25 %", "10 %", "50 %", "keep"],
    ] == [list(row.values()) for row in rows]


def test_windows_of_both_worlds_stand_side_by_side() -> None:
    """Differences are in points, and each row says of how many runs it is."""
    one_sided = compare_courses(TERMS, [course("converged", (8, 0.75))], [])

    assert ["2", "8 tokens/s", "8 tokens/s", "75 %", "74.0 %", "−1.0 points", *["+0.0 points"] * 3] == list(
        tables.course_comparison_rows(SAME)[1].values()
    )[:-1]
    assert "2 real, 3 simulated" == tables.course_comparison_rows(SAME)[1]["Runs"]
    assert ["1", "8 tokens/s", "–", "75 %", *["–"] * 5, "1 real, 0 simulated"] == list(
        tables.course_comparison_rows(one_sided)[0].values()
    )


def test_a_what_if_tells_by_how_much_each_metric_moved() -> None:
    """Two runs of a story are laid side by side, headline metrics only."""
    before = {**SUMMARY, "headline": ["steps_per_s"]}
    after = {"metrics": [{**METRICS[1], "value": 25.0}, METRICS[2]]}

    assert [["Steps finished", "agents", "20 /s", "25 /s", "+25.0 %"]] == [
        list(row.values()) for row in tables.what_if_rows(before, after)
    ]


@pytest.mark.parametrize(("before", "after", "words"), [(3.0, 3.0, "none"), (0.0, 2.0, "from nothing")])
def test_a_change_from_nothing_has_no_percentage(before: float, after: float, words: str) -> None:
    """Nothing is divided by zero."""
    summaries = [
        {"headline": ["steps_per_s"], "metrics": [{**METRICS[1], "value": value}]} for value in (before, after)
    ]

    assert words == tables.what_if_rows(*summaries)[0]["Change"]
