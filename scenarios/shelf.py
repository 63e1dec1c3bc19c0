"""The library: the stories that ship, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.load import LIBRARY, library_names, load

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ShelfEntry:
    """One library story: its name, file, purpose, source, and whether a small machine with Docker can run it."""

    name: str
    path: Path
    purpose: str
    source: str
    live_able: bool


def library() -> tuple[ShelfEntry, ...]:
    """Return every story that ships, by name."""
    return tuple(_entry(name) for name in library_names())


def _entry(name: str) -> ShelfEntry:
    story = load(name).story
    return ShelfEntry(name, LIBRARY / f"{name}.yaml", story.purpose, story.source, story.live_able)
