"""Figures of a calibration: window by window the CPU against the band it is to lie in, and the rate that was tried.

One run is one course; a validation lays those of both worlds over each other, as the mean and the range of their runs.
A window is as wide as its number, whatever its length; one that could not be judged is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from dashboard import palette, wording
from dashboard.comparison_figures import RANGE_NAME, REAL_NAME, SIMULATED_NAME
from dashboard.panels import BAND_RANK, HEADROOM_RATIO, Panel, Spot, grid, is_new, without_legend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from scenarios.story import Calibrate
    from sim.course_comparison import CourseComparison, Reading
    from sim.policies.calibration import Course

PERCENT = 100.0
CPU_HEIGHT_PX = 260
RATE_PANEL = Panel("Rate that was tried", "tokens per s", 110)

LINE_PX, MARK_PX = 1.8, 6
# The real line shows at both sides of a simulated one that lies on it.
REAL_LINE_PX, REAL_MARK_PX = 4.5, 11

MARGIN_WORDS_PX = 150
"""The room beside the panels for the words at the bounds, where no curve runs through them."""

WINDOWS_TICKED_MAX = 20
"""More windows than this do not each have a number at the axis."""


@dataclass(frozen=True, slots=True)
class Step:
    """One quantity in one window: the mean over all runs, and their range."""

    value_mean: float
    value_low: float
    value_high: float


@dataclass(frozen=True, slots=True)
class Track:
    """One world's course: its CPU and rate by the number of the window, and how it is drawn."""

    name: str
    colour: str
    cpu_percent: Mapping[int, Step]
    rate_tokens_per_s: Mapping[int, Step]
    line_px: float = LINE_PX
    mark_px: float = MARK_PX


def of_run(course: Course, terms: Calibrate, world: str) -> go.Figure | None:
    """The course of one run in the colour of its world; None where no window could be judged."""
    cpu = {found.index: _single(PERCENT * found.cpu_ratio) for found in course.rounds}
    rate = {found.index: _single(found.rate_tokens_per_s) for found in course.rounds}
    if not cpu:
        return None
    figure = _drawn([Track(wording.world_words(world), palette.world_colour(world), cpu, rate)], terms)
    without_legend(figure)
    return figure


def of_comparison(courses: CourseComparison) -> go.Figure | None:
    """The courses of both worlds over each other; None where no window could be judged in either."""
    if not courses.windows:
        return None
    windows = {window.index: window for window in courses.windows}
    cpus = {index: window.cpu_ratio for index, window in windows.items()}
    rates = {index: window.rate_tokens_per_s for index, window in windows.items()}
    tracks = [
        Track(REAL_NAME, palette.REAL, _real(cpus, PERCENT), _real(rates), REAL_LINE_PX, REAL_MARK_PX),
        Track(SIMULATED_NAME, palette.SIMULATED, _simulated(cpus, PERCENT), _simulated(rates)),
    ]
    return _drawn(tracks, courses.terms)


def _single(value: float) -> Step:
    return Step(value, value, value)


def _real(readings: Mapping[int, Reading], factor: float = 1.0) -> dict[int, Step]:
    """The real side of each window that has one."""
    return _steps({index: (one.live, one.live_low, one.live_high) for index, one in readings.items()}, factor)


def _simulated(readings: Mapping[int, Reading], factor: float = 1.0) -> dict[int, Step]:
    """The simulated side of each window that has one."""
    return _steps({index: (one.sim, one.sim_low, one.sim_high) for index, one in readings.items()}, factor)


def _steps(values: Mapping[int, tuple[float | None, ...]], factor: float) -> dict[int, Step]:
    return {
        index: Step(*(factor * value for value in three if value is not None))
        for index, three in values.items()
        if None not in three
    }


def _drawn(tracks: Sequence[Track], terms: Calibrate) -> go.Figure:
    """Both panels, the ranges below the lines, and what the rule goes by."""
    band = f"{wording.percent(terms.cpu_ratio_low)} to {wording.percent(terms.cpu_ratio_high)}"
    cpu_panel = Panel(f"CPU of the container, against the band of {band}", "% of limit", CPU_HEIGHT_PX)
    figure, (cpu, rate) = grid([cpu_panel, RATE_PANEL], 1)
    figure.update_yaxes(rangemode="tozero", nticks=5)
    for track in tracks:
        _draw_range(figure, cpu, track, track.cpu_percent)
        _draw_range(figure, rate, track, track.rate_tokens_per_s)
    for track in tracks:
        _draw_line(figure, cpu, track, track.cpu_percent)
        _draw_line(figure, rate, track, track.rate_tokens_per_s)
    # After the traces: Plotly draws no lines across a panel that is still empty.
    _draw_band(figure, cpu, terms)
    if terms.rule == "as_written":
        _draw_bounds(figure, cpu, terms)
    _number_windows(figure, rate, max(index for track in tracks for index in track.cpu_percent), terms)
    return figure


