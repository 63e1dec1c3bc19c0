"""Capacity: the largest value of a path with which a story meets its goals, or the smallest that suffices.

A value fits when the probability that a run misses any goal is at most the risk. The answer is the edge as it seems;
its interval reaches from the last value that is known to fit to the last that is not known not to. With it come the
goal that is missed just beyond the edge and the one that would be missed next if that one's resource had no end.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.errors import RequestError
from sim.experiments.binding import by_goal, most_missed
from sim.experiments.ladder import ladder
from sim.experiments.replication import Replications
from sim.experiments.risk import RiskRule, planned
from sim.experiments.search import Search

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction

    from scenarios.story import Story
    from sim.experiments.binding import Missed
    from sim.experiments.ladder import Ladder, Sets, Wish
    from sim.experiments.risk import Verdict
    from sim.experiments.search import Tally
    from sim.worlds import Say, World

# Runs a value gets at first. Three misses of four decide against a value, and a sharp edge needs no more.
SIMULATED_RUNS_COUNT = 4
# A real run takes as long as its story.
REAL_RUNS_COUNT, REAL_RUNS_COUNT_MAX = 1, 3
# What breaks after the binding resource is looked for up to twice the answer, and this far at least.
FURTHER_RUNGS_COUNT_MIN = 16


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a scenario, the path to vary, the risk that is taken, and how sure the answer shall be.

    `runs_count` is how many runs a value gets at first and `runs_count_max` how many at most; None is as the world is.
    """

    scenario: str
    wish: Wish
    sets: Sets = ()
    risk_ratio: float = 0.05
    confidence_ratio: float = 0.95
    seed: int | None = None
    shrunk: bool = False
    runs_count: int | None = None
    runs_count_max: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One value that was tried: the runs that missed a goal, between what the risk lies, and which goals they were."""

    value: Fraction
    misses_count: int
    runs_count: int
    risk_ratio_low: float
    risk_ratio_high: float
    verdict: Verdict
    missed_goals: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The point ready for JSON."""
        return {
            "value": as_number(self.value),
            "misses": self.misses_count,
            "runs": self.runs_count,
            "risk_low": self.risk_ratio_low,
            "risk_high": self.risk_ratio_high,
            "verdict": self.verdict,
            "missed_goals": dict(self.missed_goals),
        }


@dataclass(frozen=True, slots=True)
class Binding:
    """A goal that is missed, the value at which it was, and in how many of its runs."""

    missed: Missed
    value: Fraction
    misses_count: int
    runs_count: int

    def to_json(self) -> dict[str, Any]:
        """The goal, what it tells of and where, ready for JSON."""
        at = {"value": as_number(self.value), "misses": self.misses_count, "runs": self.runs_count}
        return {**self.missed.to_json(), **at}


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer. `answer` is None where nothing fits, `low` and `high` where that side is not known.

    `noun` is what the answer counts, None where the path counts nothing that has a name; `is_end` says that the answer
    is the last value of the search. `contradictions` are pairs of values, the first known not to fit although the
    second, which is harder, is known to. `reasons` speak against runs that were used.
    `runs_count_max` is how many runs a value gets at most; where that can never show that one fits,
    `telling_runs_count` is how many could.
    """

    story: str
    world: str
    question: Question
    ladder: Ladder
    noun: str | None
    answer: Fraction | None
    low: Fraction | None
    high: Fraction | None
    is_end: bool
    binding: Binding | None
    next_binding: Binding | None
    curve: tuple[Point, ...]
    contradictions: tuple[tuple[Fraction, Fraction], ...]
    interrupted: bool
    runs_count: int
    runs_count_max: int
    telling_runs_count: int | None
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `tonnage capacity --json` prints; sizes are in bytes."""
        return {
            "kind": "capacity",
            "scenario": self.story,
            "world": self.world,
            "vary": self.ladder.path,
            "smallest": self.ladder.smallest,
            "unit": "bytes" if self.ladder.is_size else None,
            "step": as_number(self.ladder.step),
            "risk": self.question.risk_ratio,
            "confidence": self.question.confidence_ratio,
            "answer": _known_number(self.answer),
            "low": _known_number(self.low),
            "high": _known_number(self.high),
            "binding": None if self.binding is None else self.binding.to_json(),
            "next_binding": None if self.next_binding is None else self.next_binding.to_json(),
            "curve": [point.to_json() for point in self.curve],
            "contradictions": [[as_number(value) for value in pair] for pair in self.contradictions],
            "interrupted": self.interrupted,
            "runs": self.runs_count,
            "runs_max": self.runs_count_max,
            "runs_to_know": self.telling_runs_count,
            "comparable": not self.reasons,
            "reasons": list(self.reasons),
        }


