"""Replications: one story run again and again with other seeds, the same ones for every value that is tried.

Replication r draws its workload with the story's seed plus r and its physics with r + 1, so that the first is what
`tonnage run` shows, and two values differ by the value and not by luck (common random numbers: A. M. Law, "Simulation
Modeling and Analysis", chapter 11). A real engine draws its own physics; there only the workload is the same.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from scenarios.scale import shrink
from sim.experiments.binding import missed_goals
from sim.places import fresh, runs

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.story import Story
    from sim.experiments.binding import Missed
    from sim.experiments.ladder import Ladder
    from sim.run import Outcome
    from sim.worlds import Say, World

# Seeds are from 0 to one below this.
SEEDS_COUNT = 2**63
# A real run that was disturbed is made again, at most so many times in one search; then disturbed ones are used.
REPEATED_RUNS_MAX = 3
# Simulated runs are told of now and then, so that whoever waits knows how far they are.
PROGRESS_INTERVAL_S = 5.0
# Each disturbed run brings its own reasons.
REASONS_COUNT_MAX = 20


class Replications:
    """The runs of a search, each made once however often it is asked for; `missed` is the search's trial."""

    def __init__(self, ladder: Ladder, world: World, say: Say, *, seed: int | None, shrunk: bool) -> None:
        """Have run nothing; a real world always gets the shrunk story."""
        self.runs_count = 0
        self.reasons: dict[str, None] = {}
        self._ladder = ladder
        self._world = world
        self._say = say
        self._seed = seed
        self._shrunk = shrunk or self.is_real
        self._stories: dict[int, Story] = {}
        self._missed: dict[tuple[int, int], tuple[Missed, ...]] = {}
        self._repeats_left = REPEATED_RUNS_MAX
        self._told_at_s = monotonic()

    @property
    def is_real(self) -> bool:
        """Whether runs take their time, and are kept."""
        return self._world.name != "sim"

    def missed(self, rung: int, replication: int) -> tuple[Missed, ...]:
        """The goals that a replication of a rung missed."""
        key = (rung, replication)
        if key not in self._missed:
            self._missed[key] = missed_goals(self._run(rung, replication).goals)
        return self._missed[key]

    def story(self, rung: int) -> Story:
        """The story of a rung as it is run, with the seed of its first replication."""
        if rung not in self._stories:
            story = self._ladder.story(rung)
            story = story if self._seed is None else replace(story, seed=self._seed)
            self._stories[rung] = shrink(story) if self._shrunk else story
        return self._stories[rung]

    def _run(self, rung: int, replication: int) -> Outcome:
        story = self.story(rung)
        story = replace(story, seed=(story.seed + replication) % SEEDS_COUNT)
        outcome = self._run_once(rung, story, replication)
        while not outcome.comparable and self._repeats_left:
            self._repeats_left -= 1
            self._say(f"that run was disturbed ({outcome.reasons[0]}); it will be made again")
            outcome = self._run_once(rung, story, replication)
        self._note(outcome)
        return outcome

    def _run_once(self, rung: int, story: Story, replication: int) -> Outcome:
        self.runs_count += 1
        shown = self._ladder.shown(self._ladder.value(rung))
        if self.is_real:
            self._say(f"real run {replication + 1} with {self._ladder.path} at {shown}: {story.duration_s:g} s")
        elif monotonic() - self._told_at_s > PROGRESS_INTERVAL_S:
            self._told_at_s = monotonic()
            self._say(f"{self._ladder.path} at {shown}: run {replication + 1} of it, {self.runs_count} in all")
        return self._world.run(
            story,
            directory=self._directory(story, shown),
            physics_seed=replication + 1,
            # Hundreds of simulated runs would each say that they begin.
            say=self._say if self.is_real else _silent,
        )

    def _directory(self, story: Story, shown: str) -> Path | None:
        """Where the record of a real run is kept; simulated runs can be made again at any time."""
        return fresh(runs(), f"{story.name}-{shown.replace(',', '')}") if self.is_real else None

    def _note(self, outcome: Outcome) -> None:
        """Keep what speaks against a run that is used all the same."""
        broken = [f"law broken: {check.name}: {check.detail}" for check in outcome.checks if not check.ok]
        for reason in (*outcome.reasons, *broken):
            if len(self.reasons) < REASONS_COUNT_MAX:
                self.reasons[reason] = None


def _silent(_text: str) -> None:
    """Say nothing."""
