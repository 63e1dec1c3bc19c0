"""The command `calibrate` with stand-ins for the worlds: what is run, printed and written, and which code ends it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from scenarios import load
from scenarios.scale import shrink
from scenarios.story import TokenBucket
from sim.calibrate_command import register
from sim.calibration_course import CALIBRATION
from sim.errors import RequestError
from sim.machine import Sample
from sim.metrics import Metric
from sim.policies.calibration import Course, Round
from sim.record import Recorder
from sim.run import Outcome
from sim.worlds import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenarios import Story
    from sim.policies.calibration import Verdict
    from sim.worlds import Say, World

TEXT = """\
purpose: Five agents whose rate is turned.
duration: 60m
hosts: {local: {cpus: 4, memory: 16g}}
containers: {agents: {cpus: 2, mem_limit: 4g}}
rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 100, per: agent}}
agents:
  worker: {count: 5, steps: [{take: {from: llm, tokens: 60}}, {compute: 100ms}]}
  other: {count: 2, think: 1s, steps: [{compute: 10ms}]}
calibrate: {turn: llm, watch: agents, confirm: 3}
live: {scale: {time: 1/10, memory: 1/2, cpus: 1/2}}
"""
# A story that reaches its outcome in seconds: 90 % of a CPU at 10 tokens/s, 72 % at 8.
QUICK = """\
purpose: Reduced once.
duration: 24s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {cpus: 1, mem_limit: 256m, memswap_limit: 256m}}
rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 5, level: 0, per: agent, debt: true}}
agents: {worker: {count: 5, steps: [{take: {from: llm, tokens: {uniform: [4.5, 5.5]}}}, {compute: 90ms}]}}
calibrate: {turn: llm, watch: agents, window: 6s, settle: 2s, rounds: 4}
"""
ROUND = Round(1, 0.0, 300.0, 8.0, 0.75, 0.4, 0.1, 0.02, 0, "keep")
MEMORY = Metric("memory_bytes_max", "agents", "physics", "bytes", 1.0 * 1024**3)


class Calibrating:
    """A world in which every calibration has the outcome given, and every other run the metrics given and 1.5 cores.

    The run of a number in `ends` ends with the error given there instead.
    """

    def __init__(self, name: str, outcome: Verdict = "converged", *metrics: Metric) -> None:
        """Have run nothing."""
        self.ends: dict[int, BaseException] = {}
        self.name = name
        self.stories: list[Story] = []
        self.directories: list[Path | None] = []
        self.held: list[Story] = []
        self._outcome: Verdict = outcome
        self._metrics = metrics

    @contextlib.contextmanager
    def hold(self, story: Story, say: Say) -> Iterator[None]:
        """Note for whom the place is kept."""
        self.held.append(story)
        yield

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Keep the story and the place of its record."""
        self.stories.append(story)
        self.directories.append(directory)
        if len(self.stories) in self.ends:
            raise self.ends[len(self.stories)]
        recorder = Recorder(None)
        recorder.begin_window(0.0, story.duration_s)
        for at_s in (0.0, story.duration_s):
            recorder.sample(Sample("agents", at_s, 1.5 * at_s, 0, 0, 0.0, 0, 0, 0, 0))
        if story.calibrate is not None:
            course = Course(self._outcome, 8.0, story.calibrate.rule, 0, (ROUND,))
            recorder.findings[CALIBRATION] = asdict(course)
        return Outcome(self.name, self._metrics, (), (), recorder, directory)


def typed(*arguments: str, sim: World | None = None, docker: World | None = None) -> int:
    """Type the command after its name; its exit code is returned, what the user did wrong is raised."""
    app = typer.Typer()
    # With a single command typer would leave out its name.
    app.command("nothing")(lambda: None)
    register(app, {"sim": lambda _: sim or Calibrating("sim"), "docker": lambda _: docker or Calibrating("docker")})
    return int(app(["calibrate", *arguments], standalone_mode=False) or 0)


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    """The path of a story that says what to calibrate."""
    path = tmp_path / "five.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def rate(story: Story) -> float:
    """The rate of a story's one bucket."""
    (limit,) = story.rate_limits
    assert isinstance(limit, TokenBucket)
    return limit.rate_tokens_per_s


