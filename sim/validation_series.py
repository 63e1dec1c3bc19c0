"""A series: every library story that can be run for real, validated one after another, each with its own record.

A story that fails does not end the rest, and what is known stays known whenever the series is interrupted. Left out and
said so are stories that are simulated only, and those whose faults strike a whole engine where none of our own may be
started for them.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scenarios.errors import ScenarioError
from scenarios.scale import shrink
from scenarios.story import StrikeHost
from scenarios.story_json import story_to_json
from sim.agreement_table import table_text
from sim.baseline import VALIDATIONS_COUNT_MAX, key_of_story
from sim.errors import SimError
from sim.places import fresh
from sim.provenance import commit, tonnage_version
from sim.standing import FAILED, Standing, agreeing_count, standing, together
from sim.validation import Plan, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scenarios.story import Story
    from sim.physics.host_profile import HostProfile
    from sim.worlds import Say, Terms, World

DONE_BEFORE = "validated before"
INTERRUPTED = "interrupted"

SIMULATED_ONLY = "simulated only"
NEEDS_ENGINE = "faults strike a whole engine; --private-engine starts one for them"
TOO_FEW_RUNS = "interrupted before two real runs had ended"
NOT_REACHED = "not reached"

# The first two stories failing with the same words means that the machine is at fault, and so would all others.
FAILURES_ALIKE_MAX = 2


@dataclass(frozen=True, slots=True)
class Orders:
    """What is asked of every story; with `skip_done`, a validation that is as good as the one to be made stands in.

    `terms` say what stories may use; a private engine is started only for those that need one.
    """

    repeats_count: int
    replications_count: int
    home: Path
    profile: HostProfile
    terms: Terms
    skip_done: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A story that was not validated, and why."""

    scenario: str
    reason: str


class Series:
    """The stories of that many names, one after another; what is known of them grows while it runs."""

    def __init__(
        self, names: Sequence[str], load: Callable[[str], Story], world_on: Callable[[Terms], World], orders: Orders
    ) -> None:
        """Have done nothing yet; `load` finds a story, `world_on` makes the real world on some terms."""
        self.standings: list[Standing] = []
        self.left_out: list[LeftOut] = []
        self.interrupted = False
        self._failures: list[Exception] = []
        self._names = list(names)
        self._load = load
        self._world_on = world_on
        self._orders = orders

    def run(self, say: Say) -> None:
        """Validate all; raises the first failure where no story could be validated at all."""
        for number, name in enumerate(self._names, start=1):
            say(f"story {number} of {len(self._names)}: {name}")
            try:
                self._take(name, say)
            except KeyboardInterrupt:
                self.interrupted = True
                self.left_out += [LeftOut(missed, NOT_REACHED) for missed in self._unknown()]
                raise
            except Exception as problem:  # noqa: BLE001  # A bug that one story meets must not cost the others.
                self._fail(name, problem, say)
        if self._failures and self._nothing_validated():
            raise self._failures[0]

    def _take(self, name: str, say: Say) -> None:
        """Validate one story, or say why not."""
        story = self._load(name)
        private = strikes_engine(story)
        if not story.live_able:
            self.left_out.append(LeftOut(name, SIMULATED_ONLY))
        elif private and not self._orders.terms.private_engine:
            self.left_out.append(LeftOut(name, NEEDS_ENGINE))
        elif (done := self._done(story)) is not None:
            say(f"{name} was validated before, by this commit on this host: {done}")
            self._keep(done, DONE_BEFORE)
        else:
            self._validate(story, self._world_on(replace(self._orders.terms, private_engine=private)), say)

    def _done(self, story: Story) -> Path | None:
        return done_before(story, self._orders) if self._orders.skip_done else None

    def _validate(self, story: Story, world: World, say: Say) -> None:
        orders = self._orders
        directory = fresh(orders.home / "validations", story.name)
        plan = Plan(story, orders.repeats_count, orders.replications_count, directory, orders.home, orders.profile)
        try:
            told = validate(plan, world, say).to_json()
        except KeyboardInterrupt:
            self._keep_interrupted(story.name, directory)
            raise
        self.standings.append(standing(told, record=str(directory)))
        say(f"{story.name}: {told['verdict']}")

    def _keep(self, directory: Path, note: str) -> None:
        self.standings.append(standing(_object(directory / "comparison.json"), record=str(directory), note=note))

    def _keep_interrupted(self, name: str, directory: Path) -> None:
        """An interrupted validation was judged all the same where it had real runs enough."""
        if (directory / "comparison.json").exists():
            self._keep(directory, INTERRUPTED)
        else:
            self.left_out.append(LeftOut(name, TOO_FEW_RUNS))

    def _fail(self, name: str, problem: Exception, say: Say) -> None:
        """Go on with the rest, unless nothing has come through yet and this is the same failure again."""
        if not _is_the_users(problem):
            traceback.print_exception(problem)
        say(f"{name} failed: {problem}")
        self._failures.append(problem)
        self.standings.append(Standing(name, FAILED, reasons=(str(problem) or repr(problem),)))
        alike = {str(failure) for failure in self._failures}
        if self._nothing_validated() and len(self._failures) >= FAILURES_ALIKE_MAX and len(alike) == 1:
            raise problem

    def _unknown(self) -> list[str]:
        known = {one.scenario for one in self.standings} | {one.scenario for one in self.left_out}
        return [name for name in self._names if name not in known]

    def _nothing_validated(self) -> bool:
        return all(one.verdict == FAILED for one in self.standings)


