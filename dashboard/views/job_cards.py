"""The jobs under way and just ended, as cards that renew themselves while something goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import jobs, record_shelf, wording
from dashboard.errors import JobError
from dashboard.job_request import KIND_WORDS
from dashboard.views.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboard.job_request import JobRequest
    from dashboard.jobs import Job

SHOWN_MAX = 5
RENEW_S = 1.0

STATE_WORDS = {
    "queued": ":gray-badge[:material/hourglass_empty: waiting]",
    "running": ":blue-badge[:material/play_arrow: running]",
    "done": ":green-badge[:material/check: done]",
    "failed": ":red-badge[:material/close: failed]",
    "cancelled": ":gray-badge[:material/block: cancelled]",
}


def submit(request: JobRequest) -> str | None:
    """Start a job and return its id; where it cannot be accepted, say so on the page."""
    try:
        return jobs.submit(request)
    except JobError as problem:
        st.error(plain(problem), icon=":material/error:")
        return None


def show_jobs(choose: Callable[[], Sequence[Job]], on_end: Callable[[], None] = st.rerun) -> None:
    """Show the jobs that `choose` returns, anew each second while one is active; `on_end` follows when one ends."""
    active = {job.id for job in choose() if job.is_active}
    st.fragment(_cards, run_every=RENEW_S if active else None)(choose, active, on_end)


def _cards(choose: Callable[[], Sequence[Job]], active: set[str], on_end: Callable[[], None]) -> None:
    """Draw the cards once; a job that was active and is no more renews the whole page, its record being new."""
    chosen = choose()[:SHOWN_MAX]
    for job in chosen:
        _card(job)
    if active - {job.id for job in chosen if job.is_active}:
        on_end()


def _card(job: Job) -> None:
    """One job: what it does, how far it is, and what can be done about it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"card-{job.id}"):
        with st.container():
            st.markdown(f"{STATE_WORDS[job.state]} **{plain(job.request.story)}** · {_what(job)} · {_when(job)}")
            _progress(job)
        if job.is_active and st.button("Cancel", key=f"cancel-{job.id}", icon=":material/cancel:"):
            jobs.cancel(job.id)
            st.rerun(scope="app")
        if job.state == "done":
            _result_link(job)


def _what(job: Job) -> str:
    """What the job does, with the values it changes."""
    changed = ", ".join(plain(f"{path}={value}") for path, value in job.request.settings.items())
    return KIND_WORDS[job.request.kind].lower() + (f" with {changed}" if changed else "")


def _when(job: Job) -> str:
    """How long ago the job was asked for."""
    submitted = wording.moment(job.submitted_at)
    return f"{wording.elapsed_words(datetime.now(UTC) - submitted)} ago" if submitted else ""


def _progress(job: Job) -> None:
    """How far an active job is, or how it ended where that needs a word."""
    if job.state == "running" and job.progress_ratio is not None:
        st.progress(job.progress_ratio, text=plain(job.text))
    elif job.is_active or job.text == jobs.KILLED_WORDS:
        st.caption(plain(job.text))
    elif job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
        _log(job)


def _log(job: Job) -> None:
    """What the job's command said, folded away."""
    lines = jobs.log_lines(job.id)
    if len(lines) > 1:
        with st.expander("What it said"):
            st.code("\n".join(lines), language=None, wrap_lines=True)


def _result_link(job: Job) -> None:
    """The way to the record or validation that a job made."""
    found = record_shelf.on_user_shelf(job.result)
    if found is None:
        st.caption("its record is gone")
    elif found.kind == "run":
        st.page_link(
            "views/one_run.py", label="Open the run", icon=":material/monitoring:", query_params={"run": found.id}
        )
    else:
        st.page_link(
            "views/model_against_reality.py",
            label="Open the validation",
            icon=":material/compare_arrows:",
            query_params={"validation": found.id},
        )
