"""The tree of errors: one line each, and the same after being rebuilt from their arguments."""

from __future__ import annotations

import pickle

import pytest

from scenarios import errors
from scenarios.errors import BadValueError, Problem, ScenarioError

FIRST = Problem("burst.yaml", 14, "containers.agents.mem_limit", "containers.agents.mem_limit is -1")
SECOND = Problem("--set a=1", None, "a", "a is not a key of the language")


def test_a_problem_names_file_and_line() -> None:
    """The line starts as compilers' lines do, so that editors can jump to it."""
    assert "burst.yaml:14: containers.agents.mem_limit is -1" == str(FIRST)


def test_a_problem_without_a_line_names_what_brought_it() -> None:
    """A value from the command line is nowhere in the file."""
    assert "--set a=1: a is not a key of the language" == str(SECOND)


def test_one_problem_is_the_whole_text() -> None:
    """An error of one problem reads as that problem."""
    assert str(FIRST) == str(ScenarioError(FIRST))


def test_several_problems_are_still_one_line() -> None:
    """The first is told in full, the others are counted, and the reader learns where to see them."""
    expected = "burst.yaml:14: containers.agents.mem_limit is -1 (and 1 more; `tonnage check` lists them)"

    assert expected == str(ScenarioError(FIRST, SECOND))


@pytest.mark.parametrize("kind", [ScenarioError, *ScenarioError.__subclasses__()])
def test_scenario_errors_survive_being_rebuilt(kind: type[ScenarioError]) -> None:
    """SimPy and process pools rebuild an exception from its arguments; nothing may be lost."""
    error = kind(FIRST, SECOND)

    for again in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes.
        assert type(error) is type(again)
        assert error.problems == again.problems
        assert str(error) == str(again)


def test_bad_values_survive_being_rebuilt() -> None:
    """The same holds for the error a reader raises."""
    error = BadValueError("a size", "512m", ("uniform", 0))
    again = type(error)(*error.args)

    assert ("a size", "512m", ("uniform", 0)) == (again.must, again.example, again.at)
    assert "it must be a size; write for example 512m" == str(again)


def test_the_tree_drawn_at_the_top_is_the_tree() -> None:
    """The picture in the module's docstring names every subclass."""
    drawn = errors.__doc__ or ""

    assert [] == [kind.__name__ for kind in ScenarioError.__subclasses__() if f"── {kind.__name__} " not in drawn]
