"""How complaints are worded: the nearest known word, and foreign text, values and paths on one short line."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer words are not typing slips, and comparing them costs quadratic time.
WORD_LENGTH_MAX = 80
LINE_LENGTH_MAX = 60
VALUE_LENGTH_MAX = 40

_PLAIN_STEP = re.compile(r"[\w-]{1,63}")


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, or None where none is."""
    found = difflib.get_close_matches(word[:WORD_LENGTH_MAX], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def one_line(text: str, length_max: int = LINE_LENGTH_MAX) -> str:
    """Write foreign text on one line, cut where it is too long; what a terminal would act on is escaped."""
    line = " ".join(text[: 10 * length_max].split())
    line = line if line.isprintable() else ascii(line)[1:-1]
    return line if len(line) <= length_max else f"{line[: length_max - 3]}..."


def show_value(value: object) -> str:
    """Write a value on one short line: numbers bare, text in quotes, the rest by what it is."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=not str(value).isprintable())
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 3]}..."


def show_path(path: Iterable[str | int]) -> str:
    """Write a path as a user would, with dots; a step that is no plain word is quoted and cut."""
    return ".".join(str(step) if _PLAIN_STEP.fullmatch(str(step)) else show_value(str(step)) for step in path)
