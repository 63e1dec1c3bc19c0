"""Replications: which seeds a run gets, what is kept of it, and what happens to one that was disturbed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from scenarios.scale import shrink
from sim.checks import Check
from sim.errors import StoryRefused
from sim.experiments import replication
from sim.experiments.ladder import Wish, ladder
from sim.experiments.replication import (
    PROGRESS_INTERVAL_S,
    REASONS_COUNT_MAX,
    REPEATED_RUNS_MAX,
    Replications,
    Told,
)
from sim.goals import GoalResult
from sim.physics.host_profile import load_profile
from sim.record import Recorder
from sim.run import Outcome
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scenarios import Story
    from sim.experiments.binding import Missed
    from sim.worlds import Say, World

NAME = "agent-ecology"
COUNT = "agents.worker.count"


@dataclass
class Played:
    """A world that remembers what it was to run; the first so many runs are disturbed, and all miss one goal of two.

    `incurable` speaks against every run, `refused` is a container that the engine never starts.
    """

    name: str = "sim"
    disturbed_count: int = 0
    incurable: str = ""
    refused: str = ""
    broken_law: bool = False
    stories: list[Story] = field(default_factory=list)
    physics_seeds: list[int] = field(default_factory=list)
    directories: list[Path | None] = field(default_factory=list)

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Be anybody's."""
        return contextlib.nullcontext()

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Remember everything."""
        say("begins")
        self.stories.append(story)
        self.physics_seeds.append(physics_seed)
        self.directories.append(directory)
        goals = tuple(
            GoalResult(name, "oom_kill_count", "agents", 1.0, "count", "at most 0", met)
            for name, met in (("met", True), ("kills", False))
        )
        law = Check("no token is minted", ok=not self.broken_law, detail="3 too many" if self.broken_law else "")
        disturbed = len(self.stories) <= self.disturbed_count
        load = (f"other load took {len(self.stories)} cores",) if disturbed else ()
        reasons = (*filter(None, [self.incurable]), *load)
        recorder = Recorder(None)
        if self.refused:
            recorder.event(0.0, "refused", self.refused, None, "no address is left")
        return Outcome(self.name, (), goals, (law,), recorder, directory, comparable=not reasons, reasons=reasons)


@dataclass
class Lines:
    """What was said."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


def missed(runs: Replications, rung: int, number: int) -> tuple[Missed, ...]:
    """What one replication of a rung missed."""
    return next(iter(runs.missed(rung, range(number, number + 1))))


def replications(
    world: World, say: Say | None = None, *, seed: int | None = None, shrunk: bool = False
) -> Replications:
    """Replications of a library story with more or fewer agents."""
    return Replications(ladder(NAME, (), Wish(COUNT)), world, say or Lines(), seed=seed, shrunk=shrunk)


def test_the_same_seeds_at_every_value() -> None:
    """Each replication has seeds of its own, and every value has the same ones; the first are those of a single run."""
    world = Played()
    runs = replications(world)
    for rung in (3, 9):
        for number in range(3):
            missed(runs, rung, number)
    own = load(NAME).story.seed

    assert [own, own + 1, own + 2] * 2 == [story.seed for story in world.stories]
    assert [1, 2, 3] * 2 == world.physics_seeds
    assert [3] * 3 + [9] * 3 == [story.agents[0].count for story in world.stories]


@pytest.mark.parametrize(("seed", "second"), [(0, 1), (41, 42), (2**63 - 1, 0)])
def test_a_seed_may_be_given(seed: int, second: int) -> None:
    """A seed on the command line takes the place of the story's own; past the last one comes the first."""
    world = Played()
    runs = replications(world, seed=seed)
    missed(runs, 1, 0)
    missed(runs, 1, 1)

    assert [seed, second] == [story.seed for story in world.stories]


def test_nothing_is_run_twice() -> None:
    """A replication that was run is remembered, and what it missed with it."""
    world = Played()
    runs = replications(world)
    found = [missed(runs, 2, 0), missed(runs, 2, 0)]

    assert (1, 1) == (len(world.stories), runs.runs_count)
    assert [["kills"]] * 2 == [[one.goal for one in told] for told in found]


@pytest.mark.parametrize(("name", "shrunk"), [("sim", False), ("sim", True), ("docker", False)])
def test_a_real_engine_gets_the_shrunk_story(name: str, shrunk: bool) -> None:  # noqa: FBT001
    """The simulation runs the story as it is, unless asked to; the value is set before it is shrunk."""
    world = Played(name)
    missed(replications(world, shrunk=shrunk), 4, 0)
    whole = load(NAME, sets=[(COUNT, "4")]).story

    assert [shrink(whole) if shrunk or name == "docker" else whole] == world.stories


