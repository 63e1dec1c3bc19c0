"""What can go wrong with the real world and is the user's to mend, or is a bug of ours.

LiveError                  a command cannot go on; its text is one line
├── EngineMissing          no Docker engine answers (exit 3)
├── EngineBusy             another live run has the engine (exit 3)
├── MissingExtra           the Docker SDK is not installed (exit 3)
├── EngineRefused          the engine did not do what a run cannot go without (exit 3)
│   └── StartsRefused      it started no container of the story (exit 3)
└── UnfitStory             the story asks for what live mode does not do (exit 2)
RunEnded                   something was posted to a run that is over: a bug, or a thread that may now end
MachineBug                 a call of the Docker machine raised what it should not: a bug

Each survives `type(e)(*e.args)`, because SimPy re-creates exceptions that way.
"""

from __future__ import annotations

from typing import ClassVar

from sim.errors import StoryRefused

HOW_TO_GET_AN_ENGINE = (
    "start one (`dockerd`, Docker Desktop, or `apt-get install docker.io`), "
    "or name one with DOCKER_HOST or `docker context use`; simulating needs none"
)


class LiveError(Exception):
    """A reason outside the program that stops a live command; its text is one line."""

    exit_code: ClassVar[int] = 3


class EngineMissing(LiveError):
    """No Docker engine answers."""

    def __init__(self, where: str, what: str) -> None:
        """Name the address that was tried and what came back."""
        super().__init__(where, what)
        self.where = where
        self.what = what

    @property
    def finding(self) -> str:
        """Where and what, without the cure."""
        return f"no Docker engine answers at {self.where} ({self.what})"

    def __str__(self) -> str:
        """Say where, what, and how to get an engine."""
        return f"{self.finding}; {HOW_TO_GET_AN_ENGINE}"


class MissingExtra(LiveError):
    """A package that only live mode needs is not installed."""

    def __init__(self, package: str) -> None:
        """Name the package."""
        super().__init__(package)
        self.package = package

    def __str__(self) -> str:
        """Name the package and the command that brings it."""
        return f"live mode needs the package {self.package}; `pip install 'tonnage[live]'` brings it"


class EngineBusy(LiveError):
    """Another live run has the engine, and two runs at once would disturb each other."""

    def __init__(self, holder: str) -> None:
        """Say who holds the engine: process, run, since when."""
        super().__init__(holder)
        self.holder = holder

    def __str__(self) -> str:
        """Name the holder and what to do."""
        return f"another live run has the engine: {self.holder}; wait for it, or end it, and run again"


class EngineRefused(LiveError):
    """The engine did not do what a run cannot go without."""

    def __init__(self, wanted: str, reason: str) -> None:
        """Say what was asked of the engine and what it answered."""
        super().__init__(wanted, reason)
        self.wanted = wanted
        self.reason = reason

    def __str__(self) -> str:
        """Say what was wanted, what came back, and what to try."""
        return f"the engine could not {self.wanted}: {self.reason}; `tonnage doctor` says what stands in the way"


class StartsRefused(EngineRefused, StoryRefused):
    """The engine started no container of a story."""


class UnfitStory(LiveError):
    """The story asks for what live mode does not do."""

    exit_code: ClassVar[int] = 2

    def __init__(self, story: str, what: str) -> None:
        """Name the story and what of it cannot be done."""
        super().__init__(story, what)
        self.story = story
        self.what = what

    def __str__(self) -> str:
        """Say which story, why, and what does work."""
        return f"{self.story} cannot run on a Docker engine: {self.what}; `tonnage run {self.story}` simulates it"


class RunEnded(RuntimeError):
    """Something was posted to a run that is over."""

    def __init__(self, message: str = "the run has ended") -> None:
        """Keep the one text this error has."""
        super().__init__(message)


class MachineBug(RuntimeError):
    """A call of the Docker machine raised what it should have turned into an outcome."""
