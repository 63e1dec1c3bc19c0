"""Everything that can be wrong with a scenario, as errors whose text is one line.

ScenarioError                 what a user gets, whatever was wrong
├── StoryNotFoundError        no such file, no library story of that name
├── UnreadableStoryError      a directory, too large, not UTF-8, empty
├── MalformedStoryError       not YAML, or YAML that no story needs (duplicate keys, alias bombs)
├── InvalidStoryError         a key or value that is missing, unknown, reserved or out of bounds
└── SetPathError              `--set PATH=VALUE` whose path does not exist

Beside the tree stands `BadValueError`, which one value's reader raises; `complaints.py` turns it into a `Problem`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a scenario: in which file, on which line, at which dotted path, and what.

    `source` is the file as the user named it, or the `--set` option that brought the value in; then `line` is None.
    """

    source: str
    line: int | None
    path: str
    text: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.text}"


class ScenarioError(Exception):
    """A scenario that cannot be used; its arguments are its problems, the first in the file first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem found, in the order of the file."""
        return self.args

    def __str__(self) -> str:
        first, *others = (str(problem) for problem in self.problems)
        return f"{first} (and {len(others)} more; `tonnage check` lists them)" if others else first


class StoryNotFoundError(ScenarioError):
    """There is no such file and no library story of that name."""


class UnreadableStoryError(ScenarioError):
    """The file is there and cannot be read as text."""


class MalformedStoryError(ScenarioError):
    """The text is not YAML, or is YAML that a scenario has no use for."""


class InvalidStoryError(ScenarioError):
    """The YAML is sound and does not describe a scenario."""


class SetPathError(ScenarioError):
    """`--set` names a place that the scenario does not have."""


class BadValueError(ValueError):
    """A value that its reader refuses: what it must be, an example that works, and where inside the value.

    `at` is the path from the value down to the part at fault, empty where it is the value itself.
    """

    def __init__(self, must: str, example: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(must, example, at)
        self.must = must
        self.example = example
        self.at = at

    def __str__(self) -> str:
        return f"it must be {self.must}" + (f"; write for example {self.example}" if self.example else "")