def strikes_engine(story: Story) -> bool:
    """Whether a story's faults end a whole engine, so that it must have one of its own."""
    return any(isinstance(fault, StrikeHost) for fault in story.faults)


def done_before(story: Story, orders: Orders) -> Path | None:
    """The newest validation of this story that another one like it would only repeat; None where there is none.

    It is comparable, made by the same commit on the same host with the same constants, and of as many runs. Files that
    differ from their commit are code that nobody knows, so by such code nothing counts as done.
    """
    made_by = [tonnage_version(), commit()]
    if made_by[1].endswith("-dirty"):
        return None
    wanted = [*made_by, json.loads(json.dumps(orders.profile.to_json()))]
    key = key_of_story(story_to_json(shrink(story)))
    directories = sorted((orders.home / "validations").glob("*/"), key=lambda found: found.name, reverse=True)
    newest = directories[:VALIDATIONS_COUNT_MAX]
    return next((found for found in newest if _is_as_good(found, key, wanted, orders)), None)


def _is_as_good(directory: Path, key: str, wanted: list[Any], orders: Orders) -> bool:
    """Whether a validation is of that story, was made by that code on that host, and often enough."""
    try:
        told = _object(directory / "comparison.json")
        made = _object(directory / "live-1" / "provenance.json")
        played = _object(directory / "live-1" / "scenario.json")["story"]
        return (
            bool(told["comparable"])
            and told["simulated_count"] >= orders.replications_count
            and told["live_count"] >= orders.repeats_count
            and [made["version"], made["commit"], made["host"]] == wanted
            and key_of_story(played) == key
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _object(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return data


def _is_the_users(problem: Exception) -> bool:
    """Whether a failure is the user's to mend; a layer above gives its errors an exit code of their own."""
    return isinstance(problem, ScenarioError | SimError) or isinstance(getattr(problem, "exit_code", None), int)


# What is told in the end.


def series_text(series: Series) -> str:
    """The table of all stories, and which were left out."""
    reasons = dict.fromkeys(one.reason for one in series.left_out)
    left_out = [f"left out: {', '.join(_left_out_for(series, reason))} ({reason})" for reason in reasons]
    if not series.standings:
        return "\n".join(["nothing was validated", *left_out])
    return "\n".join([table_text(series.standings), *left_out])


def _left_out_for(series: Series, reason: str) -> list[str]:
    return [one.scenario for one in series.left_out if one.reason == reason]


def series_json(series: Series) -> dict[str, Any]:
    """The object that `--json` prints: every story, those left out, and the figures over all stories."""
    overall = together(series.standings)
    return {
        "kind": "validate_all",
        "scenario": [one.scenario for one in series.standings],
        "stories": [_story_json(one) for one in series.standings],
        "left_out": [{"scenario": one.scenario, "reason": one.reason} for one in series.left_out],
        "stories_count": len(series.standings),
        "agreeing_count": agreeing_count(series.standings),
        **_figures(overall),
        "comparable": overall.comparable,
        "verdict": overall.verdict,
        "interrupted": series.interrupted,
    }


def _story_json(one: Standing) -> dict[str, Any]:
    return {
        "scenario": one.scenario,
        **_figures(one),
        "verdict": one.verdict,
        "comparable": one.comparable,
        "reasons": list(one.reasons),
        "note": one.note,
        "record": one.record,
    }


def _figures(one: Standing) -> dict[str, Any]:
    return {
        "median_error_ratio": one.median_error_ratio,
        "p90_error_ratio": one.p90_error_ratio,
        "equivalent_ratio": one.equivalent_ratio,
        "equivalent_count": one.equivalent_count,
        "physics_count": one.physics_count,
        "different_count": one.different_count if one.physics_count else None,
        "noise_ratio": one.noise_ratio,
    }
