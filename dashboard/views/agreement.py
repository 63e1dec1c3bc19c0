"""All stories together: how far model and reality are apart today, metric by metric, and how that came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import agreement_figures, record_shelf, tables, verdicts, wording
from dashboard.views.choosing import choose, choose_row, date_column
from sim.quantities import MARGIN_RATIO, MARGIN_RATIO_TAIL
from sim.standing import agreeing_count, standing, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.record_shelf import Shelved

PERCENT = "%.1f %%"
EMPTY = (
    "Nothing has been validated yet. `tonnage validate --all` runs every story that a Docker engine can run in both "
    "worlds, one after another, and compares them; `tonnage validate cpu-quota-bursts` does so with one story, in "
    "about a minute."
)


def show() -> None:
    """Show the page."""
    st.title("Agreement")
    st.markdown("Every story that was validated: how far the model is off reality today, and how that came to be.")
    found = record_shelf.validations()
    if not found:
        st.info(EMPTY, icon=":material/info:")
        return
    current = record_shelf.current_validations(found)
    _show_together(current)
    _show_stories(current)
    _show_parity(current)
    _show_history(found)


def _show_together(current: Sequence[Shelved]) -> None:
    """The figures over all stories: how many agree, and the pooled errors beside what is asked of one story."""
    standings = [standing(validation.facts["comparison"]) for validation in current]
    overall = together(standings)
    first, *columns = st.columns(1 + len(verdicts.BOUNDS))
    first.metric("Stories that agree", f"{agreeing_count(standings)} of {len(standings)}", border=True)
    for column, bound in zip(columns, verdicts.BOUNDS, strict=True):
        column.metric(bound.name, wording.percent(getattr(overall, bound.key)), border=True)
    st.caption(
        "Of each story its newest validation whose runs were not disturbed. The errors are those of all physics "
        "metrics of all these stories; of one story at most "
        f"{wording.percent(verdicts.BOUNDS[0].limit_ratio)} in the middle and "
        f"{wording.percent(verdicts.BOUNDS[1].limit_ratio)} at the 90th percentile are wanted, and at least "
        f"{wording.percent(verdicts.BOUNDS[2].limit_ratio)} of its metrics equivalent."
    )


def _show_stories(current: Sequence[Shelved]) -> None:
    """A row per story, which opens its validation."""
    st.subheader("Story by story")
    columns: dict[str, Any] = {
        "Median error": st.column_config.NumberColumn(format=PERCENT),
        "Error, 90th percentile": st.column_config.NumberColumn(format=PERCENT),
        "Equivalent": st.column_config.TextColumn(help="Physics metrics that lie within their margin."),
        "Different": st.column_config.NumberColumn(help="Physics metrics that lie outside of their margin."),
        "Noise": st.column_config.NumberColumn(
            format=PERCENT, help="What two real runs differ by: the median of the physics metrics."
        ),
        "When (UTC)": date_column(),
    }
    chosen = choose_row("standings", tables.standing_rows(current), columns)
    if chosen is not None:
        st.switch_page("views/model_against_reality.py", query_params={"validation": current[chosen].id})


def _show_parity(current: Sequence[Shelved]) -> None:
    """Every metric of every comparable story as a point."""
    st.subheader("Real against simulated")
    comparable = [one.facts["comparison"] for one in current if one.facts["comparison"].get("comparable")]
    figure = agreement_figures.parity(comparable)
    if figure is None:
        st.info("No validation here could be compared, so there is nothing to draw.", icon=":material/info:")
        return
    st.plotly_chart(figure, key="parity", alt="real value of each metric against its simulated value")
    st.caption(
        "A point is one physics metric of one container of one story; on the line both worlds say the same. The bands "
        f"are how far a metric may be off: {wording.percent(MARGIN_RATIO_TAIL)} for peaks and the 95th and 99th "
        f"percentiles, {wording.percent(MARGIN_RATIO)} for the rest, and more where real runs differ by more; values "
        "too small to matter may lie far off the line and be equivalent. Axes are "
        "logarithmic; a value of 0 stands at their edge. A metric that only one world has is in its story's table."
    )


def _show_history(found: Sequence[Shelved]) -> None:
    """The errors of one story from validation to validation."""
    st.subheader("From validation to validation")
    stories = sorted({validation.story for validation in found})
    story = choose("Story", "story", stories)
    past = [
        agreement_figures.Past(
            wording.moment_words(validation.started_at),
            wording.commit_words(validation.facts["provenance"].get("commit")),
            validation.facts["comparison"],
        )
        for validation in reversed(found)
        if validation.story == story
    ]
    st.plotly_chart(agreement_figures.history(past), key="history", alt=f"errors of {story} over its validations")
    st.caption(
        "The mark says what was found: ● agrees, ✕ does not agree, ◇ not comparable. Validations with other values, "
        "another seed or on another machine stand in the same row."
    )


if __name__ == "__main__":
    show()
