"""A story as a record keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scenarios import Story, load_text
from scenarios.story_json import story_from_json, story_to_json

NEW_IN_CONTAINERS = ("restart", "health", "dependencies", "networks", "tmpfs", "start_delay_s", "foreign")


@pytest.fixture(name="story")
def _story(life_text: str) -> Story:
    """Every key of a container's life and every fault, compiled."""
    return load_text(life_text, "life")


def test_every_container_and_fault_survives_its_record(story: Story) -> None:
    """What JSON makes of a story is the story, after lists have taken the place of tuples."""
    assert story == story_from_json(json.loads(json.dumps(story_to_json(story))))


def test_a_host_s_probe_survives_its_record_and_no_other_host_speaks_of_one() -> None:
    """So that a story without probes reads the same in records of any age."""
    text = "purpose: P.\nduration: 5s\nhosts: {a: {cpus: 2, memory: 4g, probe: {every: 97ms, compute: 2ms}}, "
    story = load_text(text + "b: {cpus: 2, memory: 4g}}\ncontainers: {box: {host: a}}\n", "t")
    data = json.loads(json.dumps(story_to_json(story)))

    assert story == story_from_json(data)
    assert [True, False] == ["probe" in host for host in data["hosts"]]


def test_a_volume_survives_its_record_and_no_other_container_speaks_of_one() -> None:
    """So that a story without volumes reads the same in records of any age; writing and reading it stay apart."""
    text = "purpose: P.\nduration: 5s\nhosts: {local: {cpus: 2, memory: 4g}}\n"
    text += "containers: {box: {volumes: ['data:/data']}, plain: {}}\n"
    text += "agents: {w: {container: box, think: 1s, steps: [{write: 1m}, {read: 1m}, erase]}}\n"
    story = load_text(text, "t")
    data = json.loads(json.dumps(story_to_json(story)))

    assert story == story_from_json(data)
    assert [{"name": "data", "path": "/data"}, None] == [one.get("volume") for one in data["containers"]]
    assert "volume" not in data["containers"][1]
    assert ["write", "read", "erase"] == [stage["stage"] for stage in data["agents"][0]["stages"]]


def test_faults_with_the_same_fields_stay_apart(story: Story) -> None:
    """A killed container and a filled disk both have a time and a container; each is written with its kind."""
    kinds = [fault["fault"] for fault in story_to_json(story)["faults"]]

    assert [type(fault).__name__ for fault in story.faults] == kinds


def test_an_older_record_reads_with_defaults() -> None:
    """It knows no faults, no networks and nothing of a container's life."""
    text = "purpose: Old.\nduration: 5s\nhosts: {local: {cpus: 2, memory: 4g}}\ncontainers: {box: {cpuset: 0-1}}\n"
    story = load_text(text, "old")
    data: dict[str, Any] = story_to_json(story)
    for key in ("networks", "faults"):
        del data[key]
    for key in NEW_IN_CONTAINERS:
        del data["containers"][0][key]

    assert story == story_from_json(json.loads(json.dumps(data)))


@pytest.mark.parametrize("broken", [{"faults": [{"fault": "Flood"}]}, {"faults": [{}]}, {"networks": [{"nam": "x"}]}])
def test_what_is_no_story_is_refused(story: Story, broken: dict[str, Any]) -> None:
    """A kind that nobody knows, none at all, or fields of something else."""
    with pytest.raises((KeyError, TypeError)):
        story_from_json({**story_to_json(story), **broken})
