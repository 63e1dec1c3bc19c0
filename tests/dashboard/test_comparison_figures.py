"""Figures of a validation: both worlds over each other, and how far apart each metric is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard import comparison_figures, palette

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from dashboard.comparison_figures import Band

LIMITS = {"cpus_limit": 0.5, "memory_bytes_limit": 268_435_456}


def band(middle: float) -> Band:
    """A series of two points, a tenth to either side."""
    return {
        "t_s": [0.5, 1.0],
        **{f"{world}_low": [middle * 0.9] * 2 for world in ("live", "sim")},
        **{world: [middle] * 2 for world in ("live", "sim")},
        **{f"{world}_high": [middle * 1.1] * 2 for world in ("live", "sim")},
    }


def metric(name: str, verdict: str, error: float | None) -> dict[str, Any]:
    """A compared metric; `error` is signed."""
    return {
        "name": name,
        "container": "agents",
        "kind": "physics",
        "live": 1.0,
        "sim": None if error is None else 1.0 + error,
        "error_ratio": None if error is None else abs(error),
        "difference_low": None if error is None else error - 0.01,
        "difference_high": None if error is None else error + 0.01,
        "margin_ratio": 0.05,
        "verdict": verdict,
    }


def drawn(figure: go.Figure) -> dict[str, go.Scatter]:
    """A figure's traces by name."""
    return {trace.name: trace for trace in figure.data}


def test_each_series_has_a_panel_with_its_unit() -> None:
    """The four series stand in the order that explains them, memory in the unit that suits it."""
    bands = {"memory_bytes": band(2e8), "steps_per_s": band(20.0), "cpu_cores": band(0.4), "throttled_cores": band(0.2)}
    figure = comparison_figures.overlay(bands, LIMITS)

    assert ["cores", "cores", "MiB", "steps per s"] == [axis.title.text for axis in figure.select_yaxes()]


def test_each_world_is_one_band_and_one_line_per_panel() -> None:
    """However many runs there were, a panel has four traces; the legend names each once."""
    figure = comparison_figures.overlay({"cpu_cores": band(0.4), "steps_per_s": band(20.0)}, {})

    assert len(figure.data) == 8
    assert ["real, all runs", "simulated, all runs", "real", "simulated"] == [
        trace.name for trace in figure.data if trace.showlegend
    ]
    assert {"real": palette.REAL, "simulated": palette.SIMULATED} == {
        trace.name: trace.line.color for trace in figure.data if trace.line.color
    }


def test_limits_are_dashed_and_say_what_they_are() -> None:
    """The quota stands in the panel of CPU and the memory limit in that of memory."""
    figure = comparison_figures.overlay({"cpu_cores": band(0.4), "memory_bytes": band(2e8)}, LIMITS)

    assert ["dash", "dash"] == [shape.line.dash for shape in figure.layout.shapes]
    assert ["quota 0.50 cores", "limit 256 MiB"] == [text.text for text in figure.layout.annotations[2:]]


def test_a_series_that_never_happens_is_left_out() -> None:
    """No empty panel of throttling where nothing was throttled."""
    figure = comparison_figures.overlay({"cpu_cores": band(0.4), "throttled_cores": band(0.0)}, {})

    assert ["<b>CPU used</b>"] == [title.text for title in figure.layout.annotations]


def test_a_world_without_runs_is_a_gap() -> None:
    """Missing values are no zeros."""
    missing: Band = {**band(0.4), "live": [None, None], "live_low": [None, None], "live_high": [None, None]}
    figure = drawn(comparison_figures.overlay({"cpu_cores": missing}, {}))

    assert (None, None) == figure["real"].y
    assert (0.4, 0.4) == figure["simulated"].y


def test_a_series_of_a_later_version_is_drawn_too() -> None:
    """An unknown series gets a panel with its name taken apart."""
    figure = comparison_figures.overlay({"queue_count": band(3.0)}, {})

    assert figure.layout.annotations[0].text == "<b>Queue</b>"


def test_a_verdict_shows_as_shape_and_word() -> None:
    """Each verdict has its own mark, its name in the legend, and the sign of its difference."""
    rows = [metric("a_s", "equivalent", 0.01), metric("b_s", "different", -0.2), metric("c_s", "undecided", 0.06)]
    figure = drawn(comparison_figures.differences(rows))

    assert {"equivalent": (1.0,), "different": (-20.0,), "undecided": (6.0,)} == {
        name: tuple(round(value, 6) for value in figure[name].x) for name in ("equivalent", "different", "undecided")
    }
    assert len({figure[name].marker.symbol for name in ("equivalent", "different", "undecided")}) == 3


def test_the_interval_and_the_margin_are_drawn() -> None:
    """A reader sees whether the interval lies within the margin."""
    figure = drawn(comparison_figures.differences([metric("a_s", "equivalent", 0.02)]))

    assert (-5.0, 10.0) == (figure["margin"].base[0], figure["margin"].x[0])
    assert [1.0, 1.0] == [
        round(value, 6) for value in (figure["equivalent"].error_x.array[0], figure["equivalent"].error_x.arrayminus[0])
    ]


def test_one_outlier_does_not_flatten_the_rest() -> None:
    """A metric that is far off stands at the edge, with its number."""
    figure = comparison_figures.differences([metric("a_s", "different", 4.0), metric("b_s", "equivalent", 0.01)])
    different = drawn(figure)["different"]

    assert (60.0, "+400.0 %") == (different.x[0], different.text[0])
    assert figure.layout.xaxis.range[1] < 70


def test_a_metric_that_one_world_lacks_is_left_to_the_table() -> None:
    """There is nothing to draw where there is no difference."""
    figure = comparison_figures.differences([metric("a_s", "different", None)])

    assert "different" not in drawn(figure)
