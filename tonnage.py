"""The front door: assembles the commands of each layer and turns what went wrong into one line and an exit code.

Exit codes: 0 fits, agrees or fine; 1 does not; 2 bad input; 3 the world is missing; 70 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

import dashboard.commands
import live.commands
import sim.calibrate_command
import sim.capacity_command
import sim.commands
from live.errors import MissingExtra
from sim.exit_codes import BAD_INPUT, INTERRUPTED, guarded, tell

if TYPE_CHECKING:
    from sim.worlds import Terms, World, Worlds


def simulated_world(terms: Terms) -> World:
    """Virtual time, at the resolution that is asked for."""
    from sim.worlds import SimulatedWorld  # `tonnage --help` must not wait for the physics.

    return SimulatedWorld(variant=terms.resolution)


def docker_world(terms: Terms) -> World:
    """A real engine; MissingExtra where the packages for one are not installed."""
    try:
        from live.run import DockerWorld  # Simulating works without the docker package.
    except ModuleNotFoundError as problem:
        raise MissingExtra(str(problem.name)) from None
    return DockerWorld(terms)


WORLDS: Worlds = {"sim": simulated_world, "docker": docker_world}


def application() -> typer.Typer:
    """The whole command line, every layer's commands in it."""
    app = typer.Typer(
        name="tonnage",
        help="How many agents fit in your containers, what breaks first, and how sure are we?",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    sim.commands.register(app, WORLDS)
    sim.calibrate_command.register(app, WORLDS)
    sim.capacity_command.register(app, WORLDS)
    live.commands.register(app)
    dashboard.commands.register(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code is returned, and what went wrong is one line on stderr."""
    return guarded(lambda: _typed(arguments))


def _typed(arguments: list[str]) -> object:
    """Let typer find and run the command; what was typed wrongly is told here."""
    try:
        return application()(arguments or ["--help"], prog_name="tonnage", standalone_mode=False)
    except typer.TyperException as problem:
        return tell(problem.format_message(), BAD_INPUT)
    except typer.Abort:
        return INTERRUPTED


if __name__ == "__main__":
    main()
