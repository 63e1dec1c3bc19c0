"""Figures of one run in time: CPU against its quota, memory against its limit, latency, tokens, and what happened.

Every function takes a record and returns a Plotly figure; none needs a browser or Streamlit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboard import palette, wording
from dashboard.panels import Panel, Spot, add_dots, add_limit, add_line, sheet
from dashboard.series import Curve, rate, rows_where

if TYPE_CHECKING:
    from collections.abc import Iterable

    import plotly.graph_objects as go

    from sim.record import Record

GRAVE_EVENTS = ("died", "process_killed", "lost", "refused")
QUIET_EVENTS = ("started", "ready", "stopped")
LINES_MAX = 24
"""More vertical lines than this hide the curves they should explain."""

GAUGES = {
    "level_tokens_min": ("Tokens in hand, fewest of any agent", "tokens"),
    "debt_tokens_max": ("Deepest token debt so far", "tokens"),
    "waiting_count": ("Agents waiting for tokens", "agents"),
    "refusals_count": ("Requests refused so far (429)", "requests"),
    "cost_usd": ("Cost so far", "US dollars"),
    "agents_up_count": ("Agents up", "agents"),
    "containers_up_count": ("Containers up", "containers"),
}
"""The gauges worth a panel; running totals that only the metrics need are left out."""

PANELS_MAX = 12


def containers_of(record: Record) -> list[str]:
    """The names of the containers the record has samples of, in the order of the story."""
    sampled = set(record.samples.get("container", ()))
    told = [str(container["name"]) for container in record.story.get("containers", ())]
    return [name for name in told if name in sampled] + sorted(sampled - set(told))


def container_in_time(record: Record, container: str) -> go.Figure:
    """One container over the run: CPU, throttling, memory and step latency, with what happened drawn through all."""
    samples = rows_where(record.samples, "container", container)
    limits: dict[str, Any] = next(
        (known for known in record.story.get("containers", ()) if known["name"] == container), {}
    )
    memory = Curve(list(samples.get("at_s", ())), list(samples.get("memory_bytes", ())))
    raw = Curve(memory.times_s, list(samples.get("memory_raw_bytes", ())))
    steps = rows_where(record.steps, "container", container)
    latency = Curve(list(steps.get("finish_s", ())), list(steps.get("latency_s", ())))
    memory_divisor, memory_unit = wording.byte_unit(max(raw.highest(), limits.get("memory_bytes_limit") or 0))
    latency_divisor, latency_unit = wording.second_unit(latency.highest())
    happened = _happened(record, container)
    panels = [
        Panel("CPU used, against its quota", "cores"),
        Panel("Standing still, throttled by the quota", "cores"),
        Panel("Memory, against its limit", memory_unit),
        Panel("Latency of each step", latency_unit),
        *([_event_panel(happened)] if happened else []),
    ]
    figure, spots = sheet(panels, 1, _span_s(record))
    colour = palette.world_colour(str(record.provenance.get("world", "")))
    _draw_cpu(figure, spots, samples, limits, colour)
    _draw_memory(figure, spots[2], (memory.scaled(memory_divisor), raw.scaled(memory_divisor)), colour)
    if limits.get("memory_bytes_limit"):
        limit = float(limits["memory_bytes_limit"])
        add_limit(figure, spots[2], limit / memory_divisor, f"limit {wording.byte_size(limit)}")
    add_dots(figure, spots[3], latency.scaled(latency_divisor), name="one step", colour=colour)
    _draw_events(figure, spots[4:], happened)
    _shade_outside_window(figure, record, spots[0].axis_unit_s)
    return figure


def story_in_time(record: Record) -> go.Figure | None:
    """What belongs to no single container over the run, such as tokens, debt and agents up; None if nothing does."""
    recorded = dict.fromkeys(record.gauges.get("name", ()))
    names = [name for name in recorded if name.rpartition(".")[2] in GAUGES][:PANELS_MAX]
    if not names:
        return None
    figure, spots = sheet([_gauge_panel(name) for name in names], 1 if len(names) == 1 else 2, _span_s(record))
    colour = palette.world_colour(str(record.provenance.get("world", "")))
    for name, spot in zip(names, spots, strict=True):
        rows = rows_where(record.gauges, "name", name)
        add_line(figure, spot, Curve(rows["at_s"], rows["value"]), name=_gauge_panel(name).title, colour=colour)
    figure.update_layout(showlegend=False)
    return figure


def _draw_cpu(
    figure: go.Figure, spots: list[Spot], samples: dict[str, list[Any]], limits: dict[str, Any], colour: str
) -> None:
    """Fill the panels of CPU used and CPU withheld."""
    times = samples.get("at_s", [])
    add_line(figure, spots[0], rate(times, samples.get("cpu_s", [])), name="CPU used", colour=colour, filled=True)
    throttled = rate(times, samples.get("throttled_s", []))
    add_line(figure, spots[1], throttled, name="throttled", colour=colour, filled=True)
    quota = limits.get("cpus_limit")
    if quota:
        add_limit(figure, spots[0], float(quota), f"quota {wording.figures(float(quota))} cores")


def _draw_memory(figure: go.Figure, spot: Spot, curves: tuple[Curve, Curve], colour: str) -> None:
    """Fill the panel of memory: in use, and with the page cache that the limit counts too."""
    in_use, raw = curves
    add_line(figure, spot, raw, name="memory with page cache", colour=palette.UNDECIDED)
    add_line(figure, spot, in_use, name="memory in use", colour=colour, filled=True)


def _happened(record: Record, container: str) -> list[dict[str, Any]]:
    """The events that explain a container's curves: its own and those of the whole story, less the quiet ones."""
    table = record.events
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return [row for row in rows if row["container"] in {container, None, ""} and row["what"] not in QUIET_EVENTS]