# What is run.


def test_the_story_is_run_once_as_it_is(file: str, home: Path, tmp_path: Path) -> None:
    """In full, with seed and values as wanted; its record lies among the runs, or where it is wanted."""
    world = Calibrating("sim")
    typed(file, "--seed", "9", "--set", "agents.worker.count=7", sim=world)
    typed(file, "--record", str(tmp_path / "mine"), sim=world)
    first, second = world.stories
    fresh, wanted = world.directories
    assert fresh is not None

    assert (9, 7, 3600.0) == (first.seed, first.agents[0].count, first.duration_s)
    assert load(file).story == second
    assert (home / "runs", tmp_path / "mine") == (fresh.parent, wanted)


@pytest.mark.parametrize(("arguments", "name"), [(["--shrunk"], "sim"), (["--on", "docker"], "docker")])
def test_a_real_engine_gets_the_shrunk_story(arguments: list[str], name: str, file: str) -> None:
    """So does a simulation that is to show what it will do; the place is kept for all that follows."""
    world = Calibrating(name)
    typed(file, *arguments, sim=world, docker=world)

    assert [shrink(load(file).story)] == world.stories == world.held


@pytest.mark.parametrize("rule", ["as_written", "damped"])
def test_another_rule_may_be_asked_for(rule: str, file: str) -> None:
    """And nothing else is another then."""
    world = Calibrating("sim")
    typed(file, "--rule", rule, sim=world)
    (story,) = world.stories
    assert story.calibrate is not None

    assert rule == story.calibrate.rule
    assert load(file, sets=[("calibrate.rule", rule)]).story == story


# How it ends.


