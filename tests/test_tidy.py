"""The house rules that no linter knows, each a function of one file's text, each shown to catch what it forbids."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from io import StringIO
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TypeVar

import pytest

# A rule takes a file's path and its text; for each fault it yields the line and what to do about it.
Rule = Callable[[str, str], Iterator[tuple[int, str]]]
Node = TypeVar("Node", bound=ast.AST)

ROOT = Path(__file__).parents[1]
PACKAGES = ("scenarios", "sim", "live", "dashboard")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs", ".ci")
TEXT_SUFFIXES = {"", ".py", ".yaml", ".json", ".toml", ".md", ".txt"}
LIBRARY = "scenarios/library"

# Files: which there are, and what they may be called.

NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


@cache
def library_names() -> frozenset[str]:
    """What the pinned packages are called when they are imported."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_canonical(line.partition("==")[0]) for line in lines}
    found = packages_distributions().items()
    return frozenset(name for name, packages in found if not pinned.isdisjoint(map(_canonical, packages)))


def _canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def file_names(path: str, _text: str) -> Iterator[tuple[int, str]]:
    """A file or folder is a noun of the domain, and hides neither a module of Python nor a library."""
    for part in PurePosixPath(path).with_suffix("").parts:
        if part in NAMES_THAT_SAY_NOTHING:
            yield 1, f"`{part}` says nothing, name what it is about"
        if not part.startswith("__") and part in sys.stdlib_module_names | library_names():
            yield 1, f"`{part}` hides the module of that name, choose another noun"


def dashboard_names(path: str, _text: str) -> Iterator[tuple[int, str]]:
    """Streamlit puts `dashboard/` first on the path, so that nothing directly in it may be called like a package."""
    parts = PurePosixPath(path).with_suffix("").parts
    if parts[0] == "dashboard" and parts[1] in {*PACKAGES, "tonnage", "tests"}:
        yield 1, f"`dashboard/{parts[1]}` hides the package `{parts[1]}` from Streamlit, choose another noun"


# Names of numbers.

QUALIFIERS = {"min", "max", "mean", "sum", "sd", "limit", "low", "high", "p50", "p90", "p95", "p99"}
UNITS = {"s", "us", "bytes", "cores", "cpus", "tokens", "usd", "px", "count", "ratio"}
PER_UNITS = {"s", "minute", "token", "byte", "core"}
# What is counted in itself, tells things apart, or is a place: there is no unit to name.
UNITLESS = {"code", "column", "count", "index", "line", "pid", "port", "retries", "row", "seed", "threads", "version"}
# The value of a metric, whose unit stands beside it, in both worlds and at full size or shrunk.
METRIC_VALUES = {"difference", "full", "live", "shrunk", "sim", "value", "variance"}
WRITTEN_NAMES = {
    "cpu_shares",  # Compose's key.
    "seconds_live",  # A key of the JSON that `tonnage validate` prints.
    "seconds_simulated",  # As `seconds_live`.
}


def has_unit(name: str) -> bool:
    """Whether the name of a number ends in a unit, or in qualifiers after a unit, or needs none."""
    words = name.strip("_").split("_")
    while len(words) > 1 and words[-1] in QUALIFIERS:
        words.pop()
    if len(words) > 1 and words[-2] == "per":
        return words[-1] in PER_UNITS
    return name in WRITTEN_NAMES or words[-1] in UNITS | UNITLESS or (len(words) == 1 and words[0] in METRIC_VALUES)


def units_last(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """A numeric field of a dataclass or model ends in its unit, `_count` or `_ratio`, with qualifiers after it."""
    for made in _nodes(text, ast.ClassDef):
        if not _is_record(made):
            continue
        for field in made.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_number(field.annotation):
                name = field.target.id
                if not has_unit(name):
                    yield field.lineno, f"the number `{name}` names no unit at its end, like `wait_s_max`"


def _is_record(made: ast.ClassDef) -> bool:
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in made.decorator_list]
    names = {_dotted(node).rpartition(".")[2] for node in chain(marks, made.bases)}
    return not names.isdisjoint({"dataclass", "BaseModel", "NamedTuple"})


