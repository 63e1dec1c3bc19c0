"""Figures over many validations: every metric's real value against its simulated one, and errors from time to time.

Figures come ready-made in `comparison.json`; nothing is decided here. Only physics metrics are drawn: what both worlds
take from the same code agrees with itself.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard import palette, wording
from dashboard.comparison_figures import MARK_LINES_PX, SYMBOLS
from dashboard.panels import Panel, add_limit, grid, is_new
from dashboard.verdicts import BOUNDS
from sim.quantities import MARGIN_RATIO, MARGIN_RATIO_TAIL, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import plotly.graph_objects as go

    from dashboard.panels import Spot

PARITY_HEIGHT_PX = 380
HISTORY_HEIGHT_PX = 300
MIB = 1024.0**2

AXIS_ROOM_DECADES = 0.08
"""How far an axis reaches beyond its last power of ten, so that marks at its ends are whole."""

HISTORY_MAX = 40
"""As many validations of one story as are drawn; older ones are in the list of validations."""

DATES_MAX = 10
"""As many dates as fit below one another's edges."""

STORY_SYMBOLS = {"agrees": "circle", "does not agree": "x", "not comparable": "diamond-open"}
STORY_COLOURS = {"agrees": palette.EQUIVALENT, "does not agree": palette.DIFFERENT}
DASHES = ("solid", "dot")


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that share a panel because their values can share an axis; the last family takes whatever is left."""

    title: str
    axis: str
    quantities: tuple[str, ...] = ()


FAMILIES = (
    Family("Times", "s", ("s",)),
    Family("CPU and shares", "cores, or share of 1", ("cores", "ratio")),
    Family("Memory and disk", "MiB", ("bytes",)),
    Family("Counts and rates", "count, or per s"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One metric of one story in both worlds, in the unit of its family's axis."""

    story: str
    metric: Mapping[str, Any]
    family: Family
    live: float
    sim: float


@dataclass(frozen=True, slots=True)
class Past:
    """One validation of a story: when it was made and by which commit, in words, and its comparison."""

    when: str
    commit: str
    comparison: Mapping[str, Any]


def parity(comparisons: Sequence[Mapping[str, Any]]) -> go.Figure | None:
    """Real against simulated: a point per metric of each story, a panel per family of units; None without any metric.

    Axes are logarithmic, so that milliseconds and minutes can be told; a value of 0 stands at the edge.
    """
    points = [point for comparison in comparisons for point in _points(comparison)]
    families = [family for family in FAMILIES if any(point.family is family for point in points)]
    if not families:
        return None
    panels = [Panel(family.title, f"simulated, {family.axis}", PARITY_HEIGHT_PX) for family in families]
    figure, spots = grid(panels, min(2, len(panels)))
    for family, spot in zip(families, spots, strict=True):
        _draw_family(figure, spot, family, [point for point in points if point.family is family])
    figure.update_layout(hovermode="closest")
    return figure


def _points(comparison: Mapping[str, Any]) -> Iterator[Point]:
    """The physics metrics of a story that both worlds measured."""
    for metric in comparison.get("metrics") or ():
        if metric.get("kind") != "physics" or metric.get("live") is None or metric.get("sim") is None:
            continue
        unit = quantity(str(metric["name"]), str(metric.get("unit", "")))
        family = next((family for family in FAMILIES if unit in family.quantities), FAMILIES[-1])
        divisor = MIB if unit == "bytes" else 1.0
        live, sim = float(metric["live"]) / divisor, float(metric["sim"]) / divisor
        yield Point(str(comparison.get("scenario", "")), metric, family, live, sim)


def _draw_family(figure: go.Figure, spot: Spot, family: Family, points: Sequence[Point]) -> None:
    """One panel: the band of the margins, the line of equality, and the points of each verdict."""
    low, high = _decades(points)
    ends = (low - AXIS_ROOM_DECADES, high + AXIS_ROOM_DECADES)
    _draw_margin(figure, spot, ends, MARGIN_RATIO_TAIL, f"±{wording.percent(MARGIN_RATIO_TAIL)}, margin of tails")
    _draw_margin(figure, spot, ends, MARGIN_RATIO, f"±{wording.percent(MARGIN_RATIO)}, margin of the rest")
    _draw_equality(figure, spot, ends)
    for verdict in SYMBOLS:
        chosen = [point for point in points if point.metric.get("verdict") == verdict]
        _draw_points(figure, spot, chosen, verdict, 10.0**low)
    axis = {"type": "log", "range": list(ends), "dtick": 1, "tickformat": "~g", "row": spot.row, "col": spot.column}
    figure.update_xaxes(
        title_text=f"real, {family.axis}", showgrid=True, gridcolor=palette.faint(palette.LIMIT, 0.22), **axis
    )
    figure.update_yaxes(**axis)


