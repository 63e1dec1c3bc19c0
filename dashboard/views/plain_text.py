"""Text from records and commands, shown as it is: no character of it is taken for Markdown, HTML or a formula."""

from __future__ import annotations

import re

SPECIAL = re.compile(r"([\\`*_\[\]$:~#<>|{}])")


def plain(text: object) -> str:
    """The same text for `st.markdown` and its kin, with a backslash before each character that means something."""
    return SPECIAL.sub(r"\\\1", str(text))