def find_capacity(question: Question, world: World, say: Say, *, jobs_count: int = 1) -> Capacity:
    """Search for the answer in a world; where it is interrupted, the answer is what was known until then.

    Up to `jobs_count` simulations are run at once, in other processes than this if there are several.
    """
    values = ladder(question.scenario, question.sets, question.wish)
    runs = Replications(values, world, say, seed=question.seed, shrunk=question.shrunk, jobs_count=jobs_count)
    with contextlib.closing(runs):
        return _searched(question, values, runs, world, say)


def _searched(question: Question, values: Ladder, runs: Replications, world: World, say: Say) -> Capacity:
    story = runs.story(values.start)
    _refuse_without_goals(story)
    rule = _rule(question, is_real=runs.is_real)

    def told(rung: int, tally: Tally) -> None:
        missed = f"{tally.misses_count} of {tally.runs_count} runs missed a goal"
        verdict = "" if tally.verdict == "undecided" else f": {tally.verdict}"
        say(f"{values.path} at {values.shown(values.value(rung))}: {missed}{verdict}")

    search = Search(runs.missed, rule, values.rungs, start=values.start, told=told)
    following, interrupted = None, False
    try:
        with world.hold(story, say):
            search.run()
            following = _following(search, runs, values, rule, say)
    except KeyboardInterrupt:
        interrupted = True
    return _answer(question, story, runs, search, rule, values, following, interrupted=interrupted)


def as_number(value: Fraction) -> int | float:
    """A value as JSON has it: whole where it is."""
    return value.numerator if value.denominator == 1 else float(value)


def _known_number(value: Fraction | None) -> int | float | None:
    return None if value is None else as_number(value)


def _refuse_without_goals(story: Story) -> None:
    if not story.goals:
        example = "goals: {no-oom-kill: {metric: oom_kill_count, max: 0}}"
        raise RequestError(f"{story.name} has no goals, so nothing says what fits; add for example {example}")


def _rule(question: Question, *, is_real: bool) -> RiskRule:
    """How often a value is run, and when it is decided."""
    most = question.runs_count_max
    first = question.runs_count or (REAL_RUNS_COUNT if is_real else SIMULATED_RUNS_COUNT)
    if is_real and most is None:
        most = max(first, REAL_RUNS_COUNT_MAX)
    if most is not None and question.runs_count is None:
        first = min(first, most)
    if most is not None and most < first:
        raise RequestError(f"--runs {first} is above --runs-max {most}; a value gets as many runs at first, then more")
    return planned(question.risk_ratio, question.confidence_ratio, first, most)