def _decades(points: Sequence[Point]) -> tuple[int, int]:
    """The powers of ten between which all values lie, with one more below where a value is 0."""
    values = [value for point in points for value in (point.live, point.sim)]
    positive = [value for value in values if value > 0.0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    if len(positive) < len(values):
        low -= 1
    return low, max(high, low + 1)


def _draw_margin(figure: go.Figure, spot: Spot, ends: tuple[float, float], ratio: float, name: str) -> None:
    """Shade what lies within a margin of equality."""
    low, high = (10.0**end for end in ends)
    figure.add_scatter(
        x=[low, high, high, low],
        y=[low * (1 - ratio), high * (1 - ratio), high * (1 + ratio), low * (1 + ratio)],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=palette.faint(palette.LIMIT, 0.28),
        hoverinfo="skip",
        name=name,
        legendgroup=name,
        showlegend=is_new(figure, name),
        row=spot.row,
        col=spot.column,
    )


def _draw_equality(figure: go.Figure, spot: Spot, ends: tuple[float, float]) -> None:
    """Draw the line on which both worlds say the same."""
    diagonal = [10.0**end for end in ends]
    figure.add_scatter(
        x=diagonal,
        y=diagonal,
        mode="lines",
        line={"color": palette.LIMIT, "width": 1},
        hoverinfo="skip",
        showlegend=False,
        row=spot.row,
        col=spot.column,
    )


def _draw_points(figure: go.Figure, spot: Spot, points: Sequence[Point], verdict: str, edge: float) -> None:
    """Draw the metrics of one verdict; a value of 0 has no place on the axis, and stands at its edge."""
    if not points:
        return
    colour = palette.VERDICT_COLOURS[verdict]
    figure.add_scatter(
        x=[max(point.live, edge) for point in points],
        y=[max(point.sim, edge) for point in points],
        mode="markers",
        marker={
            "color": colour,
            "size": 8,
            "symbol": SYMBOLS[verdict],
            "line": {"color": colour, "width": MARK_LINES_PX[verdict]},
        },
        text=[_point_words(point) for point in points],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
        name=verdict,
        legendgroup=verdict,
        showlegend=is_new(figure, verdict),
        row=spot.row,
        col=spot.column,
    )


def _point_words(point: Point) -> str:
    """One point in words, for the reader's pointer: whose it is, both values, and what was judged."""
    metric = point.metric
    name, unit = str(metric["name"]), str(metric.get("unit", ""))
    where = [point.story, wording.metric_words(name), wording.place_words(metric.get("container"))]
    real, simulated = (wording.quantity(metric[world], name, unit) for world in ("live", "sim"))
    lines = [
        " · ".join(html.escape(part) for part in where),
        f"real {real}, simulated {simulated}{_error_words(metric)}",
        f"{metric['verdict']}, margin ±{wording.percent(metric.get('margin_ratio'))}",
    ]
    return "<br>".join(lines)


def _error_words(metric: Mapping[str, Any]) -> str:
    error = metric.get("error_ratio")
    if error is None:
        return ""
    return f" ({wording.signed_percent(math.copysign(error, metric['sim'] - metric['live']))})"


def history(past: Sequence[Past]) -> go.Figure:
    """The errors of one story from validation to validation, the oldest first, against what is asked of them."""
    drawn = past[-HISTORY_MAX:]
    figure, (spot,) = grid([Panel("", "error, %", HISTORY_HEIGHT_PX)], 1)
    for bound, dash in zip(BOUNDS[:2], DASHES, strict=True):
        ratios = [one.comparison.get(bound.key) for one in drawn]
        _draw_past(figure, drawn, [None if ratio is None else 100 * ratio for ratio in ratios], bound.name, dash)
        words = f"{bound.name.lower()}: at most {wording.percent(bound.limit_ratio)}"
        add_limit(figure, spot, 100 * bound.limit_ratio, words)
    highest = max([100 * BOUNDS[1].limit_ratio, *_errors(drawn)])
    step = -(-len(drawn) // DATES_MAX)
    shown = range(len(drawn) - 1, -1, -step) if drawn else range(0)
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(shown),
        ticktext=[f"{drawn[index].when}<br>{drawn[index].commit}" for index in shown],
        range=[-0.5, max(len(drawn), 1) - 0.5],
        automargin=True,
    )
    figure.update_yaxes(range=[0.0, 1.14 * highest], nticks=6)
    figure.update_layout(hovermode="closest")
    return figure


def _errors(past: Sequence[Past]) -> list[float]:
    """Every error that is drawn, in percent."""
    found = [one.comparison.get(bound.key) for one in past for bound in BOUNDS[:2]]
    return [100 * ratio for ratio in found if ratio is not None]


def _draw_past(figure: go.Figure, past: Sequence[Past], errors: Sequence[float | None], name: str, dash: str) -> None:
    """Draw one figure of each validation: the line says which, each mark's shape and colour what the verdict was.

    The legend has the line alone; with a mark it would show one validation's verdict as if it were that of all.
    """
    places = list(range(len(past)))
    figure.add_scatter(
        x=places,
        y=list(errors),
        mode="lines",
        line={"color": palette.UNDECIDED, "width": 1.6, "dash": dash},
        hoverinfo="skip",
        name=name,
        legendgroup=name,
    )
    verdicts = [str(one.comparison.get("verdict", "")) for one in past]
    colours = [STORY_COLOURS.get(verdict, palette.UNDECIDED) for verdict in verdicts]
    figure.add_scatter(
        x=places,
        y=list(errors),
        mode="markers",
        marker={
            "color": colours,
            "size": 10,
            "symbol": [STORY_SYMBOLS.get(verdict, "diamond-open") for verdict in verdicts],
            "line": {"color": colours, "width": 1.5},
        },
        text=[f"{one.when}, {one.commit}: {wording.verdict_words(str(one.comparison.get('verdict')))}" for one in past],
        hovertemplate=f"{name} %{{y:.1f}} %<br>%{{text}}<extra></extra>",
        name=name,
        legendgroup=name,
        showlegend=False,
    )