def _draw_range(figure: go.Figure, spot: Spot, track: Track, steps: Mapping[int, Step]) -> None:
    """Fill the range of the runs, a box for each window; a single run has none."""
    if all(step.value_low == step.value_high for step in steps.values()):
        return
    name = f"{track.name}, {RANGE_NAME}"
    xs: list[float | None] = []
    ys: list[float | None] = []
    for index, step in steps.items():
        xs += [index - 0.5, index + 0.5, index + 0.5, index - 0.5, None]
        ys += [step.value_low, step.value_low, step.value_high, step.value_high, None]
    figure.add_trace(
        go.Scatter(
            x=xs,
            y=ys,
            name=name,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=palette.faint(track.colour, 0.27),
            legendrank=BAND_RANK,
            legendgroup=name,
            showlegend=is_new(figure, name),
            hoverinfo="skip",
        ),
        row=spot.row,
        col=spot.column,
    )


def _draw_line(figure: go.Figure, spot: Spot, track: Track, steps: Mapping[int, Step]) -> None:
    """Draw the means as steps, with a mark in the middle of each window that the pointer reads."""
    if not steps:
        return
    xs: list[float | None] = []
    ys: list[float | None] = []
    for index in range(min(steps), max(steps) + 1):
        step = steps.get(index)
        xs += [index - 0.5, index + 0.5] if step else [None]
        ys += [step.value_mean, step.value_mean] if step else [None]
    look = {"name": track.name, "legendgroup": track.name}
    line = {"color": track.colour, "width": track.line_px}
    is_first = is_new(figure, track.name)
    marks = {"color": track.colour, "size": track.mark_px}
    for trace in (
        go.Scatter(x=xs, y=ys, mode="lines", line=line, showlegend=is_first, hoverinfo="skip", **look),
        go.Scatter(
            x=list(steps),
            y=[step.value_mean for step in steps.values()],
            mode="markers",
            marker=marks,
            showlegend=False,
            hovertemplate="%{y:.4g}",
            **look,
        ),
    ):
        figure.add_trace(trace, row=spot.row, col=spot.column)


def _draw_band(figure: go.Figure, spot: Spot, terms: Calibrate) -> None:
    """Shade the band."""
    figure.add_hrect(
        y0=PERCENT * terms.cpu_ratio_low,
        y1=PERCENT * terms.cpu_ratio_high,
        fillcolor=palette.faint(palette.EQUIVALENT, 0.2),
        line_width=0,
        layer="below",
        row=spot.row,
        col=spot.column,
    )
    _include(figure, spot, terms.cpu_ratio_high)


def _draw_bounds(figure: go.Figure, spot: Spot, terms: Calibrate) -> None:
    """Draw the bounds of a rule that goes by bounds; the damped one goes by the band alone."""
    raised, reduced = terms.raise_below_ratio, terms.reduce_above_ratio
    _draw_bound(figure, spot, reduced, f"reduced above {wording.percent(reduced)}", "bottom")
    _draw_bound(figure, spot, raised, f"raised below {wording.percent(raised)}", "top")
    _include(figure, spot, reduced)
    figure.update_layout(margin_r=MARGIN_WORDS_PX)


def _draw_bound(figure: go.Figure, spot: Spot, ratio: float, words: str, anchor: Literal["top", "bottom"]) -> None:
    """Draw one bound as a thin dashed line, its words beside the panel, on the side where it acts."""
    figure.add_hline(
        y=PERCENT * ratio,
        line={"color": palette.LIMIT, "dash": "dash", "width": 1.4},
        annotation={"text": words, "font": {"color": palette.LIMIT, "size": 12}, "xanchor": "left", "yanchor": anchor},
        annotation_position="right",
        row=spot.row,
        col=spot.column,
    )


def _include(figure: go.Figure, spot: Spot, ratio: float) -> None:
    """Let the axis reach from nothing to somewhat above a part of the limit."""
    ends = [0, PERCENT * ratio * HEADROOM_RATIO]
    figure.update_yaxes(autorangeoptions={"include": ends}, row=spot.row, col=spot.column)


def _number_windows(figure: go.Figure, lowest: Spot, last: int, terms: Calibrate) -> None:
    """Give both panels the same axis of whole windows, named below the lower one."""
    tick = 1 if last <= WINDOWS_TICKED_MAX else -(-last // WINDOWS_TICKED_MAX)
    figure.update_xaxes(range=[0.5, last + 0.5], tick0=tick, dtick=tick, matches="x")
    title = f"window, {wording.seconds(terms.window_s)} each"
    figure.update_xaxes(title_text=title, row=lowest.row, col=lowest.column)