def _answer(
    question: Question,
    story: Story,
    runs: Replications,
    search: Search,
    rule: RiskRule,
    values: Ladder,
    following: Binding | None,
    *,
    interrupted: bool,
) -> Capacity:
    fitting, breaking = search.edge()
    low, high = _bounds(search, values)
    return Capacity(
        story=story.name,
        world="docker" if runs.is_real else "sim",
        question=question,
        ladder=values,
        noun=_noun(story, values.path),
        answer=None if fitting is None else values.value(fitting),
        low=low,
        high=high,
        is_end=fitting == values.rungs[-1],
        binding=None if breaking is None else _binding(search.tallies[breaking], values.value(breaking)),
        next_binding=following,
        curve=_curve(search, rule, values),
        contradictions=tuple((values.value(first), values.value(second)) for first, second in search.contradictions()),
        interrupted=interrupted,
        runs_count=runs.runs_count,
        runs_count_max=rule.looks[-1],
        telling_runs_count=rule.telling_runs_count(),
        reasons=tuple(runs.reasons),
    )


def _noun(story: Story, path: str) -> str | None:
    """What a path counts, in words."""
    section, _, rest = path.partition(".")
    name, _, key = rest.rpartition(".")
    if (section, key) != ("agents", "count"):
        return None
    return "agents" if len(story.agents) == 1 else f"`{name}` agents"


def _bounds(search: Search, values: Ladder) -> tuple[Fraction | None, Fraction | None]:
    """The lowest and the highest value that the answer may have; None where runs did not show one."""
    fits, breaks = search.known()
    sure = None if fits is None else values.value(fits)
    last = None if breaks is None or breaks == values.rungs[0] else values.value(breaks - 1)
    return (last, sure) if values.smallest else (sure, last)


def _curve(search: Search, rule: RiskRule, values: Ladder) -> tuple[Point, ...]:
    """What was tried, the lowest value first."""
    points = [
        Point(
            values.value(rung),
            tally.misses_count,
            tally.runs_count,
            *rule.interval(tally.misses_count, tally.runs_count),
            tally.verdict,
            by_goal(tally.missed),
        )
        for rung, tally in search.tallies.items()
    ]
    return tuple(sorted(points, key=lambda point: point.value))


def _binding(tally: Tally, value: Fraction) -> Binding | None:
    found = most_missed(tally.missed)
    return None if found is None else Binding(found, value, tally.missed[found], tally.runs_count)


# What breaks after the binding resource.


def _following(search: Search, runs: Replications, values: Ladder, rule: RiskRule, say: Say) -> Binding | None:
    """The goal that is missed next where those on the binding resource do not count; None where none is."""
    _, breaking = search.edge()
    first = None if breaking is None else most_missed(search.tallies[breaking].missed)
    if breaking is None or first is None:
        return None
    if runs.is_real:
        return _following_on_curve(search, values, rule, breaking, first)
    say(f"looking for what breaks after {first.words}")

    def others(rung: int, replications: range) -> Iterator[tuple[Missed, ...]]:
        for missed in runs.missed(rung, replications):
            yield tuple(one for one in missed if not one.is_same_resource(first))

    # Where it breaks is found as exactly as a few runs can tell; what breaks is the question.
    few = RiskRule(rule.risk_ratio, rule.confidence_ratio, rule.looks[:1])
    further = Search(others, few, range(breaking, _last_further(values, breaking) + 1), start=breaking, sure=False)
    further.run()
    _, next_breaking = further.edge()
    return None if next_breaking is None else _binding(further.tallies[next_breaking], values.value(next_breaking))


def _last_further(values: Ladder, breaking: int) -> int:
    last = values.rungs[-1]
    return last if values.smallest else min(last, breaking + max(FURTHER_RUNGS_COUNT_MIN, breaking))


def _following_on_curve(search: Search, values: Ladder, rule: RiskRule, breaking: int, first: Missed) -> Binding | None:
    """The same from the runs that are there, because a real run costs time."""
    for rung in sorted(rung for rung in search.tallies if rung >= breaking):
        tally = search.tallies[rung]
        others = Counter({one: count for one, count in tally.missed.items() if not one.is_same_resource(first)})
        found = most_missed(others)
        if found is not None and not rule.seems_to_fit(others[found], tally.runs_count):
            return Binding(found, values.value(rung), others[found], tally.runs_count)
    return None
