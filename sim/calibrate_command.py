"""The command `calibrate`: turns the rate of a story's token bucket until its container's CPU lies in the band.

The story is run once, in either world; the calibration is a policy inside it. Then, where that is wanted, the rate that
was found is written down, and tried with other numbers of agents.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sim.commands import (
    AllowOption,
    JsonOption,
    PrivateEngineOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    _load,
    _record_directory,
    _world,
    say,
    show,
    show_json,
)
from sim.errors import RequestError

if TYPE_CHECKING:
    from scenarios import Story
    from scenarios.story import Calibrate, LiveScale
    from sim.calibrate_text import Headcount
    from sim.policies.calibration import Course
    from sim.run import Outcome
    from sim.worlds import World, Worlds

OnOption = Annotated[str, typer.Option("--on", help="Where: sim (virtual time) or docker (a real engine).")]
ShrunkOption = Annotated[bool, typer.Option("--shrunk", help="Simulate the story as live mode would shrink it.")]
RuleOption = Annotated[
    Literal["as_written", "damped"] | None, typer.Option(help="The rule; by default the scenario's own.")
]
AgentsOption = Annotated[str, typer.Option(metavar="N,N,...", help="Then try the rate with so many agents.")]
WriteOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the calibrated configuration to a new YAML file.")
]
RecordOption = Annotated[Path | None, typer.Option(help="Directory to keep the record in.")]

# The seed of the physics, as in `tonnage run`.
PHYSICS_SEED = 1
# More runs in a row are a sweep.
COUNTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done: the story as it is to be run, and what follows.

    `whole` is the story before it was shrunk, if it was; `others` are the stories with other numbers of agents.
    """

    whole: Story
    story: Story
    others: tuple[tuple[int, Story], ...]
    record: Path
    configuration: Path | None

    @property
    def terms(self) -> Calibrate:
        """What is calibrated, as it is run."""
        assert self.story.calibrate is not None, "it was looked for before"
        return self.story.calibrate

    @property
    def scale(self) -> LiveScale | None:
        """How the story was shrunk; None where it is run as it is."""
        return self.whole.live_scale if self.story.live_scale != self.whole.live_scale else None


@dataclass(slots=True)
class Findings:
    """What is known so far: the run, its course, the file that was written, other numbers of agents.

    `interrupted` says that there would have been more.
    """

    outcome: Outcome
    course: Course
    interrupted: bool = False
    written: Path | None = None
    headcounts: list[Headcount] = field(default_factory=list)


