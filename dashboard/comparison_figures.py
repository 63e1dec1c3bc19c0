"""Figures of a validation: the two worlds laid over each other in time, and how far apart each metric is.

Bands come ready-made in `bands.json` and metrics in `comparison.json`; nothing is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard import palette, wording
from dashboard.panels import Panel, Spot, add_band, add_limit, add_line, plain, sheet
from dashboard.series import Curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

Band = dict[str, list[float | None]]

REAL_NAME = "real"
SIMULATED_NAME = "simulated"
RANGE_NAME = "all runs"

SERIES = {
    "cpu_cores": ("CPU used", "cores"),
    "throttled_cores": ("Standing still, throttled", "cores"),
    "memory_bytes": ("Memory in use", "bytes"),
    "steps_per_s": ("Steps finished", "steps per s"),
}

SYMBOLS = {"equivalent": "circle", "different": "x", "undecided": "diamond-open"}
MARK_LINES_PX = {"equivalent": 0, "different": 0, "undecided": 2}

DIFFERENCE_MAX = 0.6
"""Differences beyond this are drawn at the edge, with their number, so that one outlier does not flatten the rest."""


def overlay(bands: Mapping[str, Band], limits: Mapping[str, Any]) -> go.Figure:
    """One container in both worlds: a panel per series, each with a mean line and the range of its runs.

    `limits` is the container as the story tells it; missing limits are not drawn.
    """
    names = [name for name in SERIES if name in bands] + [name for name in bands if name not in SERIES]
    names = [name for name in names if _happens(bands[name])] or names
    units = {name: _unit(name, bands[name]) for name in names}
    span_s = max((float(band["t_s"][-1] or 0.0) for band in bands.values() if band["t_s"]), default=0.0)
    panels = [Panel(SERIES.get(name, (wording.metric_words(name), ""))[0], units[name][1], 190) for name in names]
    figure, spots = sheet(panels, min(2, len(panels)), span_s)
    for name, spot in zip(names, spots, strict=True):
        _draw_worlds(figure, spot, bands[name], units[name][0])
        _draw_limit(figure, spot, name, limits, units[name][0])
    return figure


def _happens(band: Band) -> bool:
    """Whether a series is anything but zero in either world."""
    return any(any(band.get(column, ())) for column in ("live_high", "sim_high"))


def _unit(name: str, band: Band) -> tuple[float, str]:
    """What to divide a series by, and the unit it is then in."""
    if wording.unit_of(name) == "bytes":
        return wording.byte_unit(max(_curve(band, "live_high", 1.0).highest(), _curve(band, "sim_high", 1.0).highest()))
    return 1.0, SERIES.get(name, ("", wording.unit_of(name)))[1]


def _draw_worlds(figure: go.Figure, spot: Spot, band: Band, divisor: float) -> None:
    """Draw both bands below both lines."""
    worlds = (("live", REAL_NAME, palette.REAL), ("sim", SIMULATED_NAME, palette.SIMULATED))
    for world, name, colour in worlds:
        low, high = _curve(band, f"{world}_low", divisor), _curve(band, f"{world}_high", divisor)
        add_band(figure, spot, low, high, name=f"{name}, {RANGE_NAME}", colour=colour)
    for world, name, colour in worlds:
        add_line(figure, spot, _curve(band, world, divisor), name=name, colour=colour)


def _draw_limit(figure: go.Figure, spot: Spot, name: str, limits: Mapping[str, Any], divisor: float) -> None:
    """Draw the container's limit where the series has one."""
    quota, memory = limits.get("cpus_limit"), limits.get("memory_bytes_limit")
    if name == "cpu_cores" and quota:
        add_limit(figure, spot, float(quota), f"quota {wording.cores(float(quota))}")
    if name == "memory_bytes" and memory:
        add_limit(figure, spot, float(memory) / divisor, f"limit {wording.byte_size(float(memory))}")


def _curve(band: Band, column: str, divisor: float) -> Curve:
    """One column of a band as a curve; empty where the band lacks it."""
    values = band.get(column, [])
    return Curve([float(time or 0.0) for time in band["t_s"][: len(values)]], list(values)).scaled(divisor)


