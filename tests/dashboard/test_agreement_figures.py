"""Figures over many validations: what is a point, where it stands, and what is asked of the errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dashboard import agreement_figures, palette
from dashboard.agreement_figures import HISTORY_MAX, Past

if TYPE_CHECKING:
    import plotly.graph_objects as go

MIB = 1024.0**2


def metric(name: str, live: float | None, sim: float | None, **more: object) -> dict[str, Any]:
    """A compared metric."""
    error = None if live is None or sim is None else abs(sim - live) / max(abs(live), 1e-9)
    told = {"name": name, "container": "api", "kind": "physics", "unit": "", "verdict": "equivalent"}
    return {**told, "live": live, "sim": sim, "error_ratio": error, "margin_ratio": 0.05, **more}


def comparison(*metrics: dict[str, Any], scenario: str = "burst") -> dict[str, Any]:
    """A story's comparison."""
    return {"scenario": scenario, "metrics": list(metrics)}


def drawn(*comparisons: dict[str, Any]) -> go.Figure:
    """The parity plot of these, which is there."""
    figure = agreement_figures.parity(comparisons)
    assert figure is not None
    return figure


def points(figure: go.Figure) -> list[go.Scatter]:
    """The traces that hold metrics."""
    return [trace for trace in figure.data if trace.mode == "markers"]


def titles(figure: go.Figure) -> list[str]:
    """The titles of a figure's panels."""
    return [title.text for title in figure.layout.annotations]


def test_each_family_of_units_has_a_panel() -> None:
    """Seconds, cores and shares, bytes, and all else can each share an axis; bytes are told in MiB."""
    figure = drawn(
        comparison(
            metric("ready_s", 0.2, 0.21),
            metric("cpu_cores_mean", 0.5, 0.6),
            metric("throttled_period_ratio", 0.1, 0.2),
            metric("memory_bytes_mean", 128 * MIB, 64 * MIB),
            metric("oom_kill_count", 3.0, 4.0),
            metric("steps_per_s", 20.0, 21.0),
        )
    )

    assert ["<b>Times</b>", "<b>CPU and shares</b>", "<b>Memory and disk</b>", "<b>Counts and rates</b>"] == titles(
        figure
    )
    assert [(0.2,), (0.5, 0.1), (128.0,), (3.0, 20.0)] == [trace.x for trace in points(figure)]
    assert [(0.21,), (0.6, 0.2), (64.0,), (4.0, 21.0)] == [trace.y for trace in points(figure)]
    assert {"log"} == {axis.type for axis in [*figure.select_xaxes(), *figure.select_yaxes()]}


def test_a_family_without_a_metric_has_no_panel() -> None:
    """Three panels are no grid of four with a hole that has axes."""
    figure = drawn(comparison(metric("ready_s", 1, 1), metric("oom_kill_count", 1, 1), metric("cpu_cores_mean", 1, 1)))

    assert 3 == len(titles(figure)) == len(list(figure.select_xaxes()))


def test_only_physics_that_both_worlds_have_is_drawn() -> None:
    """Shared code agrees with itself, and what one world lacks has no place on a plane."""
    figure = drawn(
        comparison(
            metric("ready_s", 1.0, 1.0),
            metric("start_s_mean", 1.0, None),
            metric("recovery_s", None, 1.0),
            metric("token_wait_s_mean", 1.0, 1.0, kind="shared"),
        )
    )

    assert [1] == [len(trace.x) for trace in points(figure)]
    assert agreement_figures.parity([comparison(metric("ready_s", None, 1.0))]) is None


def test_stories_share_a_panel_and_verdicts_a_mark() -> None:
    """A point says whose it is, both values, the error with its sign, and what was judged."""
    figure = drawn(
        comparison(metric("ready_s", 0.2, 0.25, verdict="different")),
        comparison(metric("ready_s", 0.4, 0.38), scenario="oom"),
    )
    equivalent, different = points(figure)

    assert [
        ["oom · Whole story up after · api", "real 400 ms, simulated 380 ms (−5.0 %)", "equivalent, margin ±5 %"]
    ] == [text.split("<br>") for text in equivalent.text]
    assert ["real 200 ms, simulated 250 ms (+25.0 %)"] == [text.split("<br>")[1] for text in different.text]
    assert (palette.EQUIVALENT, palette.DIFFERENT) == (equivalent.marker.color, different.marker.color)
    assert equivalent.marker.symbol != different.marker.symbol


