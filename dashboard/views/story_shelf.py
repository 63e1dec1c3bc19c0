"""The stories that ship: what each shows, where it comes from, its YAML, and what if a few values were others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard import jobs, record_shelf, stories, tables
from dashboard.job_request import JobRequest
from dashboard.views import job_cards
from dashboard.views.choosing import choose
from dashboard.views.plain_text import plain

if TYPE_CHECKING:
    from dashboard.record_shelf import Shelved
    from dashboard.stories import Knob, ShelvedStory


def show() -> None:
    """Show the page."""
    st.title("Stories")
    st.markdown("The scenarios that ship with Tonnage. Change a few values and see what the model says would happen.")
    known = {story.name: story for story in stories.stories()}
    if not known:
        st.info("No stories are installed; install Tonnage anew to get them.", icon=":material/info:")
        return
    story = known[choose("Story", "story", list(known))]
    st.subheader(story.name)
    st.markdown(plain(story.purpose))
    st.caption(f"Source: {plain(story.source or 'made for Tonnage')} · {_live_words(story)}")
    what_if, text = st.columns([5, 6], gap="large")
    with what_if:
        _show_what_if(story)
    with text:
        st.markdown("**The story as written**")
        st.code(story.text, language="yaml", height=620, wrap_lines=True)


def _live_words(story: ShelvedStory) -> str:
    """Whether the story can be checked against reality."""
    return "can run on a real Docker engine" if story.is_live_able else "simulated only"


def _show_what_if(story: ShelvedStory) -> None:
    """The form of values to change, and what came of it."""
    st.markdown("**What if …**")
    with st.form(f"what-if-{story.name}"):
        wanted = {knob.path: _input(knob) for knob in story.knobs}
        if not story.knobs:
            st.caption("This story has no count, quota or limit to change; it can be simulated as it is.")
        is_asked = st.form_submit_button("Simulate", type="primary", icon=":material/play_arrow:")
    if is_asked:
        _start(story, stories.changes(story.knobs, wanted))
    job_cards.show_jobs(_jobs_in_address)
    _show_outcome()


def _input(knob: Knob) -> str:
    """The input for one value; returns it as a scenario would write it."""
    if knob.kind == "count":
        return str(st.number_input(knob.words, 1, 10_000, value=int(float(knob.written)), key=knob.path))
    if knob.kind == "cores":
        value = st.number_input(knob.words, 0.01, 1024.0, value=float(knob.written), step=0.1, key=knob.path)
        return knob.written if value == float(knob.written) else f"{value:g}"
    return st.text_input(knob.words, knob.written, max_chars=40, key=knob.path).strip()


def _start(story: ShelvedStory, settings: dict[str, str]) -> None:
    """Simulate the story as it is and, where values were changed, with them too; both draw the same workload."""
    problem = stories.complaint(story.name, settings)
    if problem:
        st.error(plain(problem), icon=":material/error:")
        return
    as_shipped = job_cards.submit(JobRequest("simulate", story.name))
    changed = job_cards.submit(JobRequest("simulate", story.name, None, settings)) if settings else None
    if as_shipped:
        st.query_params["job"] = [as_shipped] if changed is None else [as_shipped, changed]


def _jobs_in_address() -> list[jobs.Job]:
    """The jobs that the page's address names."""
    found = (jobs.status(job_id) for job_id in st.query_params.get_all("job")[:2])
    return [job for job in found if job]


def _show_outcome() -> None:
    """The headline metrics of the runs that the jobs made, side by side."""
    asked = _jobs_in_address()
    made = [record_shelf.on_user_shelf(job.result) for job in asked]
    runs = [run for run in made if run is not None]
    if len(runs) < len(asked):
        return
    if len(runs) == 2:
        st.table(tables.what_if_rows(_summary(runs[0]), _summary(runs[1])), border="horizontal", hide_index=True)
    elif runs:
        told = runs[0].facts["scenario"].get("story", {})
        st.table(tables.result_rows(told, _summary(runs[0])), border="horizontal", hide_index=True)


def _summary(shelved: Shelved) -> dict[str, object]:
    """The summary of a run, with the names of its headline metrics."""
    headline = shelved.facts["scenario"].get("story", {}).get("headline", [])
    return {**shelved.facts["summary"], "headline": headline}


if __name__ == "__main__":
    show()
