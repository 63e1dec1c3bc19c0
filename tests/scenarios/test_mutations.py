"""Broken scenarios of every sort: either a story comes out, or a ScenarioError of one-line problems, never more."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenarios import ScenarioError, Story, library, load, load_text
from scenarios.advice import advise
from scenarios.scale import changed_ratios, shrink

if TYPE_CHECKING:
    from collections.abc import Callable

# Every other example is of a container's life and faults, whatever the library has of them.
LIFE = Path(__file__).with_name("life.yaml").read_text(encoding="utf-8")
TEXTS = [text for entry in library() for text in (entry.path.read_text(encoding="utf-8"), LIFE)]
TREES = [yaml.safe_load(text) for text in TEXTS]

HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1, 1e308, -0.0, 10**30, float("inf"), float("nan"), 0.5),
    *(
        "",
        " ",
        "-1",
        "512m",
        "1e999",
        "1/0",
        "on",
        "~",
        "\n",
        "a\nb",
        "\x1b[2J",
        "\u2028",
        "é" * 300,
        "0x10",
        "-0",
        "\u0661",
    ),
    *([], [1], {}, {"a": 1}, [[]], [None], {"uniform": [2, 1]}, {"empirical": []}, {"exponential": {"mean": 1}}),
    *({"lognormal": {"mean": 1, "cv": 1e9}}, {"": ""}, {"x" * 200: 1}, ["release"] * 101, "9" * 5000),
]
GARBLE = [
    "\t",
    "\0",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!",
    "|",
    ">",
    "'",
    '"',
    "#",
    "%",
    "@",
    "`",
    "\n",
    "é",
]


def attempt(load_it: Callable[[], Story]) -> Story | ScenarioError:
    """Return the story, or the error in its place; anything else that is raised fails the test."""
    try:
        return load_it()
    except ScenarioError as error:
        return error


def load_text_of(path: Path) -> Story:
    """The story of a file."""
    return load(path).story


def judge(text: str) -> None:
    """Load a text; a story must be fit for all that follows, an error must be made of clear single lines."""
    found = attempt(lambda: load_text(text, "mutant", source="mutant.yaml"))
    assert str(found).isprintable()
    if isinstance(found, Story):
        small = shrink(found)
        assert small == shrink(small)
        assert all(str(one).isprintable() for one in (*advise(found), *advise(small)))
        assert isinstance(changed_ratios(found, small), list)
        return
    lines_count = text.count("\n") + text.count("\r") + 1
    assert 1 <= len(found.problems) <= 100
    for problem in found.problems:
        assert str(problem).isprintable()
        assert str(problem).startswith("mutant.yaml")
        assert len(str(problem)) < 1000
        assert problem.line is None or 1 <= problem.line <= lines_count


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - YAML holds anything.
    """All paths below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *places(item, (*path, key)))]


@st.composite
def trees(draw: st.DrawFn) -> Any:  # noqa: ANN401 - YAML holds anything.
    """A library story in which a few values are replaced, removed or renamed."""
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(tree) or [()]))
        if not path:
            return copy.deepcopy(draw(st.sampled_from(HOSTILE)))
        holder = tree
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "copy"])):
            case "replace":
                holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
            case "remove":
                del holder[path[-1]]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["", "x", "pools", "a b", "cpus", "\x1b", "é" * 80]))] = holder.pop(
                    path[-1]
                )
            case _:
                holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(list(tree.values()) if tree else HOSTILE)))
    return tree


@st.composite
def texts(draw: st.DrawFn) -> str:
    """The text of a library story with lines and letters lost, doubled and garbled."""
    lines = draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        match draw(st.sampled_from(["drop", "double", "garble", "cut", "indent", "swap"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, line)
            case "garble":
                lines[at] = line[:cut] + draw(st.sampled_from(GARBLE)) + line[cut:]
            case "cut":
                lines[at] = line[:cut]
            case "indent":
                lines[at] = " " * draw(st.integers(1, 5)) + line
            case _:
                lines[at], lines[0] = lines[0], lines[at]
    return "".join(lines)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(trees())
def test_scenarios_with_hostile_values_are_judged(tree: object) -> None:
    """Whatever stands where a value should, the loader answers for it."""
    judge(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(texts())
def test_garbled_scenarios_are_judged(text: str) -> None:
    """Whatever a slip of the keyboard makes of the text, the loader answers for it."""
    judge(text)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(TEXTS), st.integers(0, 3000))
def test_binary_garbage_is_judged(tmp_path: Path, garbage: bytes, text: str, at: int) -> None:
    """Bytes from anywhere, alone or in the middle of a story, give a story or a ScenarioError."""
    for content in (garbage, text.encode()[:at] + garbage + text.encode()[at:]):
        path = tmp_path / "mutant.yaml"
        path.write_bytes(content)
        assert str(attempt(partial(load_text_of, path))).isprintable()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["agents", "worker", "steps", "0", "3", "count", "live", "scale", "", "x", "é", "-1"])),
    st.sampled_from([str(value) for value in HOSTILE] + GARBLE),
)
def test_set_options_are_judged(steps: list[str], value: str) -> None:
    """Whatever is typed behind `--set`, the loader answers for it."""
    options = [(".".join(steps), value)]

    assert str(attempt(lambda: load_text(TEXTS[0], "t", sets=options))).isprintable()


# How deep the keys are that matter: limits and stages in the library's story, a container's life in the other.
DEPTHS = ((TREES[0], {2, 5}), (TREES[1], {3}))
PLACES = [(tree, path) for tree, depths in DEPTHS for path in places(tree) if len(path) in depths]


@pytest.mark.parametrize(("original", "path"), PLACES, ids=[".".join(map(str, path)) for _, path in PLACES])
def test_every_place_is_judged_with_a_value_of_every_type(original: object, path: tuple[Any, ...]) -> None:
    """One after the other, so that no place is left to chance."""
    values: tuple[Any, ...] = (None, True, -1, 1e308, "\x1b[2J", [[]], {"a": 1})
    for value in values:
        tree: Any = copy.deepcopy(original)
        holder: Any = tree
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
        judge(yaml.safe_dump(tree, allow_unicode=True))
