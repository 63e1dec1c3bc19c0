"""`--set PATH=VALUE`: changes to a scenario's values before anything is checked.

PATH is dotted, with numbers for items of a list: `agents.worker.count`, `agents.worker.steps.1.compute.cpu`.
VALUE is YAML, so `8`, `512m` and `{exponential: 20ms}` mean what they mean in the file.
A path may name a key that the file leaves to its default, but not a host, container or agent that it does not have.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from scenarios.errors import MalformedStoryError, Problem, SetPathError
from scenarios.wording import closest, one_line, show_path
from scenarios.yaml_tree import DEPTH_MAX, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scenarios.yaml_tree import Path, Tree

# Under these stand names that the author chose; the rest of the language's mappings can be made when needed.
NAMED_SECTIONS = frozenset({"hosts", "containers", "agents", "rate_limits", "providers", "goals", "networks"})
VALUE_LENGTH_MAX = 10_000
# More names than this are no help in a line of text.
NAMES_COUNT_MAX = 10


def apply_sets(tree: Tree, sets: Sequence[tuple[str, str]]) -> None:
    """Change the tree's values as the `--set` options say, in their order; raise SetPathError for a wrong path."""
    for dotted, value in sets:
        _apply(tree, dotted, value)


def _apply(tree: Tree, dotted: str, text: str) -> None:
    option = f"--set {one_line(dotted)}={one_line(text)}"
    steps = dotted.split(".")
    if not all(steps):
        raise _wrong(option, "the path must be names with dots between; write for example --set agents.worker.count=8")
    if len(steps) > DEPTH_MAX:
        raise _wrong(option, f"the path is more than {DEPTH_MAX} names deep, and no scenario is")
    here: Any = tree.value
    path: Path = ()
    for step in steps[:-1]:
        here, path = _descend(tree, here, path, step, option)
    last = _step_into(here, path, steps[-1], option)
    path = (*path, last)
    here[last] = _value_of(text, option)
    _forget_below(tree, path)
    tree.sources[path] = option


def _wrong(option: str, text: str) -> SetPathError:
    return SetPathError(Problem(option, None, "", text))


def _value_of(text: str, option: str) -> Any:  # noqa: ANN401 - YAML holds anything.
    if len(text) > VALUE_LENGTH_MAX:
        raise _wrong(option, f"the value is longer than {VALUE_LENGTH_MAX:,} letters")
    try:
        return read_tree(text, option).value
    except MalformedStoryError as error:
        raise _wrong(option, f"the value {error.problems[0].text}") from None


def _step_into(here: Any, path: Path, step: str, option: str) -> str | int:  # noqa: ANN401 - YAML holds anything.
    """Return the key or index that `step` means in `here`, which must be a mapping or list."""
    if isinstance(here, dict):
        return step
    shown = show_path(path)
    if not isinstance(here, list):
        raise _wrong(option, f"{shown} is a single value and has no {one_line(step)}; set {shown} itself")
    if not step.isascii() or not step.isdigit() or int(step[:9]) >= len(here):
        items = f"items are numbered from 0 to {len(here) - 1}" if here else "it is empty"
        raise _wrong(option, f"{shown} is a list and has no {one_line(step)}; {items}")
    return int(step)


def _descend(tree: Tree, here: Any, path: Path, step: str, option: str) -> tuple[Any, Path]:  # noqa: ANN401 - as above.
    key = _step_into(here, path, step, option)
    if isinstance(here, dict) and key not in here:
        if path and path[0] in NAMED_SECTIONS and len(path) == 1:
            raise _wrong(option, _no_such(here, path, str(key)))
        if not path and key in NAMED_SECTIONS:
            raise _wrong(option, f"this scenario has no {key}")
        here[key] = {}
        tree.sources[*path, key] = option
    return here[key], (*path, key)


def _no_such(here: dict[str, Any], path: Path, key: str) -> str:
    section = show_path(path)
    nearest = closest(key, here)
    hint = f"did you mean {show_path((*path, nearest))}?" if nearest else f"there are {_listed(here)}"
    return f"there is no {section}.{one_line(key)}; {hint}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(show_path([name]) for name in islice(names, NAMES_COUNT_MAX))


def _forget_below(tree: Tree, path: Path) -> None:
    """Drop the lines of what the option replaced, so that no complaint points at text that is not in force."""
    for old in [old for old in tree.lines if old[: len(path)] == path]:
        del tree.lines[old]
