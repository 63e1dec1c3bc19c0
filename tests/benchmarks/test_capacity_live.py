"""The table of capacities: both worlds are asked the same, and what came of it is told and kept.

The real world is played by a simulated one with other physics seeds.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from benchmarks import capacity_live
from benchmarks.capacity_live import STORIES, Trio, main, table
from scenarios import load
from scenarios.scale import shrink
from sim.experiments.capacity import find_capacity
from sim.goals import GoalResult
from sim.physics.host_profile import load_profile
from sim.record import Recorder
from sim.run import Outcome
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenarios import Story
    from sim.experiments.capacity import Capacity, Question
    from sim.worlds import Say

SMALL = """\
purpose: Agents that hold 100 MiB each at the same time.
duration: 2s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {mem_limit: 500m, memswap_limit: 500m}}
agents: {worker: {count: 2, think: 10ms, steps: [{hold: 100m}, {sleep: 1s}]}}
goals: {no-oom-kill: {metric: oom_kill_count, container: agents, max: 0}}
capacity: {vary: agents.worker.count}
"""


@dataclass
class Real:
    """A world that plays the real one with room for so many agents more than there is, perhaps interrupted."""

    more_count: int = 0
    interrupted_at_count: int | None = None
    reasons: tuple[str, ...] = ()
    name: str = "docker"
    seeds: set[int] = field(default_factory=set)

    def __call__(self) -> Real:
        """Be made."""
        return self

    @contextlib.contextmanager
    def hold(self, story: Story, say: Say) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate fewer agents with a seed that no prediction uses."""
        count = story.agents[0].count
        if count == self.interrupted_at_count:
            raise KeyboardInterrupt
        self.seeds.add(story.seed)
        fewer = replace(story, agents=(replace(story.agents[0], count=max(1, count - self.more_count)),))
        world = SimulatedWorld(load_profile(None))
        outcome = world.run(fewer, directory=None, physics_seed=physics_seed + 1000, say=say)
        return replace(outcome, world=self.name, reasons=self.reasons, comparable=not self.reasons)


@pytest.fixture(name="scenario")
def _scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small story in which four agents fit, searched in this process."""
    monkeypatch.setattr(capacity_live, "usable_cores_count", lambda: 1)
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


def cells(out: str) -> list[str]:
    """The cells of the first story's row."""
    return [cell.strip() for cell in out.splitlines()[2].strip("|").split("|")]