def differences(metrics: Sequence[Mapping[str, Any]]) -> go.Figure:
    """How far simulated is from real, per metric: a mark with its 90 % interval over the margin it must stay in.

    The verdict shows as colour, as the shape of the mark and as a word; metrics without a difference are left out.
    """
    rows = [metric for metric in metrics if _difference(metric) is not None]
    names = [_row_name(metric) for metric in rows]
    figure = plain(96 + 34 * max(len(rows), 1))
    _draw_margins(figure, rows, names)
    for verdict in ("equivalent", "undecided", "different"):
        chosen = [(name, metric) for name, metric in zip(names, rows, strict=True) if metric.get("verdict") == verdict]
        _draw_differences(figure, chosen, verdict)
    figure.add_vline(x=0, line={"color": palette.LIMIT, "width": 1})
    reach = _reach(rows)
    figure.update_xaxes(title_text="simulated less real, % of real", range=[-reach * 100, reach * 100], ticksuffix=" %")
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=names[::-1],
        tickmode="array",
        tickvals=names,
        tickfont={"size": 13},
        range=[-0.7, len(names) - 0.3],
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    figure.update_layout(hovermode="closest", margin={"l": 20, "r": 24, "t": 44, "b": 52}, barmode="overlay")
    return figure


def _draw_margins(figure: go.Figure, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Draw the margin of each metric as a grey bar around zero."""
    margins = [float(metric.get("margin_ratio") or 0.0) * 100 for metric in rows]
    figure.add_bar(
        x=[2 * margin for margin in margins],
        base=[-margin for margin in margins],
        y=list(names),
        orientation="h",
        marker={"color": palette.faint(palette.LIMIT, 0.25), "line": {"width": 0}},
        name="margin",
        hovertemplate="margin ±%{customdata:.1f} %<extra></extra>",
        customdata=margins,
    )


def _draw_differences(figure: go.Figure, chosen: Sequence[tuple[str, Mapping[str, Any]]], verdict: str) -> None:
    """Draw the metrics of one verdict."""
    if not chosen:
        return
    colour = palette.VERDICT_COLOURS[verdict]
    points = [_difference(metric) or 0.0 for _, metric in chosen]
    shown = [min(max(point, -DIFFERENCE_MAX), DIFFERENCE_MAX) for point in points]
    highs = [_end(metric, "difference_high", point) for (_, metric), point in zip(chosen, points, strict=True)]
    lows = [_end(metric, "difference_low", point) for (_, metric), point in zip(chosen, points, strict=True)]
    beyond = [wording.signed_percent(point) if abs(point) > DIFFERENCE_MAX else "" for point in points]
    figure.add_scatter(
        x=[point * 100 for point in shown],
        y=[name for name, _ in chosen],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(high - point, 0.0) * 100 for high, point in zip(highs, points, strict=True)],
            "arrayminus": [max(point - low, 0.0) * 100 for low, point in zip(lows, points, strict=True)],
            "color": colour,
            "thickness": 1.6,
            "width": 4,
        },
        mode="markers+text",
        text=beyond,
        textposition=["middle left" if point > 0 else "middle right" for point in points],
        marker={
            "color": colour,
            "size": 10,
            "symbol": SYMBOLS[verdict],
            "line": {"color": colour, "width": MARK_LINES_PX[verdict]},
        },
        name=verdict,
        customdata=[[low * 100, point * 100, high * 100] for low, point, high in zip(lows, points, highs, strict=True)],
        hovertemplate="%{customdata[1]:+.1f} % (90 % interval %{customdata[0]:+.1f} to %{customdata[2]:+.1f} %)",
    )


def _difference(metric: Mapping[str, Any]) -> float | None:
    """How far simulated is from real, relative to real; None where there is nothing to divide by."""
    real, simulated = metric.get("live"), metric.get("sim")
    error = metric.get("error_ratio")
    if real is None or simulated is None or error is None:
        return None
    return float(error) if simulated >= real else -float(error)


def _end(metric: Mapping[str, Any], key: str, otherwise: float) -> float:
    """One end of the interval of a metric's difference."""
    value = metric.get(key)
    return otherwise if value is None else float(value)


def _reach(rows: Sequence[Mapping[str, Any]]) -> float:
    """How far to either side the axis goes, so that intervals and margins fit and one outlier changes little."""
    ends = [
        abs(_end(metric, key, 0.0)) for metric in rows for key in ("difference_low", "difference_high", "margin_ratio")
    ]
    ends += [abs(_difference(metric) or 0.0) for metric in rows]
    return min(max([0.08, *ends]) * 1.1, DIFFERENCE_MAX * 1.1)


def _row_name(metric: Mapping[str, Any]) -> str:
    """The label of a metric's row."""
    words = wording.metric_words(str(metric["name"]))
    container = metric.get("container")
    return f"{words} · {container}" if container else words