def test_real_runs_are_kept_and_told(home: Path) -> None:
    """A real run has a record named after its story and value, and is announced; a simulated one has neither."""
    told = {"sim": Lines(), "docker": Lines()}
    worlds = {name: Played(name) for name in told}
    for name, world in worlds.items():
        missed(replications(world, told[name]), 4, 0)
    directory = worlds["docker"].directories[0]
    assert directory is not None

    assert home / "runs" == directory.parent
    assert directory.name.endswith("-agent-ecology-4")
    assert ["real run 1 with agents.worker.count at 4: 30 s", "begins"] == told["docker"].lines
    assert ([None], []) == (worlds["sim"].directories, told["sim"].lines)


def test_simulated_runs_are_told_of_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of runs are not announced one by one, but nobody waits for long without a word."""
    now = 0.0
    monkeypatch.setattr("sim.experiments.replication.monotonic", lambda: now)
    told = Lines()
    runs = replications(Played(), told)
    for number in range(5):
        missed(runs, 4, number)
        now += 0.4 * PROGRESS_INTERVAL_S

    assert ["agents.worker.count at 4: run 4 of it, 4 in all"] == told.lines


def test_a_disturbed_run_is_made_again() -> None:
    """What was disturbed is not used, and leaves no reason behind."""
    world, told = Played("docker", disturbed_count=2), Lines()
    runs = replications(world, told)
    missed(runs, 4, 0)

    assert (3, 3, {}) == (len(world.stories), runs.runs_count, runs.reasons)
    assert 2 == sum("it will be made again" in line for line in told.lines)


def test_a_world_that_is_never_quiet_is_used_and_marked() -> None:
    """So many runs are made again and no more; what is used then says why it should not be."""
    world = Played("docker", disturbed_count=10_000)
    runs = replications(world)
    for number in range(REASONS_COUNT_MAX + 5):
        missed(runs, 4, number)

    assert REASONS_COUNT_MAX + 5 + REPEATED_RUNS_MAX == len(world.stories)
    assert REASONS_COUNT_MAX == len(runs.reasons)
    assert f"other load took {REPEATED_RUNS_MAX + 1} cores" == next(iter(runs.reasons))


def test_what_each_run_would_have_again_is_not_tried_again() -> None:
    """A reason that no other run is spared costs no repeat, and is told once; a disturbance beside it does."""
    world = Played("docker", incurable="other load is not known: no clock")
    runs = replications(world)
    missed(runs, 4, 0)
    missed(runs, 4, 1)
    both = Played("docker", incurable="other load is not known: no clock", disturbed_count=1)
    missed(replications(both), 4, 0)

    assert (2, ["other load is not known: no clock"]) == (len(world.stories), list(runs.reasons))
    assert 2 == len(both.stories)


def test_disturbances_are_what_a_real_world_calls_so() -> None:
    """Lag, other load and steal are known by how they are told; load that cannot be measured is none of them."""
    comparable = pytest.importorskip("live.comparable", exc_type=ImportError)
    lag = pytest.importorskip("live.lag", exc_type=ImportError).LagSummary
    load = pytest.importorskip("live.other_load", exc_type=ImportError).OtherLoad
    late = lag(**dict.fromkeys(lag.__dataclass_fields__, 9))
    busy = load(**dict.fromkeys(load.__dataclass_fields__, 9.0))
    told = comparable.disturbances(late, busy, "")
    unknown = comparable.disturbances(lag(**dict.fromkeys(lag.__dataclass_fields__, 0)), None, "no clock")

    assert [True] * 3 == [reason.startswith(replication.DISTURBANCES) for reason in told]
    assert [False] == [reason.startswith(replication.DISTURBANCES) for reason in unknown]


# What the engine refuses.


class Refusal(StoryRefused):
    """What a real world raises where its engine starts nothing."""

    reason = "no address is left"


class Failure(Exception):
    """What a real world raises where its engine fails in another way."""

    reason = "no address is left"


@dataclass
class Full(Played):
    """A real world whose engine refuses stories of more agents than so many."""

    name: str = "docker"
    room_count: int = 4
    problem: type[Exception] = Refusal

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Refuse or remember."""
        if story.agents[0].count > self.room_count:
            raise self.problem
        return super().run(story, directory=directory, physics_seed=physics_seed, say=say)


