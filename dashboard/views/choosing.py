"""The choice of one thing out of a list, kept in the page's address to be shared and reloaded, or out of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import record_shelf, wording
from dashboard.views.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboard.record_shelf import Shelved
    from dashboard.tables import Row


def choose(label: str, parameter: str, ids: Sequence[str], words: Callable[[str], str] = str) -> str:
    """The id that is chosen; the address names it under `parameter`, and an unknown one there is said so."""
    wanted = st.query_params.get(parameter)
    if wanted is not None and wanted not in ids:
        st.warning(f"There is no {label.lower()} called {plain(wanted[:80])}; this is the first of the list.")
    index = ids.index(wanted) if wanted in ids else 0
    chosen = st.selectbox(label, ids, index=index, format_func=words)
    st.query_params[parameter] = chosen
    return chosen


def choose_shelved(label: str, parameter: str, found: Sequence[Shelved]) -> Shelved:
    """The record or validation that is chosen."""
    by_id = {shelved.id: shelved for shelved in found}
    chosen = choose(label, parameter, list(by_id), lambda shelved_id: shelved_words(by_id[shelved_id]))
    return record_shelf.find(chosen, found) or found[0]


def shelved_words(shelved: Shelved) -> str:
    """A record or a validation in one line: story, world, when, and where it is kept."""
    world = f" · {wording.world_words(shelved.world)}" if shelved.kind == "run" else ""
    return f"{shelved.story}{world} · {wording.moment_words(shelved.started_at)} · {shelved.id}"


def choose_row(key: str, rows: list[Row], columns: dict[str, Any]) -> int | None:
    """A table whose rows can be chosen; the number of the chosen one."""
    state = st.dataframe(
        rows, hide_index=True, column_config=columns, on_select="rerun", selection_mode="single-row", key=key
    )
    chosen = state["selection"]["rows"]
    return int(chosen[0]) if chosen else None


def date_column() -> Any:  # noqa: ANN401  (Streamlit's own type is private)
    """A column of dates as people read them."""
    return st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm")
