"""What can go wrong in the simulated layer and is the user's to mend.

SimError
├── ProfileError   a host profile cannot be used
├── RecordError    a record cannot be read or written
└── RequestError   a command was asked for something that does not go together
StoryRefused       a world started no container of a story; to a search that is an answer

Each survives `type(e)(*e.args)`, because SimPy re-creates exceptions that way.
"""

from __future__ import annotations


class SimError(Exception):
    """A mistake outside the program that stops a command; its text is one line."""


class ProfileError(SimError):
    """A host profile cannot be used."""

    def __init__(self, place: str, what: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(place, what)
        self.place = place
        self.what = what

    def __str__(self) -> str:
        """Say where, what, and what to do."""
        return f"{self.place} {self.what}; measure this host anew with `tonnage measure-host`"


class RecordError(SimError):
    """A record cannot be read or written."""

    def __init__(self, place: str, what: str) -> None:
        """Name the directory and what is wrong with it."""
        super().__init__(place, what)
        self.place = place
        self.what = what

    def __str__(self) -> str:
        """Say where and what."""
        return f"{self.place}: {self.what}"


class RequestError(SimError):
    """A command was asked for something it cannot do; the text says what would work."""


class StoryRefused(Exception):
    """A world that works started no container of a story; `reason` is what it said of it."""

    reason: str = ""
