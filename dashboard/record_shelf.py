"""Finds the records and validations there are, and tells about each what a list needs.

Shelves: what this user ran (`home()/runs`, `home()/validations`) and what ships with the stories.
A list reads the small JSON files only; `sim.record.read_record` reads a whole record.
Ids come from the shelf and its folders (`runs/2026-…`); one from a URL is looked up here and never used as a path.
"""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sim import places
from sim.standing import current, standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SHELVED_MAX = 1_000
"""As many records as one list reads; older ones stay on the disk unlisted."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A record or a validation as a list shows it; `facts` holds the small JSON files by their stem.

    The provenance of a validation is that of its first run.
    """

    id: str
    path: Path
    kind: Literal["run", "validation"]
    story: str
    started_at: str
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def world(self) -> str:
        """The world a run was made in, "sim" or "docker"."""
        return str(self.facts["provenance"].get("world", ""))


def runs() -> list[Shelved]:
    """All single runs, the newest first, with those inside of validations at the end of theirs."""
    return [found for found in _shelved() if found.kind == "run"]


def validations() -> list[Shelved]:
    """All validations, the newest first."""
    return [found for found in _shelved() if found.kind == "validation"]


def find(wanted: str | None, among: Sequence[Shelved]) -> Shelved | None:
    """The record of that id among those listed; None for any other text, whatever it is."""
    return next((found for found in among if found.id == wanted), None)


def current_validations(found: Sequence[Shelved]) -> list[Shelved]:
    """What holds of each story, by name: its newest comparable validation, else its newest. Give the newest first."""
    by_id = {validation.id: validation for validation in found}
    told = (standing(validation.facts["comparison"], record=validation.id) for validation in found)
    return [by_id[one.record] for one in current(told) if one.record]


def bands_of(validation: Shelved) -> dict[str, Any]:
    """The bands of a validation by container and series; empty where the file is missing or broken."""
    return _json(validation.path / "bands.json")


def parts_of(validation: Shelved) -> list[Shelved]:
    """The records inside a validation: the real runs and the simulated ones that were kept."""
    folders = sorted(
        _folders(validation.path), key=lambda folder: (folder.name.rstrip("0123456789"), len(folder.name), folder.name)
    )
    inside = (_run(f"{validation.id}/{folder.name}", folder) for folder in folders)
    return [found for found in inside if found is not None]


def story_limits(validation: Shelved) -> dict[str, dict[str, Any]]:
    """The containers of the story that a validation ran, by name, with their limits."""
    for part in parts_of(validation):
        containers = part.facts["scenario"].get("story", {}).get("containers", ())
        return {str(container["name"]): dict(container) for container in containers}
    return {}


def on_user_shelf(path: Path | None) -> Shelved | None:
    """What a job made, by its directory; None where it is gone or lies on no shelf of this user."""
    if path is not None and path.parent == places.runs():
        return _run(f"runs/{path.name}", path)
    if path is not None and path.parent == places.validations():
        return _validation(f"validations/{path.name}", path)
    return None


def open_validation(path: Path) -> Shelved | None:
    """The validation in a directory, listed or not; None where there is none."""
    return _validation(path.name, path)


def _shelved() -> list[Shelved]:
    """Everything on all shelves, the newest first."""
    found = [*_user_shelves(), *_shipped("recorded", places.SHIPPED_RECORDS, depth_max=3)]
    return sorted(found[:SHELVED_MAX], key=operator.attrgetter("started_at"), reverse=True)


def _user_shelves() -> Iterator[Shelved]:
    """What this user ran."""
    for folder in _folders(places.runs()):
        yield from _present(_run(f"runs/{folder.name}", folder))
    for folder in _folders(places.validations()):
        yield from _with_parts(_validation(f"validations/{folder.name}", folder))


def _shipped(name: str, folder: Path, depth_max: int) -> Iterator[Shelved]:
    """What ships with the stories, in whatever folders it lies."""
    validation = _validation(name, folder)
    run = _run(name, folder)
    if validation or run:
        yield from _with_parts(validation) if validation else _present(run)
    elif depth_max > 0:
        for inner in _folders(folder):
            yield from _shipped(f"{name}/{inner.name}", inner, depth_max - 1)


def _with_parts(validation: Shelved | None) -> Iterator[Shelved]:
    """A validation and the records inside it."""
    if validation:
        yield validation
        yield from parts_of(validation)


def _present(found: Shelved | None) -> Iterator[Shelved]:
    """The one thing found, or nothing."""
    if found:
        yield found


def _run(name: str, folder: Path) -> Shelved | None:
    """The record in a folder, or None where the folder holds none."""
    scenario = _json(folder / "scenario.json")
    if not scenario:
        return None
    facts = {
        "scenario": scenario,
        "provenance": _json(folder / "provenance.json"),
        "summary": _json(folder / "summary.json"),
    }
    story = str(scenario.get("story", {}).get("name", folder.name))
    return Shelved(name, folder, "run", story, str(facts["provenance"].get("started_at", "")), facts)


def _validation(name: str, folder: Path) -> Shelved | None:
    """The validation in a folder, or None where the folder holds none."""
    comparison = _json(folder / "comparison.json")
    if not comparison:
        return None
    runs_told = (_json(inner / "provenance.json") for inner in _folders(folder))
    started = [told for told in runs_told if told.get("started_at")]
    first = min(started, key=_moment_started, default={})
    story = str(comparison.get("scenario", folder.name))
    facts = {"comparison": comparison, "provenance": first}
    return Shelved(name, folder, "validation", story, _moment_started(first), facts)


def _moment_started(provenance: Mapping[str, Any]) -> str:
    """When a run began; empty where that was not recorded."""
    return str(provenance.get("started_at", ""))


def _folders(folder: Path) -> list[Path]:
    """The folders inside a folder by name, the last first (their names begin with a date); none if it is missing."""
    if not folder.is_dir():
        return []
    return sorted((inner for inner in folder.iterdir() if inner.is_dir()), reverse=True)[:SHELVED_MAX]


def _json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where the file is missing, unreadable or something else."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
