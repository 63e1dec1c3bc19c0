"""Capacity of small stories whose answer theory gives, and of worlds that are made up."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from scenarios.demand import group_demand
from scenarios.units import MIB
from sim.errors import RequestError, StoryRefused
from sim.experiments.capacity import Capacity, Question, find_capacity
from sim.experiments.ladder import Wish
from sim.goals import GoalResult
from sim.physics.host_profile import load_profile
from sim.record import Recorder
from sim.run import Outcome
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scenarios import Story
    from sim.worlds import Say

COUNT = "agents.worker.count"
PROFILE = load_profile(None)

# All agents hold their memory at the same time for most of each second, so that the sum of it decides.
HOLDING = """\
purpose: Agents that hold 100 MiB each in a container of ten times as much.
duration: 2s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {mem_limit: 1000m, memswap_limit: 1000m}}
agents: {worker: {think: 10ms, steps: [{hold: 100m}, {sleep: 1s}]}}
goals: {no-oom-kill: {metric: oom_kill_count, container: agents, max: 0}}
"""
# An agent that works for 10 ms in every 100 burns a tenth of a core; four cores keep nobody waiting.
BURNING = """\
purpose: Agents that burn a tenth of a core each.
duration: 4s
hosts: {local: {cpus: 4, memory: 4g}}
containers: {agents: {cpus: 2, mem_limit: 256m, memswap_limit: 256m}}
agents: {worker: {think: {uniform: [80ms, 100ms]}, steps: [{compute: 10ms}]}}
goals: {cpu-below-85-percent: {metric: cpu_cores_mean, container: agents, max: 0.85}}
"""


@dataclass
class Stage:
    """A world whose goals are missed as a function says: the agents' count to the names of the goals missed."""

    missed: Callable[[int], set[str]]
    name: str = "sim"
    runs_count: int = 0
    interrupted_after_count: int | None = None
    held: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        self.held.append("held")
        try:
            yield
        finally:
            self.held.append("let go")

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Remember when it is held and when it is let go."""
        return self._holding()

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Miss what is to be missed."""
        assert ["held"] == self.held
        if self.runs_count == self.interrupted_after_count:
            raise KeyboardInterrupt
        self.runs_count += 1
        missed = self.missed(story.agents[0].count)
        results = (
            GoalResult(goal.name, goal.metric, "agents", 1.0, "", "at most 1", goal.name not in missed)
            for goal in story.goals
        )
        return Outcome(self.name, (), tuple(results), (), Recorder(None), directory)


@pytest.fixture(name="scenario")
def _scenario(tmp_path: Path) -> Callable[[str], str]:
    """Writes a scenario to a file and returns its path."""

    def written(text: str) -> str:
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return written


def simulated(path: str, wish: Wish, *sets: tuple[str, str]) -> Capacity:
    """The simulated capacity of a scenario, as sure as a sharp edge needs."""
    question = Question(path, wish, sets, risk_ratio=0.2, confidence_ratio=0.8)
    return find_capacity(question, SimulatedWorld(PROFILE), lambda _text: None)


def asked(world: Stage, *, wish: Wish | None = None, **more: float | None) -> Capacity:
    """The capacity of a library story with three goals (no-oom-kill, memory..., cpu...) in a made-up world."""
    question = Question("agent-ecology", wish or Wish(COUNT), **more)  # type: ignore[arg-type]  # Numbers as they are.
    return find_capacity(question, world, lambda _text: None)


def missed_from(firsts: Mapping[str, int]) -> Callable[[int], set[str]]:
    """Each goal is missed from so many agents on."""
    return lambda count: {goal for goal, first in firsts.items() if count >= first}


# Against theory.