@pytest.mark.parametrize(("more", "measured", "difference", "near"), [(0, "4", "+0", "yes"), (3, "7", "+3", "no")])
def test_both_answers_stand_side_by_side(
    more: int, measured: str, difference: str, near: str, scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prediction with its interval, what was measured with its runs, and how far they are apart."""
    assert 0 == main(["--only", scenario], Real(more))
    told = cells(capsys.readouterr().out)

    assert ["small", "`agents.worker.count`", "no-oom-kill", "4", "4 (4 to 4)"] == told[:5]
    after = int(measured) + 1
    assert f"{measured} ({measured}: 0 of 3 missed, {after}: 3 of 3 missed)" == told[5]
    assert [difference, near] == told[7:]


def test_both_worlds_are_asked_the_same(
    scenario: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Risk, runs and seeds are those of the real world; beside it the prediction gets as many runs as it takes."""
    asked: list[Question] = []

    def noted(question: Question, *arguments: object, **options: int) -> Capacity:
        asked.append(question)
        return find_capacity(question, *arguments, **options)  # type: ignore[arg-type]  # As they came.

    monkeypatch.setattr(capacity_live, "find_capacity", noted)
    world = Real()
    main(["--only", scenario, "--runs", "2"], world)
    predicted, sure, measured = asked

    assert predicted == measured
    assert replace(sure, runs_count=1, runs_count_max=2) == measured
    assert {1, 2} == world.seeds
    # Two runs without a miss are as likely as not.
    assert pytest.approx(0.5) == (1.0 - measured.risk_ratio) ** 2


def test_the_answers_are_kept(scenario: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer is a file as `tonnage capacity --json` would print it."""
    main(["--only", scenario], Real())
    (directory,) = (home / "capacities").iterdir()
    kept = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in directory.iterdir()}

    assert {f"small-{name}": ("capacity", 4) for name in ("predicted", "sure", "measured")} == {
        name: (told["kind"], told["answer"]) for name, told in kept.items()
    }
    assert str(directory) in capsys.readouterr().err


def test_what_speaks_against_real_runs_is_told(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that cannot be compared is used, and its reason stands below the table."""
    main(["--only", scenario], Real(reasons=("other load is not known: no clock",)))

    expected = "small: this speaks against the real runs: other load is not known: no clock"
    assert expected == capsys.readouterr().out.splitlines()[-1]


def test_an_interrupt_keeps_what_was_known(
    scenario: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stories that were done are told, and of the one under way what was found until then is kept."""
    other = tmp_path / "other.yaml"
    other.write_text(SMALL.replace("mem_limit: 500m, memswap_limit: 500m", "mem_limit: 900m, memswap_limit: 900m"))
    # Sixteen are tried in the second story alone.
    code = main(["--only", scenario, "--only", str(other)], Real(interrupted_at_count=16))
    out = capsys.readouterr().out
    (directory,) = (home / "capacities").iterdir()

    assert (130, 3) == (code, len(out.splitlines()))
    assert json.loads((directory / "other-measured.json").read_text(encoding="utf-8"))["interrupted"]


@pytest.mark.parametrize("arguments", [["--only", "nosuch"], ["--runs", "0"], ["--runs", "x"]])
def test_bad_input_is_told_before_anything_runs(arguments: list[str], home: Path) -> None:
    """A slip costs no real run."""
    try:
        code = main(arguments, Real(interrupted_at_count=1))
    except SystemExit as ended:
        code = int(ended.code or 0)

    assert (2, False) == (code, home.exists())


def test_no_answer_is_one_too(scenario: str) -> None:
    """Where nothing fits in either world they agree, and a dash stands for it."""
    question = capacity_live._question(scenario, 3, is_sure=False)
    missed = find_capacity(question, Full(), lambda _text: None)
    fits = replace(missed, answer=Fraction(4))
    both, one = Trio(missed, missed, missed), Trio(fits, fits, missed)

    assert [(None, True), (None, False)] == [(trio.difference, trio.is_near) for trio in (both, one)]
    assert ["–", "– (– to –)", "– (1: 3 of 3 missed)", "3", "–", "yes"] == cells(table([both]))[3:]


class Full(Real):
    """A world in which nothing fits."""

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Miss every goal."""
        goals = [GoalResult(goal.name, goal.metric, "agents", 9.0, "", "at most 0", met=False) for goal in story.goals]
        return Outcome(self.name, (), tuple(goals), (), Recorder(None), directory)


@pytest.mark.parametrize(("predicted", "measured", "near"), [(4, 5, True), (4, 6, False), (60, 63, True)])
def test_near_is_within_a_step_or_a_twentieth(predicted: int, measured: int, near: bool, scenario: str) -> None:  # noqa: FBT001
    """Of few agents one more or less is near, of many five in a hundred."""
    question = capacity_live._question(scenario, 1, is_sure=False)
    found = find_capacity(question, Full(), lambda _text: None)
    answers = [replace(found, answer=Fraction(value)) for value in (predicted, predicted, measured)]

    assert near == Trio(*answers).is_near


@pytest.mark.parametrize("name", STORIES)
def test_the_stories_have_a_question_and_are_short(name: str) -> None:
    """Each names what is varied, can run for real, and is over within half a minute."""
    story = shrink(load(name).story)

    assert story.vary
    assert story.live_able
    assert story.goals
    assert 10 <= story.duration_s <= 30
