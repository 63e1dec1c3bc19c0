"""Replications: which seeds a run gets, what is kept of it, and what happens to one that was disturbed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from scenarios.scale import shrink
from sim.checks import Check
from sim.experiments.ladder import Wish, ladder
from sim.experiments.replication import (
    PROGRESS_INTERVAL_S,
    REASONS_COUNT_MAX,
    REPEATED_RUNS_MAX,
    Replications,
)
from sim.goals import GoalResult
from sim.record import Recorder
from sim.run import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import Story
    from sim.worlds import Say

NAME = "agent-ecology"
COUNT = "agents.worker.count"


@dataclass
class Played:
    """A world that remembers what it was to run; the first so many runs are disturbed, and all miss one goal of two."""

    name: str = "sim"
    disturbed_count: int = 0
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
        reasons = (f"disturbed {len(self.stories)}",) if disturbed else ()
        return Outcome(
            self.name, (), goals, (law,), Recorder(None), directory, comparable=not disturbed, reasons=reasons
        )


@dataclass
class Told:
    """What was said."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


def replications(
    world: Played, say: Say | None = None, *, seed: int | None = None, shrunk: bool = False
) -> Replications:
    """Replications of a library story with more or fewer agents."""
    return Replications(ladder(NAME, (), Wish(COUNT)), world, say or Told(), seed=seed, shrunk=shrunk)


def test_the_same_seeds_at_every_value() -> None:
    """Each replication has seeds of its own, and every value has the same ones; the first are those of a single run."""
    world = Played()
    runs = replications(world)
    for rung in (3, 9):
        for replication in range(3):
            runs.missed(rung, replication)
    own = load(NAME).story.seed

    assert [own, own + 1, own + 2] * 2 == [story.seed for story in world.stories]
    assert [1, 2, 3] * 2 == world.physics_seeds
    assert [3] * 3 + [9] * 3 == [story.agents[0].count for story in world.stories]


@pytest.mark.parametrize(("seed", "second"), [(0, 1), (41, 42), (2**63 - 1, 0)])
def test_a_seed_may_be_given(seed: int, second: int) -> None:
    """A seed on the command line takes the place of the story's own; past the last one comes the first."""
    world = Played()
    runs = replications(world, seed=seed)
    runs.missed(1, 0)
    runs.missed(1, 1)

    assert [seed, second] == [story.seed for story in world.stories]


def test_nothing_is_run_twice() -> None:
    """A replication that was run is remembered, and what it missed with it."""
    world = Played()
    runs = replications(world)
    found = [runs.missed(2, 0), runs.missed(2, 0)]

    assert (1, 1) == (len(world.stories), runs.runs_count)
    assert [["kills"]] * 2 == [[one.goal for one in missed] for missed in found]


@pytest.mark.parametrize(("name", "shrunk"), [("sim", False), ("sim", True), ("docker", False)])
def test_a_real_engine_gets_the_shrunk_story(name: str, shrunk: bool) -> None:  # noqa: FBT001
    """The simulation runs the story as it is, unless asked to; the value is set before it is shrunk."""
    world = Played(name)
    replications(world, shrunk=shrunk).missed(4, 0)
    whole = load(NAME, sets=[(COUNT, "4")]).story

    assert [shrink(whole) if shrunk or name == "docker" else whole] == world.stories


def test_real_runs_are_kept_and_told(home: Path) -> None:
    """A real run has a record named after its story and value, and is announced; a simulated one has neither."""
    told = {"sim": Told(), "docker": Told()}
    worlds = {name: Played(name) for name in told}
    for name, world in worlds.items():
        replications(world, told[name]).missed(4, 0)
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
    told = Told()
    runs = replications(Played(), told)
    for replication in range(5):
        runs.missed(4, replication)
        now += 0.4 * PROGRESS_INTERVAL_S

    assert ["agents.worker.count at 4: run 4 of it, 4 in all"] == told.lines


def test_a_disturbed_run_is_made_again() -> None:
    """What was disturbed is not used, and leaves no reason behind."""
    world, told = Played("docker", disturbed_count=2), Told()
    runs = replications(world, told)
    runs.missed(4, 0)

    assert (3, 3, {}) == (len(world.stories), runs.runs_count, runs.reasons)
    assert 2 == sum("it will be made again" in line for line in told.lines)


def test_a_world_that_is_never_quiet_is_used_and_marked() -> None:
    """So many runs are made again and no more; what is used then says why it should not be."""
    world = Played("docker", disturbed_count=10_000)
    runs = replications(world)
    for replication in range(REASONS_COUNT_MAX + 5):
        runs.missed(4, replication)

    assert REASONS_COUNT_MAX + 5 + REPEATED_RUNS_MAX == len(world.stories)
    assert REASONS_COUNT_MAX == len(runs.reasons)
    assert f"disturbed {REPEATED_RUNS_MAX + 1}" == next(iter(runs.reasons))


def test_a_broken_law_is_not_hidden() -> None:
    """A run that breaks an invariant speaks against the answer, in either world."""
    runs = replications(Played(broken_law=True))
    runs.missed(4, 0)
    runs.missed(4, 1)

    assert ["law broken: no token is minted: 3 too many"] == list(runs.reasons)
