"""The `capacity` command: what is passed on, printed and ended with, with stand-ins for the worlds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from scenarios import ScenarioError
from sim.capacity_command import register
from sim.errors import RequestError
from sim.goals import GoalResult
from sim.record import Recorder
from sim.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Story
    from sim.worlds import Say, Terms, World

ECOLOGY = ("agent-ecology", "--vary", "agents.worker.count")


class Roomy:
    """A world in which so many agents fit, and every goal is missed by more; it may be interrupted."""

    def __init__(self, name: str, room_count: int, interrupted_at_count: int | None = None) -> None:
        """Have run nothing."""
        self.name = name
        self.stories: list[Story] = []
        self._room_count = room_count
        self._interrupted_at_count = interrupted_at_count

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Be anybody's."""
        return contextlib.nullcontext()

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Meet the goals or not."""
        self.stories.append(story)
        count = story.agents[0].count
        if count == self._interrupted_at_count:
            raise KeyboardInterrupt
        goals = [
            GoalResult(goal.name, goal.metric, "agents", 1.0, "", "at most 1", met=count <= self._room_count)
            for goal in story.goals
        ]
        return Outcome(self.name, (), tuple(goals), (), Recorder(None), directory)


def typed(
    *arguments: str, sim: World | None = None, docker: World | None = None, asked: list[str] | None = None
) -> int:
    """Type the command; its exit code is returned, and which worlds were made goes to `asked`."""
    app = typer.Typer()

    def made(name: str, world: World | None) -> Callable[[Terms], World]:
        def on(terms: Terms) -> World:
            if asked is not None:
                asked.append(f"{name} {sorted(terms.allowed)} {terms.private_engine}")
            return world or Roomy(name, 5)

        return on

    register(app, {"sim": made("sim", sim), "docker": made("docker", docker)})
    return int(app([*arguments], standalone_mode=False) or 0)


def test_the_answer_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line on stdout is the answer, what goes on meanwhile is told on stderr, and the code is 0."""
    code = typed(*ECOLOGY)
    said = capsys.readouterr()

    assert 0 == code
    assert said.out.startswith("5 agents fit (with 95 % confidence); memory of `agents` breaks next\n")
    assert said.err.startswith("agents.worker.count at 1: 0 of 4 runs missed a goal\n")


def test_nothing_fits_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """Where not even the lowest value fits the command says no."""
    assert 1 == typed(*ECOLOGY, sim=Roomy("sim", 0))
    assert capsys.readouterr().out.startswith("not even 1 agent would fit; ")


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """The keys that the design promises are there; nothing else is on stdout."""
    typed(*ECOLOGY, "--json")
    told = json.loads(capsys.readouterr().out)

    assert {"kind", "scenario", "answer", "low", "high", "binding", "next_binding", "curve"} <= set(told)
    assert ("capacity", "agent-ecology", 5, 5, 5) == tuple(
        told[key] for key in ("kind", "scenario", "answer", "low", "high")
    )


def test_what_is_typed_is_what_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    """Bounds, step, seed, risk, runs and changed values all reach the search."""
    world = Roomy("sim", 9)
    more = ("--low", "2", "--high", "20", "--step", "2", "--seed", "7", "--set", "duration=50s")
    typed(
        *ECOLOGY, *more, "--risk", "0.3", "--confidence", "0.9", "--runs", "2", "--runs-max", "6", "--json", sim=world
    )
    told = json.loads(capsys.readouterr().out)

    assert (8, 2, 0.3, 0.9) == tuple(told[key] for key in ("answer", "step", "risk", "confidence"))
    assert {story.agents[0].count for story in world.stories} <= set(range(2, 21, 2))
    assert {50.0} == {story.duration_s for story in world.stories}
    assert 7 == min(story.seed for story in world.stories)
    assert {point["runs"] for point in told["curve"]} <= set(range(2, 7))


