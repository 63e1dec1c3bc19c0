"""Commands of the simulated layer with stand-ins for the worlds: what is passed on and said, which code ends it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer

from scenarios import library, load
from scenarios.load import library_names
from scenarios.scale import shrink
from sim.commands import register, show_comparison
from sim.compare import Comparison, compare
from sim.errors import RequestError
from sim.goals import GoalResult
from sim.metrics import Metric
from sim.record import Recorder
from sim.run import Outcome
from sim.worlds import Terms
from tests.sim.made_validation import compared, keep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenarios import Story
    from sim.validation import Plan
    from sim.worlds import Say, World

# The one story that is tested here says that live mode shrinks it.
SHRINKING = "agent-ecology"
PLAIN = """\
purpose: Nothing to warn of.
duration: 60s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {cpus: 1, mem_limit: 64m, memswap_limit: 64m}}
agents: {worker: {think: 50ms, steps: [{compute: 5ms}]}}
"""


class Remembering:
    """A world that keeps what it was to run and says that the goals given came out."""

    def __init__(self, name: str, *goals: GoalResult) -> None:
        """Have run nothing."""
        self.name = name
        self.stories: list[Story] = []
        self.directories: list[Path | None] = []
        self._goals = goals

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Be anybody's."""
        return contextlib.nullcontext()

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Keep the story and the place of its record."""
        self.stories.append(story)
        self.directories.append(directory)
        return Outcome(self.name, (), self._goals, (), Recorder(None), directory)


class Stopped(Exception):
    """Nothing is to be run."""


class Refusing(Remembering):
    """A world in which nothing runs."""

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Refuse."""
        raise Stopped

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Refuse."""
        raise Stopped


def goal(*, met: bool) -> GoalResult:
    """A goal's result."""
    return GoalResult("quick", "step_latency_s_p95", None, 0.1, "s", "at most 1.00 s", met=met)


def typed(
    *arguments: str, sim: World | None = None, docker: World | None = None, asked: list[Terms] | None = None
) -> int:
    """Type a command; its exit code is returned, what the user did wrong is raised; terms asked for go to `asked`."""
    app = typer.Typer()

    def made(world: World | None, name: str) -> Callable[[Terms], World]:
        def on(terms: Terms) -> World:
            if asked is not None:
                asked.append(terms)
            return world or Remembering(name)

        return on

    register(app, {"sim": made(sim, "sim"), "docker": made(docker, "docker")})
    return int(app([*arguments], standalone_mode=False) or 0)


def comparison(simulated: float) -> Comparison:
    """Real runs of 10 steps a second against simulated ones of another rate."""
    runs = [[[Metric("steps_per_s", "a", "physics", "1/s", value)]] * 3 for value in (10.0, simulated)]
    return compare(*runs, baseline=None, headline=())


# Running.


def test_the_story_s_own_seed_holds_unless_another_is_given() -> None:
    """`--seed` changes the workload's seed and nothing else; zero is a seed too."""
    world = Remembering("sim")
    for more in ([], ["--seed", "0"], ["--seed", "77"]):
        typed("run", "cpu-quota-bursts", *more, sim=world)
    own = load("cpu-quota-bursts").story

    assert [own.seed, 0, 77] == [story.seed for story in world.stories]
    assert {own.duration_s} == {story.duration_s for story in world.stories}


def test_values_are_set_in_turn() -> None:
    """`--set` may be given several times; of two for one value the later one holds."""
    world = Remembering("sim")
    sets = ("duration=5s", "agents.worker.count=3", "agents.worker.count=4")
    typed("run", "cpu-quota-bursts", *[word for one in sets for word in ("--set", one)], sim=world)

    assert (5.0, 4) == (world.stories[0].duration_s, world.stories[0].agents[0].count)


@pytest.mark.parametrize("text", ["duration", "=5s", ""])
def test_a_set_needs_a_path_and_a_value(text: str) -> None:
    """What is no pair is refused with an example, before anything runs."""
    world = Remembering("sim")
    with pytest.raises(RequestError, match=r"write --set agents\.worker\.count=8$"):
        typed("run", "cpu-quota-bursts", "--set", text, sim=world)

    assert [] == world.stories


@pytest.mark.parametrize(
    ("on", "more", "shrunk"),
    [("sim", (), False), ("sim", ("--shrunk",), True), ("docker", (), True), ("docker", ("--shrunk",), True)],
)
def test_a_real_engine_gets_the_shrunk_story(on: str, more: tuple[str, ...], shrunk: bool) -> None:  # noqa: FBT001
    """Live mode always shrinks as the story says; the simulation only where it is asked to."""
    world = Remembering(on)
    typed("run", SHRINKING, "--on", on, *more, sim=world, docker=world)
    whole = load(SHRINKING).story

    assert whole != shrink(whole)
    assert [shrink(whole) if shrunk else whole] == world.stories


