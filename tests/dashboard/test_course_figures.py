"""Figures of calibrations: what is drawn of a course, against what, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dashboard import course_figures, palette
from sim.course_comparison import compare_courses
from tests.sim.made_courses import REAL, SAME, SIMULATED, TERMS, course

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from scenarios.story import Calibrate
    from sim.policies.calibration import Course

FOUND = course("converged", (10, 0.93), (8, 0.75))
NOTHING = course("out_of_rounds", None, None, None)


def of_run(found: Course = FOUND, terms: Calibrate = TERMS, world: str = "sim") -> go.Figure:
    """The figure of one run that has windows."""
    figure = course_figures.of_run(found, terms, world)
    assert figure is not None
    return figure


def of_both(real: tuple[Course, ...] = REAL, simulated: tuple[Course, ...] = SIMULATED) -> go.Figure:
    """The figure of both worlds."""
    figure = course_figures.of_comparison(compare_courses(TERMS, real, simulated))
    assert figure is not None
    return figure


def lines(figure: go.Figure, name: str) -> list[Any]:
    """The lines of one world: first that of CPU, then that of the rate."""
    return [trace for trace in figure.data if trace.name == name and trace.mode == "lines"]


def levels(figure: go.Figure) -> list[float]:
    """Where dashed lines cross a panel."""
    return [shape.y0 for shape in figure.layout.shapes if shape.type == "line"]


def words(figure: go.Figure) -> list[str]:
    """All words that stand in the panels, their titles first."""
    return [annotation.text.removeprefix("<b>").removesuffix("</b>") for annotation in figure.layout.annotations]


def test_a_window_is_a_step() -> None:
    """Each is as wide as its number, CPU in percent of the limit, and the rate below in its own panel."""
    cpu, rate = lines(of_run(), "Simulated")

    assert ((0.5, 1.5, 1.5, 2.5), (0.5, 1.5, 1.5, 2.5)) == (cpu.x, rate.x)
    assert [93, 93, 75, 75] == [pytest.approx(value) for value in cpu.y]
    assert (10, 10, 8, 8) == rate.y
    assert ("y", "y2") == (cpu.yaxis, rate.yaxis)


def test_the_pointer_reads_the_middle_of_a_window() -> None:
    """Marks stand on whole numbers, and the edges of the steps answer nothing."""
    figure = of_run()
    marks = [trace for trace in figure.data if trace.mode == "markers"]

    assert [(1, 2), (1, 2)] == [trace.x for trace in marks]
    assert {"skip"} == {trace.hoverinfo for trace in figure.data if trace.mode == "lines"}


def test_every_axis_tells_its_unit() -> None:
    """Windows are counted, and how long one is stands below."""
    figure = of_run()

    assert ["% of limit", "tokens per s"] == [axis.title.text for axis in figure.select_yaxes()]
    assert ["window, 12 s each"] == [axis.title.text for axis in figure.select_xaxes() if axis.title.text]
    assert {(0.5, 2.5)} == {axis.range for axis in figure.select_xaxes()}


def test_the_band_is_shaded_and_the_bounds_say_what_they_are() -> None:
    """The written rule goes by two bounds outside the band."""
    figure = of_run()
    bands = [(shape.y0, shape.y1) for shape in figure.layout.shapes if shape.type == "rect"]

    assert [(70, 80)] == [pytest.approx(band) for band in bands]
    assert [85, 50] == [pytest.approx(level) for level in levels(figure)]
    assert "CPU of the container, against the band of 70 % to 80 %" == words(figure)[0]
    assert ["reduced above 85 %", "raised below 50 %"] == words(figure)[2:]


def test_words_at_the_bounds_stand_beside_the_panel_and_never_on_each_other() -> None:
    """Even where both bounds are one and the same, one stands above its line and the other below."""
    figure = of_run(terms=replace(TERMS, raise_below_ratio=0.75, reduce_above_ratio=0.75))
    bounds = figure.layout.annotations[2:]

    assert [(1, "left", "bottom"), (1, "left", "top")] == [(text.x, text.xanchor, text.yanchor) for text in bounds]
    assert figure.layout.margin.r >= 120


def test_the_damped_rule_has_no_bounds_but_the_band() -> None:
    """What it does not go by is not drawn."""
    figure = of_run(terms=replace(TERMS, rule="damped"))

    assert [] == levels(figure)
    assert [] == words(figure)[2:]


def test_a_window_that_was_not_judged_is_a_gap() -> None:
    """Nothing is drawn across it."""
    cpu = lines(of_run(course("out_of_rounds", (10, 0.5), None, (10, 0.5))), "Simulated")[0]

    assert (0.5, 1.5, None, 2.5, 3.5) == cpu.x
    assert cpu.y[2] is None


def test_a_run_has_the_colour_of_its_world_and_no_legend() -> None:
    """One line needs no key to it."""
    simulated, real = of_run(), of_run(world="docker")

    assert [palette.SIMULATED, palette.REAL] == [figure.data[0].line.color for figure in (simulated, real)]
    assert (False, False) == (simulated.layout.showlegend, real.layout.showlegend)


def test_one_run_has_no_range() -> None:
    """A single value does not scatter."""
    assert all(trace.fill is None for trace in of_run().data)


def test_both_worlds_have_a_line_each_and_the_range_of_their_runs() -> None:
    """The legend names each once; runs that were all the same have no range."""
    figure = of_both()

    assert ["real, all runs", "real", "simulated"] == [trace.name for trace in figure.data if trace.showlegend]
    assert {"real": palette.REAL, "simulated": palette.SIMULATED} == {
        trace.name: trace.line.color for trace in figure.data if trace.line.color
    }
    assert [93, 93, 75, 75] == [pytest.approx(value) for value in lines(figure, "real")[0].y]
    assert [95, 95, 74, 74] == [pytest.approx(value) for value in lines(figure, "simulated")[0].y]


def test_a_simulated_line_does_not_hide_the_real_one_below_it() -> None:
    """Where the model is right they lie on each other, and both are to be seen."""
    figure = of_both()
    real, simulated = lines(figure, "real")[0], lines(figure, "simulated")[0]

    assert real.line.width > 2 * simulated.line.width
    assert list(figure.data).index(real) < list(figure.data).index(simulated)


def test_the_range_is_a_box_for_each_window() -> None:
    """From the lowest run to the highest, closed before the next begins."""
    figure = of_both()
    (box,) = [trace for trace in figure.data if trace.fill == "toself"]

    assert (0.5, 1.5, 1.5, 0.5, None, 1.5, 2.5, 2.5, 1.5, None) == box.x
    assert [92, 92, 94, 94] == [pytest.approx(value) for value in box.y[:4]]


def test_a_window_that_one_world_lacks_is_left_out_of_its_line() -> None:
    """The other world's is drawn, and the axis has room for it."""
    figure = of_both(simulated=(course("converged", (10, 0.93), (8, 0.75), (8, 0.75)),))

    assert [2.5, 3.5] == [max(lines(figure, name)[0].x) for name in ("real", "simulated")]
    assert (0.5, 3.5) == figure.layout.xaxis.range


def test_many_windows_are_not_all_numbered() -> None:
    """Numbers that touch cannot be read."""
    long = course("out_of_rounds", *[(10.0, 0.75)] * 100)

    assert (1, 5) == (of_run().layout.xaxis.dtick, of_run(long).layout.xaxis.dtick)


def test_courses_without_a_window_are_not_drawn() -> None:
    """There is nothing to see in an empty frame."""
    assert course_figures.of_run(NOTHING, TERMS, "sim") is None
    assert course_figures.of_comparison(compare_courses(TERMS, [NOTHING], [NOTHING])) is None
    assert course_figures.of_comparison(SAME) is not None
