"""`--set PATH=VALUE` changes a scenario before it is checked."""

from __future__ import annotations

import pytest

from scenarios import ScenarioError, load, load_text
from scenarios.errors import SetPathError
from scenarios.story import Law

SMALL = """\
purpose: One agent computes.
duration: 5s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {box: {}}
agents: {worker: {think: 100ms, steps: [{compute: 20ms}, {hold: 5m}]}}
goals: [{metric: oom_kill_count, max: 0}]
"""


def test_a_value_in_the_file_is_replaced() -> None:
    """The dotted path is the one in the file, and the value is YAML."""
    assert 8 == load("agent-ecology", [("agents.worker.count", "8")]).story.agents[0].count


def test_a_key_left_to_its_default_can_be_set() -> None:
    """What the language knows can be set, whether the file says it or not."""
    story = load_text(SMALL, "t", sets=[("seed", "7"), ("live.scale.time", "1/5"), ("containers.box.cpus", "0.5")])

    assert (7, 0.2, 0.5) == (story.seed, story.live_scale.time_ratio, story.containers[0].cpus_limit)


def test_a_law_can_be_set_whole() -> None:
    """A mapping in flow style is a value like any other."""
    story = load_text(SMALL, "t", sets=[("agents.worker.think", "{exponential: 20ms}")])

    assert Law("exponential", (0.02,)) == story.agents[0].think_s


def test_items_of_lists_are_numbered_from_zero() -> None:
    """Steps and goals are reached by their number."""
    story = load_text(SMALL, "t", sets=[("agents.worker.steps.1.hold", "6m"), ("goals.0.max", "3")])

    assert (3.0, 6 * 1024**2) == (story.goals[0].value_max, story.agents[0].stages[1].memory_bytes.numbers[0])  # type: ignore[union-attr]


def test_later_options_win() -> None:
    """Options apply in the order in which they stand."""
    assert 3 == load_text(SMALL, "t", sets=[("seed", "2"), ("seed", "3")]).seed


WRONG = [
    (
        "agents.worker.cout=8",
        "--set agents.worker.cout=8: agents.worker.cout is not a key of the language; did you mean count?",
    ),
    ("agents.wroker.count=8", "--set agents.wroker.count=8: there is no agents.wroker; did you mean agents.worker?"),
    ("agents.x.count=8", "--set agents.x.count=8: there is no agents.x; there are worker"),
    ("providers.llm.latency=1s", "--set providers.llm.latency=1s: this scenario has no providers"),
    (
        "agents.worker.count=many",
        (
            '--set agents.worker.count=many: agents.worker.count is "many"; it must be a whole number from 1 to '
            "100,000; "
            "write for example 5"
        ),
    ),
    (
        "agents.worker.think.exponential=1s",
        (
            "--set agents.worker.think.exponential=1s: agents.worker.think is a single value and has no "
            "exponential; set "
            "agents.worker.think itself"
        ),
    ),
    (
        "agents.worker.steps.2.compute=1s",
        (
            "--set agents.worker.steps.2.compute=1s: agents.worker.steps is a list and has no 2; items are "
            "numbered from "
            "0 to 1"
        ),
    ),
    (
        "agents.worker.steps.first.compute=1s",
        (
            "--set agents.worker.steps.first.compute=1s: agents.worker.steps is a list and has no first; items are "
            "numbered from 0 to 1"
        ),
    ),
    (
        "agents..count=1",
        (
            "--set agents..count=1: the path must be names with dots between; write for example --set "
            "agents.worker.count=8"
        ),
    ),
    ("=1", "--set =1: the path must be names with dots between; write for example --set agents.worker.count=8"),
    (
        "seed={1",
        "--set seed={1: the value is not valid YAML: expected ',' or '}', but got '<stream end>'",
    ),
    ("seed=", "--set seed=: seed is empty; give it a value or remove it"),
    (
        "pools.a=1",
        "--set pools.a=1: pools is reserved for a coming version of Tonnage and cannot be used yet; remove it",
    ),
    ("agents=3", "--set agents=3: agents is 3; it must be a mapping: keys with values, one a line"),
    (
        "live.scale=[1]",
        "--set live.scale=[1]: live.scale is a list of 1; it must be a mapping: keys with values, one a line",
    ),
]


@pytest.mark.parametrize(("option", "complaint"), WRONG)
def test_a_wrong_option_is_named_in_the_complaint(option: str, complaint: str) -> None:
    """The complaint is about the option, not about a line of the file."""
    path, _, value = option.partition("=")
    with pytest.raises(ScenarioError) as caught:
        load_text(SMALL, "t", sets=[(path, value)])

    assert complaint == str(caught.value)


def test_a_value_without_end_is_refused() -> None:
    """What nobody types is not parsed."""
    with pytest.raises(SetPathError) as caught:
        load_text(SMALL, "t", sets=[("seed", "9" * 10_001)])

    assert f"--set seed={'9' * 57}...: the value is longer than 10,000 letters" == str(caught.value)


def test_what_an_option_breaks_elsewhere_is_still_told_with_the_files_line() -> None:
    """An option may make another value wrong; then the file's line is the place to look."""
    with pytest.raises(ScenarioError) as caught:
        load("agent-ecology", [("hosts.laptop.cpus", "1"), ("live.scale.cpus", "1")])

    (problem,) = caught.value.problems
    assert "containers.agents.cpus" == problem.path
    assert problem.line is not None


def test_only_the_values_below_a_replaced_mapping_lose_their_lines() -> None:
    """A mistake inside an option's value is told as the option's."""
    with pytest.raises(ScenarioError) as caught:
        load_text(SMALL, "t", sets=[("hosts", "{local: {cpus: 2, memory: lots}}")])

    assert ["--set hosts={local: {cpus: 2, memory: lots}}"] == [problem.source for problem in caught.value.problems]


def test_a_path_without_end_is_refused() -> None:
    """A path deeper than any scenario makes no nest of mappings."""
    with pytest.raises(SetPathError, match=r"the path is more than 32 names deep"):
        load_text(SMALL, "t", sets=[(".".join(["live"] * 33), "1")])
