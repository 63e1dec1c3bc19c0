"""Commands of the simulated layer: check, run, validate, compare, agreement, library.

A command parses and prints; the work is one call that tests make too. `--json` prints one object on stdout, everything
else a person might want to know while it runs goes to stderr. What can go wrong is raised and told by `tonnage.py`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios import Story
    from sim.compare import Comparison
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Resolution
    from sim.validation_series import Series
    from sim.worlds import Terms, World, Worlds

SET_HELP = "Change one value of the scenario: dotted path, equals sign, value. May be given several times."
ScenarioArgument = Annotated[str, typer.Argument(help="A scenario file, or the name of a library story.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=SET_HELP)]
AllowOption = Annotated[
    str,
    typer.Option(
        "--allow", metavar="WHAT,...", help="What a real run may use beyond our worker: images, mounts, privileges."
    ),
]
PrivateEngineOption = Annotated[
    bool, typer.Option("--private-engine", help="Start a Docker engine for this alone; its faults may strike it.")
]
ResolutionOption = Annotated[
    str,
    typer.Option(
        "--resolution", help="Of simulated CPUs: kernel (slices and ticks) or periods (coarser; says by how much)."
    ),
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=2**63 - 1, help="Workload seed; the scenario's own by default.")
]


def register(app: typer.Typer, worlds: Worlds) -> None:
    """Add this layer's commands to the front door; `worlds` are the places a story can be run."""

    @app.command()
    def check(
        files: Annotated[list[str], typer.Argument(help="Scenario files or names of library stories.")],
        as_json: JsonOption = False,
    ) -> None:
        """Validate scenarios; warn of over-commitment and walls."""
        _check(files, as_json=as_json)

    @app.command()
    def run(  # One parameter per flag.
        scenario: ScenarioArgument,
        on: Annotated[str, typer.Option("--on", help="Where: sim (virtual time) or docker (a real engine).")] = "sim",
        seed: SeedOption = None,
        sets: SetOption = None,
        shrunk: Annotated[
            bool, typer.Option("--shrunk", help="Simulate the story as live mode would shrink it.")
        ] = False,
        record: Annotated[Path | None, typer.Option(help="Directory to keep the record in.")] = None,
        allow: AllowOption = "",
        private_engine: PrivateEngineOption = False,
        resolution: ResolutionOption = "kernel",
        as_json: JsonOption = False,
    ) -> None:
        """Run a story once, in one world."""
        world = _world(worlds, on, allow, private_engine=private_engine, resolution=resolution)
        story = _load(scenario, seed, sets)
        _run(story, world, _record_directory(story.name, record), shrunk=shrunk, as_json=as_json)

    @app.command()
    def validate(  # One parameter per flag.
        scenario: Annotated[
            str | None, typer.Argument(help="A scenario file, or the name of a library story; not with --all.")
        ] = None,
        every_story: Annotated[
            bool, typer.Option("--all", help="Every library story that a real engine can run, one after another.")
        ] = False,
        repeats: Annotated[int, typer.Option(min=1, max=100, help="Real runs.")] = 3,
        replications: Annotated[int, typer.Option(min=2, max=1000, help="Simulated runs.")] = 20,
        skip_done: Annotated[
            bool, typer.Option("--skip-done", help="With --all: leave out what this commit did on this host before.")
        ] = False,
        seed: SeedOption = None,
        sets: SetOption = None,
        allow: AllowOption = "",
        private_engine: PrivateEngineOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Run a story in both worlds and say how far the model is off; with --all, every story of the library."""
        named = _validated_story(scenario, every_story=every_story, skip_done=skip_done)
        terms = replace(_terms(allow, private_engine=private_engine), paced=True)
        if named is not None:
            world = worlds["docker"](terms)
            _validate(_load(named, seed, sets), world, repeats, replications, as_json=as_json)
            return
        from sim.places import home
        from sim.validation_series import Orders, Series

        for text in sets or []:
            # What is no pair is no story's fault: it is told before the first one begins.
            _pair(text)
        orders = Orders(repeats, replications, home(), _profile(), terms, skip_done)
        series = Series(_library_names(), lambda name: _load(name, seed, sets), worlds["docker"], orders)
        _validate_all(series, as_json=as_json)

    @app.command()
    def compare(
        first: Annotated[Path, typer.Argument(help="A record or a validation: taken as the real one.")],
        second: Annotated[Path, typer.Argument(help="A record or a validation: held against the first.")],
        as_json: JsonOption = False,
    ) -> None:
        """Compare two records, whatever world they come from."""
        _compare(first, second, as_json=as_json)

    @app.command()
    def agreement(
        validations: Annotated[
            list[Path] | None,
            typer.Argument(metavar="[DIR]...", help="Validations; by default the newest of each story."),
        ] = None,
        remarks: Annotated[
            Path | None, typer.Option(help="A Markdown file to put below the table of all stories.")
        ] = None,
    ) -> None:
        """Print how far model and reality agree, as a page of Markdown made from validations."""
        _agreement(validations or [], remarks)

    @app.command()
    def library(as_json: JsonOption = False) -> None:
        """List the stories that ship."""
        _library(as_json=as_json)


# What the commands do.


def say(text: str) -> None:
    """Tell the person at the terminal what is going on, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """Print a result on stdout, where it is seen at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show_json(data: dict[str, Any]) -> None:
    """Print a result as one JSON object on stdout."""
    show(json.dumps(data, indent=2))


def _load(scenario: str, seed: int | None, sets: list[str] | None) -> Story:
    from scenarios import load  # `tonnage --help` must not wait for pydantic.

    story = load(scenario, sets=[_pair(text) for text in sets or []]).story
    return story if seed is None else replace(story, seed=seed)


def _pair(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise RequestError(f"--set {text} has no value; write --set agents.worker.count=8")  # One line.
    return path, value


def _record_directory(name: str, wanted: Path | None) -> Path:
    from sim.places import fresh, runs

    return wanted if wanted is not None else fresh(runs(), name)


def _check(files: list[str], *, as_json: bool) -> None:
    from scenarios import ScenarioError, load
    from scenarios.advice import advise

    problems: list[str] = []
    warnings: list[str] = []
    for name in files:
        try:
            loaded = load(name)
        except ScenarioError as error:
            problems.extend(str(problem) for problem in error.problems)
            continue
        found = [f"{name}: {text}" for text in advise(loaded.story)]
        warnings.extend(found)
        if not as_json:
            show(f"{name}: fine" + (f", with {_warnings(len(found))}" if found else ""))
    if as_json:
        show_json(
            {
                "kind": "check",
                "scenario": files[0] if len(files) == 1 else files,
                "problems": problems,
                "warnings": warnings,
            }
        )
    else:
        for text in warnings:
            show(f"warning: {text}")
        for text in problems:
            say(text)
    if problems:
        raise typer.Exit(2)


def _warnings(count: int) -> str:
    return "1 warning" if count == 1 else f"{count} warnings"


def _world(worlds: Worlds, on: str, allow: str, *, private_engine: bool, resolution: str = "kernel") -> World:
    """The world that is asked for, on the terms that are."""
    if on not in worlds:
        raise RequestError(f"--on {on} is not a world; choose one of: {', '.join(worlds)}")
    return worlds[on](replace(_terms(allow, private_engine=private_engine), resolution=_resolution(resolution, on)))


def _resolution(resolution: str, on: str) -> Resolution:
    """The resolution that is asked for, as far as there is such a thing."""
    if resolution == "kernel":
        return "kernel"
    if resolution != "periods":
        raise RequestError(f"--resolution {resolution} is not known; choose kernel or periods")
    if on != "sim":
        raise RequestError(f"--resolution periods is for simulated CPUs; leave it out with --on {on}")
    return "periods"


def _terms(allow: str, *, private_engine: bool) -> Terms:
    from sim.worlds import ALLOWABLE, Terms

    allowed = frozenset(filter(None, allow.split(",")))
    for word in sorted(allowed - ALLOWABLE):
        known = ", ".join(sorted(ALLOWABLE))
        raise RequestError(f"--allow {word} is not known; choose from {known}, with commas between")
    return Terms(allowed, private_engine)


def resolution_told(
    story: Callable[[], Story], world: World, *, as_json: bool, is_over: bool = False
) -> dict[str, Any] | None:
    """What `--json` says of a world's resolution; for people, a coarse one is told here.

    How far a coarse one is off takes more runs; nobody need wait for them who interrupts them, or has interrupted those
    of the answer itself (`is_over`).
    """
    from sim.worlds import SimulatedWorld

    if not isinstance(world, SimulatedWorld):
        return None
    if world.variant != "periods":
        return {"name": "kernel", "difference": None}
    from sim.resolution import difference_text, resolution_difference

    difference = None
    if not is_over:
        say("comparing the story's beginning with slices and ticks")
        with contextlib.suppress(KeyboardInterrupt):
            difference = resolution_difference(story(), world.profile)
    if not as_json:
        show(difference_text(difference))
    return {"name": "periods", "difference": None if difference is None else asdict(difference)}


def _run(story: Story, world: World, directory: Path, *, shrunk: bool, as_json: bool) -> None:
    from scenarios.scale import shrink
    from sim.run_text import outcome_json, outcome_text

    played = shrink(story) if shrunk or world.name != "sim" else story
    outcome = world.run(played, directory=directory, physics_seed=1, say=say)
    if not as_json:
        show(outcome_text(played, outcome))
    resolution = resolution_told(lambda: played, world, as_json=as_json)
    if as_json:
        show_json({**outcome_json(played, outcome), "resolution": resolution})
    if not all(goal.met for goal in outcome.goals):
        raise typer.Exit(1)


def _validated_story(scenario: str | None, *, every_story: bool, skip_done: bool) -> str | None:
    """The one story that is to be validated, None for all; RequestError where it is not clear which."""
    if scenario is not None and every_story:
        raise RequestError(f"validate {scenario} --all asks for one story and for all; leave one of the two out")
    if scenario is None and not every_story:
        raise RequestError("validate names no story; name one (`tonnage library` lists them), or say --all")
    if skip_done and not every_story:
        raise RequestError(f"--skip-done goes with --all; without it, {scenario} is validated whatever was done before")
    return scenario


def _validate(story: Story, world: World, repeats: int, replications: int, *, as_json: bool) -> None:
    from sim.places import fresh, home, validations
    from sim.validation import Plan, validate

    directory = fresh(validations(), story.name)
    plan = Plan(story, repeats, replications, directory, home(), _profile())
    show_comparison(validate(plan, world, say), directory, as_json=as_json)


def _profile() -> HostProfile:
    """This host's measured profile, or the reference profile, which is said."""
    from sim.physics.host_profile import load_profile
    from sim.places import host_profile

    profile = load_profile(host_profile())
    if not host_profile().exists():
        say(f"no profile of this host yet (`tonnage measure-host`); using the reference profile {profile.name}")
    return profile


def _library_names() -> list[str]:
    from scenarios.load import library_names

    return library_names()


def _validate_all(series: Series, *, as_json: bool) -> None:
    """Run a series and print its table, however far it came; exit code 1 unless all stories agree."""
    from sim.standing import AGREES, together

    try:
        series.run(say)
    except KeyboardInterrupt:
        _show_series(series, as_json=as_json)
        raise
    _show_series(series, as_json=as_json)
    if together(series.standings).verdict != AGREES:
        raise typer.Exit(1)


def _show_series(series: Series, *, as_json: bool) -> None:
    from sim.validation_series import series_json, series_text

    if as_json:
        show_json(series_json(series))
    else:
        show(series_text(series))


def show_comparison(comparison: Comparison, directory: Path | None, *, as_json: bool) -> None:
    """Print a comparison; exit code 1 unless it agrees."""
    from sim.report_text import comparison_text

    if as_json:
        show_json({**comparison.to_json(), "record": None if directory is None else str(directory)})
    else:
        show(comparison_text(comparison))
        if directory is not None:
            show(f"\nkept in {directory}; look at it with `tonnage dashboard`")
    if comparison.verdict != "agrees":
        raise typer.Exit(1)


def _compare(first: Path, second: Path, *, as_json: bool) -> None:
    from sim.places import home
    from sim.recorded import compare_recorded

    show_comparison(compare_recorded(first, second, home()), None, as_json=as_json)


def _agreement(validations: list[Path], remarks: Path | None) -> None:
    from sim.agreement_page import newest_validations, page, read_remarks
    from sim.places import validations as kept

    chosen = validations or newest_validations(kept())
    if not chosen:
        raise RequestError(f"{kept()} holds no validation yet; `tonnage validate --all` makes one of each story")
    show(page(chosen, "" if remarks is None else read_remarks(remarks)))


def _library(*, as_json: bool) -> None:
    from scenarios import library as shelf

    stories = [asdict(entry) for entry in shelf()]
    if as_json:
        show_json({"kind": "library", "stories": [{**story, "path": str(story["path"])} for story in stories]})
        return
    width = max(len(story["name"]) for story in stories)
    for story in stories:
        live = "both worlds" if story["live_able"] else "simulation only"
        show(f"{story['name']:<{width}}  {live:<15}  {story['purpose']}")