def test_a_value_that_the_engine_refuses_does_not_fit() -> None:
    """The refusal is what was missed there, and the search goes on."""
    runs = replications(Full())
    missed(runs, 4, 0)
    found = missed(runs, 8, 0)

    assert [("every container starts", "no address is left")] == [(one.goal, one.detail) for one in found]
    assert ["kills"] == [one.goal for one in missed(runs, 3, 0)]


def test_the_first_value_must_start() -> None:
    """Where not even the first run can be made, nothing is searched, and the engine's own error is told."""
    with pytest.raises(Refusal):
        missed(replications(Full(room_count=0)), 1, 0)


def test_an_engine_that_fails_otherwise_refuses_no_value() -> None:
    """What is no answer to a start, such as an engine that is gone, ends the search."""
    runs = replications(Full(problem=Failure))
    missed(runs, 4, 0)

    with pytest.raises(Failure):
        missed(runs, 8, 0)


def test_a_container_that_is_refused_counts_before_any_goal() -> None:
    """Where some containers are there and one is not, what the others came to says nothing."""
    found = missed(replications(Played(refused="db")), 4, 0)

    assert [("every container starts", "db", "no address is left")] == [
        (one.goal, one.container, one.detail) for one in found
    ]


def test_a_real_world_refuses_a_story_whose_containers_do_not_start() -> None:
    """Where no container starts it raises what a search takes for an answer, with the engine's own words."""
    live_run = pytest.importorskip("live.run", exc_type=ImportError)
    story = load(NAME).story
    recorder = Recorder(None)
    recorder.event(0.0, "refused", story.containers[0].name, None, "no address is left")
    with pytest.raises(StoryRefused) as caught:
        live_run._refuse_if_none_started(story, recorder)

    assert "no address is left" == caught.value.reason


# Several processes.


def test_several_processes_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs miss does not depend on how many are made at once, nor in which process."""
    monkeypatch.setattr(replication, "PROCESSES_WORTH_S", 0.0)
    world = SimulatedWorld(load_profile(None))
    rungs = ladder("memory-oom", (("duration", "2s"), ("goals.few-kills", "{metric: oom_kill_count, max: 1}")), Wish())
    found: dict[int, list[tuple[Missed, ...]]] = {}
    for jobs_count in (1, 2):
        runs = Replications(rungs, world, Lines(), seed=None, shrunk=True, jobs_count=jobs_count)
        with contextlib.closing(runs):
            found[jobs_count] = list(runs.missed(4, range(6)))
            assert (jobs_count > 1, 6) == (runs._processes is not None, runs.runs_count)

    assert found[1] == found[2]
    # Otherwise all runs would be alike, and nothing would have been shown.
    assert 1 < len(set(found[1]))


@dataclass
class Idle:
    """Processes that tell in which order they were to work, and do it here."""

    count: int
    tasks: list[Sequence[object]] = field(default_factory=list)

    def results(self, work: object, tasks: Sequence[tuple[World, Story, int]]) -> Iterator[Told]:
        """Remember the tasks."""
        self.tasks += tasks
        yield from [Told(())] * len(tasks)

    def close(self) -> None:
        """Have nothing to end."""


def test_other_processes_are_for_simulated_runs_that_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """While all that is left of a look is quickly done it is done here; another world has no other process at all."""
    made: list[Idle] = []
    now = 0.0

    def processes(count: int) -> Idle:
        made.append(Idle(count))
        return made[-1]

    class Slow(SimulatedWorld):
        """A world whose runs take a second each."""

        def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
            """Let a second pass."""
            nonlocal now
            now += 1.0
            return Played().run(story, directory=directory, physics_seed=physics_seed, say=say)

    monkeypatch.setattr(replication, "Processes", processes)
    monkeypatch.setattr(replication, "monotonic", lambda: now)
    worlds: list[World] = [Slow(load_profile(None)), Played("docker")]
    for world in worlds:
        runs = Replications(ladder(NAME, (), Wish()), world, Lines(), seed=None, shrunk=False, jobs_count=3)
        told = list(runs.missed(4, range(4)))
        assert [1] * 4 == [1 for _ in told]

    assert [3] == [one.count for one in made]
    # The first run takes a second here, and three more would take longer than it is worth.
    assert [2, 3, 4] == [physics_seed for _, _, physics_seed in made[0].tasks]


def test_a_broken_law_is_not_hidden() -> None:
    """A run that breaks an invariant speaks against the answer, in either world."""
    runs = replications(Played(broken_law=True))
    missed(runs, 4, 0)
    missed(runs, 4, 1)

    assert ["law broken: no token is minted: 3 too many"] == list(runs.reasons)
