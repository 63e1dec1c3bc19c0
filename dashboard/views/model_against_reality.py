"""A validation: the same story in both worlds, how far apart they were, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from dashboard import comparison_figures, course_figures, record_shelf, report, tables, verdicts, wording
from dashboard.views.choosing import choose_shelved
from dashboard.views.plain_text import plain
from sim.course_comparison import courses_of
from sim.report_text import course_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.record_shelf import Shelved

PERCENT = "%.1f %%"
SIGNED_PERCENT = "%+.1f %%"

ICONS = {
    "agrees": ":green[:material/check_circle:]",
    "does not agree": ":red[:material/cancel:]",
    "not comparable": ":gray[:material/block:]",
}


def show() -> None:
    """Show the page."""
    st.title("Model against reality")
    st.markdown("The same story, simulated and on a real Docker engine: how far apart the two were, metric by metric.")
    found = record_shelf.validations()
    if not found:
        st.info(
            "Nothing has been validated yet. `tonnage validate cpu-quota-bursts` runs a story in both worlds and "
            "compares them; it needs a Docker engine and about a minute.",
            icon=":material/info:",
        )
        return
    validation = choose_shelved("Validation", "validation", found)
    comparison = validation.facts["comparison"]
    _show_verdict(comparison)
    _show_overlay(validation)
    _show_errors(comparison)
    _show_courses(comparison)
    _show_circumstances(validation, comparison)


def _show_verdict(comparison: Mapping[str, Any]) -> None:
    """The verdict in one large sentence, the figures behind it, and how they were got."""
    verdict = verdicts.sentence(comparison)
    st.subheader(f"{ICONS.get(verdict.verdict, ':gray[:material/help:]')} {plain(verdict.headline)}")
    st.markdown(plain(verdict.explanation))
    for column, bound in zip(st.columns(len(verdicts.BOUNDS)), verdicts.BOUNDS, strict=True):
        value = comparison.get(bound.key)
        words = None if value is None else bound.words(value)
        colour: Literal["green", "red"] = "green" if value is not None and bound.holds(value) else "red"
        column.metric(bound.name, wording.percent(value), words, border=True, delta_arrow="off", delta_color=colour)
    st.caption(verdicts.effort_words(comparison))


def _show_overlay(validation: Shelved) -> None:
    """Both worlds over time, a container at a time."""
    st.subheader("In time")
    bands = record_shelf.bands_of(validation)
    if not bands:
        st.info("This validation kept no curves over time.", icon=":material/info:")
        return
    chosen = next(iter(bands))
    if len(bands) > 1:
        chosen = st.selectbox("Container", list(bands), width=360)
    limits = record_shelf.story_limits(validation).get(chosen, {})
    st.plotly_chart(comparison_figures.overlay(bands[chosen], limits), key="overlay", alt=f"{chosen} in both worlds")


def _show_errors(comparison: Mapping[str, Any]) -> None:
    """How far off each metric was: as a picture, and as a table."""
    st.subheader("Metric by metric")
    physics = [metric for metric in comparison["metrics"] if metric["kind"] == "physics"]
    st.plotly_chart(comparison_figures.differences(physics), key="differences", alt="difference of each metric")
    columns = {
        "Error": st.column_config.NumberColumn(format=SIGNED_PERCENT, help="Simulated less real, of real."),
        "Noise": st.column_config.NumberColumn(format=PERCENT, help="What two real runs of this story differ by."),
        "Margin": st.column_config.NumberColumn(format=PERCENT, help="A difference within this counts as none."),
        "Decided by": st.column_config.TextColumn(
            help="Only physics counts: shared code agrees with itself in both worlds."
        ),
    }
    rows = tables.error_rows(comparison["metrics"])
    st.dataframe(rows, hide_index=True, column_config=columns, height="content" if len(rows) < 30 else 900)
    st.caption(
        "★ headline metric, named before the run. Equivalent: the 90 % interval of the difference lies within the "
        "margin; different: outside; undecided: more repeats would tell."
    )


def _show_courses(comparison: Mapping[str, Any]) -> None:
    """How the calibrations of both worlds went, where the story calibrates."""
    courses = courses_of(comparison)
    if courses is None:
        return
    st.subheader("Calibration, window by window")
    sentence = course_sentence(courses)
    st.markdown(f"{plain(sentence[:1].upper() + sentence[1:])}.")
    figure = course_figures.of_comparison(courses)
    if figure is not None:
        st.plotly_chart(figure, key="courses", alt="CPU and rate of both worlds, window by window")
        st.dataframe(tables.course_comparison_rows(courses), hide_index=True)


def _show_circumstances(validation: Shelved, comparison: Mapping[str, Any]) -> None:
    """What else was found out, what was run, and the report to take along."""
    given = verdicts.load_given_words(comparison)
    if given:
        st.subheader("Given the other load")
        st.markdown(plain(given))
    _show_table("Broken models, to see that they are caught", tables.control_rows(comparison))
    _show_table("What shrinking the story changed", tables.changed_rows(comparison))
    st.subheader("What was run")
    for part in record_shelf.parts_of(validation):
        label = f"{wording.world_words(part.world)} · {wording.moment_words(part.started_at)} · {part.path.name}"
        st.page_link(
            "views/one_run.py", label=plain(label), icon=":material/monitoring:", query_params={"run": part.id}
        )
    st.download_button(
        "Download the report (HTML)",
        lambda: report.report_html(validation),
        file_name=f"tonnage-{validation.story}.html",
        mime="text/html",
        icon=":material/download:",
        on_click="ignore",
    )


def _show_table(title: str, rows: list[tables.Row]) -> None:
    """A small table under its title, where there is anything to show."""
    if rows:
        st.subheader(title)
        st.table(rows, border="horizontal", hide_index=True)


if __name__ == "__main__":
    show()