def test_the_line_of_equality_runs_through_the_bands_of_the_margins() -> None:
    """Tails may be off by 10 % and the rest by 5 %, at both ends of the axes; the legend names each once."""
    figure = drawn(comparison(metric("ready_s", 0.2, 0.25), metric("oom_kill_count", 3.0, 4.0)))
    tails, rest, line = figure.data[:3]

    assert line.x == line.y
    assert line.x[0] < 0.2
    assert line.x[1] > 0.25
    for band, ratio in ((tails, 0.10), (rest, 0.05)):
        assert [1 - ratio, 1 - ratio, 1 + ratio, 1 + ratio] == [
            round(y / x, 9) for x, y in zip(band.x, band.y, strict=True)
        ]
    assert ["±10 %, margin of tails", "±5 %, margin of the rest", "equivalent"] == [
        trace.name for trace in figure.data if trace.showlegend
    ]


def test_a_value_of_0_stands_at_the_edge() -> None:
    """It has no logarithm; the axis goes one power of ten further down, and the words tell the truth."""
    figure = drawn(comparison(metric("oom_kill_count", 3.0, 0.0), metric("restart_count", 20.0, 20.0)))
    (trace,) = points(figure)
    axis = next(figure.select_yaxes())

    assert (0.1, 20.0) == trace.y
    assert axis.range[0] < math.log10(0.1) < axis.range[0] + 0.1
    assert "real 3, simulated 0" in trace.text[0]


def test_names_are_no_markup() -> None:
    """Whoever wrote the scenario cannot put a link into the figure."""
    (trace,) = points(drawn(comparison(metric("ready_s", 1.0, 1.0, container="<a href='x'>"), scenario="<b>")))

    assert "&lt;b&gt;" in trace.text[0]
    assert "<a" not in trace.text[0]


def past(median: float | None, p90: float | None, verdict: str, when: str = "21 Nov 2026, 10:37 UTC") -> Past:
    """One validation of the past."""
    return Past(when, "e5823a2c", {"median_error_ratio": median, "p90_error_ratio": p90, "verdict": verdict})


def test_the_errors_of_a_story_run_from_the_oldest_to_the_newest() -> None:
    """Two lines against two bounds; a validation without figures is a gap, and its date and commit stand below."""
    figure = agreement_figures.history(
        [past(0.05, 0.2, "does not agree"), past(None, None, "not comparable"), past(0.01, 0.04, "agrees")]
    )
    median, median_marks, tail, tail_marks = figure.data

    assert [(5.0, None, 1.0), (20.0, None, 4.0)] * 2 == [median.y, tail.y, median_marks.y, tail_marks.y]
    assert median.line.dash != tail.line.dash
    assert 3 == len(set(median_marks.marker.symbol))
    # A mark in the legend would say of all validations what is true of one.
    assert ["Median error", "Error, 90th percentile"] == [
        trace.name for trace in figure.data if trace.showlegend is not False
    ]
    assert ["median error: at most 3 %", "error, 90th percentile: at most 10 %"] == [
        text.text for text in figure.layout.annotations
    ]
    assert {"21 Nov 2026, 10:37 UTC<br>e5823a2c"} == set(figure.layout.xaxis.ticktext)
    assert figure.layout.yaxis.range[1] > 20.0


def test_a_long_history_shows_its_newest() -> None:
    """Dates are thinned so that they can be read, and the last one is among them."""
    made = [past(0.01, 0.02, "agrees", when=str(number)) for number in range(HISTORY_MAX + 5)]
    figure = agreement_figures.history(made)

    assert HISTORY_MAX == len(figure.data[0].y)
    assert f"{HISTORY_MAX + 4}<br>e5823a2c" == figure.layout.xaxis.ticktext[0]
    assert len(figure.layout.xaxis.ticktext) <= agreement_figures.DATES_MAX