def _is_number(annotation: ast.expr) -> bool:
    names = set(ast.unparse(annotation).split(" | "))
    return names <= {"int", "float", "None"} and names != {"None"}


# One run must not reach into another, nor a policy into the world.

GENERATORS = {"Generator", "PCG64", "Philox", "Random", "SeedSequence", "default_rng"}
RANDOM_MODULES = {"random", "np.random", "numpy.random"}


def no_shared_draws(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """Nobody draws from the generators that Python and NumPy share among everybody."""
    cure = "draws from a generator that all runs share, draw by key with `sim.randomness`"
    for call in _nodes(text, ast.Call):
        module, _, name = _dotted(call.func).rpartition(".")
        unseeded = name == "default_rng" and not call.args
        if module in RANDOM_MODULES and (name not in GENERATORS or unseeded):
            yield call.lineno, f"`{module}.{name}` {cure}"
    for line in _nodes(text, ast.ImportFrom):
        for alias in line.names:
            if line.module in RANDOM_MODULES and alias.name not in GENERATORS:
                yield line.lineno, f"`{alias.name}` {cure}"


def no_shared_counters(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """No module or class keeps a counter, so that two runs in one process number alike."""
    for node in _outside_functions(_tree(text)):
        if isinstance(node, ast.Call) and _dotted(node.func) in {"itertools.count", "count"}:
            yield node.lineno, "a counter of the module counts on from run to run, make it in the run"


def world_blind(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Agents and policies cannot tell, and do not ask, in which world they act."""
    if path.startswith(("sim/policies/", "sim/agents")):
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(r"\bis_(live|simulated|docker)\b|\bisinstance\(\s*(\w+\.)*_?machine\b", line):
                yield number, "asks which world it is in, put what differs behind the port"


def one_composition(path: str, text: str) -> Iterator[tuple[int, str]]:
    """A machine is made in one place per world: `sim/run.py` and `live/run.py`."""
    if path in {"sim/run.py", "live/run.py"} or path.startswith("tests/"):
        return
    for call in _nodes(text, ast.Call):
        name = _dotted(call.func).rpartition(".")[2]
        if name in {"SimulatedMachine", "DockerMachine"}:
            yield call.lineno, f"`{name}` is made in sim/run.py and live/run.py only, call those"


# What people read.

DIRECTIVE = re.compile(r"#\s*(!|noqa\b|type:|ruff:|mypy:|pragma:|fmt:)")
SENTENCE_START = re.compile(r"[A-Z0-9`\"'(]")
SENTENCE_END = re.compile(r"[.:!?][)`\"']*$")


def comments_are_sentences(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """A comment begins with a capital, a digit or a quoted name, and ends like a sentence."""
    for line, comment in _comments(text):
        if not SENTENCE_START.match(comment):
            yield line, f"the comment `{comment[:40]}` begins with no capital, write a sentence"
        if not SENTENCE_END.search(comment):
            yield line, f"the comment ending `{comment[-40:]}` has no full stop, write a sentence"


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """Comments with the line they begin at; lines that stand below one another are one comment."""
    begun, last, words = 0, (-1, -1), ""
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type != tokenize.COMMENT or DIRECTIVE.match(token.string):
            continue
        said = token.string.lstrip("#").strip()
        if words and token.start == (last[0] + 1, last[1]):
            words = f"{words} {said}".strip()
        else:
            if words:
                yield begun, words
            begun, words = token.start[0], said
        last = token.start
    if words:
        yield begun, words


def nothing_unfinished(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """What is not done is an issue, not a mark in a file."""
    yield from _matches(text, r"\b(TO[D]O|FIX[M]E|X{3})\b", "is unfinished work, do it or open an issue")


def no_registries(_path: str, text: str) -> Iterator[tuple[int, str]]:
    """Where packages come from is the machine's to say."""
    hosts = r"//[\w.-]*(pyp[i]|artif[a]ctory|nex[u]s|devp[i])|\b(pyp[i]|pythonhost[e]d|npmj[s])\.[a-z]"
    flags = r"--(extra-)?index-url|--find-[l]inks|--trusted-[h]ost|@ [f]ile:"
    yield from _matches(text, f"{hosts}|{flags}", "names a package registry, leave that to pip's configuration")


def _matches(text: str, pattern: str, cure: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if found := re.search(pattern, line):
            yield number, f"`{found[0]}` {cure}"


def purpose_first(path: str, text: str) -> Iterator[tuple[int, str]]:
    """A story of the library begins with what it is for."""
    if path.startswith(LIBRARY) and path.endswith(".yaml"):
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("#", "---"))]
        if not lines or not re.match(r"purpose:\s*\S", lines[0]):
            yield 1, "the first key is `purpose:`, one sentence on what the story is for"


# The rules, and what each must catch and let pass.

PYTHON_RULES: tuple[Rule, ...] = (
    file_names,
    dashboard_names,
    units_last,
    no_shared_draws,
    no_shared_counters,
    world_blind,
    one_composition,
    comments_are_sentences,
)
TEXT_RULES: tuple[Rule, ...] = (nothing_unfinished, no_registries, purpose_first)

RECORD = "@dataclass(frozen=True)\nclass Wait:\n    {}"
CAUGHT: tuple[tuple[Rule, str, str], ...] = (
    (file_names, "live/docker.py", ""),
    (file_names, "live/yaml.py", ""),
    (file_names, "sim/queue.py", ""),
    (file_names, "sim/statistics/mean.py", ""),
    (file_names, "sim/utils.py", ""),
    (dashboard_names, "dashboard/live.py", ""),
    (dashboard_names, "dashboard/scenarios/shelf.py", ""),
    (units_last, "a.py", RECORD.format("max_wait: float")),
    (units_last, "a.py", RECORD.format("wait: int | None = None")),
    (units_last, "a.py", RECORD.format("steps_per_agent: float")),
    (units_last, "a.py", RECORD.format("sim_latency: float")),
    (units_last, "a.py", "class Pool(BaseModel):\n    size: int"),
    (units_last, "a.py", "class Row(typing.NamedTuple):\n    memory: int"),
    (no_shared_draws, "a.py", "import random\nrandom.random()"),
    (no_shared_draws, "a.py", "import numpy as np\ndef draw():\n    return np.random.rand(3)"),
    (no_shared_draws, "a.py", "numpy.random.default_rng()"),
    (no_shared_draws, "a.py", "from random import choice"),
    (no_shared_counters, "a.py", "import itertools\nIDS = itertools.count()"),
    (no_shared_counters, "a.py", "class Run:\n    ids = count(1)"),
    (world_blind, "sim/policies/pool.py", "if run.is_live:\n    pass"),
    (world_blind, "sim/agents.py", "isinstance(self.machine, SimulatedMachine)"),
    (one_composition, "sim/sweep.py", "machine = SimulatedMachine(env)"),
    (one_composition, "live/commands.py", "docker_machine.DockerMachine(env)"),
    (comments_are_sentences, "a.py", "# increase the counter."),
    (comments_are_sentences, "a.py", "x = 1  # Not a sentence"),
    (comments_are_sentences, "a.py", "# The first line is fine,\n# but nothing ends it"),
    (comments_are_sentences, "a.py", "# One.\n\n# another."),
    (nothing_unfinished, "a.yaml", "# \x54ODO: the rest."),
    (no_registries, "Makefile", "pip install --index\x2durl x"),
    (no_registries, "a.txt", "see https://mirror.py\x70i.example/simple"),
    (no_registries, "constraints.txt", "simpy @ \x66ile:///wheels/simpy.whl"),
    (purpose_first, "scenarios/library/burst.yaml", "name: burst\npurpose: Shows it.\n"),
    (purpose_first, "scenarios/library/burst.yaml", "purpose:\nname: burst\n"),
)
LET_PASS: tuple[tuple[Rule, str, str], ...] = (
    (file_names, "live/docker_machine.py", ""),
    (dashboard_names, "dashboard/views/sim_against_live.py", ""),
    (units_last, "a.py", RECORD.format("wait_s_max: float | None")),
    (units_last, "a.py", RECORD.format("touch_s_per_byte: float\n    seed: int\n    sim_low: float\n    note: str")),
    (units_last, "a.py", "class Plain:\n    size: int = 3"),
    (no_shared_draws, "a.py", "random.Random(7).random()\nnp.random.default_rng(7).normal()"),
    (no_shared_counters, "a.py", "def run():\n    ids = itertools.count()"),
    (world_blind, "live/run.py", "isinstance(machine, DockerMachine)"),
    (one_composition, "sim/run.py", "SimulatedMachine(env)"),
    (one_composition, "sim/physics/simulated_machine.py", "class SimulatedMachine(Machine):\n    pass"),
    (comments_are_sentences, "a.py", "# `sleep` wakes late,\n# by 50 us (measured).\nx = 1  # noqa: E501"),
    (nothing_unfinished, "a.py", "todo = 1"),
    (no_registries, "a.md", "Install it with `pip install -e .[dev]`."),
    (purpose_first, "scenarios/library/burst.yaml", "# A remark.\npurpose: Shows it.\n"),
)


def _name(rule: object) -> str | None:
    return getattr(rule, "__name__", None)


@pytest.mark.parametrize(("rule", "path", "text"), CAUGHT, ids=_name)
def test_a_rule_catches_what_it_forbids(rule: Rule, path: str, text: str) -> None:
    """Each rule complains of a small file that breaks it."""
    assert list(rule(path, text))


@pytest.mark.parametrize(("rule", "path", "text"), LET_PASS, ids=_name)
def test_a_rule_lets_pass_what_it_allows(rule: Rule, path: str, text: str) -> None:
    """No rule complains of a file that comes close to breaking it."""
    assert [] == list(rule(path, text))


def test_every_rule_is_shown_to_catch_something() -> None:
    """A rule without an example could be one that never complains."""
    assert {*PYTHON_RULES, *TEXT_RULES} == {rule for rule, _, _ in CAUGHT}


@pytest.mark.parametrize("rule", PYTHON_RULES, ids=_name)
def test_no_python_file_breaks_a_rule(rule: Rule) -> None:
    """Every Python file, tests too, keeps the rule."""
    complaints = _complaints(rule, ".py")

    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule", TEXT_RULES, ids=_name)
def test_no_text_file_breaks_a_rule(rule: Rule) -> None:
    """Every file that people write keeps the rule."""
    complaints = _complaints(rule, *TEXT_SUFFIXES)

    assert not complaints, "\n".join(complaints)


def _complaints(rule: Rule, *suffixes: str) -> list[str]:
    return [f"{path}:{line}: {what}" for path, text in _files(*suffixes) for line, what in rule(path, text)]


@cache
def _files(*suffixes: str) -> tuple[tuple[str, str], ...]:
    """Paths, as seen from the root, and texts of the project's files."""
    inside = chain.from_iterable((ROOT / folder).rglob("*") for folder in FOLDERS)
    paths = sorted(path for path in chain(ROOT.iterdir(), inside) if path.is_file() and path.suffix in suffixes)
    return tuple((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


# The library: a story that no test runs is a promise nobody keeps.


def unreached(stories: list[str], tests: list[str]) -> list[str]:
    """The stories that no test names."""
    said = "\n".join(tests)
    return [story for story in stories if not re.search(rf"(?<![\w-]){re.escape(story)}(?![\w-])", said)]


def test_a_story_that_no_test_names_is_noticed() -> None:
    """A name counts only as a whole: `burst` is not reached by a test of `burst-small`."""
    assert ["burst"] == unreached(["burst", "quiet"], ['run("burst-small")', 'run("quiet")'])


def test_every_story_of_the_library_is_named_by_a_test() -> None:
    """Whoever adds a story to the library says in a test what it must show."""
    stories = sorted(path.stem for path in (ROOT / LIBRARY).rglob("*.yaml"))
    tests = [text for path, text in _files(".py") if path.startswith("tests/") and path != "tests/test_tidy.py"]

    assert [] == unreached(stories, tests)


# Reading Python.


@cache
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def _nodes(text: str, kind: type[Node]) -> Iterator[Node]:
    return (node for node in ast.walk(_tree(text)) if isinstance(node, kind))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _dotted(node: ast.expr) -> str:
    """`np.random.rand` as text; what is no chain of names is empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""
