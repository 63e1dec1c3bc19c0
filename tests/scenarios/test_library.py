"""The stories that ship."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from scenarios import ScenarioError, library, load
from scenarios.load import LIBRARY
from scenarios.metric_names import METRICS
from scenarios.story_json import story_from_json, story_to_json

if TYPE_CHECKING:
    from scenarios import ShelfEntry

ENTRIES = library()


def test_every_file_of_the_folder_is_on_the_shelf() -> None:
    """Nothing lies in the library that nobody can name."""
    assert sorted(path.name for path in LIBRARY.iterdir()) == sorted(f"{entry.name}.yaml" for entry in ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_library_story_says_what_for_and_where_from(entry: ShelfEntry) -> None:
    """The purpose comes first in the file and is one sentence; source and goals are there."""
    text = entry.path.read_text(encoding="utf-8")
    story = load(entry.name).story

    assert "purpose" == next(iter(yaml.safe_load(text)))
    assert 1 == story.purpose.count(". ") + 1
    assert story.purpose[-1] in ".?"
    assert story.source
    assert story.goals
    assert set(story.headline) <= set(METRICS)
    assert (entry.purpose, entry.source, entry.live_able) == (story.purpose, story.source, story.live_able)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_library_story_survives_its_record(entry: ShelfEntry) -> None:
    """What a record keeps of a story is the story."""
    story = load(entry.name).story

    assert story == story_from_json(story_to_json(story))


def test_the_oom_story_leaves_no_swap_to_hide_in() -> None:
    """Memory plus swap equals memory, or the kernel would swap where it should kill."""
    (container,) = load("memory-oom").story.containers

    assert container.memory_bytes_limit == container.memory_swap_bytes_limit


def test_a_broken_library_story_is_a_scenario_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shelf is loaded like any other file."""
    monkeypatch.setattr("scenarios.shelf.library_names", lambda: ["nothing"])
    with pytest.raises(ScenarioError):
        library()
