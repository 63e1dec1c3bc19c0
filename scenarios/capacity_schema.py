"""What a story's capacity question varies: the key `capacity`, and which values of a scenario can be varied at all.

A value that can be varied is a number or a size as it is written, at a dotted path: `agents.worker.count`,
`containers.agents.mem_limit`, `agents.worker.steps.0.hold`. The same paths are what `--vary` takes.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from scenarios import units
from scenarios.entry import Entry
from scenarios.errors import BadValueError
from scenarios.wording import closest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH_LENGTH_MAX = 500
# More paths than this are not looked through for the one that was meant.
USUAL_PATHS_COUNT_MAX = 200
PATH_EXAMPLE = "agents.worker.count"
# These keys, and what stands below them, are sizes; of a law of sizes, its spread is none.
SIZE_KEYS = frozenset({"mem_limit", "memswap_limit", "memory", "swap", "reserve", "hold", "leak", "write", "read"})
NO_SIZES = frozenset({"cv"})
# What is mostly varied, and so named to who named something else.
USUAL_KEYS = (("agents", "count"), ("containers", "mem_limit"), ("containers", "cpus"))


def is_size_path(path: str) -> bool:
    """Whether the value at a path is a size; any other is a number."""
    steps = path.split(".")
    return not SIZE_KEYS.isdisjoint(steps) and steps[-1] not in NO_SIZES


def value_at(here: Any, path: str) -> object:  # noqa: ANN401 - YAML holds anything.
    """What is written at a path; None where nothing is."""
    for step in path.split("."):
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and step.isascii() and step.isdecimal() and int(step[:9]) < len(here):
            here = here[int(step)]
        else:
            return None
    return here


def quantity(value: object, *, is_size: bool) -> Fraction | None:
    """A number or a size as it is written; None where it is neither."""
    try:
        return Fraction(units.read_size(value)) if is_size else Fraction(str(units.read_number(value)))
    except BadValueError:
        return None


def read_path(value: object) -> str:
    """Read a dotted path of the scenario."""
    if not isinstance(value, str) or not 0 < len(value) <= PATH_LENGTH_MAX or not all(value.split(".")):
        raise BadValueError("a path of this scenario, names with dots between", PATH_EXAMPLE)
    return value


VaryPath = Annotated[
    str, PlainValidator(read_path), WithJsonSchema({"type": "string", "minLength": 1, "examples": [PATH_EXAMPLE]})
]


class Capacity(Entry):
    """What a search for this story's capacity varies where nobody says otherwise."""

    vary: VaryPath = Field(
        description="The dotted path of a number or a size that is written in this scenario: `tonnage capacity` "
        "searches the largest value of it with which the goals hold, and `--vary` may then be left out.",
        examples=[PATH_EXAMPLE],
    )


def refuse_unvariable(scenario: Mapping[str, Any], path: str) -> None:
    """Raise BadValueError unless a number or a size is written at a path of a scenario."""
    if quantity(value_at(scenario, path), is_size=is_size_path(path)) is None:
        usual = list(islice(_usual_paths(scenario), USUAL_PATHS_COUNT_MAX))
        must = "the path of a number or a size that is written in this scenario"
        raise BadValueError(must, closest(path, usual) or next(iter(usual), ""), at=("capacity", "vary"))


def _usual_paths(scenario: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that are written here among those mostly varied."""
    for section, key in USUAL_KEYS:
        for name in scenario.get(section) or ():
            path = f"{section}.{name}.{key}"
            if quantity(value_at(scenario, path), is_size=is_size_path(path)) is not None:
                yield path
