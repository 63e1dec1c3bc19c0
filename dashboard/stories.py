"""The stories that ship, as a shelf shows them: purpose, source, text, and the few values worth turning.

The text is read as plain YAML; what a changed value means is for the scenario layer to judge when a job runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import yaml

from scenarios.errors import ScenarioError
from scenarios.load import load
from scenarios.shelf import ShelfEntry, library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

KnobKind = Literal["count", "cores", "text"]
EDITOR_LINE = "# yaml-language-server: $schema=../schema.json\n"

KNOBS_MAX = 24
"""More inputs than this are a form nobody fills in; the YAML is the better place."""

TURNABLE: dict[str, dict[str, tuple[str, KnobKind]]] = {
    "agents": {"count": ("agents", "count")},
    "containers": {"cpus": ("CPU quota, cores", "cores"), "mem_limit": ("memory limit", "text")},
    "rate_limits": {"rate": ("tokens per second", "text"), "limit": ("tokens per window", "text")},
}


@dataclass(frozen=True, slots=True)
class Knob:
    """One value a what-if may change: its dotted path, what to call it, and how it is written in the story.

    `tied` are further paths that get the same value: a container without swap has `memswap_limit` beside `mem_limit`.
    """

    path: str
    words: str
    kind: KnobKind
    written: str
    tied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShelvedStory:
    """A story on the shelf; `text` is its YAML."""

    name: str
    purpose: str
    source: str
    is_live_able: bool
    text: str
    knobs: tuple[Knob, ...]


def stories() -> list[ShelvedStory]:
    """The stories that ship, by name."""
    return [_story(entry) for entry in library()]


def _story(entry: ShelfEntry) -> ShelvedStory:
    """One story with its text and its knobs."""
    # The first line tells editors where the schema is, and readers nothing.
    text = entry.path.read_text(encoding="utf-8").removeprefix(EDITOR_LINE)
    return ShelvedStory(
        name=entry.name,
        purpose=entry.purpose,
        source=entry.source,
        is_live_able=entry.live_able,
        text=text,
        knobs=tuple(islice(_knobs(yaml.safe_load(text)), KNOBS_MAX)),
    )


def changes(knobs: Iterable[Knob], wanted: Mapping[str, str]) -> dict[str, str]:
    """The settings by path for the values that differ from the story; what is tied to one changes with it."""
    return {
        path: wanted[knob.path]
        for knob in knobs
        if wanted[knob.path] != knob.written
        for path in (knob.path, *knob.tied)
    }


def complaint(name: str, settings: Mapping[str, str]) -> str:
    """What is wrong with a story after changing values, or nothing."""
    try:
        load(name, sets=tuple(settings.items()))
    except ScenarioError as problem:
        return str(problem)
    return ""


def _knobs(told: dict[str, Any]) -> Iterator[Knob]:
    """The turnable values in the order of the story; a value that is not written keeps out of the form."""
    for section, keys in TURNABLE.items():
        for name, entry in (told.get(section) or {}).items():
            for key, (words, kind) in keys.items():
                if key in (entry or {}):
                    tied = key == "mem_limit" and entry.get("memswap_limit") == entry[key]
                    ties = (f"{section}.{name}.memswap_limit",) if tied else ()
                    yield Knob(f"{section}.{name}.{key}", f"{name}: {words}", kind, str(entry[key]), ties)
