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

# The pages below have no icons: Streamlit draws `:material/...:` inside of a page with a font of its own, but the icon
# of a page is also the browser tab's, and for that each browser would ask a font server on the internet.
PAGES = [
    st.Page("views/runs.py", title="Runs", default=True),
    st.Page("views/one_run.py", title="One run", url_path="run"),
    st.Page("views/model_against_reality.py", title="Model against reality", url_path="validation"),
    st.Page("views/agreement.py", title="Agreement", url_path="agreement"),
    st.Page("views/story_shelf.py", title="Stories", url_path="stories"),
]

# One blue that stands out on a light page and on a dark one.
BOXES = """<rect x="0" y="18" width="7" height="9" rx="1"/><rect x="9" y="18" width="7" height="9" rx="1"/>
<rect x="18" y="18" width="7" height="9" rx="1"/><rect x="4.5" y="7" width="7" height="9" rx="1"/>
<rect x="13.5" y="7" width="7" height="9" rx="1"/>"""
LOGO = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 162 32" width="162" height="32" fill="#2E7EBB">{BOXES}
<text x="35" y="26" font-family="system-ui, sans-serif" font-size="23" font-weight="650">Tonnage</text></svg>"""
ICON = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 3 27 28" width="32" height="32" fill="#2E7EBB">
{BOXES}</svg>"""

st.set_page_config(page_title="Tonnage", page_icon=ICON, layout="wide")
st.logo(LOGO, size="large")
st.navigation(PAGES, position="top").run()