def _event_panel(happened: list[dict[str, Any]]) -> Panel:
    """The panel of events, a row for each kind."""
    kinds = {row["what"] for row in happened}
    return Panel("What happened", "", height_px=48 + 26 * len(kinds))


def _draw_events(figure: go.Figure, spots: list[Spot], happened: list[dict[str, Any]]) -> None:
    """Mark each event in its panel, and draw the grave ones as lines through all panels."""
    if not spots:
        return
    spot = spots[0]
    for what in dict.fromkeys(row["what"] for row in happened):
        rows = [row for row in happened if row["what"] == what]
        _mark(figure, spot, [rows[index] for index in _spread(len(rows))], grave=what in GRAVE_EVENTS)
    figure.update_yaxes(rangemode="normal", showgrid=False, automargin=True, row=spot.row, col=spot.column)
    grave = [row for row in happened if row["what"] in GRAVE_EVENTS]
    for index in _spread(len(grave), LINES_MAX):
        at = grave[index]["at_s"] / spot.axis_unit_s
        line = {"color": palette.faint(palette.DIFFERENT, 0.55), "width": 1, "dash": "dot"}
        figure.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, xref="x", yref="paper", line=line, layer="below")


def _mark(figure: go.Figure, spot: Spot, rows: list[dict[str, Any]], *, grave: bool) -> None:
    """Put the marks of one kind of event in a row of their own."""
    words = wording.event_words(rows[0]["what"])
    colour = palette.DIFFERENT if grave else palette.UNDECIDED
    marker = {
        "color": colour,
        "size": 10,
        "symbol": "x" if grave else "circle-open",
        "line": {"width": 1.5, "color": colour},
    }
    figure.add_scatter(
        x=[row["at_s"] / spot.axis_unit_s for row in rows],
        y=[words] * len(rows),
        mode="markers",
        marker=marker if not grave else {**marker, "line": {"width": 0}},
        text=[_event_text(row) for row in rows],
        hovertemplate="%{text}<extra></extra>",
        name=words,
        showlegend=False,
        row=spot.row,
        col=spot.column,
    )


def _event_text(row: dict[str, Any]) -> str:
    """One event in a sentence, for the reader's pointer."""
    who = row.get("agent") or row.get("container") or "the run"
    detail = f": {row['detail']}" if row.get("detail") else ""
    return f"{who}: {wording.event_words(row['what'])}{detail}"


def _spread(count: int, most: int = 500) -> Iterable[int]:
    """Indices that spread at most `most` picks evenly over `count` things."""
    if count <= most:
        return range(count)
    return [index * count // most for index in range(most)]


def _gauge_panel(name: str) -> Panel:
    """The panel of a gauge: `bucket.llm.debt_tokens_max` is the debt of llm."""
    owner, _, measure = name.rpartition(".")
    words, unit = GAUGES[measure]
    return Panel(f"{words} ({owner.rpartition('.')[2]})" if owner else words, unit)


def _shade_outside_window(figure: go.Figure, record: Record, divisor: float) -> None:
    """Shade the time that is not measured, before and after the window of the summary."""
    if record.window is None:
        return
    last = _span_s(record)
    for low, high in ((0.0, record.window[0]), (record.window[1], last)):
        if high - low > 0.02 * last:
            shade = palette.faint(palette.LIMIT, 0.12)
            figure.add_shape(
                type="rect", x0=low / divisor, x1=high / divisor, y0=0, y1=1, xref="x", yref="paper",
                fillcolor=shade, line={"width": 0}, layer="below",
            )  # fmt: skip


def _span_s(record: Record) -> float:
    """The time of the last sample, gauge or step."""
    columns = (record.samples.get("at_s", ()), record.gauges.get("at_s", ()), record.steps.get("finish_s", ()))
    return max((max(column) for column in columns if len(column)), default=0.0)