def test_the_smallest_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--smallest` the answer is the least that suffices."""
    typed("agent-ecology", "--vary", "containers.agents.mem_limit", "--smallest", "--high", "8g", "--json")
    told = json.loads(capsys.readouterr().out)

    # Five agents fit whatever the limit: the smallest that the shrunk story may have is the answer.
    assert (True, "bytes") == (told["smallest"], told["unit"])
    assert told["answer"] == told["curve"][0]["value"]


@pytest.mark.parametrize(
    ("on", "more", "shrunk"), [("sim", (), False), ("sim", ("--shrunk",), True), ("docker", (), True)]
)
def test_the_world_is_the_one_that_is_named(on: str, more: tuple[str, ...], shrunk: bool) -> None:  # noqa: FBT001
    """Only that world is made; a real one, and who asks for it, gets the shrunk story."""
    asked: list[str] = []
    world = Roomy(on, 3)
    typed(*ECOLOGY, "--on", on, *more, sim=world, docker=world, asked=asked)

    assert [f"{on} [] False"] == asked
    assert {30.0 if shrunk else 300.0} == {story.duration_s for story in world.stories}


def test_a_real_engine_gets_its_terms() -> None:
    """What a story may use, and whether on an engine of its own, is passed on."""
    asked: list[str] = []
    typed(*ECOLOGY, "--on", "docker", "--allow", "mounts", "--private-engine", asked=asked)

    assert ["docker ['mounts'] True"] == asked


def test_ctrl_c_prints_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt ends the search, not the answer; the command then ends as interrupted."""
    code = typed(*ECOLOGY, sim=Roomy("sim", 100, interrupted_at_count=8))
    said = capsys.readouterr().out

    assert 130 == code
    assert said.startswith("4 agents fit (")
    assert said.endswith("interrupted: this is what was known until then\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*ECOLOGY, "--on", "moon"), r"^--on moon is not a world; choose one of: sim, docker$"),
        ((*ECOLOGY, "--allow", "root"), r"^--allow root is not known"),
        ((*ECOLOGY, "--set", "duration"), r"^--set duration has no value"),
        ((*ECOLOGY, "--low", "9", "--high", "3"), r"there is no whole step"),
        ((*ECOLOGY, "--runs", "9", "--runs-max", "3"), r"^--runs 9 is above --runs-max 3"),
        (("agent-ecology", "--vary", "agents.nobody.count"), r"there is no agents.nobody"),
        (("container-starts", "--vary", "agents.worker.count"), r"this scenario has no agents"),
        (("nosuch", "--vary", "duration"), r"there is no such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_runs(arguments: tuple[str, ...], said: str) -> None:
    """What cannot be searched is told before the first run."""
    world = Roomy("sim", 5)
    with pytest.raises((RequestError, ScenarioError), match=said) as caught:
        typed(*arguments, sim=world)

    assert "\n" not in str(caught.value)
    assert [] == world.stories


@pytest.mark.parametrize("option", [("--risk", "0"), ("--risk", "0.9"), ("--confidence", "1"), ("--runs", "0")])
def test_bounds_of_options_are_held(option: tuple[str, ...]) -> None:
    """A risk of nothing, or a certainty, would need runs without end."""
    with pytest.raises(typer.BadParameter):
        typed(*ECOLOGY, *option)


@pytest.mark.parametrize("jobs", ["0", "x", "1000000"])
def test_jobs_are_a_sensible_number(jobs: str) -> None:
    """Nobody can simulate in no process at all, or has a million cores."""
    with pytest.raises(typer.BadParameter):
        typed(*ECOLOGY, "--jobs", jobs)


def test_what_to_vary_may_be_the_scenario_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A story that names what its capacity question varies needs no `--vary`."""
    assert 0 == typed("agent-ecology", "--jobs", "1")
    assert capsys.readouterr().out.startswith("5 agents fit (")


def test_what_to_vary_must_be_said_somewhere() -> None:
    """Without a path, in the command or in the scenario, there is no question."""
    with pytest.raises(RequestError, match=r"^container-starts names nothing to vary; type for example --vary"):
        typed("container-starts")


# The command as a process, with others that it starts.

LONG = ("capacity", "memory-oom", "--set", "duration=20000s", "--low", "2", "--runs", "8", "--jobs", "2")
AT_ONCE = """\
import sys, tonnage
from sim.experiments import replication
replication.PROCESSES_WORTH_S = 0.0
tonnage.main(sys.argv[1:])
"""
# Two that simulate, and the one that Python starts with them to clear up.
PROCESSES_COUNT = 3


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("is_killed", [False, True])
def test_nothing_is_left_of_a_command_that_is_ended(is_killed: bool) -> None:  # noqa: FBT001
    """Ctrl-C reaches all of a terminal's processes and one answers it; killed outright, it takes the others along."""
    psutil = pytest.importorskip("psutil")
    command = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, *LONG],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started = psutil.Process(command.pid)
    while command.poll() is None and len(started.children(recursive=True)) < PROCESSES_COUNT:
        time.sleep(0.02)
    others = started.children(recursive=True)
    if is_killed:
        command.kill()
    else:
        os.killpg(command.pid, signal.SIGINT)
    # All of them write to the same pipes, so that their end is the end of all.
    out, err = command.communicate()

    assert PROCESSES_COUNT == len(others)
    assert (("", -9) if is_killed else ("nothing is known yet", 130)) == (out.partition("\n")[0], command.returncode)
    assert "Traceback" not in err
    psutil.wait_procs(others, timeout=5)
    assert [] == [one for one in others if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
