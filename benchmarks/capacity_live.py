"""How many fit, predicted and then found on real containers: one question, put to both worlds in the same words.

    python benchmarks/capacity_live.py [--only STORY]... [--runs 3] [--record DIRECTORY]

Each story is shrunk to this machine in both worlds and says itself what is varied (its key `capacity`) and what it
means to fit (its goals). A value fits where none of its K runs missed a goal: one run while the edge is looked for, K
at the edge. Both worlds search the same way with the same workload seeds, so that N is found by the same rule from the
same draws, and what differs is physics. One search may still be lucky, so the prediction is also made with as many
runs as it takes to be sure of an interval. For it "fits" is a probability: a risk of at most 1 - 0.5^(1/K), 21 % for
K = 3, is where K runs without a miss are as likely as not, and so where the edge found with K runs lies in the middle.
Prints a table in Markdown; the answers are kept in a directory, the records of real runs with the others. It has the
engine alone, for about ten minutes a story.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from live.run import DockerWorld
from scenarios import load
from sim.agreement_table import markdown_table
from sim.commands import say
from sim.exit_codes import guarded
from sim.experiments.capacity import Capacity, Question, find_capacity
from sim.experiments.ladder import Wish
from sim.experiments.processes import usable_cores_count
from sim.places import fresh, home
from sim.record import write_json
from sim.report_text import UNKNOWN
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sim.worlds import World

STORIES = ("memory-oom", "cpu-quota-bursts", "agent-ecology-memory")
RUNS_COUNT, RUNS_COUNT_MAX = 3, 100
# The prediction is as good as wished for within one step, or within this part of it.
NEAR_RATIO = Fraction(1, 20)
HEADINGS = (
    *("story", "varied", "goal that binds", "predicted with the same runs", "predicted, 95 % interval", "measured"),
    *("real runs", "difference", "within one step or 5 %"),
)


@dataclass(frozen=True, slots=True)
class Trio:
    """The three answers for one story: predicted with a real world's few runs, predicted surely, and measured."""

    predicted: Capacity
    sure: Capacity
    measured: Capacity

    @property
    def difference(self) -> Fraction | None:
        """How much more fits than predicted; None where one world has no answer."""
        predicted, measured = self.predicted.answer, self.measured.answer
        return None if predicted is None or measured is None else measured - predicted

    @property
    def is_near(self) -> bool:
        """Whether the prediction is as good as wished for."""
        predicted, difference = self.predicted.answer, self.difference
        if predicted is None or difference is None:
            return predicted == self.measured.answer
        return abs(difference) <= max(self.predicted.ladder.step, predicted * NEAR_RATIO)


def main(arguments: list[str] | None = None, world: Callable[[], World] = DockerWorld) -> int:
    """Do what the command line asks for, with real runs in this world; the exit code."""
    return guarded(lambda: _work(_asked(arguments), world()))


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="STORY", help=f"by default {', '.join(STORIES)}")
    counts = range(1, RUNS_COUNT_MAX + 1)
    parser.add_argument("--runs", type=int, choices=counts, default=RUNS_COUNT, metavar="K", help="of a value; 3")
    parser.add_argument("--record", type=Path, metavar="DIRECTORY", help="where the answers are kept")
    return parser.parse_args(arguments)


def _work(asked: argparse.Namespace, world: World) -> None:
    stories = asked.only or STORIES
    for story in stories:
        load(story)  # A wrong name is told before anything runs.
    directory = asked.record or fresh(home() / "capacities", "live")
    trios: dict[str, Trio] = {}
    try:
        for story in stories:
            trios[story] = _trio(story, asked.runs, world, directory)
    finally:
        # Also what was known until an interrupt: real runs take their time.
        print(table(list(trios.values())))
        say(f"the answers are kept in {directory}")


def _trio(story: str, runs_count: int, world: World, directory: Path) -> Trio:
    """Predict, measure, and keep what was found."""
    simulated = SimulatedWorld()
    found = []
    for name, question, place in (
        ("predicted", _question(story, runs_count, is_sure=False), simulated),
        ("sure", _question(story, runs_count, is_sure=True), simulated),
        ("measured", _question(story, runs_count, is_sure=False), world),
    ):
        say(f"{story}: {name}")
        answer = find_capacity(question, place, say, jobs_count=usable_cores_count())
        write_json(_made(directory) / f"{answer.story}-{name}.json", answer.to_json())
        if answer.interrupted:
            raise KeyboardInterrupt
        found.append(answer)
    return Trio(*found)


def _question(story: str, runs_count: int, *, is_sure: bool) -> Question:
    """What is asked of a story: with a real world's few runs, or with as many as it takes."""
    return Question(
        story,
        Wish(),
        risk_ratio=1.0 - 0.5 ** (1.0 / runs_count),
        shrunk=True,
        runs_count=None if is_sure else 1,
        runs_count_max=None if is_sure else runs_count,
    )


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def table(trios: Sequence[Trio]) -> str:
    """All answers in Markdown, one row a story, and below it what speaks against real runs."""
    against = [
        f"{trio.measured.story}: this speaks against the real runs: {reason}"
        for trio in trios
        for reason in trio.measured.reasons
    ]
    return "\n".join([*markdown_table(HEADINGS, [_row(trio) for trio in trios]), *([""] if against else []), *against])


def _row(trio: Trio) -> tuple[str, ...]:
    measured = trio.measured
    return (
        measured.story,
        f"`{measured.ladder.path}`",
        _binding(trio),
        _shown(trio.predicted, trio.predicted.answer),
        _with_interval(trio.sure),
        _between(measured),
        str(measured.runs_count),
        UNKNOWN if trio.difference is None else f"{float(trio.difference):+g}",
        "yes" if trio.is_near else "no",
    )


def _shown(found: Capacity, value: Fraction | None) -> str:
    return UNKNOWN if value is None else found.ladder.shown(value)


def _binding(trio: Trio) -> str:
    """The goal that is missed beyond the edge; both where the worlds disagree."""
    goals = [UNKNOWN if one.binding is None else one.binding.missed.goal for one in (trio.sure, trio.measured)]
    return goals[0] if goals[0] == goals[1] else f"{goals[0]} (measured: {goals[1]})"


def _with_interval(found: Capacity) -> str:
    low, high = _shown(found, found.low), _shown(found, found.high)
    return f"{_shown(found, found.answer)} ({low} to {high})"


def _between(found: Capacity) -> str:
    """What fits and what does not, each with its runs."""
    values = [found.answer, None if found.binding is None else found.binding.value]
    points = [point for point in found.curve if point.value in values]
    runs = ", ".join(
        f"{found.ladder.shown(point.value)}: {point.misses_count} of {point.runs_count} missed" for point in points
    )
    return f"{_shown(found, found.answer)} ({runs})"


if __name__ == "__main__":
    sys.exit(main())
