"""The `capacity` command: how many fit, or how little suffices, in either world."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sim.commands import (
    AllowOption,
    JsonOption,
    PrivateEngineOption,
    ResolutionOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    _pair,
    _world,
    resolution_told,
    say,
    show,
    show_json,
)

if TYPE_CHECKING:
    from scenarios.story import Story
    from sim.experiments.capacity import Capacity, Question
    from sim.worlds import World, Worlds

# More processes than this would take longer to start than any search.
JOBS_COUNT_MAX = 256

VaryOption = Annotated[
    str | None,
    typer.Option(
        "--vary",
        metavar="PATH",
        help="What to vary, such as agents.worker.count; by default what the scenario's capacity key names.",
    ),
]
SmallestOption = Annotated[bool, typer.Option("--smallest", help="Search the smallest value that suffices.")]
LowOption = Annotated[str | None, typer.Option("--low", metavar="VALUE", help="The lowest value to try.")]
HighOption = Annotated[str | None, typer.Option("--high", metavar="VALUE", help="The highest value to try.")]
StepOption = Annotated[
    str | None, typer.Option("--step", metavar="VALUE", help="How far apart values are: 16m, 0.1 CPUs, otherwise 1.")
]
RiskOption = Annotated[
    float, typer.Option("--risk", min=0.001, max=0.5, help="Share of runs that may miss a goal where a value fits.")
]
ConfidenceOption = Annotated[float, typer.Option("--confidence", min=0.5, max=0.999, help="How sure the interval is.")]
OnOption = Annotated[str, typer.Option("--on", help="Where: sim (virtual time) or docker (a real engine).")]
ShrunkOption = Annotated[bool, typer.Option("--shrunk", help="Simulate the story as live mode would shrink it.")]
RunsOption = Annotated[
    int | None, typer.Option("--runs", min=1, max=1000, help="Runs of a value at first: 4 simulated, 1 real.")
]
RunsMaxOption = Annotated[
    int | None,
    typer.Option("--runs-max", min=1, max=10_000, help="Runs of a value at most: what it takes simulated, 3 real."),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", min=1, max=JOBS_COUNT_MAX, help="Simulations at once; by default one for each core."),
]


def register(app: typer.Typer, worlds: Worlds) -> None:
    """Add the command to the front door; `worlds` are the places a story can be run."""

    @app.command()
    def capacity(  # noqa: PLR0913  # One parameter per flag.
        scenario: ScenarioArgument,
        *,
        vary: VaryOption = None,
        smallest: SmallestOption = False,
        low: LowOption = None,
        high: HighOption = None,
        step: StepOption = None,
        risk: RiskOption = 0.05,
        confidence: ConfidenceOption = 0.95,
        on: OnOption = "sim",
        seed: SeedOption = None,
        sets: SetOption = None,
        shrunk: ShrunkOption = False,
        runs: RunsOption = None,
        runs_max: RunsMaxOption = None,
        jobs: JobsOption = None,
        allow: AllowOption = "",
        private_engine: PrivateEngineOption = False,
        resolution: ResolutionOption = "kernel",
        as_json: JsonOption = False,
    ) -> None:
        """Search how many fit, or the smallest value that suffices: with an interval, and what breaks next."""
        from sim.experiments.capacity import Question  # `tonnage --help` must not wait for it.
        from sim.experiments.ladder import Wish

        world = _world(worlds, on, allow, private_engine=private_engine, resolution=resolution)
        question = Question(
            scenario=scenario,
            wish=Wish(vary, low, high, step, smallest=smallest),
            sets=tuple(_pair(text) for text in sets or []),
            risk_ratio=risk,
            confidence_ratio=confidence,
            seed=seed,
            shrunk=shrunk,
            runs_count=runs,
            runs_count_max=runs_max,
        )
        _capacity(question, world, jobs, as_json=as_json)


def _capacity(question: Question, world: World, jobs_count: int | None, *, as_json: bool) -> None:
    """Search, print the answer, and end with 1 where nothing fits."""
    from sim.capacity_text import capacity_text
    from sim.experiments.capacity import find_capacity
    from sim.experiments.processes import usable_cores_count

    found = find_capacity(question, world, say, jobs_count=jobs_count or usable_cores_count())
    if not as_json:
        show(capacity_text(found))
    resolution = resolution_told(lambda: _story_of(question, found), world, as_json=as_json, is_over=found.interrupted)
    if as_json:
        show_json({**found.to_json(), "resolution": resolution})
    if found.interrupted:
        raise KeyboardInterrupt
    if found.answer is None:
        raise typer.Exit(1)


def _story_of(question: Question, found: Capacity) -> Story:
    """The story as it is asked about: at the answer, or as it is written where there is none."""
    from scenarios.scale import shrink

    ladder = found.ladder
    story = ladder.loaded.story if found.answer is None else ladder.story(int(found.answer / ladder.step))
    story = story if question.seed is None else replace(story, seed=question.seed)
    return shrink(story) if question.shrunk else story
