"""The first page: all runs and validations there are, and the way to a new simulation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import jobs, record_shelf, stories, tables, wording
from dashboard.job_request import KIND_WORDS, JobRequest, is_live_allowed
from dashboard.views import job_cards
from dashboard.views.choosing import choose_row, date_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.job_request import JobKind
    from dashboard.record_shelf import Shelved

SEED_MAX = 2**31 - 1
PERCENT = "%.1f %%"
# An ended job keeps its card for so long; after that its run is found in the table. This is no bare string, because
# Streamlit prints those on the page unless it is told otherwise.
RECENT = timedelta(minutes=15)


def show() -> None:
    """Show the page."""
    st.title("Runs")
    st.markdown("Every simulation and every real run kept here, and those that ship. Choose a row to open it.")
    _start_form()
    job_cards.show_jobs(_recent_jobs)
    validations, runs = record_shelf.validations(), record_shelf.runs()
    names = [f"Validations ({len(validations)})", f"Runs ({len(runs)})"]
    validation_tab, run_tab = st.tabs(names, default=names[0] if validations else names[1])
    with validation_tab:
        _show_validations(validations)
    with run_tab:
        _show_runs(runs)


def _start_form() -> None:
    """The form that starts a job."""
    known = {story.name: story for story in stories.stories()}
    if not known:
        st.info("No stories are installed; install Tonnage anew to get them.", icon=":material/info:")
        return
    kinds: list[JobKind] = ["simulate", "run_live", "validate"] if is_live_allowed() else ["simulate"]
    with st.form("start", border=True):
        name_column, kind_column, seed_column, button_column = st.columns([5, 3, 2, 2], vertical_alignment="bottom")
        name = name_column.selectbox("Story", list(known), help="What each story shows is on the page Stories.")
        kind = kind_column.selectbox("What to do", kinds, format_func=KIND_WORDS.__getitem__, disabled=len(kinds) == 1)
        seed = seed_column.number_input("Seed", 0, SEED_MAX, value=None, placeholder="the story's")
        if button_column.form_submit_button("Start", type="primary", icon=":material/play_arrow:", width="stretch"):
            job_cards.submit(JobRequest(kind, name, seed))
        if not is_live_allowed():
            st.caption("Real runs are off here; `tonnage dashboard --allow-live` lets this page use the Docker engine.")


def _recent_jobs() -> list[jobs.Job]:
    """The active jobs, and the ended ones of late."""
    known = jobs.list_jobs()
    since = datetime.now(UTC) - RECENT
    recent = [job for job in known if (wording.moment(job.submitted_at) or since) > since]
    return [job for job in known if job.is_active] + [job for job in recent if not job.is_active][:2]


def _show_validations(validations: Sequence[Shelved]) -> None:
    """The table of validations."""
    if not validations:
        st.info(
            "Nothing has been validated yet. `tonnage validate cpu-quota-bursts` runs a story in both worlds and "
            "compares them; it needs a Docker engine and about a minute.",
            icon=":material/info:",
        )
        return
    columns = {
        "Verdict": st.column_config.TextColumn(width="medium"),
        "When (UTC)": date_column(),
        "Median error": st.column_config.NumberColumn(
            format=PERCENT, help="Half of the physics metrics are off by less."
        ),
        "Error, 90th percentile": st.column_config.NumberColumn(format=PERCENT, help="Nine in ten are off by less."),
        "Equivalent": st.column_config.NumberColumn(format="%.0f %%", help="Share of the physics metrics."),
    }
    chosen = choose_row("validations", tables.validation_rows(validations), columns)
    if chosen is not None:
        st.switch_page("views/model_against_reality.py", query_params={"validation": validations[chosen].id})


def _show_runs(runs: Sequence[Shelved]) -> None:
    """The table of single runs."""
    if not runs:
        st.info("No run yet. Choose a story above and press Start.", icon=":material/info:")
        return
    columns = {
        "When (UTC)": date_column(),
        "Comparable": st.column_config.TextColumn(
            help="Whether harness lag, other load and CPU steal stayed in bounds."
        ),
    }
    chosen = choose_row("runs", tables.run_rows(runs), columns)
    if chosen is not None:
        st.switch_page("views/one_run.py", query_params={"run": runs[chosen].id})


if __name__ == "__main__":
    show()
