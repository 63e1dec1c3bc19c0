"""Figures of one run in time: CPU against its quota, memory against its limit, latency, tokens, and what happened.

Every function takes a record and returns a Plotly figure; none needs a browser or Streamlit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard import palette, wording
from dashboard.panels import Panel, Spot, add_dots, add_limit, add_line, sheet, without_legend
from dashboard.series import Curve, rate, rows_where

if TYPE_CHECKING:
    from collections.abc import Iterable

    import plotly.graph_objects as go

    from sim.record import Record

GRAVE_EVENTS = ("died", "process_killed", "lost", "refused", "unhealthy", "engine_lost")
QUIET_EVENTS = ("started", "ready", "stopped", "healthy")
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

CACHE_SEEN_RATIO = 1.02
"""Page cache shows in the figure from this ratio of raw to used memory on."""


def containers_of(record: Record) -> list[str]:
    """The names of the containers the record has samples of, in the order of the story."""
    sampled = set(record.samples.get("container", ()))
    told = [str(container["name"]) for container in record.story.get("containers", ())]
    return [name for name in told if name in sampled] + sorted(sampled - set(told))


def container_in_time(record: Record, container: str) -> go.Figure:
    """One container over the run: CPU, throttling, memory and step latency, with what happened drawn through all."""
    limits: dict[str, Any] = next(
        (known for known in record.story.get("containers", ()) if known["name"] == container), {}
    )
    samples = rows_where(record.samples, "container", container)
    happened = _happened(record, container)
    drawings = [
        *_cpu(samples, limits),
        _memory(samples, limits),
        *_latency(rows_where(record.steps, "container", container)),
    ]
    events = [_event_panel(happened)] if happened else []
    figure, spots = sheet([*(drawing.panel for drawing in drawings), *events], 1, _span_s(record))
    colour = palette.world_colour(str(record.provenance.get("world", "")))
    for drawing, spot in zip(drawings, spots, strict=False):
        drawing.draw(figure, spot, colour)
    _draw_events(figure, spots[len(drawings) :], happened)
    _shade_outside_window(figure, record, spots[0].axis_unit_s)
    without_legend(figure)
    return figure


def story_in_time(record: Record) -> go.Figure | None:
    """What belongs to no single container over the run, such as tokens, debt and agents up; None if nothing does."""
    recorded = dict.fromkeys(record.gauges.get("name", ()))
    names = [name for name in recorded if name.rpartition(".")[2] in GAUGES and _moves(record, name)][:PANELS_MAX]
    if not names:
        return None
    figure, spots = sheet([_gauge_panel(name) for name in names], 1 if len(names) == 1 else 2, _span_s(record))
    colour = palette.world_colour(str(record.provenance.get("world", "")))
    for name, spot in zip(names, spots, strict=True):
        rows = rows_where(record.gauges, "name", name)
        add_line(figure, spot, Curve(rows["at_s"], rows["value"]), name=_gauge_panel(name).title, colour=colour)
    # Tokens in hand go below zero where a bucket allows debt.
    figure.update_yaxes(rangemode="tozero")
    without_legend(figure)
    return figure


@dataclass(frozen=True, slots=True)
class Drawing:
    """One panel and what is drawn into it: a curve, whether as dots, another in grey behind it, and a limit."""

    panel: Panel
    curve: Curve
    name: str
    is_dots: bool = False
    behind: Curve | None = None
    limit: tuple[float, str] | None = None

    def draw(self, figure: go.Figure, spot: Spot, colour: str) -> None:
        """Draw it into a figure, in the colour of its world."""
        if self.behind is not None:
            add_line(figure, spot, self.behind, name="with page cache", colour=palette.UNDECIDED)
        if self.is_dots:
            add_dots(figure, spot, self.curve, name=self.name, colour=colour)
        else:
            add_line(figure, spot, self.curve, name=self.name, colour=colour, filled=True)
        if self.limit is not None:
            add_limit(figure, spot, *self.limit)


def _cpu(samples: dict[str, list[Any]], limits: dict[str, Any]) -> list[Drawing]:
    """CPU used against the quota, and the CPU that the quota withheld, where there is one."""
    times, quota = samples.get("at_s", []), limits.get("cpus_limit")
    used = rate(times, samples.get("cpu_s", []))
    if not quota:
        return [Drawing(Panel("CPU used, without a quota", "cores"), used, "CPU used")]
    throttled = rate(times, samples.get("throttled_s", []))
    limit = (float(quota), f"quota {wording.cores(float(quota))}")
    return [
        Drawing(Panel("CPU used, against the quota", "cores"), used, "CPU used", limit=limit),
        Drawing(Panel("Standing still, throttled", "cores"), throttled, "throttled"),
    ]


def _memory(samples: dict[str, list[Any]], limits: dict[str, Any]) -> Drawing:
    """Memory in use against the limit, and behind it the page cache that the limit counts too."""
    times, bytes_limit = samples.get("at_s", []), limits.get("memory_bytes_limit")
    in_use, raw = Curve(times, samples.get("memory_bytes", [])), Curve(times, samples.get("memory_raw_bytes", []))
    divisor, unit = wording.byte_unit(max(raw.highest(), float(bytes_limit or 0)))
    has_cache = raw.highest() > CACHE_SEEN_RATIO * in_use.highest()
    title = ("Memory in use" + (" (grey: with page cache)" if has_cache else "")) + (
        ", against the limit" if bytes_limit else ", without a limit"
    )
    return Drawing(
        Panel(title, unit),
        in_use.scaled(divisor),
        "memory in use",
        behind=raw.scaled(divisor) if has_cache else None,
        limit=(bytes_limit / divisor, f"limit {wording.byte_size(bytes_limit)}") if bytes_limit else None,
    )


def _latency(steps: dict[str, list[Any]]) -> list[Drawing]:
    """The latency of each step, where the container finished any."""
    latency = Curve(steps.get("finish_s", []), steps.get("latency_s", []))
    if not latency.values:
        return []
    divisor, unit = wording.second_unit(latency.highest())
    return [Drawing(Panel("Latency of each step", unit), latency.scaled(divisor), "step", is_dots=True)]


def _happened(record: Record, container: str) -> list[dict[str, Any]]:
    """The events that explain a container's curves: its own and those of the whole story, less the quiet ones."""
    table = record.events
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    # What still goes on when the containers are stopped at the end explains nothing.
    end_s = record.window[1] if record.window else math.inf
    own = [row for row in rows if row["container"] in {container, None, ""} and row["at_s"] <= end_s]
    return [row for row in own if row["what"] not in QUIET_EVENTS]


def _event_panel(happened: list[dict[str, Any]]) -> Panel:
    """The panel of events, a row for each kind."""
    kinds = {row["what"] for row in happened}
    return Panel("What happened", "", height_px=14 + 26 * len(kinds))


def _draw_events(figure: go.Figure, spots: list[Spot], happened: list[dict[str, Any]]) -> None:
    """Mark each event in its panel, and draw the grave ones as lines through all panels."""
    if not spots:
        return
    spot = spots[0]
    for what in dict.fromkeys(row["what"] for row in happened):
        rows = [row for row in happened if row["what"] == what]
        _mark(figure, spot, [rows[index] for index in _spread(len(rows))], grave=what in GRAVE_EVENTS)
    kinds_count = len({row["what"] for row in happened})
    figure.update_yaxes(
        range=[kinds_count - 0.4, -0.6], showgrid=False, zeroline=False, automargin=True, row=spot.row, col=spot.column
    )
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


def _moves(record: Record, name: str) -> bool:
    """Whether a gauge ever changes; a flat line tells nothing that a table does not."""
    return len(set(rows_where(record.gauges, "name", name)["value"])) > 1


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
