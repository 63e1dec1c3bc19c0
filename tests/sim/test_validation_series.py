"""A series of validations: what is validated, left out and kept, and what one story's failure costs the others."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from scenarios import Story, load
from scenarios.scale import shrink
from scenarios.story_json import story_to_json
from sim import validation_series
from sim.errors import RequestError
from sim.physics.host_profile import load_profile
from sim.validation_series import (
    DONE_BEFORE,
    INTERRUPTED,
    NEEDS_ENGINE,
    NOT_REACHED,
    SIMULATED_ONLY,
    TOO_FEW_RUNS,
    Orders,
    Series,
    done_before,
    series_json,
    series_text,
)
from sim.worlds import SimulatedWorld, Terms
from tests.sim.made_validation import COMMIT, compared, keep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sim.compare import Comparison
    from sim.validation import Plan
    from sim.worlds import Say, World

PROFILE = load_profile(None)
VERSION = "1.2.3"

# What becomes of a story's validation: a rate that was simulated, or what is raised instead.
Ending = float | BaseException


class Missing(Exception):
    """What a layer above raises where the world is missing."""

    exit_code = 3


@cache
def _library_story(name: str) -> Story:
    return load(name).story


def story_named(name: str) -> Story:
    """A story of that name; `dreamt...` is simulated only and `struck...` strikes its engine."""
    like = _library_story("engine-stop" if name.startswith("struck") else "cpu-quota-bursts")
    return replace(like, name=name, live_able=not name.startswith("dreamt"))


def silent(_text: str) -> None:
    """Say nothing."""


class Stage:
    """A series over stories whose endings are given, with what was asked of the world."""

    def __init__(self, home: Path, endings: Mapping[str, Ending], orders: Mapping[str, Any]) -> None:
        """Nothing has run."""
        self.plans: list[Plan] = []
        self.terms: list[Terms] = []
        self._endings = endings
        asked: dict[str, Any] = {"repeats_count": 3, "replications_count": 4, "terms": Terms(), **orders}
        self.orders = Orders(home=home, profile=PROFILE, **asked)
        self.series = Series(list(endings), story_named, self._world_on, self.orders)

    def _world_on(self, terms: Terms) -> World:
        self.terms.append(terms)
        return SimulatedWorld(PROFILE)

    def validated(self, plan: Plan, world: World, say: Say) -> Comparison:
        """Stand in for a validation: keep what it found, or raise."""
        self.plans.append(plan)
        ending = self._endings[plan.story.name]
        if isinstance(ending, KeyboardInterrupt) and ending.args:
            keep(plan.directory, compared(plan.story.name))
        if isinstance(ending, BaseException):
            raise ending
        comparison = compared(plan.story.name, ending)
        keep(plan.directory, comparison)
        return comparison


@pytest.fixture(name="staged")
def _staged(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """A function that sets a series up with endings by story, and with orders."""

    def staged(endings: Mapping[str, Ending], **orders: object) -> Stage:
        stage = Stage(home, endings, orders)
        monkeypatch.setattr(validation_series, "validate", stage.validated)
        return stage

    return staged


@pytest.fixture(name="code", autouse=True)
def _code(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The code that runs, as a version and a commit; the function makes it another commit."""

    def is_commit(name: str) -> None:
        monkeypatch.setattr(validation_series, "commit", lambda: name)

    monkeypatch.setattr(validation_series, "tonnage_version", lambda: VERSION)
    is_commit(COMMIT)
    return is_commit


# What is validated.


def test_every_story_is_validated_as_asked_and_kept_by_itself(staged: Callable[..., Stage], home: Path) -> None:
    """Each has a plan of its own with the counts that were asked for, and a directory among the validations."""
    stage = staged({"a": 10.0, "b": 13.0}, repeats_count=5, replications_count=7)
    stage.series.run(silent)

    assert [("a", 5, 7), ("b", 5, 7)] == [
        (plan.story.name, plan.repeats_count, plan.replications_count) for plan in stage.plans
    ]
    assert [("a", "agrees"), ("b", "does not agree")] == [(one.scenario, one.verdict) for one in stage.series.standings]
    assert [str(plan.directory) for plan in stage.plans] == [one.record for one in stage.series.standings]
    assert {home / "validations"} == {plan.directory.parent for plan in stage.plans}


def test_what_cannot_run_here_is_left_out_and_said_so(staged: Callable[..., Stage]) -> None:
    """A story that is simulated only, and one that needs an engine of its own, are no failures."""
    stage = staged({"dreamt": 10.0, "ordinary": 10.0, "struck": 10.0})
    stage.series.run(silent)

    assert ["ordinary"] == [plan.story.name for plan in stage.plans]
    assert [("dreamt", SIMULATED_ONLY), ("struck", NEEDS_ENGINE)] == [
        (one.scenario, one.reason) for one in stage.series.left_out
    ]


