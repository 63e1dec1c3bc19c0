"""What a capacity question varies: the language of the key, which paths can be varied, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from scenarios import ScenarioError, library, load, load_text
from scenarios.capacity_schema import USUAL_PATHS_COUNT_MAX, is_size_path, quantity, value_at
from scenarios.story_json import story_from_json, story_to_json

SOUND = """\
purpose: Something to vary.
duration: 1s
hosts: {local: {cpus: 4, memory: 4g}}
containers: {agents: {cpus: "1.5", mem_limit: 64m}}
agents: {worker: {count: 3, think: 50ms, steps: [{hold: {gamma: {mean: 10m, cv: 0.5}}}, {compute: 5ms}]}}
goals: {quick: {metric: step_latency_s_p95, max: 1s}}
capacity: {vary: agents.worker.count}
"""


@pytest.mark.parametrize(
    "path",
    [
        *("agents.worker.count", "containers.agents.cpus", "containers.agents.mem_limit", "hosts.local.memory"),
        *("agents.worker.steps.0.hold.gamma.mean", "agents.worker.steps.0.hold.gamma.cv"),
    ],
)
def test_a_number_or_a_size_can_be_varied(path: str) -> None:
    """Counts, cores, sizes, also within lists and laws: whatever is written as a number or a size."""
    assert path == load_text(SOUND.replace("agents.worker.count", path), "t").vary


def test_a_story_need_not_name_anything() -> None:
    """The key may be left out."""
    assert load_text(SOUND[: SOUND.index("capacity:")], "t").vary is None


MUST = "it must be the path of a number or a size that is written in this scenario; write for example"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("agents.wroker.count", f't:7: capacity.vary is "agents.wroker.count"; {MUST} agents.worker.count'),
        ("agents.worker.think", f't:7: capacity.vary is "agents.worker.think"; {MUST} agents.worker.count'),
        ("containers.agents.memory", f't:7: capacity.vary is "containers.agents.memory"; {MUST} containers.agents.'),
        ("agents.worker", f't:7: capacity.vary is "agents.worker"; {MUST} '),
        ("agents.worker.steps.9.hold", 't:7: capacity.vary is "agents.worker.steps.9.hold"; it must be the path of'),
        ("agents.worker.steps.²", 't:7: capacity.vary is "agents.worker.steps.²"; it must be the path of'),
        ("purpose.length", 't:7: capacity.vary is "purpose.length"; it must be the path of'),
        ("agents..count", 't:7: capacity.vary is "agents..count"; it must be a path of this scenario, names with dots'),
        ("7", "t:7: capacity.vary is 7; it must be a path of this scenario, names with dots between; write for"),
        ("a" * 600, "t:7: capacity.vary is "),
    ],
)
def test_what_cannot_be_varied_is_refused(path: str, complaint: str) -> None:
    """One line says where, what, and a path that would work."""
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace("agents.worker.count", path), "t")

    assert 1 == len(caught.value.problems)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("capacity: {}", "t:7: capacity.vary is missing; write for example vary: agents.worker.count"),
        ("capacity: 5", "t:7: capacity is 5; it must be a mapping: keys with values, one a line"),
        ("capacity: {vary: duration, on: docker}", "t:7: capacity.on is not a key of the language; "),
    ],
)
def test_the_key_is_a_mapping_with_one_key(text: str, complaint: str) -> None:
    """What else is written is refused like any slip."""
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace("capacity: {vary: agents.worker.count}", text), "t")

    assert str(caught.value).startswith(complaint)


def test_other_faults_are_told_first() -> None:
    """A field that is wrong by itself is told, whatever the key names."""
    with pytest.raises(ScenarioError, match=r"^t:5: agents.worker.count is -1; it must be 1 or more$"):
        load_text(SOUND.replace("count: 3", "count: -1"), "t")


def test_a_file_of_thousands_of_names_is_not_looked_through() -> None:
    """The nearest path is looked for among so many, and one is named in any case."""
    many = ", ".join(f"a{number}: {{count: 1, steps: [{{compute: 1ms}}]}}" for number in range(USUAL_PATHS_COUNT_MAX))
    text = SOUND.replace("agents: {worker", f"agents: {{{many}, worker").replace(".worker.count", ".wroker.counts")
    with pytest.raises(ScenarioError, match=r"write for example agents\.a\d+\.count$"):
        load_text(text, "t")


@pytest.mark.parametrize(
    ("path", "is_size"),
    [
        ("containers.a.mem_limit", True),
        ("agents.a.steps.0.hold", True),
        ("agents.a.steps.0.write", True),
        ("agents.a.steps.0.read", True),
        ("agents.a.steps.0.read.uniform.1", True),
        ("agents.a.steps.0.hold.gamma.mean", True),
        ("agents.a.steps.0.hold.gamma.cv", False),
        ("agents.a.count", False),
    ],
)
def test_a_size_is_known_by_its_path(path: str, is_size: bool) -> None:  # noqa: FBT001
    """A key of a size makes all below it sizes, but for the spread of a law."""
    assert is_size == is_size_path(path)


def test_what_is_written_is_found_and_read() -> None:
    """Keys and places in lists lead to a value, which is a number, a size, or neither."""
    tree = {"a": {"b": ["1", {"hold": "2k"}]}}

    assert ["1", {"hold": "2k"}] == value_at(tree, "a.b")
    assert ("1", None, None, None) == tuple(value_at(tree, path) for path in ("a.b.0", "a.b.2", "a.c", "a.b.0.x"))
    assert Fraction(2048) == quantity(value_at(tree, "a.b.1.hold"), is_size=True)
    assert [Fraction(1), None] == [quantity(value, is_size=False) for value in ("1", True)]


def test_the_question_is_no_part_of_the_story() -> None:
    """Runs that were made before somebody asked are runs of the same story, and are read as such."""
    asked, unasked = load_text(SOUND, "t"), load_text(SOUND[: SOUND.index("capacity:")], "t")

    assert story_to_json(unasked) == story_to_json(asked)
    assert asked == story_from_json(json.loads(json.dumps(story_to_json(asked))))


@pytest.mark.parametrize("name", ["agent-ecology", "agent-ecology-disk", "agent-ecology-memory", "memory-oom"])
def test_stories_with_an_obvious_question_name_it(name: str) -> None:
    """How many agents fit is what these stories are about."""
    story = load(name).story

    assert story.vary in {f"agents.{group.name}.count" for group in story.agents}


def test_whoever_names_a_question_has_goals() -> None:
    """Without goals nothing says what fits."""
    assert [] == [one.name for one in library() if (story := load(one.name).story).vary and not story.goals]
