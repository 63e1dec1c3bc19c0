"""Panels: small plots in rows, on a sheet under a shared time axis or each by itself, with the look all figures have.

Plotly is told nothing about fonts or page colours here: the web page and the report each add their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import palette, wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.series import Curve

GAP_PX = 58
# Panels that share no axis have titles on each of theirs.
GAP_APART_PX = 92
MARGIN_TOP_PX = 64
MARGIN_BARE_PX = 30
MARGIN_BOTTOM_PX = 52

BAND_RANK = 2_000
"""Bands stand after lines in the legend, whose own rank is 1,000."""

HEADROOM_RATIO = 1.14
"""How far above a limit its axis reaches, so that the words over the line have room."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One small plot: its title, and the title of its vertical axis, which ends in the unit."""

    title: str
    axis: str
    height_px: int = 160


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in a sheet a trace goes, counted from 1, and how many seconds the unit of its time axis has."""

    row: int
    column: int
    axis_unit_s: float


def sheet(panels: Sequence[Panel], columns: int, span_s: float) -> tuple[go.Figure, list[Spot]]:
    """An empty sheet for these panels, filled row by row, and the place of each; `span_s` chooses the time unit."""
    divisor, unit = wording.second_unit(max(span_s, 1.0))
    figure = _subplots(panels, columns, GAP_PX, shared_xaxes="all")
    figure.update_yaxes(rangemode="nonnegative", autorangeoptions={"include": [0]}, nticks=5)
    spots = _spots(len(panels), columns, divisor)
    for panel, spot in zip(panels, spots, strict=True):
        figure.update_yaxes(title_text=panel.axis, row=spot.row, col=spot.column)
        last = (spot.row - 1) * columns + spot.column + columns > len(panels)
        if last:
            figure.update_xaxes(title_text=f"run time, {unit}", showticklabels=True, row=spot.row, col=spot.column)
    return figure, spots


def grid(panels: Sequence[Panel], columns: int) -> tuple[go.Figure, list[Spot]]:
    """An empty figure of panels that share no axis, filled row by row, and the place of each."""
    figure = _subplots(panels, columns, GAP_APART_PX, shared_xaxes=False)
    spots = _spots(len(panels), columns, 1.0)
    for panel, spot in zip(panels, spots, strict=True):
        figure.update_yaxes(title_text=panel.axis, row=spot.row, col=spot.column)
    return figure, spots


def _subplots(panels: Sequence[Panel], columns: int, gap_px: int, *, shared_xaxes: str | bool) -> go.Figure:
    """An empty figure with a plot of its own height for each panel, and the common look."""
    rows = -(-len(panels) // columns)
    heights = [max(panel.height_px for panel in panels[row * columns : (row + 1) * columns]) for row in range(rows)]
    plots_height = sum(heights) + gap_px * (rows - 1)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes=shared_xaxes,
        row_heights=heights,
        vertical_spacing=gap_px / plots_height,
        horizontal_spacing=0.09,
        subplot_titles=[panel.title for panel in panels],
        specs=[
            [{} if row * columns + column < len(panels) else None for column in range(columns)] for row in range(rows)
        ],
    )
    _left_align_titles(figure)
    _style(figure, MARGIN_TOP_PX + MARGIN_BOTTOM_PX + plots_height)
    return figure


def _spots(count: int, columns: int, axis_unit_s: float) -> list[Spot]:
    """The places of so many panels, row by row."""
    return [Spot(index // columns + 1, index % columns + 1, axis_unit_s) for index in range(count)]


def without_legend(figure: go.Figure) -> None:
    """Leave out a sheet's legend and the room it has, where titles say all there is to say."""
    room_px = MARGIN_TOP_PX - MARGIN_BARE_PX
    figure.update_layout(showlegend=False, margin_t=MARGIN_BARE_PX, height=figure.layout.height - room_px)


