"""The web app's entry: the pages and nothing else; `tonnage dashboard` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Streamlit puts this folder first on the path, where `figures` or `report` would hide other packages of that name,
# and leaves the project out of it where the project is not installed.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE]
if str(HERE.parent) not in sys.path:
    sys.path.append(str(HERE.parent))

import streamlit as st  # noqa: E402  (only after the path is mended)

PAGES = [
    st.Page("views/runs.py", title="Runs", icon=":material/list:", default=True),
    st.Page("views/one_run.py", title="One run", icon=":material/monitoring:", url_path="run"),
    st.Page(
        "views/model_against_reality.py",
        title="Model against reality",
        icon=":material/compare_arrows:",
        url_path="validation",
    ),
    st.Page("views/story_shelf.py", title="Stories", icon=":material/menu_book:", url_path="stories"),
]

st.set_page_config(page_title="Tonnage", page_icon=":material/scale:", layout="wide")
st.navigation(PAGES, position="top").run()
