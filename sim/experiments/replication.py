"""Replications: one story run again and again with other seeds, the same ones for every value that is tried.

Replication r draws its workload with the story's seed plus r and its physics with r + 1, so that the first is what
`tonnage run` shows, and two values differ by the value and not by luck (common random numbers: A. M. Law, "Simulation
Modeling and Analysis", chapter 11). A real engine draws its own physics; there only the workload is the same.
Simulated ones may run beside one another in several processes: a run depends on nothing but its story and its seeds, so
that their results are the same however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from scenarios.scale import shrink
from sim.errors import StoryRefused
from sim.experiments.binding import Missed, missed_goals, refused, refused_starts
from sim.experiments.processes import Processes
from sim.places import fresh, runs
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scenarios.story import Story
    from sim.experiments.ladder import Ladder
    from sim.run import Outcome
    from sim.worlds import Say, World

# Seeds are from 0 to one below this.
SEEDS_COUNT = 2**63
# A real run that was disturbed is made again, at most so many times in one search; then disturbed ones are used.
REPEATED_RUNS_MAX = 3
# How a real world begins to say that something else used the machine meanwhile: another run may be spared that. What
# else speaks against a run, such as a container that was refused or load that cannot be measured, would come again.
DISTURBANCES = ("the driver was late", "other load took", "the hypervisor took")
# Simulated runs are told of now and then, so that whoever waits knows how far they are.
PROGRESS_INTERVAL_S = 5.0
# Each disturbed run brings its own reasons.
REASONS_COUNT_MAX = 20
# Processes take about a second to start. A search that takes so long, by the runs made so far and those asked for now,
# may well take longer; a quick one is done before they are there.
PROCESSES_WORTH_S = 2.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a run tells a search: the goals it missed, and what speaks against it."""

    missed: tuple[Missed, ...]
    reasons: tuple[str, ...] = ()


