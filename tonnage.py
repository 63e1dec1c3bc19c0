"""The front door: assembles the commands of each layer and turns what went wrong into one line and an exit code.

Exit codes: 0 fits, agrees or fine; 1 does not; 2 bad input; 3 the world is missing; 70 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

import typer

import dashboard.commands
import live.commands
import sim.commands
from live.errors import MissingExtra
from scenarios.errors import ScenarioError
from sim.errors import SimError

if TYPE_CHECKING:
    from sim.worlds import World, Worlds

BAD_INPUT, MISSING_WORLD, BUG, INTERRUPTED = 2, 3, 70, 130


def simulated_world() -> World:
    """Virtual time."""
    from sim.worlds import SimulatedWorld  # `tonnage --help` must not wait for the physics.

    return SimulatedWorld()


def docker_world() -> World:
    """A real engine; MissingExtra where the packages for one are not installed."""
    try:
        from live.run import DockerWorld  # Simulating works without the docker package.
    except ModuleNotFoundError as problem:
        raise MissingExtra(str(problem.name)) from None
    return DockerWorld()


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
    live.commands.register(app)
    dashboard.commands.register(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code is returned, and what went wrong is one line on stderr."""
    try:
        code = application()(arguments or ["--help"], prog_name="tonnage", standalone_mode=False)
    except typer.TyperException as problem:
        return _tell(problem.format_message(), BAD_INPUT)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except (ScenarioError, SimError) as problem:
        return _tell(str(problem), BAD_INPUT)
    except Exception as problem:  # noqa: BLE001  # The front door is where the last resort belongs.
        code = getattr(problem, "exit_code", None)
        if isinstance(code, int):
            return _tell(str(problem), code)
        traceback.print_exception(problem)
        return _tell(f"this is a bug of Tonnage, not of yours: {problem!r}", BUG)
    if code == INTERRUPTED:
        return _tell("interrupted; what was recorded so far is kept", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _tell(text: str, code: int) -> int:
    sys.stderr.write(f"tonnage: {text}\n")
    return code


if __name__ == "__main__":
    main()