def register(app: typer.Typer, worlds: Worlds) -> None:
    """Add the command to the front door; `worlds` are the places a story can be run."""

    @app.command()
    def calibrate(  # noqa: PLR0913  # One parameter per flag.
        scenario: ScenarioArgument,
        *,
        on: OnOption = "sim",
        seed: SeedOption = None,
        sets: SetOption = None,
        shrunk: ShrunkOption = False,
        rule: RuleOption = None,
        agents: AgentsOption = "",
        write: WriteOption = None,
        record: RecordOption = None,
        allow: AllowOption = "",
        private_engine: PrivateEngineOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Turn a token bucket's rate until the CPU holds the band."""
        world = _world(worlds, on, allow, private_engine=private_engine)
        is_shrunk = shrunk or world.name != "sim"
        whole = _ruled(_load(scenario, seed, sets), rule)
        others = []
        for count, changed in _headcount_sets(whole, agents):
            others.append((count, _played(_load(scenario, seed, [*(sets or []), changed]), is_shrunk=is_shrunk)))
        _refuse_to_overwrite(write)
        directory = _record_directory(whole.name, record)
        errand = Errand(whole, _played(whole, is_shrunk=is_shrunk), tuple(others), directory, write)
        _calibrate(errand, world, as_json=as_json)


# Before anything is run.


def _ruled(story: Story, rule: Literal["as_written", "damped"] | None) -> Story:
    """The story with the rule that is wanted; RequestError where it calibrates nothing."""
    if story.calibrate is None:
        example = "calibrate: {turn: llm, watch: agents, window: 5m}"
        raise RequestError(f"{story.name} does not say what to calibrate; add for example {example}")
    return story if rule is None else replace(story, calibrate=replace(story.calibrate, rule=rule))


def _played(story: Story, *, is_shrunk: bool) -> Story:
    from scenarios.scale import shrink

    return shrink(story) if is_shrunk else story


def _headcount_sets(story: Story, text: str) -> list[tuple[int, str]]:
    """Each number of agents that is to be tried, with the change to the scenario that makes it."""
    if not text:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise RequestError(f"--agents {text} is no list of whole numbers; write for example --agents 8,14,20")
    if len(parts) > COUNTS_MAX:
        raise RequestError(f"--agents has {len(parts)} numbers, and {COUNTS_MAX} are the most; leave some out")
    group = _taking_group(story)
    return [(int(part), f"agents.{group}.count={int(part)}") for part in parts]


def _taking_group(story: Story) -> str:
    """The one group whose number can be changed: it lives in the watched container and takes from the bucket."""
    from scenarios.story import Take

    terms = story.calibrate
    assert terms is not None, "it was looked for before"
    groups = [
        group.name
        for group in story.agents
        if group.container == terms.container
        and any(isinstance(stage, Take) and stage.rate_limit == terms.rate_limit for stage in group.stages)
    ]
    if len(groups) > 1:
        told = f"{', '.join(groups)} all take from {terms.rate_limit} in {terms.container}"
        raise RequestError(f"--agents needs a single group to change, and {told}; set their counts with --set instead")
    return groups[0]


def _refuse_to_overwrite(path: Path | None) -> None:
    if path is None:
        return
    if path.exists():
        raise RequestError(f"--write {path} is there already; name a file that is not")
    if not path.parent.is_dir():
        raise RequestError(f"--write {path} would lie in a directory that does not exist; make {path.parent} first")


# What the command does.


def _calibrate(errand: Errand, world: World, *, as_json: bool) -> None:
    """Find a rate and what follows from it; what is known is printed, however much of that there is."""
    with world.hold(errand.story, say):
        findings = _find(errand, world)
        if not as_json:
            # Before more is tried, which takes its time.
            _show_course(errand, findings)
        try:
            _follow(errand, world, findings, as_json=as_json)
        except KeyboardInterrupt:
            findings.interrupted = True
        finally:
            _show_rest(errand, findings, as_json=as_json)
    if findings.interrupted:
        raise KeyboardInterrupt
    if findings.course.outcome != "converged":
        raise typer.Exit(1)


def _find(errand: Errand, world: World) -> Findings:
    """Run the story; where that is interrupted, its course is known as far as it came."""
    from sim.calibration_course import course_of
    from sim.policies.calibration import watched

    with watched() as begun:
        try:
            outcome = world.run(errand.story, directory=errand.record, physics_seed=PHYSICS_SEED, say=say)
        except KeyboardInterrupt:
            if not begun:
                raise
            return Findings(_unended(errand, world), begun[-1].course(), interrupted=True)
    course = course_of(outcome.recorder.findings)
    assert course is not None, "a story that calibrates has a course"
    return Findings(outcome, course)


def _unended(errand: Errand, world: World) -> Outcome:
    """What there is to say of a run that did not end: where its record lies, if one was begun."""
    from sim.record import Recorder
    from sim.run import Outcome

    record = errand.record if (errand.record / "scenario.json").exists() else None
    reasons = ("the run did not end",)
    return Outcome(world.name, (), (), (), Recorder(None), record, comparable=False, reasons=reasons)


def _show_course(errand: Errand, findings: Findings) -> None:
    from sim.calibrate_text import course_text

    outcome, course, interrupted = findings.outcome, findings.course, findings.interrupted
    show(course_text(errand.story, errand.scale, errand.terms, outcome, course, interrupted=interrupted))


def _follow(errand: Errand, world: World, findings: Findings, *, as_json: bool) -> None:
    """Write the rate down and try it on, where that is wanted and one was found."""
    if findings.interrupted:
        return
    findings.written = _write(errand, findings.course)
    if findings.written is not None and not as_json:
        show(f"configuration: {findings.written}")
    _try_on(errand, world, findings)


def _show_rest(errand: Errand, findings: Findings, *, as_json: bool) -> None:
    """Print what follows the course; as JSON it is one object with it."""
    from sim.calibrate_text import KEPT, course_json, headcounts_text

    outcome, course, headcounts = findings.outcome, findings.course, findings.headcounts
    interrupted = findings.interrupted
    if as_json:
        told = course_json(errand.story, errand.scale, outcome, course, headcounts, interrupted=interrupted)
        show_json({**told, "configuration": None if findings.written is None else str(findings.written)})
        return
    if headcounts:
        show(f"\n{headcounts_text(errand.story, errand.terms, course, headcounts)}")
    if interrupted and errand.others and course.outcome in KEPT:
        show(f"interrupted: {len(headcounts)} of {len(errand.others)} other numbers of agents were tried")


def _try_on(errand: Errand, world: World, findings: Findings) -> None:
    """Run the story at the rate that was found, once with each number of agents."""
    from sim.calibrate_text import KEPT, headcount_of

    course = findings.course
    if course.outcome not in KEPT:
        if errand.others:
            say(f"no rate was found ({course.outcome}), so it is tried with no other number of agents")
        return
    for count, other in errand.others:
        story = _at_rate(other, errand.terms, course.rate_tokens_per_s)
        directory = _record_directory(f"{story.name}-{count}-agents", None)
        outcome = world.run(story, directory=directory, physics_seed=PHYSICS_SEED, say=say)
        findings.headcounts.append(headcount_of(story, errand.terms, count, outcome))


def _at_rate(story: Story, terms: Calibrate, rate_tokens_per_s: float) -> Story:
    """The story at a fixed rate, for as many windows as a verdict takes, after one that does not count."""
    from scenarios.story import TokenBucket

    limits = tuple(
        replace(limit, rate_tokens_per_s=rate_tokens_per_s)
        if isinstance(limit, TokenBucket) and limit.name == terms.rate_limit
        else limit
        for limit in story.rate_limits
    )
    duration_s = terms.window_s * (1 + terms.confirm_count)
    return replace(story, calibrate=None, rate_limits=limits, duration_s=duration_s)


def _write(errand: Errand, course: Course) -> Path | None:
    """Write the configuration to a new file, where one is wanted and a rate was found."""
    from sim.calibrate_text import KEPT, configuration_text

    path = errand.configuration
    if path is None:
        return None
    if course.outcome not in KEPT:
        say(f"nothing is written to {path}: no rate was found ({course.outcome})")
        return None
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(configuration_text(errand.story, errand.scale, errand.terms, course))
    except OSError as problem:
        told = problem.strerror or str(problem)
        raise RequestError(f"--write {path} cannot be written ({told}); name another file") from None
    return path
