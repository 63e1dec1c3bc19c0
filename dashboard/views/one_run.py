"""One run in time: what its containers did, what they were allowed, what happened, and whether the goals were met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import course_figures, figures, record_shelf, tables, wording
from dashboard.views.choosing import choose_shelved
from dashboard.views.plain_text import plain
from sim.calibrate_text import verdict_sentence
from sim.calibration_course import course_of, terms_of
from sim.errors import RecordError
from sim.record import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dashboard.record_shelf import Shelved
    from scenarios.story import Calibrate
    from sim.policies.calibration import Course
    from sim.record import Record

TILES = ("steps_per_s", "step_latency_s_p95", "cpu_cores_mean", "memory_bytes_max", "oom_kill_count")
TILES_MAX = 4


def show() -> None:
    """Show the page."""
    st.title("One run")
    st.markdown("What the containers of one run did over time, what they were allowed, and whether the goals were met.")
    found = record_shelf.runs()
    if not found:
        st.info(
            "No run yet. Start one on the page Runs, or with `tonnage run cpu-quota-bursts`.", icon=":material/info:"
        )
        st.page_link("views/runs.py", label="To the page Runs", icon=":material/list:")
        return
    shelved = choose_shelved("Run", "run", found)
    try:
        record = _read(shelved.path, _changed_at(shelved.path))
    except RecordError as problem:
        st.error(f"This record cannot be shown: {plain(problem)}", icon=":material/error:")
        return
    _show_head(shelved, record)
    _show_in_time(record)
    _show_calibration(record)
    _show_results(record)
    _show_provenance(record)


@st.cache_resource(max_entries=16, show_spinner="Reading the record …")
def _read(path: Path, _changed_at_s: float) -> Record:
    """A record, read once per version of its files."""
    return read_record(path)


def _changed_at(path: Path) -> float:
    """When a record's files last changed."""
    return max((file.stat().st_mtime for file in path.iterdir()), default=0.0)


def _show_head(shelved: Shelved, record: Record) -> None:
    """What was run, where and when, with the few figures that tell the most."""
    st.subheader(f"{plain(shelved.story)} · {wording.world_words(shelved.world)}")
    st.markdown(plain(record.story.get("purpose", "")))
    if not record.ended:
        st.warning(
            "This run has not ended: it goes on, or it was killed. What was recorded until then is shown.",
            icon=":material/hourglass_empty:",
        )
    elif shelved.facts["provenance"].get("comparable") is False:
        reasons = "; ".join(map(str, shelved.facts["provenance"].get("reasons", ())))
        st.warning(f"Not comparable with another run: {plain(reasons)}", icon=":material/block:")
    _show_tiles(record.summary)


def _show_tiles(summary: Mapping[str, Any]) -> None:
    """The run's main figures in large; those of the whole story, or of its only container."""
    metrics = list(summary.get("metrics", ()))
    containers = {metric["container"] for metric in metrics} - {None}
    wanted = {None, *containers} if len(containers) == 1 else {None}
    known = {metric["name"]: metric for metric in metrics if metric["container"] in wanted}
    tiles = [known[name] for name in TILES if name in known][:TILES_MAX]
    for column, metric in zip(st.columns(len(tiles)) if tiles else [], tiles, strict=True):
        value = wording.quantity(metric["value"], metric["name"], metric["unit"])
        column.metric(wording.metric_words(metric["name"]), value, border=True)


def _show_in_time(record: Record) -> None:
    """The curves of one container, and of what belongs to none."""
    st.subheader("In time")
    containers = figures.containers_of(record)
    if not containers:
        st.info("Nothing was sampled: the run ended before its containers were up.", icon=":material/info:")
        return
    chosen = containers[0]
    if len(containers) > 1:
        chosen = st.selectbox("Container", containers, width=360)
    st.plotly_chart(figures.container_in_time(record, chosen), key="container", alt=f"{chosen} over the run's time")
    whole = figures.story_in_time(record)
    if whole is not None:
        st.plotly_chart(whole, key="story", alt="levels of the whole story over the run's time")


def _show_calibration(record: Record) -> None:
    """What the rate was turned to and why, where the run calibrated one."""
    try:
        course, terms = course_of(record.summary), terms_of(record.story)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        told = f"{type(problem).__name__}: {problem}"
        st.error(f"This record's calibration is damaged and cannot be shown ({plain(told)}).", icon=":material/error:")
        return
    if course is not None and terms is not None:
        _show_course(course, terms, str(record.provenance.get("world", "")))


def _show_course(course: Course, terms: Calibrate, world: str) -> None:
    """The verdict in one sentence, the course as a figure, and its windows as a table."""
    st.subheader("Calibration")
    sentence = verdict_sentence(terms, course)
    st.markdown(f"{plain(sentence[:1].upper() + sentence[1:])}.")
    figure = course_figures.of_run(course, terms, world)
    if figure is not None:
        st.plotly_chart(figure, key="course", alt="CPU and rate, window by window")
        st.table(tables.course_rows(course), border="horizontal", hide_index=True)
    if course.void_count:
        st.caption(f"{wording.counted(course.void_count, 'window')} could not be judged.")


def _show_results(record: Record) -> None:
    """Goals, headline metrics and checks."""
    st.subheader("Results")
    if not record.ended:
        st.info("Results are written when a run ends.", icon=":material/info:")
        return
    results, checks = st.columns([3, 2], gap="large")
    with results:
        st.markdown("**Goals and headline metrics**")
        st.table(tables.result_rows(record.story, record.summary), border="horizontal", hide_index=True)
    with checks:
        st.markdown("**Laws every record is held against**")
        st.table(tables.check_rows(record.summary), border="horizontal", hide_index=True)
    with st.expander(f"All {len(record.summary['metrics'])} metrics"):
        st.dataframe(tables.metric_rows(record.summary), hide_index=True)


def _show_provenance(record: Record) -> None:
    """Where the record comes from."""
    with st.expander("Where this comes from"):
        verdict = tables.comparable_words(record.provenance)
        reasons = "; ".join(map(str, record.provenance.get("reasons", ())))
        st.markdown(f"Comparable with other runs: **{verdict}**{f': {plain(reasons)}' if reasons else ''}")
        st.table(tables.provenance_rows(record.provenance, record.scenario), border="horizontal", hide_index=True)
        st.caption(f"Kept in {plain(record.path)}")


if __name__ == "__main__":
    show()