@pytest.mark.parametrize(
    ("outcome", "words", "code"),
    [
        ("converged", "converged", 0),
        ("settled_outside_band", "settled outside the band", 1),
        ("oscillating", "oscillating", 1),
        ("not_rate_bound", "not bound by the rate", 1),
        ("over_limit", "over the limit", 1),
        ("out_of_rounds", "out of rounds", 1),
    ],
)
def test_only_the_band_is_fine(
    outcome: Verdict, words: str, code: int, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else it came to is printed all the same, as text and as JSON."""
    ended = [typed(file, *more, sim=Calibrating("sim", outcome)) for more in ([], ["--json"])]
    text, _, told = capsys.readouterr().out.partition("{")

    assert [code, code] == ended
    assert f"\n{words}: " in text
    data = json.loads("{" + told)
    assert ("calibrate", "five", outcome, 8.0) == (data["kind"], data["scenario"], data["outcome"], data["rate"])
    assert [asdict(ROUND)] == data["iterations"]


@pytest.fixture(name="interrupted")
def _interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as the second round of a calibration is written down."""
    event = Recorder.event

    def noted(
        recorder: Recorder, at_s: float, what: str, container: str | None, agent: str | None, detail: str
    ) -> None:
        if detail.startswith("round 2: "):
            raise KeyboardInterrupt
        event(recorder, at_s, what, container, agent, detail)

    monkeypatch.setattr(Recorder, "event", noted)


def test_ctrl_c_prints_the_course_so_far(interrupted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rounds and its rate, no verdict, and where the record of the run lies; nothing is tried or written."""
    path, record, written = tmp_path / "quick.yaml", tmp_path / "r", tmp_path / "out.yaml"
    path.write_text(QUICK, encoding="utf-8")
    options = ("--agents", "9", "--write", str(written), "--record", str(record))
    code = typed(str(path), *options, sim=SimulatedWorld())
    lines = capsys.readouterr().out.splitlines()

    assert 130 == code
    assert ["1", "2"] == [line.split()[0] for line in lines[3:5]]
    assert [
        "no verdict: 2 rounds judged, and the rate is at 8 tokens/s",
        "not comparable: the run did not end",
        f"record: {record}",
        "interrupted: this is what was known until then",
    ] == lines[6:]
    assert (True, False, False) == tuple(
        one.exists() for one in (record / "journal.jsonl", record / "summary.json", written)
    )


def test_ctrl_c_prints_json_that_says_so(interrupted: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, with the rounds so far."""
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK, encoding="utf-8")
    code = typed(str(path), "--json", sim=SimulatedWorld())
    told = json.loads(capsys.readouterr().out)

    assert (130, True, "out_of_rounds", 8.0) == (code, told["interrupted"], told["outcome"], told["rate"])
    assert ["reduce", "keep"] == [one["action"] for one in told["iterations"]]
    assert (False, ["the run did not end"], None) == (told["comparable"], told["reasons"], told["configuration"])


def test_ctrl_c_before_anything_is_calibrated_prints_nothing(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to print; the code is the same."""
    world = Calibrating("docker")
    world.ends[1] = KeyboardInterrupt()

    assert 130 == typed(file, "--on", "docker", docker=world)
    assert "" == capsys.readouterr().out


def test_ctrl_c_leaves_the_numbers_of_agents_that_were_tried(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As text and as JSON, with the course that was found before."""
    world = Calibrating("sim", "converged", MEMORY)
    world.ends = dict.fromkeys((3, 6), KeyboardInterrupt())
    codes = [typed(file, "--agents", "8,14", *more, sim=world) for more in ([], ["--json"])]
    text, _, told = capsys.readouterr().out.partition("{")
    data = json.loads("{" + told)

    assert [130, 130] == codes
    assert text.endswith("\ninterrupted: 1 of 2 other numbers of agents were tried\n")
    assert "\nconverged: " in text
    assert (True, "converged", [8]) == (
        data["interrupted"],
        data["outcome"],
        [one["agents_count"] for one in data["agents"]],
    )


def test_a_failure_takes_nothing_away_that_was_found(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the course, and the failure is told as ever."""
    world = Calibrating("sim")
    world.ends[2] = RequestError("it cannot be run")
    with pytest.raises(RequestError, match=r"^it cannot be run$"):
        typed(file, "--agents", "8", "--json", sim=world)
    told = json.loads(capsys.readouterr().out)

    assert ("converged", [], False) == (told["outcome"], told["agents"], told["interrupted"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--agents", "8,x"], r"^--agents 8,x is no list of whole numbers; write for example --agents 8,14,20$"),
        (["--agents", ","], r"^--agents , is no list"),
        (["--agents", ",".join(["8"] * 21)], r"^--agents has 21 numbers, and 20 are the most; leave some out$"),
        (["--on", "mars"], r"^--on mars is not a world; choose one of: sim, docker$"),
        (["--write", "no-such-directory/x.yaml"], r"directory that does not exist; make no-such-directory first$"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], told: str, file: str) -> None:
    """In one line, before anything is run."""
    world = Calibrating("sim")
    with pytest.raises(RequestError, match=told):
        typed(file, *arguments, sim=world)

    assert [] == world.stories


def test_a_story_must_say_what_to_calibrate() -> None:
    """One that does not is refused with what to add."""
    world = Calibrating("sim")
    with pytest.raises(RequestError, match=r"^cpu-quota-bursts does not say what to calibrate; add for example calib"):
        typed("cpu-quota-bursts", sim=world)

    assert [] == world.stories


# With other numbers of agents.


def test_the_rate_is_tried_with_other_numbers_of_agents(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At the rate that was found, nothing turned any more: a window to start in, then as many as a verdict takes."""
    world = Calibrating("sim", "converged", MEMORY)
    code = typed(file, "--agents", "8, 14", sim=world)
    _, *others = world.stories

    assert 0 == code
    assert [(8, 2), (14, 2)] == [tuple(group.count for group in story.agents) for story in others]
    assert [(None, 8.0, 1200.0)] * 2 == [(story.calibrate, rate(story), story.duration_s) for story in others]
    assert 3 == len({str(directory) for directory in world.directories})
    *_, first, second, time = capsys.readouterr().out.splitlines()
    assert [["8", "within"], ["14", "within"]] == [[row.split()[0], row.split()[-1]] for row in (first, second)]
    assert time.startswith("CPU is of the 900 s after the first 300 s, ")


def test_other_numbers_are_shrunk_alike(file: str) -> None:
    """Each is the shrunk story, at the rate that was found in it."""
    world = Calibrating("docker")
    typed(file, "--on", "docker", "--agents", "20", docker=world)
    _, other = world.stories

    assert (8.0, 120.0, 1.0) == (rate(other), other.duration_s, other.containers[0].cpus_limit)


@pytest.mark.parametrize("outcome", ["oscillating", "over_limit", "not_rate_bound", "out_of_rounds"])
def test_no_rate_is_tried_on_that_was_not_found(
    outcome: Verdict, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor written down; both are said."""
    world = Calibrating("sim", outcome)
    typed(file, "--agents", "8", "--write", str(tmp_path / "out.yaml"), sim=world)

    assert 1 == len(world.stories)
    assert not (tmp_path / "out.yaml").exists()
    assert 2 == capsys.readouterr().err.count(f"no rate was found ({outcome})")


def test_two_groups_that_take_cannot_be_counted_as_one(tmp_path: Path) -> None:
    """Which of them is meant is not guessed."""
    path = tmp_path / "two.yaml"
    path.write_text(TEXT.replace("think: 1s, steps: [", "steps: [{take: {from: llm, tokens: 1}}, "), encoding="utf-8")
    with pytest.raises(RequestError, match=r"^--agents needs a single group to change, and worker, other all take"):
        typed(str(path), "--agents", "8")


# The configuration.


def test_the_configuration_is_written_to_a_new_file(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the document's shape; the place is told, as text and as JSON."""
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    typed(file, "--write", str(paths[0]), sim=Calibrating("sim", "settled_outside_band"))
    text = capsys.readouterr().out
    typed(file, "--shrunk", "--write", str(paths[1]), "--json")
    told = json.loads(capsys.readouterr().out)

    assert f"configuration: {paths[0]}" == text.splitlines()[-1]
    assert str(paths[1]) == told["configuration"]
    for path in paths:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"resources": {"flow": {"llm_rate": {"rate": 8, "capacity": 100}}}} == content
    assert ["shrunk" in path.read_text(encoding="utf-8") for path in paths] == [False, True]


def test_nothing_is_written_over(file: str, tmp_path: Path) -> None:
    """A file that is there is refused before anything is run, and stays as it was."""
    path = tmp_path / "mine.yaml"
    path.write_text("mine", encoding="utf-8")
    world = Calibrating("sim")
    with pytest.raises(RequestError, match=r"mine\.yaml is there already; name a file that is not$"):
        typed(file, "--write", str(path), sim=world)

    assert [] == world.stories
    assert "mine" == path.read_text(encoding="utf-8")


# For real.


def test_a_simulated_calibration_from_beginning_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rate is reduced into the band; with more agents it is too much for the container."""
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK, encoding="utf-8")
    code = typed(str(path), "--agents", "5,9", "--json", "--record", str(tmp_path / "r"), sim=SimulatedWorld())
    told = json.loads(capsys.readouterr().out)

    assert 0 == code
    assert ("converged", 8.0) == (told["outcome"], told["rate"])
    assert ["reduce", "keep", "keep"] == [one["action"] for one in told["iterations"]]
    assert [[], ["CPU above the band"]] == [one["beyond"] for one in told["agents"]]
    assert [(True, [])] * 2 == [(one["comparable"], one["broken"]) for one in told["agents"]]
    assert (tmp_path / "r" / "summary.json").exists()