def test_memory_that_is_held_at_once_decides_how_many_fit(scenario: Callable[[str], str]) -> None:
    """Ten would fit by division; the supervisor, the processes and page tables leave room for nine."""
    path = scenario(HOLDING)
    limit = load(path).story.containers[0].memory_bytes_limit or 0
    each = PROFILE.agent_memory_bytes + 100 * MIB * (1 + 8 / 4096)
    theory = math.floor((limit - PROFILE.supervisor_memory_bytes) / each)
    found = simulated(path, Wish(COUNT))

    assert (10, 9) == (limit // (100 * MIB), theory)
    assert [theory] * 3 == [found.answer, found.low, found.high]
    assert found.binding is not None
    assert "memory of `agents`" == found.binding.missed.words
    assert theory + 1 == found.binding.value


def test_cpu_that_is_burnt_decides_how_many_fit(scenario: Callable[[str], str]) -> None:
    """A tenth of a core each: eight stay below 0.85 cores."""
    path = scenario(BURNING)
    story = load(path).story
    each = group_demand(story, story.agents[0]).cpus_mean
    theory = math.floor(0.85 / each)
    found = simulated(path, Wish(COUNT))

    assert 8 == theory
    assert [theory] * 3 == [found.answer, found.low, found.high]
    assert found.binding is not None
    assert "CPU of `agents`" == found.binding.missed.words


def test_the_smallest_limit_that_suffices(scenario: Callable[[str], str]) -> None:
    """For five agents of 100 MiB the limit is the first whole step that holds them and what is there beside them."""
    path = scenario(HOLDING)
    each = PROFILE.agent_memory_bytes + 100 * MIB * (1 + 8 / 4096)
    need = 5 * each + PROFILE.supervisor_memory_bytes
    theory = math.ceil(need / (16 * MIB)) * 16 * MIB
    wish = Wish("containers.agents.mem_limit", low="256m", high="1g", smallest=True)
    found = simulated(path, wish, (COUNT, "5"))

    assert [theory] * 3 == [found.answer, found.low, found.high]
    assert found.binding is not None
    assert theory - 16 * MIB == found.binding.value


# The answer and what binds, in worlds that are made up.


def test_what_binds_and_what_would_bind_next() -> None:
    """Memory breaks at 13; the CPU would at 20, and the other goal on memory is no other resource."""
    world = Stage(missed_from({"memory-below-90-percent": 13, "no-oom-kill": 16, "cpu-below-80-percent": 20}))
    found = asked(world)
    assert found.binding is not None
    assert found.next_binding is not None

    assert [12] * 3 == [found.answer, found.low, found.high]
    assert "memory-below-90-percent" == found.binding.missed.goal
    assert "cpu-below-80-percent" == found.next_binding.missed.goal
    assert [13, 20] == [found.binding.value, found.next_binding.value]
    assert ["held", "let go"] == world.held


def test_nothing_else_may_break() -> None:
    """Where no other goal is missed up to twice the answer, nothing is named."""
    found = asked(Stage(missed_from({"no-oom-kill": 13, "cpu-below-80-percent": 5000})))

    assert found.binding is not None
    assert found.next_binding is None


def test_nothing_binds_where_everything_fits() -> None:
    """The search ends at its end, and neither a goal nor an upper bound is known."""
    found = asked(Stage(missed_from({})), wish=Wish(COUNT, high="40"))

    assert found.is_end
    assert [40, 40, None] == [found.answer, found.low, found.high]
    assert (None, None) == (found.binding, found.next_binding)


def test_nothing_fits() -> None:
    """Where not even one agent meets the goals there is no answer, but something that binds."""
    found = asked(Stage(missed_from({"no-oom-kill": 1})))

    assert (None, None, None, False) == (found.answer, found.low, found.high, found.is_end)
    assert found.binding is not None
    assert 1 == found.binding.value


def test_the_smallest_has_its_bounds_the_right_way_round() -> None:
    """Goals that are missed below a value: the answer is that value, and the interval reaches up from below."""
    found = asked(Stage(lambda count: {"no-oom-kill"} if count < 21 else set()), wish=Wish(COUNT, smallest=True))

    assert [21] * 3 == [found.answer, found.low, found.high]
    assert found.binding is not None
    assert 20 == found.binding.value


def test_real_runs_are_few() -> None:
    """On an engine a value gets one run, at the edge three; what binds next is read from the runs that are there."""
    world = Stage(missed_from({"no-oom-kill": 6, "cpu-below-80-percent": 8}), name="docker")
    found = asked(world)
    assert found.next_binding is not None

    assert "docker" == found.world
    assert [5, None, 5] == [found.answer, found.low, found.high]
    assert {1: 1, 2: 1, 4: 1, 5: 3, 6: 3, 8: 1} == {int(point.value): point.runs_count for point in found.curve}
    assert world.runs_count == found.runs_count == 10
    assert "cpu-below-80-percent" == found.next_binding.missed.goal
    assert 8 == found.next_binding.value


def test_few_real_runs_say_what_they_cannot_know() -> None:
    """Three runs never show that a value fits: that side is open, and the number of runs that would tell is told."""
    few = asked(Stage(missed_from({"no-oom-kill": 6}), name="docker"))
    telling = few.telling_runs_count
    enough = asked(Stage(missed_from({"no-oom-kill": 6}), name="docker"), runs_count_max=telling)
    told = few.to_json()

    assert (None, 3, telling) == (told["low"], told["runs_max"], told["runs_to_know"])
    assert telling is not None
    assert [5, 5, 5] == [enough.answer, enough.low, enough.high]
    assert enough.telling_runs_count is None


def test_a_value_that_the_engine_refuses_ends_no_search() -> None:
    """What the engine cannot start does not fit, and is what binds."""

    class Refusal(StoryRefused):
        """What a real world raises where its engine starts nothing."""

        reason = "no address is left"

    def missed(count: int) -> set[str]:
        if count > 5:
            raise Refusal
        return set()

    found = asked(Stage(missed, name="docker"))
    assert found.binding is not None

    assert [5, 6] == [found.answer, found.binding.value]
    assert ("every container starts", "no address is left") == (found.binding.missed.goal, found.binding.missed.detail)


def test_the_scenario_may_name_what_is_varied() -> None:
    """A story with a key `capacity` is asked its own question."""
    found = find_capacity(Question("agent-ecology", Wish()), Stage(missed_from({"no-oom-kill": 4})), lambda _text: None)

    assert [COUNT, 3] == [found.ladder.path, found.answer]


def test_runs_are_bounded_as_asked() -> None:
    """`runs_count` begins and `runs_count_max` ends what a value gets; the other way round is refused."""
    found = asked(Stage(missed_from({"no-oom-kill": 6})), runs_count=2, runs_count_max=5)

    assert {2, 5} == {point.runs_count for point in found.curve}
    with pytest.raises(RequestError, match=r"^--runs 6 is above --runs-max 5"):
        asked(Stage(missed_from({})), runs_count=6, runs_count_max=5)
    assert {2} == {point.runs_count for point in asked(Stage(missed_from({"no-oom-kill": 6})), runs_count_max=2).curve}


def test_the_curve_says_which_goals_were_missed() -> None:
    """Each value that was tried is there in order, with its runs, its risk and its goals."""
    found = asked(Stage(missed_from({"no-oom-kill": 3, "cpu-below-80-percent": 4})))
    by_value = {int(point.value): point for point in found.curve}

    assert sorted(by_value) == [point.value for point in found.curve]
    assert {"no-oom-kill": by_value[4].runs_count, "cpu-below-80-percent": by_value[4].runs_count} == dict(
        by_value[4].missed_goals
    )
    assert (0, 0.0, "fits") == (by_value[2].misses_count, by_value[2].risk_ratio_low, by_value[2].verdict)
    assert by_value[2].risk_ratio_high <= 0.05


def test_a_second_edge_is_told() -> None:
    """Where more agents fit although fewer do not, the pairs are named."""
    found = asked(Stage(lambda count: {"no-oom-kill"} if 5 <= count < 12 else set()))

    assert 4 == found.answer
    assert [5, 16] in [list(pair) for pair in found.contradictions]


@pytest.mark.parametrize("runs", [0, 3, 30])
def test_an_interrupted_search_answers_with_what_it_knows(runs: int) -> None:
    """Ctrl-C at any run: the engine is let go, and what was tried so far is the answer."""
    world = Stage(missed_from({"no-oom-kill": 13}), interrupted_after_count=runs)
    found = asked(world)

    assert (True, ["held", "let go"]) == (found.interrupted, world.held)
    assert runs == sum(point.runs_count for point in found.curve)


def test_it_is_told_while_it_is_searched() -> None:
    """Every look at a value is a line, with what is known of it."""
    lines: list[str] = []
    find_capacity(Question("agent-ecology", Wish(COUNT)), Stage(missed_from({"no-oom-kill": 2})), lines.append)

    assert "agents.worker.count at 1: 0 of 4 runs missed a goal" == lines[0]
    assert "agents.worker.count at 2: 4 of 4 runs missed a goal: does not fit" == lines[1]


def test_a_story_without_goals_has_no_capacity(scenario: Callable[[str], str]) -> None:
    """Nothing says what fits, and one line says what to add."""
    path = scenario(BURNING[: BURNING.index("goals:")])
    with pytest.raises(RequestError, match=r"^small has no goals, so nothing says what fits; add for example goals: "):
        find_capacity(Question(path, Wish(COUNT)), Stage(missed_from({})), lambda _text: None)


def test_the_answer_is_told_to_programs() -> None:
    """One object that survives JSON, with whole numbers where values are whole."""
    found = asked(Stage(missed_from({"memory-below-90-percent": 13, "cpu-below-80-percent": 20})))
    told = json.loads(json.dumps(found.to_json()))

    assert ("capacity", "agent-ecology", "sim", COUNT) == tuple(
        told[key] for key in ("kind", "scenario", "world", "vary")
    )
    assert [12, 12, 12] == [told[key] for key in ("answer", "low", "high")]
    assert ("memory", 13) == (told["binding"]["resource"], told["binding"]["value"])
    assert ("CPU", 20) == (told["next_binding"]["resource"], told["next_binding"]["value"])
    keys = ["value", "misses", "runs", "risk_low", "risk_high", "verdict", "missed_goals"]
    assert all(keys == list(point) for point in told["curve"])
    assert (True, [], False) == (told["comparable"], told["contradictions"], told["interrupted"])