def test_only_the_world_that_is_asked_for_is_made() -> None:
    """Simulating must not look for an engine."""
    worlds = {"sim": Remembering("sim"), "docker": Remembering("docker")}
    typed("run", "cpu-quota-bursts", sim=worlds["sim"], docker=worlds["docker"])

    assert (1, 0) == (len(worlds["sim"].stories), len(worlds["docker"].stories))


@pytest.mark.parametrize("command", ["run", "validate"])
def test_what_a_story_may_use_is_said_on_the_command_line(command: str) -> None:
    """`--allow` takes words with commas between, `--private-engine` is a flag, and neither is on by itself."""
    asked: list[Terms] = []
    on = ("--on", "docker") if command == "run" else ()
    for more in ((), ("--allow", "mounts,images", "--private-engine")):
        with contextlib.suppress(Stopped):
            typed(command, "cpu-quota-bursts", *on, *more, docker=Refusing("docker"), asked=asked)

    paced = command == "validate"
    all_of_it = Terms(frozenset({"images", "mounts"}), private_engine=True, paced=paced)
    assert [Terms(paced=paced), all_of_it] == asked


def test_what_cannot_be_allowed_is_named() -> None:
    """An unknown word is refused with those that are known, before any world is made."""
    asked: list[Terms] = []
    with pytest.raises(RequestError, match=r"^--allow root is not known; choose from images, mounts, privileges"):
        typed("run", "cpu-quota-bursts", "--allow", "images,root", asked=asked)

    assert [] == asked


def test_a_record_lies_where_it_is_wanted_or_at_home(home: Path, tmp_path: Path) -> None:
    """With `--record` that directory is used as it is; without, a fresh one among the runs, named after the story."""
    world = Remembering("sim")
    for more in ([], ["--record", str(tmp_path / "mine")]):
        typed("run", "cpu-quota-bursts", *more, sim=world)
    fresh, wanted = world.directories
    assert fresh is not None

    assert (home / "runs", tmp_path / "mine") == (fresh.parent, wanted)
    assert fresh.name.endswith("-cpu-quota-bursts")


@pytest.mark.parametrize(("met", "code"), [((), 0), ((True, True), 0), ((True, False), 1), ((False, False), 1)])
def test_one_missed_goal_is_enough(met: tuple[bool, ...], code: int) -> None:
    """A run without goals is fine; with goals it is fine if all are met."""
    assert code == typed("run", "cpu-quota-bursts", sim=Remembering("sim", *[goal(met=one) for one in met]))


# Checking and listing.


def test_warnings_are_counted_and_told_with_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a warning is fine, one with one says so, and each warning is a line that names its file."""
    plain = tmp_path / "plain.yaml"
    plain.write_text(PLAIN, encoding="utf-8")
    code = typed("check", str(plain), "cpu-quota-bursts")
    first, second, warning = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert [f"{plain}: fine", "cpu-quota-bursts: fine, with 1 warning"] == [first, second]
    assert warning.startswith("warning: cpu-quota-bursts: ")


def test_the_library_is_one_line_per_story(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line begins with a story's name, ends with its purpose, and says between them where it can be run."""
    typed("library")
    lines = capsys.readouterr().out.splitlines()

    for line, entry in zip(lines, library(), strict=True):
        where = "both worlds" if entry.live_able else "simulation only"
        assert [entry.name, where, entry.purpose] == [part.strip() for part in line.split("  ") if part.strip()]


# Comparing.


