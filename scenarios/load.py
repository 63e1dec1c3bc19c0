"""From a path or the name of a library story to a validated, compiled `Story`, or to one clear complaint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import InvalidStoryError, MalformedStoryError, Problem, StoryNotFoundError, UnreadableStoryError
from scenarios.wording import closest, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.story import Story
    from scenarios.yaml_tree import Tree

FILE_BYTES_MAX = 1024**2
LIBRARY = Path(__file__).parent / "library"
SUFFIXES = (".yaml", ".yml")
PATH_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Loaded:
    """A compiled story, the file it came from, and its text as written (None for a story given as text)."""

    story: Story
    path: Path | None
    text: str


def load(path_or_name: str | os.PathLike[str], sets: Sequence[tuple[str, str]] = ()) -> Loaded:
    """Load a scenario from a path, or a library story by name, with `--set` changes; raise ScenarioError."""
    path = find(path_or_name)
    text = _read(path)
    return Loaded(load_text(text, path.stem, source=_displayed(path), sets=sets), path, text)


def load_text(text: str, name: str, *, source: str = "", sets: Sequence[tuple[str, str]] = ()) -> Story:
    """Compile a scenario given as text; `source` is what complaints call it, by default its name."""
    # Pydantic and PyYAML take longer to import than most commands take to answer.
    from scenarios.set_paths import apply_sets
    from scenarios.yaml_tree import read_tree

    tree = read_tree(text, source or name)
    _check_top(tree)
    apply_sets(tree, sets)
    return _compiled(tree, name)


def find(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file that a path or a library name means; raise StoryNotFoundError."""
    given = os.fspath(path_or_name)
    path = Path(given)
    if not given.endswith(SUFFIXES) and path.name == given:
        inside = LIBRARY / f"{given}.yaml"
        if given in library_names():
            return inside
    if given and os.path.lexists(path):
        return path
    raise StoryNotFoundError(Problem(one_line(given, PATH_LENGTH_MAX) or '""', None, "", _not_found(given)))


def library_names() -> list[str]:
    """Return the names of the stories that ship, sorted."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def _not_found(given: str) -> str:
    names = library_names()
    stem = Path(given).name.removesuffix(".yaml").removesuffix(".yml")
    nearest = closest(stem, names)
    hint = f"did you mean {nearest}? " if nearest else ""
    return f"there is no such file, and no library story of that name; {hint}the library has {', '.join(names)}"


def _displayed(path: Path) -> str:
    """Name the file as briefly as a user can still open it."""
    try:
        return one_line(str(path.absolute().relative_to(Path.cwd())), PATH_LENGTH_MAX)
    except (OSError, ValueError):
        return one_line(str(path), PATH_LENGTH_MAX)


def _read(path: Path) -> str:
    source = _displayed(path)

    def unreadable(text: str) -> UnreadableStoryError:
        return UnreadableStoryError(Problem(source, None, "", text))

    try:
        if path.is_dir():
            raise unreadable("is a directory; name one scenario file in it")
        if not path.is_file():
            raise unreadable("is not a regular file; save the scenario to one")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise unreadable(f"cannot be read: {error.strerror or error}") from None
    if len(content) > FILE_BYTES_MAX:
        raise unreadable("is larger than 1 MiB, which no scenario is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(
            f"is not UTF-8 text (byte 0x{content[error.start]:02x} at {error.start}); save it as UTF-8"
        ) from None


def _check_top(tree: Tree) -> None:
    if tree.value is None:
        raise UnreadableStoryError(Problem(tree.source, None, "", "is empty; a scenario starts with its purpose"))
    if not isinstance(tree.value, dict):
        text = "does not hold a mapping; a scenario is keys with values, and the first is its purpose"
        raise MalformedStoryError(Problem(tree.source, 1, "", text))


def _compiled(tree: Tree, name: str) -> Story:
    from pydantic import ValidationError

    from scenarios.coherence import findings
    from scenarios.compile import compile_story
    from scenarios.complaints import OWN_PREFIX, PROBLEMS_COUNT_MAX, empty_values, findings_of, problems_of
    from scenarios.schema import Scenario

    told = {key: value for key, value in tree.value.items() if not key.startswith(OWN_PREFIX)}
    problems = list(empty_values(tree))
    try:
        scenario = Scenario.model_validate(told)
    except ValidationError as error:
        found = problems_of(tree, error.errors(include_url=False))
        empty = {problem.path for problem in problems}
        problems += [problem for problem in found if problem.path not in empty]
    else:
        problems += findings_of(tree, findings(scenario))
    if problems:
        raise InvalidStoryError(*sorted(problems, key=lambda problem: problem.line or 0)[:PROBLEMS_COUNT_MAX])
    return compile_story(scenario, name)