def _left_align_titles(figure: go.Figure) -> None:
    """Put each panel's title over its left edge, where a reader starts."""
    for index, title in enumerate(figure.layout.annotations):
        axis = figure.layout["xaxis" if index == 0 else f"xaxis{index + 1}"]
        title.update(x=axis.domain[0], xanchor="left", font={"size": 14}, text=f"<b>{title.text}</b>")


def plain(height_px: int) -> go.Figure:
    """An empty figure with the common look and no panels."""
    figure = go.Figure()
    _style(figure, height_px)
    return figure


def _style(figure: go.Figure, height: int) -> None:
    """Give a figure the common look: no boxes, faint grid, one legend above, readings of all curves at once."""
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 24, "t": MARGIN_TOP_PX, "b": MARGIN_BOTTOM_PX},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
        hovermode="x unified",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=0.35,
    )
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(
        gridcolor=palette.faint(palette.LIMIT, 0.22),
        zeroline=True,
        zerolinecolor=palette.faint(palette.LIMIT, 0.7),
        zerolinewidth=1,
        title_standoff=8,
    )


def add_line(figure: go.Figure, spot: Spot, curve: Curve, *, name: str, colour: str, filled: bool = False) -> None:
    """Draw a curve as a line; the legend shows each name once."""
    drawn = curve.thinned()
    figure.add_trace(
        go.Scatter(
            x=[time / spot.axis_unit_s for time in drawn.times_s],
            y=drawn.values,
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.8},
            fill="tozeroy" if filled else None,
            fillcolor=palette.faint(colour, 0.16) if filled else None,
            legendgroup=name,
            showlegend=is_new(figure, name),
            hovertemplate="%{y:.4g}",
        ),
        row=spot.row,
        col=spot.column,
    )


def add_dots(figure: go.Figure, spot: Spot, curve: Curve, *, name: str, colour: str) -> None:
    """Draw a curve's points without joining them."""
    drawn = curve.thinned()
    figure.add_trace(
        go.Scatter(
            x=[time / spot.axis_unit_s for time in drawn.times_s],
            y=drawn.values,
            name=name,
            mode="markers",
            marker={"color": colour, "size": 4, "opacity": 0.75},
            legendgroup=name,
            showlegend=is_new(figure, name),
            hovertemplate="%{y:.4g}",
        ),
        row=spot.row,
        col=spot.column,
    )


def add_band(figure: go.Figure, spot: Spot, low: Curve, high: Curve, *, name: str, colour: str) -> None:
    """Fill the space between two curves: one closed shape, never a line per run."""
    lower, upper = low.thinned(), high.thinned()
    edge = [*_points(upper), *reversed(_points(lower))]
    figure.add_trace(
        go.Scatter(
            x=[time / spot.axis_unit_s for time, _ in edge],
            y=[value for _, value in edge],
            name=name,
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=palette.faint(colour, 0.27),
            legendrank=BAND_RANK,
            legendgroup=name,
            showlegend=is_new(figure, name),
            hoverinfo="skip",
        ),
        row=spot.row,
        col=spot.column,
    )


def _points(curve: Curve) -> list[tuple[float, float]]:
    """A curve's points without its gaps."""
    return [(time, value) for time, value in zip(curve.times_s, curve.values, strict=True) if value is not None]


def add_limit(figure: go.Figure, spot: Spot, value: float, words: str) -> None:
    """Draw a limit as a dashed grey line that says what it is."""
    figure.update_yaxes(autorangeoptions={"include": [0, value * HEADROOM_RATIO]}, row=spot.row, col=spot.column)
    figure.add_hline(
        y=value,
        line={"color": palette.LIMIT, "dash": "dash", "width": 1.4},
        annotation={
            "text": words,
            "font": {"color": palette.LIMIT, "size": 12},
            "xanchor": "right",
            "yanchor": "bottom",
            "yshift": -1,
        },
        annotation_position="top right",
        row=spot.row,
        col=spot.column,
    )


def is_new(figure: go.Figure, name: str) -> bool:
    """Whether no trace of this name is in the figure yet."""
    return all(trace.name != name for trace in figure.data)