class Replications:
    """The runs of a search, each made once however often it is asked for; `missed` is the search's trials."""

    def __init__(
        self, ladder: Ladder, world: World, say: Say, *, seed: int | None, shrunk: bool, jobs_count: int = 1
    ) -> None:
        """Have run nothing; a real world always gets the shrunk story, and one run at a time."""
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
        # Of another world nobody knows whether it can be in several processes.
        self._jobs_count = jobs_count if isinstance(world, SimulatedWorld) else 1
        self._processes: Processes | None = None
        self._last_run_s = self._spent_s = 0.0

    @property
    def is_real(self) -> bool:
        """Whether runs take their time, and are kept."""
        return self._world.name != "sim"

    def missed(self, rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        """The goals that some replications of a rung missed, one replication after the other."""
        new = self._run_all(rung, [number for number in replications if (rung, number) not in self._missed])
        for number in replications:
            if (rung, number) not in self._missed:
                told = next(new)
                self._note(told)
                self._missed[rung, number] = told.missed
            yield self._missed[rung, number]

    def story(self, rung: int) -> Story:
        """The story of a rung as it is run, with the seed of its first replication."""
        if rung not in self._stories:
            story = self._ladder.story(rung)
            story = story if self._seed is None else replace(story, seed=self._seed)
            self._stories[rung] = shrink(story) if self._shrunk else story
        return self._stories[rung]

    def close(self) -> None:
        """End the processes that run simulations, if there are any."""
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def _story_of(self, rung: int, replication: int) -> Story:
        story = self.story(rung)
        return replace(story, seed=(story.seed + replication) % SEEDS_COUNT)

    def _run_all(self, rung: int, replications: Sequence[int]) -> Iterator[Told]:
        """Run replications of a rung, one by one until it is worth other processes to run the rest at once."""
        for index, replication in enumerate(replications):
            rest = replications[index:]
            if self._are_worth_processes(len(rest)):
                yield from self._run_at_once(rung, rest)
                return
            began_s = monotonic()
            told = self._run(rung, replication)
            self._last_run_s = monotonic() - began_s
            self._spent_s += self._last_run_s
            yield told

    def _are_worth_processes(self, runs_count: int) -> bool:
        if self._jobs_count == 1 or runs_count == 1:
            return False
        return self._processes is not None or self._spent_s + runs_count * self._last_run_s >= PROCESSES_WORTH_S

    def _run_at_once(self, rung: int, replications: Sequence[int]) -> Iterator[Told]:
        if self._processes is None:
            self._processes = Processes(self._jobs_count)
        tasks = [(self._world, self._story_of(rung, number), number + 1) for number in replications]
        for number, told in zip(replications, self._processes.results(simulated, tasks), strict=True):
            self._count(rung, number)
            yield told

    def _run(self, rung: int, replication: int) -> Told:
        story = self._story_of(rung, replication)
        try:
            return _told(self._undisturbed(rung, story, replication))
        except StoryRefused as problem:
            # The first value is no search yet: who cannot even start that one has another question.
            if not self._missed:
                raise
            self._say(f"a value that does not fit: {problem}")
            return Told((refused(None, problem.reason),))

    def _undisturbed(self, rung: int, story: Story, replication: int) -> Outcome:
        """A run that nothing else disturbed, as far as there are repeats left."""
        outcome = self._run_once(rung, story, replication)
        while self._repeats_left and (disturbance := _disturbance(outcome)):
            self._repeats_left -= 1
            self._say(f"that run was disturbed ({disturbance}); it will be made again")
            outcome = self._run_once(rung, story, replication)
        return outcome

    def _run_once(self, rung: int, story: Story, replication: int) -> Outcome:
        self._count(rung, replication)
        return self._world.run(
            story,
            directory=self._directory(story, rung),
            physics_seed=replication + 1,
            # Hundreds of simulated runs would each say that they begin.
            say=self._say if self.is_real else _silent,
        )

    def _count(self, rung: int, replication: int) -> None:
        """Count a run and tell of it: of each real one, of simulated ones now and then."""
        self.runs_count += 1
        at = f"{self._ladder.path} at {self._shown(rung)}"
        if self.is_real:
            self._say(f"real run {replication + 1} with {at}: {self.story(rung).duration_s:g} s")
        elif monotonic() - self._told_at_s > PROGRESS_INTERVAL_S:
            self._told_at_s = monotonic()
            self._say(f"{at}: run {replication + 1} of it, {self.runs_count} in all")

    def _shown(self, rung: int) -> str:
        return self._ladder.shown(self._ladder.value(rung))

    def _directory(self, story: Story, rung: int) -> Path | None:
        """Where the record of a real run is kept; simulated runs can be made again at any time."""
        return fresh(runs(), f"{story.name}-{self._shown(rung).replace(',', '')}") if self.is_real else None

    def _note(self, told: Told) -> None:
        """Keep what speaks against a run that is used all the same."""
        for reason in told.reasons:
            if len(self.reasons) < REASONS_COUNT_MAX:
                self.reasons[reason] = None


def simulated(world: World, story: Story, physics_seed: int) -> Told:
    """What one simulated run tells; the work of another process."""
    return _told(world.run(story, directory=None, physics_seed=physics_seed, say=_silent))


def _told(outcome: Outcome) -> Told:
    """What a run tells; the goals of one whose containers did not all start say nothing."""
    broken = [f"law broken: {check.name}: {check.detail}" for check in outcome.checks if not check.ok]
    missed = refused_starts(outcome.recorder.tables["events"]) or missed_goals(outcome.goals)
    return Told(missed, (*outcome.reasons, *broken))


def _disturbance(outcome: Outcome) -> str:
    """How something else disturbed a run; empty where nothing did."""
    return next((reason for reason in outcome.reasons if reason.startswith(DISTURBANCES)), "")


def _silent(_text: str) -> None:
    """Say nothing."""
