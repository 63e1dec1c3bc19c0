"""Figures of one run: what is drawn, in which unit, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dashboard import figures, palette
from dashboard.series import POINTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    import plotly.graph_objects as go

    from sim.record import Record

    ReadRun = Callable[[str], Record]


def titles(figure: go.Figure) -> list[str]:
    """The titles of a figure's panels, and the words at its limits."""
    return [annotation.text.removeprefix("<b>").removesuffix("</b>") for annotation in figure.layout.annotations]


def axis_titles(figure: go.Figure, letter: str) -> list[str]:
    """The titles of a figure's axes, those without a title left out."""
    found = figure.select_xaxes() if letter == "x" else figure.select_yaxes()
    return [axis.title.text for axis in found if axis.title.text]


def with_events(record: Record, *rows: tuple[float, str, str | None]) -> Record:
    """The record with these events: time, what, container."""
    events: dict[str, list[Any]] = {
        "at_s": [row[0] for row in rows],
        "what": [row[1] for row in rows],
        "container": [row[2] for row in rows],
        "agent": ["worker/0"] * len(rows),
        "detail": ["oom"] * len(rows),
    }
    return replace(record, tables={**record.tables, "events": events})


def test_a_container_is_drawn_against_its_limits(read_run: ReadRun) -> None:
    """CPU, throttling, memory and latency have a panel each, and the limits say what they are."""
    figure = figures.container_in_time(read_run("cpu-quota-bursts"), "agents")

    expected = [
        "CPU used, against the quota",
        "Standing still, throttled",
        "Memory in use, against the limit",
        "Latency of each step",
        "quota 0.50 cores",
        "limit 256 MiB",
    ]
    assert expected == titles(figure)


def test_every_axis_tells_its_unit(read_run: ReadRun) -> None:
    """Each panel's axis ends in a unit, and time is told once, below."""
    figure = figures.container_in_time(read_run("cpu-quota-bursts"), "agents")

    assert ["cores", "cores", "MiB", "ms"] == axis_titles(figure, "y")
    assert ["run time, s"] == axis_titles(figure, "x")


def test_cpu_is_the_slope_of_the_counter(read_run: ReadRun) -> None:
    """What is drawn integrates to the CPU seconds that the container used between its samples."""
    record = read_run("cpu-quota-bursts")
    drawn = figures.container_in_time(record, "agents").data[0]
    times, used = record.samples["at_s"], record.samples["cpu_s"]
    widths = [after - before for before, after in zip(times, drawn.x, strict=False)]
    whole = sum(width * value for width, value in zip(widths, drawn.y, strict=True) if value is not None)

    assert abs(whole - (used[-1] - used[0])) < 1e-6


def test_a_container_without_a_quota_has_no_panel_of_throttling(read_run: ReadRun) -> None:
    """What cannot happen is not drawn."""
    record = read_run("cpu-quota-bursts")
    container = {**record.story["containers"][0], "cpus_limit": None, "memory_bytes_limit": None}
    free = replace(record, scenario={**record.scenario, "story": {**record.story, "containers": [container]}})

    expected = ["CPU used, without a quota", "Memory in use, without a limit", "Latency of each step"]
    assert expected == titles(figures.container_in_time(free, "agents"))


def test_a_run_has_the_colour_of_its_world(read_run: ReadRun) -> None:
    """Simulated is one hue and real another, in every panel."""
    record = read_run("cpu-quota-bursts")
    real = replace(record, provenance={**record.provenance, "world": "docker"})

    assert [palette.SIMULATED, palette.REAL] == [
        figures.container_in_time(run, "agents").data[0].line.color for run in (record, real)
    ]


def test_what_happened_is_marked_and_drawn_through_all_panels(read_run: ReadRun) -> None:
    """A kill has a mark in a row of its own kind and a line through the curves it explains."""
    record = with_events(
        read_run("cpu-quota-bursts"), (3.0, "process_killed", "agents"), (4.0, "provider_429", "agents")
    )
    figure = figures.container_in_time(record, "agents")
    marks = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers" and trace.name != "step"}
    through = [shape.x0 for shape in figure.layout.shapes if shape.yref == "paper" and shape.type == "line"]

    assert {"process killed": [3.0], "provider refused (429)": [4.0]} == marks
    assert [3.0] == through


def test_events_of_others_and_of_the_end_are_left_out(read_run: ReadRun) -> None:
    """A container's figure tells nothing of its neighbours, of starting, or of being stopped at the end."""
    record = with_events(
        read_run("cpu-quota-bursts"), (3.0, "died", "other"), (1.0, "started", "agents"), (600.0, "lost", "agents")
    )

    assert "What happened" not in titles(figures.container_in_time(record, "agents"))


def test_a_thousand_kills_do_not_hide_the_curves(read_run: ReadRun) -> None:
    """Only so many lines go through the panels, spread over the whole run."""
    kills = [(1.0 + index / 300, "process_killed", "agents") for index in range(1_000)]
    figure = figures.container_in_time(with_events(read_run("cpu-quota-bursts"), *kills), "agents")
    through = [shape for shape in figure.layout.shapes if shape.yref == "paper" and shape.type == "line"]

    assert figures.LINES_MAX == len(through)


def test_a_long_run_is_thinned(read_run: ReadRun) -> None:
    """A hundred thousand steps become no more points than a browser can draw."""
    record = read_run("cpu-quota-bursts")
    count = 100_000
    steps: dict[str, list[Any]] = {
        "container": ["agents"] * count,
        "finish_s": [index / 1_000 for index in range(count)],
        "latency_s": [0.001 * (index % 97) for index in range(count)],
    }
    figure = figures.container_in_time(replace(record, tables={**record.tables, "steps": steps}), "agents")

    assert max(len(trace.x) for trace in figure.data) <= POINTS_MAX


def test_time_outside_the_window_is_shaded(read_run: ReadRun) -> None:
    """The time before the measured window stands back."""
    record = read_run("cpu-quota-bursts")
    assert record.window is not None
    figure = figures.container_in_time(record, "agents")
    shaded = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]

    assert (0.0, record.window[0]) == shaded[0]


def test_levels_that_never_move_are_left_out(read_run: ReadRun) -> None:
    """A story without tokens, whose agents all live on, has nothing to draw of the whole."""
    assert figures.story_in_time(read_run("cpu-quota-bursts")) is None


def test_tokens_and_debt_are_drawn_for_the_story(read_run: ReadRun) -> None:
    """What all agents share is drawn once, with the name of the rate limit."""
    record = read_run("cpu-quota-bursts")
    gauges: dict[str, list[Any]] = {
        "at_s": [0.0, 1.0, 0.0, 1.0, 0.0],
        "name": ["bucket.llm.level_tokens_min"] * 2 + ["bucket.llm.debt_tokens_max"] * 2 + ["ready_s"],
        "value": [100.0, -50.0, 0.0, 50.0, 0.3],
    }
    figure = figures.story_in_time(replace(record, tables={**record.tables, "gauges": gauges}))

    assert figure is not None
    assert ["Tokens in hand, fewest of any agent (llm)", "Deepest token debt so far (llm)"] == titles(figure)
    assert ["tokens", "tokens"] == axis_titles(figure, "y")
    assert [[100.0, -50.0], [0.0, 50.0]] == [list(trace.y) for trace in figure.data]


def test_a_record_without_samples_has_no_containers(read_run: ReadRun) -> None:
    """A run that was killed before its containers were up can be opened all the same."""
    assert [] == figures.containers_of(read_run("cpu-weights"))