@pytest.mark.parametrize(("simulated", "code"), [(10.0, 0), (10.2, 0), (13.0, 1)])
def test_a_comparison_ends_with_whether_it_agrees(
    simulated: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 % off agrees and 30 % does not; both are printed, with the place where they are kept."""
    ended = 0
    try:
        show_comparison(comparison(simulated), None, as_json=False)
    except typer.Exit as left:
        ended = left.exit_code

    assert code == ended
    assert ("does not agree" in capsys.readouterr().out) == bool(code)


def test_a_comparison_says_where_it_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text ends with the directory and the command that shows it; the JSON has it, or null."""
    show_comparison(comparison(10.0), tmp_path, as_json=False)
    text = capsys.readouterr().out
    told: list[dict[str, Any]] = []
    for directory in (tmp_path, None):
        show_comparison(comparison(10.0), directory, as_json=True)
        told.append(json.loads(capsys.readouterr().out))

    assert f"kept in {tmp_path}; look at it with `tonnage dashboard`" == text.splitlines()[-1]
    assert [str(tmp_path), None] == [one["record"] for one in told]


@pytest.mark.parametrize(("simulated", "code"), [(10.0, 0), (13.0, 1)])
def test_a_validation_is_asked_for_as_typed(
    simulated: float, code: int, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeats, replications, seed and the whole story go to the real world; a missing host profile is said."""
    plans: list[tuple[Plan, World]] = []

    def validated(plan: Plan, world: World, say: Say) -> Comparison:
        plans.append((plan, world))
        return comparison(simulated)

    monkeypatch.setattr("sim.validation.validate", validated)
    real = Remembering("docker")
    options = ("--repeats", "5", "--replications", "7", "--seed", "9")
    ended = typed("validate", SHRINKING, *options, docker=real)
    ((plan, world),) = plans

    assert (code, 5, 7) == (ended, plan.repeats_count, plan.replications_count)
    assert (9, load(SHRINKING).story.duration_s) == (plan.story.seed, plan.story.duration_s)
    assert world is real
    assert home / "validations" == plan.directory.parent
    assert capsys.readouterr().err.startswith("no profile of this host yet (`tonnage measure-host`)")


# Validating all.


@pytest.fixture(name="validated")
def _validated(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were carried out; each story agrees, but `memory-oom`, and `slow-start` is interrupted."""
    plans: list[Plan] = []

    def validated(plan: Plan, world: World, say: Say) -> Comparison:
        plans.append(plan)
        if plan.story.name == "slow-start":
            raise KeyboardInterrupt
        return compared(plan.story.name, 13.0 if plan.story.name == "memory-oom" else 10.0)

    monkeypatch.setattr("sim.validation_series.validate", validated)
    return plans


def shelved(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the library hold these stories alone."""
    monkeypatch.setattr("sim.commands._library_names", lambda: list(names))


@pytest.mark.parametrize(("story", "code"), [("cpu-weights", 0), ("memory-oom", 1)])
def test_all_stories_agree_or_the_series_does_not(
    story: str, code: int, validated: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One story that does not agree is enough for exit code 1; counts and seed are those typed."""
    shelved(monkeypatch, "cpu-quota-bursts", story)
    ended = typed("validate", "--all", "--repeats", "5", "--replications", "7", "--seed", "9")
    last = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("all "))

    assert code == ended
    assert last.endswith(f"{2 - code} of 2 agree")
    assert [("cpu-quota-bursts", 5, 7, 9), (story, 5, 7, 9)] == [
        (plan.story.name, plan.repeats_count, plan.replications_count, plan.story.seed) for plan in validated
    ]


def test_all_stories_as_json(
    validated: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object on stdout, with a word on the story that needs an engine of its own."""
    shelved(monkeypatch, "cpu-weights", "engine-stop")
    typed("validate", "--all", "--json")
    told = json.loads(capsys.readouterr().out)

    assert ("validate_all", ["cpu-weights"], "agrees") == (told["kind"], told["scenario"], told["verdict"])
    assert ["engine-stop"] == [one["scenario"] for one in told["left_out"]]


def test_an_interrupted_series_prints_what_is_known(
    validated: list[Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the series, and not before its table is there."""
    shelved(monkeypatch, "cpu-weights", "slow-start", "sudden-leak")
    ended = typed("validate", "--all")
    lines = capsys.readouterr().out.splitlines()

    assert 130 == ended
    assert ["cpu-weights", "all"] == [line.split(" ")[0] for line in lines[1:3]]
    assert "left out: sudden-leak (not reached)" == lines[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), r"^validate names no story; name one \(`tonnage library` lists them\), or say --all$"),
        (("cpu-weights", "--all"), r"^validate cpu-weights --all asks for one story and for all"),
        (("cpu-weights", "--skip-done"), r"^--skip-done goes with --all"),
        (("--all", "--set", "duration"), r"write --set agents\.worker\.count=8$"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else "",
)
def test_what_to_validate_must_be_clear(
    arguments: tuple[str, ...], told: str, validated: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a story nor all, both, or what goes with all alone: one line, and nothing is run."""
    with pytest.raises(RequestError, match=told):
        typed("validate", *arguments)

    assert ([], "") == (validated, capsys.readouterr().out)


# The page of agreement.


def test_the_page_is_made_of_the_validations_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order given, with the remarks in a file of their own."""
    kept = [str(keep(tmp_path / name, compared(name))) for name in ("b", "a")]
    (tmp_path / "remarks.md").write_text("**Why.**\n", encoding="utf-8")
    code = typed("agreement", *kept, "--remarks", str(tmp_path / "remarks.md"))
    lines = capsys.readouterr().out.splitlines()

    assert 0 == code
    assert ["# How far model and reality agree", "**Why.**", "## b", "## a"] == [
        line for line in lines if line.startswith(("#", "**Why"))
    ]


def test_without_a_name_the_page_is_made_of_the_newest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was validated here is on it; before the first validation the next step is told."""
    with pytest.raises(RequestError, match=r"holds no validation yet; `tonnage validate --all`"):
        typed("agreement")
    keep(home / "validations" / "20261101-100000-burst", compared("burst"))
    typed("agreement")

    assert "## burst" in capsys.readouterr().out.splitlines()


def test_the_library_is_what_a_series_is_made_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No story that ships is forgotten: each is validated or said to be left out."""
    monkeypatch.setattr("sim.validation_series.validate", lambda plan, world, say: compared(plan.story.name))
    typed("validate", "--all", "--json")
    told = json.loads(capsys.readouterr().out)

    assert library_names() == sorted(one["scenario"] for one in (*told["stories"], *told["left_out"]))
    assert {"engine-crash", "engine-stop", "host-loss"} <= {one["scenario"] for one in told["left_out"]}
