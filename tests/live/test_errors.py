"""The errors of live mode: what they say, and that SimPy can make them anew."""

from __future__ import annotations

import inspect

import pytest

from live import errors
from live.errors import (
    EngineBusy,
    EngineMissing,
    EngineRefused,
    LiveError,
    MachineBug,
    MissingExtra,
    RunEnded,
    StartsRefused,
    UnfitStory,
)

TEXTS: tuple[tuple[Exception, str], ...] = (
    (
        EngineMissing("unix:///nope", "No such file or directory"),
        (
            "no Docker engine answers at unix:///nope (No such file or directory); start one (`dockerd`, "
            "Docker Desktop, or `apt-get install docker.io`), or name one with DOCKER_HOST or `docker context use`; "
            "simulating needs none"
        ),
    ),
    (
        EngineBusy("run ab12 of process 7, since 2026-11-21 10:00:00"),
        (
            "another live run has the engine: run ab12 of process 7, since 2026-11-21 10:00:00; "
            "wait for it, or end it, and run again"
        ),
    ),
    (
        EngineRefused("start a container", "no space left on device"),
        (
            "the engine could not start a container: no space left on device; "
            "`tonnage doctor` says what stands in the way"
        ),
    ),
    (
        StartsRefused("start the story's containers", "no address is left"),
        (
            "the engine could not start the story's containers: no address is left; "
            "`tonnage doctor` says what stands in the way"
        ),
    ),
    (
        UnfitStory("burst", "it says `live_able: false`"),
        "burst cannot run on a Docker engine: it says `live_able: false`; `tonnage run burst` simulates it",
    ),
    (MissingExtra("docker"), "live mode needs the package docker; `pip install 'tonnage[live]'` brings it"),
    (RunEnded(), "the run has ended"),
    (MachineBug("KeyError: 'Id'"), "KeyError: 'Id'"),
)


@pytest.mark.parametrize(("error", "text"), TEXTS)
def test_an_error_says_what_and_what_to_do(error: Exception, text: str) -> None:
    """The text is one line: what, where, and the way out."""
    assert text == str(error)


@pytest.mark.parametrize("error", [error for error, _ in TEXTS])
def test_an_error_survives_being_made_anew(error: Exception) -> None:
    """SimPy re-creates exceptions from their arguments; text and fields stay the same."""
    again = type(error)(*error.args)

    assert str(error) == str(again)
    assert vars(error) == vars(again)


def test_every_error_has_its_text_tested() -> None:
    """A class that is added here gets its text looked at."""
    made_here = (made for _, made in inspect.getmembers(errors, inspect.isclass) if made.__module__ == errors.__name__)
    classes = {made for made in made_here if issubclass(made, Exception)}

    assert classes - {LiveError} == {type(error) for error, _ in TEXTS}


def test_exit_codes_tell_who_can_act() -> None:
    """Without an engine the world is missing; a story that cannot be run live is bad input."""
    codes = {type(error): error.exit_code for error, _ in TEXTS if isinstance(error, LiveError)}

    world = (EngineMissing, EngineBusy, EngineRefused, StartsRefused, MissingExtra)
    assert codes == {**dict.fromkeys(world, 3), UnfitStory: 2}
