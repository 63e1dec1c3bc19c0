"""YAML text as plain values that remember their lines.

PyYAML's composer builds the nodes, with limits on depth and count; the walk below turns them into dicts, lists and
scalars and notes the line of every key and value. Scalars follow YAML 1.2's core schema, so none of YAML 1.1's
surprises happen: `on` and `no` are words, `1:30` is text, `0777` is text that number readers refuse with a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.errors import MalformedStoryError, Problem
from scenarios.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]

# A story with 10,000 containers is still inside; a file of aliases to aliases is not.
NODES_COUNT_MAX = 100_000
# A scenario is nine levels deep at most.
DEPTH_MAX = 32
# Digits that Python turns into an int without its own complaint about long ones.
DIGITS_COUNT_MAX = 30
PROBLEM_LENGTH_MAX = 200

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(
    _CORE + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_MERGE_TAG = _CORE + "merge"


@dataclass(slots=True)
class Tree:
    """Plain values from one YAML text, and where each stands.

    `lines` holds for each path the line of its key (of the item itself in a list) and of its value.
    `sources` holds the `--set` option for the paths that one brought in.
    """

    source: str
    value: Any
    lines: dict[Path, tuple[int, int]] = field(default_factory=dict)
    sources: dict[Path, str] = field(default_factory=dict)

    def problem(self, path: Path, shown: str, text: str, *, at_key: bool = False) -> Problem:
        """Make the problem for what stands at `path`, or at the nearest place above it that has a line."""
        for length in range(len(path), -1, -1):
            here = path[:length]
            if here in self.sources:
                return Problem(self.sources[here], None, shown, text)
            if here in self.lines:
                key_line, value_line = self.lines[here]
                is_block = isinstance(self.at(here), dict | list)
                return Problem(self.source, key_line if at_key or is_block else value_line, shown, text)
        return Problem(self.source, 1, shown, text)

    def at(self, path: Path) -> Any:  # noqa: ANN401 - YAML holds anything.
        """Return the value at a path that exists."""
        value = self.value
        for step in path:
            value = value[step]
        return value


def read_tree(text: str, source: str) -> Tree:
    """Parse one YAML document; raise MalformedStoryError where it is none, or one that no story needs."""
    try:
        node = _compose(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _malformed(
            source, line, f"holds the character U+{int(error.character):04X}, which YAML forbids"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _malformed(source, mark.line + 1 if mark else 1, _explained(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML hands escapes and version numbers to Python unchecked.
        raise _malformed(source, 1, "is not valid YAML: an escape or a %YAML version in it is out of range") from None
    tree = Tree(source, None)
    if node is not None:
        tree.value = _Walk(tree).value(node, (), node.start_mark.line + 1)
    return tree


def _malformed(source: str, line: int, text: str) -> MalformedStoryError:
    return MalformedStoryError(Problem(source, line, "", text))


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = one_line(error.problem or error.context or "the text cannot be read", PROBLEM_LENGTH_MAX)
    if "'\\t'" in problem:
        return "is not valid YAML: there is a tab; indent with spaces"
    if "single document" in str(error.context):
        return "holds several YAML documents; keep one, without another `---`"
    if "mapping values are not allowed" in problem:
        problem += "; check the indentation, and quote text that holds `: `"
    return f"is not valid YAML: {problem}"


class _TooMuchError(yaml.MarkedYAMLError):
    """The text nests deeper or holds more values than any story."""


class _Composer(yaml.SafeLoader):
    """PyYAML's composer with limits; without them, 1 MiB of `[` exhausts the stack."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth_count = 0
        self._nodes_count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - PyYAML's own.
        """Compose one node, unless it is one too many."""
        self._depth_count += 1
        self._nodes_count += 1
        if self._depth_count > DEPTH_MAX:
            raise _TooMuchError(None, None, f"nested more than {DEPTH_MAX} levels deep", self.get_mark())
        if self._nodes_count > NODES_COUNT_MAX:
            raise _TooMuchError(None, None, f"more than {NODES_COUNT_MAX:,} values", self.get_mark())
        node = super().compose_node(parent, index)
        self._depth_count -= 1
        return node


def _compose(text: str) -> yaml.Node | None:
    composer = _Composer(text)
    try:
        return composer.get_single_node()
    finally:
        composer.dispose()


class _Walk:
    """Turns nodes into values; every alias is followed, so the count is of what the text expands to."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._nodes_count = 0

    def value(self, node: yaml.Node, path: Path, key_line: int) -> Any:  # noqa: ANN401 - YAML holds anything.
        """Return the plain value of a node and note its lines."""
        self._count(node, len(path))
        line = node.start_mark.line + 1
        self._tree.lines[path] = (key_line, line)
        if isinstance(node, yaml.MappingNode):
            self._expect(node, _CORE + "map")
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._expect(node, _CORE + "seq")
            return [self.value(item, (*path, index), item.start_mark.line + 1) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode), "YAML has no other kind of node"
        return self._scalar(node)

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._nodes_count += 1
        if self._nodes_count > NODES_COUNT_MAX:
            raise self._error(node, f"expands to more than {NODES_COUNT_MAX:,} values through its aliases")
        if depth > DEPTH_MAX:
            raise self._error(node, f"nests more than {DEPTH_MAX} levels deep, or an alias refers to itself")

    def _expect(self, node: yaml.Node, *tags: str) -> None:
        if node.tag not in tags:
            raise self._error(node, f"carries the YAML tag {one_line(node.tag)}; a scenario needs none, remove it")

    def _error(self, node: yaml.Node, text: str) -> MalformedStoryError:
        return _malformed(self._tree.source, node.start_mark.line + 1, text)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, key_node, value_node in self._own_pairs(node):
            if key in values:
                first = self._tree.lines[*path, key][0]
                raise self._error(
                    key_node, f"{one_line(key)} is here a second time (first on line {first}); remove one"
                )
            values[key] = self.value(value_node, (*path, key), key_node.start_mark.line + 1)
        for key, key_node, value_node in self._merged_pairs(node, len(path)):
            if key not in values:
                values[key] = self.value(value_node, (*path, key), key_node.start_mark.line + 1)
        return values

    def _own_pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE_TAG:
                yield self._key(key_node), key_node, value_node

    def _merged_pairs(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """What `<<` brings in; the earlier of several sources wins, as in Compose files."""
        self._count(node, depth)
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE_TAG:
                continue
            for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                if not isinstance(source, yaml.MappingNode):
                    raise self._error(
                        source, "merges with << what is no mapping; name an anchored mapping: <<: *limits"
                    )
                for pair in self._own_pairs(source):
                    self._count(source, depth)
                    yield pair
                yield from self._merged_pairs(source, depth + 1)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "has a list or mapping as a key; a key must be a word")
        self._scalar(node)
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text = str(node.value)
        if node.tag not in _SCALAR_TAGS:
            self._expect(node)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self._error(node, "holds half of a surrogate pair (an escape such as \\ud800), which is no character")
        return _plain(text) if node.style is None else text


def _plain(text: str) -> str | int | float | bool | None:
    """Resolve an unquoted scalar as YAML 1.2's core schema does, less its octal, hex, .inf and .nan."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > DIGITS_COUNT_MAX:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
