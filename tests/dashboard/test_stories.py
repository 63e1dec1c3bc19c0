"""The shelf of stories, and the values a what-if may change."""

from __future__ import annotations

from dashboard import stories
from dashboard.stories import Knob
from scenarios.load import library_names


def test_every_story_that_ships_is_on_the_shelf() -> None:
    """Each has its purpose, its text, and something to turn."""
    shelf = stories.stories()

    assert library_names() == [story.name for story in shelf]
    assert all(story.purpose and story.text.lstrip().startswith("purpose") and story.knobs for story in shelf)


def test_the_knobs_are_values_as_written() -> None:
    """Count, quota and limit can be turned, under the paths that `--set` knows; swap goes with memory."""
    story = next(story for story in stories.stories() if story.name == "memory-oom")

    assert [
        Knob("agents.worker.count", "worker: agents", "count", "4"),
        Knob("containers.agents.cpus", "agents: CPU quota, cores", "cores", "1"),
        Knob(
            "containers.agents.mem_limit",
            "agents: memory limit",
            "text",
            "256m",
            tied=("containers.agents.memswap_limit",),
        ),
    ] == list(story.knobs)


def test_only_what_differs_is_changed() -> None:
    """An untouched value is no setting, and what is tied to a value changes with it."""
    knobs = [Knob("a.count", "a", "count", "4"), Knob("b.mem_limit", "b", "text", "1g", tied=("b.memswap_limit",))]

    assert {} == stories.changes(knobs, {"a.count": "4", "b.mem_limit": "1g"})
    assert {"b.mem_limit": "2g", "b.memswap_limit": "2g"} == stories.changes(
        knobs, {"a.count": "4", "b.mem_limit": "2g"}
    )


def test_a_change_that_makes_no_sense_is_said_at_once() -> None:
    """The scenario layer's own words reach the page before any job is started."""
    assert "containers.agents.mem_limit" in stories.complaint("memory-oom", {"containers.agents.mem_limit": "lots"})
    assert stories.complaint("memory-oom", {"agents.worker.count": "6"}) == ""