def test_a_private_engine_is_for_those_alone_that_need_one(staged: Callable[..., Stage]) -> None:
    """Other stories run on the machine's engine, and what all may use stays as it was asked for."""
    allowed = frozenset({"images"})
    stage = staged({"ordinary": 10.0, "struck": 10.0}, terms=Terms(allowed, private_engine=True))
    stage.series.run(silent)

    assert [Terms(allowed), Terms(allowed, private_engine=True)] == stage.terms
    assert [] == stage.series.left_out


# Failures.


def test_a_failure_does_not_end_the_rest(staged: Callable[..., Stage], capsys: pytest.CaptureFixture[str]) -> None:
    """What the user can mend is a line and a row of the table; the other stories are validated."""
    said: list[str] = []
    stage = staged({"a": 10.0, "b": RequestError("no room"), "c": 10.0})
    stage.series.run(said.append)

    assert ["agrees", "failed", "agrees"] == [one.verdict for one in stage.series.standings]
    assert ("no room",) == stage.series.standings[1].reasons
    assert "b failed: no room" in said
    assert "" == capsys.readouterr().err


def test_a_bug_does_not_end_the_rest_and_keeps_its_traceback(
    staged: Callable[..., Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reports it needs more than a line."""
    stage = staged({"a": ZeroDivisionError("by zero"), "b": 10.0})
    stage.series.run(silent)

    assert ["failed", "agrees"] == [one.verdict for one in stage.series.standings]
    assert "Traceback" in capsys.readouterr().err


def test_a_world_that_is_missing_ends_the_series_at_once(staged: Callable[..., Stage]) -> None:
    """The first two stories failing alike are enough: the rest would wait for an engine that is not there."""
    stage = staged(dict.fromkeys("abcde", Missing("no engine answers")))
    with pytest.raises(Missing):
        stage.series.run(silent)

    assert 2 == len(stage.plans)


def test_a_series_in_which_nothing_came_through_ends_with_its_first_failure(staged: Callable[..., Stage]) -> None:
    """Different failures each get their turn; then there is no table to print."""
    stage = staged({"a": Missing("one"), "b": Missing("two"), "c": Missing("one")})
    with pytest.raises(Missing, match=r"^one$"):
        stage.series.run(silent)

    assert 3 == len(stage.plans)


def test_a_world_that_goes_missing_leaves_what_was_found(staged: Callable[..., Stage]) -> None:
    """After one story came through, failing alike is no reason to lose it."""
    stage = staged({"a": 10.0, **dict.fromkeys("bcd", Missing("no engine answers"))})
    stage.series.run(silent)

    assert ["agrees", "failed", "failed", "failed"] == [one.verdict for one in stage.series.standings]


# Interruption.


@pytest.mark.parametrize("judged", [True, False])
def test_an_interruption_keeps_what_is_known(staged: Callable[..., Stage], *, judged: bool) -> None:
    """Stories done stay, the one under way counts where it was judged, and those not reached are named."""
    stage = staged({"a": 10.0, "b": KeyboardInterrupt("judged") if judged else KeyboardInterrupt(), "c": 10.0})
    with pytest.raises(KeyboardInterrupt):
        stage.series.run(silent)
    standings = [(one.scenario, one.note) for one in stage.series.standings]
    left_out = [(one.scenario, one.reason) for one in stage.series.left_out]

    assert stage.series.interrupted
    assert [("a", ""), ("b", INTERRUPTED)][: 1 + judged] == standings
    assert [("b", TOO_FEW_RUNS), ("c", NOT_REACHED)][judged:] == left_out


# What was done before.


def before(home: Path, name: str, *, runs_count: int = 3, comparable: bool = True, **made: object) -> Path:
    """A validation of a story made before, by this code on this host unless `made` says otherwise."""
    host = json.loads(json.dumps(PROFILE.to_json()))
    provenance = {"version": VERSION, "host": host, **made}
    directory = keep(
        home / "validations" / f"20261101-100000-{name}",
        compared(name, comparable=comparable),
        runs_count=runs_count,
        **provenance,
    )
    played = {"story": story_to_json(shrink(story_named(name)))}
    (directory / "live-1" / "scenario.json").write_text(json.dumps(played), encoding="utf-8")
    return directory


def test_what_was_done_is_taken_from_its_record(staged: Callable[..., Stage], home: Path) -> None:
    """A series that is taken up again runs what is missing, and its table has all."""
    done = before(home, "a")
    stage = staged({"a": 10.0, "b": 10.0}, skip_done=True)
    stage.series.run(silent)

    assert ["b"] == [plan.story.name for plan in stage.plans]
    assert [(str(done), DONE_BEFORE), (str(stage.plans[0].directory), "")] == [
        (one.record, one.note) for one in stage.series.standings
    ]


def test_unless_asked_nothing_is_skipped(staged: Callable[..., Stage], home: Path) -> None:
    """Validating again is what a series is for."""
    before(home, "a")
    stage = staged({"a": 10.0})
    stage.series.run(silent)

    assert ["a"] == [plan.story.name for plan in stage.plans]


@pytest.mark.parametrize(
    "changed",
    [
        {"commit": "another"},
        {"version": "1.2.4"},
        {"host": {"name": "elsewhere"}},
        {"runs_count": 2},
        {"comparable": False},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_not_as_good_does_not_count_as_done(
    staged: Callable[..., Stage], home: Path, changed: dict[str, Any]
) -> None:
    """Other code, another host, fewer runs or a disturbance: the story is validated anew."""
    before(home, "a", **changed)

    assert done_before(story_named("a"), staged({"a": 10.0}).orders) is None


def test_another_story_of_that_name_does_not_count_as_done(staged: Callable[..., Stage], home: Path) -> None:
    """Another seed is another story; the same one is found."""
    found, orders = before(home, "a"), staged({"a": 10.0}).orders

    assert found == done_before(story_named("a"), orders)
    assert done_before(replace(story_named("a"), seed=99), orders) is None
    assert done_before(story_named("a"), replace(orders, replications_count=5)) is None


def test_by_code_without_a_name_nothing_counts_as_done(
    staged: Callable[..., Stage], home: Path, code: Callable[[str], None]
) -> None:
    """Files that differ from their commit may be any code; an installed version without one is a name."""
    orders = staged({"a": 10.0}).orders
    before(home, "a", commit=f"{COMMIT}-dirty")
    code(f"{COMMIT}-dirty")
    dirty = done_before(story_named("a"), orders)
    installed = before(home, "a", commit="")
    code("")

    assert dirty is None
    assert installed == done_before(story_named("a"), orders)


def test_a_damaged_validation_is_passed_over(staged: Callable[..., Stage], home: Path) -> None:
    """It can neither stand in nor stop the series."""
    (before(home, "a") / "live-1" / "scenario.json").write_text("[]", encoding="utf-8")

    assert done_before(story_named("a"), staged({"a": 10.0}).orders) is None


# What is told.

STORY_KEYS = {
    *("scenario", "median_error_ratio", "p90_error_ratio", "equivalent_ratio", "equivalent_count", "physics_count"),
    *("different_count", "noise_ratio", "verdict", "comparable", "reasons", "note", "record"),
}


def test_a_series_as_json(staged: Callable[..., Stage]) -> None:
    """Every story with its figures and its record, those left out, and the figures over all."""
    stage = staged({"a": 10.2, "b": 13.0, "c": RequestError("no room"), "dreamt": 10.0})
    stage.series.run(silent)
    told = json.loads(json.dumps(series_json(stage.series)))

    assert ("validate_all", ["a", "b", "c"]) == (told["kind"], told["scenario"])
    assert [STORY_KEYS] * 3 == [set(story) for story in told["stories"]]
    assert [0, 1, None] == [story["different_count"] for story in told["stories"]]
    assert [True, True, False] == [story["comparable"] for story in told["stories"]]
    assert [{"scenario": "dreamt", "reason": SIMULATED_ONLY}] == told["left_out"]
    assert (3, 1, "does not agree", False) == tuple(
        told[key] for key in ("stories_count", "agreeing_count", "verdict", "interrupted")
    )
    assert (pytest.approx(0.01), 0.75, 1) == tuple(
        told[key] for key in ("median_error_ratio", "equivalent_ratio", "different_count")
    )


def test_a_series_as_text(staged: Callable[..., Stage]) -> None:
    """The table, then those left out, a line for each reason."""
    stage = staged({"a": 10.0, "dreamt-1": 10.0, "dreamt-2": 10.0, "struck": 10.0})
    stage.series.run(silent)
    lines = series_text(stage.series).splitlines()

    assert lines[0].startswith("story ")
    assert lines[2].endswith("1 of 1 agree")
    assert [f"left out: dreamt-1, dreamt-2 ({SIMULATED_ONLY})", f"left out: struck ({NEEDS_ENGINE})"] == lines[-2:]


def test_a_series_in_which_nothing_was_validated_says_so(staged: Callable[..., Stage]) -> None:
    """An empty table would be no answer."""
    stage = staged({"dreamt": 10.0})
    stage.series.run(silent)

    assert ["nothing was validated", f"left out: dreamt ({SIMULATED_ONLY})"] == series_text(stage.series).splitlines()
