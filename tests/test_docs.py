"""The documents held to their word: what they show runs, what they name exists, what they list is complete."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import tonnage
from scenarios import load
from scenarios.metric_names import METRICS
from scenarios.schema import Scenario
from sim import compare, run
from sim.physics.host_profile import HostProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PHYSICS = ROOT / "docs" / "physics.md"
DOCUMENTS = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
SOURCES = ("scenarios", "sim", "live", "dashboard")
# A scenario of the reader's own is one that is read at a glance.
OWN_LINES_MAX = 12


# What is in a document.

BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^>\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the mark above it (`save: FILE`, `docker: OPTIONS`)."""

    kind: str
    text: str
    mark: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A command as a document shows it, what it prints there, and the mark of its block."""

    command: str
    output: str
    mark: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document."""
    return [Block(found["kind"], found["text"], found["mark"] or "") for found in BLOCK.finditer(text)]


def code(text: str) -> list[str]:
    """Everything that a document writes as code: its blocks and its spans."""
    spans = SPAN.findall(BLOCK.sub("", text))
    return [*(block.text for block in blocks(text)), *spans]


def shown(text: str) -> Iterator[Shown]:
    """The commands of a document's consoles: `$ ` begins one, `> ` goes on with it, the rest is what it prints."""
    for block in blocks(text):
        if block.kind == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                first, *rest = part.splitlines()
                more = [line[2:] for line in rest if line.startswith("> ")]
                output = [line for line in rest if not line.startswith("> ")]
                yield Shown("\n".join([first, *more]), "\n".join(output), block.mark)


def bash_lines(text: str) -> list[str]:
    """The lines of a document's bash blocks, without their remarks."""
    lines = (line for block in blocks(text) if block.kind == "bash" for line in block.text.splitlines())
    return [bare for line in lines if (bare := line.partition("#")[0].strip())]


def test_a_console_is_read_command_by_command() -> None:
    """A command may go on over several lines, and what follows it is its output."""
    text = "Say:\n\n<!-- docker: --fast -->\n```console\n$ one\n1\n$ for x in 2; do\n>   two $x\n> done\n```\n"

    expected = [Shown("one", "1", "docker: --fast"), Shown("for x in 2; do\n  two $x\ndone", "", "docker: --fast")]
    assert expected == list(shown(text))


# Commands run.

FIGURE = re.compile(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?( ?(ms|min|s|/s|%|[KMG]iB|B|cores|tokens|USD)\b|%| %)?")


def shape(output: str) -> list[str]:
    """What stays of an output when its figures change: words line by line, without the place of the record."""
    lines = (re.sub(r"^record: .*", "record: #", line) for line in output.splitlines())
    told = (" ".join(FIGURE.sub("#", line).split()) for line in lines)
    return [line for line in told if line]


def test_a_shape_knows_words_and_no_figures() -> None:
    """Another value in another unit has the same shape; another label or verdict has not."""
    assert ["step latency, mean #"] == shape("\nstep latency, mean    773 ms\n") == shape("step latency, mean 1.2 s")
    assert shape("met  a: 3 %, at most 4") != shape("MISSED  a: 5 %, at most 4")
    assert ["record: #"] == shape("record: /somewhere/else")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with the files that the README says to save, and `tonnage` on the path."""
    for block in blocks(README.read_text(encoding="utf-8")):
        if block.mark.startswith("save: "):
            (tmp_path / block.mark.removeprefix("save: ")).write_text(block.text, encoding="utf-8")
    front_door = tmp_path / "bin" / "tonnage"
    front_door.parent.mkdir()
    front_door.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tonnage "$@"\n', encoding="utf-8")
    front_door.chmod(0o755)
    return tmp_path


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


SHOWN = list(shown(README.read_text(encoding="utf-8")))
SIMULATED = [one for one in SHOWN if not one.mark.startswith("docker: ")]
LIVE = [one for one in SHOWN if one.mark.startswith("docker: ")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("told", SIMULATED, ids=[one.command.split("\n")[0] for one in SIMULATED])
def test_a_command_prints_what_the_readme_shows(told: Shown, folder: Path) -> None:
    """Each command ends well and prints the lines shown, figures apart."""
    ended = _run(told.command, folder)

    assert 0 == ended.returncode, ended.stdout
    assert shape(told.output) == shape(ended.stdout)


@pytest.mark.docker
@pytest.mark.timeout(300)
@pytest.mark.parametrize("told", LIVE, ids=[one.command.split("\n")[0] for one in LIVE])
def test_a_live_command_gives_an_answer(told: Shown, folder: Path) -> None:
    """With the options of its mark, which make it short, each live command runs to a verdict."""
    ended = _run(f"{told.command} {told.mark.removeprefix('docker: ')}", folder)

    assert ended.returncode in {0, 1}, ended.stdout
    assert re.search(r"^(agrees|does not agree|not comparable): ", ended.stdout, re.MULTILINE)


def test_the_readme_shows_both_kinds_of_commands() -> None:
    """An empty list of commands would pass every test above."""
    assert SIMULATED
    assert LIVE


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_exists(document: Path) -> None:
    """What a document says to make, make knows how to; the newcomer runs them for real."""
    told = {target for text in code(document.read_text(encoding="utf-8")) for target in _make_targets(text)}
    unknown = [target for target in sorted(told) if _make_dry(target).returncode]

    assert [] == unknown


def test_a_target_that_is_not_there_is_noticed() -> None:
    """A dry run fails where make has no such target."""
    assert 0 != _make_dry("nosuchtarget").returncode
    assert ["demo", ".venv/ready"] == _make_targets("make demo\nmake .venv/ready && cd x")


def test_bash_blocks_hold_make_commands_only() -> None:
    """Whatever else the README wants run stands in a console, where its output is held against the real one."""
    lines = bash_lines(README.read_text(encoding="utf-8"))

    assert lines
    assert [] == [line for line in lines if not line.startswith("make ")]


def _make_targets(text: str) -> list[str]:
    return re.findall(r"\bmake ([\w./]+)", text)


def _make_dry(target: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)


def test_the_readers_own_scenario_is_short_and_sound(folder: Path) -> None:
    """The scenario to start from is one that loads, with goals, and is read at a glance."""
    loaded = load(folder / "mine.yaml")

    assert loaded.story.goals
    assert len(loaded.text.splitlines()) <= OWN_LINES_MAX


# The command line.


@cache
def options() -> dict[str, set[str]]:
    """The options of every command of the front door."""
    group = get_command(tonnage.application())
    assert isinstance(group, TyperGroup)
    return {name: {option for one in command.params for option in one.opts} for name, command in group.commands.items()}


def told_commands(text: str) -> set[str]:
    """The commands that a document names as code, after the word `tonnage`."""
    return {name for part in code(text) for name in re.findall(r"\btonnage ([a-z][a-z-]*)", part)}


def table_rows(text: str) -> dict[str, str]:
    """The first cell of each row of a table of commands, by the command it is about."""
    return {found[1]: found[0] for found in re.finditer(r"^\| `tonnage ([a-z-]+)[^`]*`", text, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_named_exists(document: Path) -> None:
    """No document speaks of a command that the front door does not have."""
    assert set() == told_commands(document.read_text(encoding="utf-8")) - set(options())


def test_every_command_has_a_row_with_options_that_it_takes() -> None:
    """The README's table is complete, and what it says can be typed."""
    rows = table_rows(README.read_text(encoding="utf-8"))
    wrong = {name: set(re.findall(r"--[a-z-]+", cell)) - options().get(name, set()) for name, cell in rows.items()}

    assert set(options()) == set(rows)
    assert {} == {name: what for name, what in wrong.items() if what}


def test_a_command_is_told_by_its_code() -> None:
    """Prose is no promise; a span, a block and a row of the table are."""
    text = "A tonnage ship. Use `tonnage sail`.\n\n| `tonnage dive DEEP [--fast]` | dives |\n"

    assert {"sail", "dive"} == told_commands(text)
    assert {"dive": "| `tonnage dive DEEP [--fast]`"} == table_rows(text)


# Files, functions, links.

PLACES = "|".join([*SOURCES, "tests", "docs", "benchmarks", r"\.ci"])
PATH = re.compile(rf"(?<![\w./-])((?:{PLACES})/[\w./-]*|[\w-]+\.(?:py|md|toml))(?![\w*])")
PLACE = re.compile(r"^([\w./-]+\.py):([\w.]+)$")
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")


def missing_files(text: str) -> list[str]:
    """The files and folders of the project that a document names as code and that are not there."""
    named = {path.rstrip(".") for part in code(text) for path in PATH.findall(part)}
    return sorted(path for path in named if not (ROOT / path).exists())


def missing_places(text: str) -> list[str]:
    """The `file.py:function` of a document that are not there; a method is `file.py:Class.method`."""
    places = (PLACE.match(part) for part in code(text))
    return sorted({place[0] for place in places if place and place[2] not in _defined(place[1])})


@cache
def _defined(path: str) -> frozenset[str]:
    """The functions and classes of a file, methods with their class; none where there is no file."""
    file = ROOT / path
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.exists() else []
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in body if isinstance(node, (*functions, ast.ClassDef))}
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    methods = {f"{one.name}.{node.name}" for one in classes for node in one.body if isinstance(node, functions)}
    return frozenset(names | methods)


def broken_links(document: Path, text: str) -> list[str]:
    """The links of a document inside the project that lead nowhere."""
    inside = [link for link in LINK.findall(text) if not re.match(r"https?://", link)]
    return [link for link in inside if not _leads_somewhere(document, text, link)]


def _leads_somewhere(document: Path, text: str, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    if not target.exists():
        return False
    told = target.read_text(encoding="utf-8") if name else text
    return not anchor or anchor in {_slug(heading) for heading in re.findall(r"^#+ (.*)$", told, re.MULTILINE)}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_what_is_not_there_is_noticed() -> None:
    """A missing file, function, method, page and heading each count; what exists does not."""
    text = "# A page\n`sim/run.py` `sim/nosuch.py` `tonnage.py` `nosuch.md`\n"
    places = (
        "`sim/run.py:simulate` `sim/run.py:Performance.play` `sim/run.py:nosuch` `sim/run.py:Run.play` `sim/no.py:a`"
    )
    links = "[a](README.md) [b](nosuch.md) [c](#a-page) [d](#no-page) [e](https://example.org)"

    assert ["nosuch.md", "sim/nosuch.py"] == missing_files(text)
    assert ["sim/no.py:a", "sim/run.py:Run.play", "sim/run.py:nosuch"] == missing_places(places)
    assert ["nosuch.md", "#no-page"] == broken_links(README, text + links)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_everything_named_is_there(document: Path) -> None:
    """Files, functions and links of every document lead somewhere."""
    text = document.read_text(encoding="utf-8")

    assert ([], [], []) == (missing_files(text), missing_places(text), broken_links(document, text))


def test_every_document_that_a_source_names_is_there() -> None:
    """A docstring that sends its reader to a page sends him to one that exists."""
    files = [ROOT / "pyproject.toml", *(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))]
    named = {name for path in files for name in re.findall(r"docs/\w+\.md", path.read_text(encoding="utf-8"))}

    assert named
    assert [] == sorted(name for name in named if not (ROOT / name).exists())


# Lists that must be complete.


def test_the_readme_names_every_reserved_key() -> None:
    """What the language keeps for later is told in full, and nothing that is built is among it."""
    section = README.read_text(encoding="utf-8").partition("## Not built yet")[2]
    named = re.findall(r"`(\w+)`", section.partition("inside other keys")[0])

    assert sorted(Scenario.reserved) == sorted(named)


def test_the_readme_gives_the_bounds_of_agreement() -> None:
    """The four bounds are those that the comparison uses."""
    text = " ".join(README.read_text(encoding="utf-8").split())
    bounds = (
        f"a median error of at most {100 * compare.MEDIAN_ERROR_RATIO_MAX:.0f} %",
        f"a 90th percentile of at most {100 * compare.P90_ERROR_RATIO_MAX:.0f} %",
        f"at least {100 * compare.EQUIVALENT_RATIO_MIN:.0f} % of them equivalent",
        f"different by more than {100 * compare.DIFFERENT_ERROR_RATIO_MAX:.0f} %",
    )

    assert [] == [bound for bound in bounds if bound not in text]


def test_the_physics_page_explains_every_metric_and_constant() -> None:
    """No metric is without its meaning, and no measured constant without its place in a model."""
    text = PHYSICS.read_text(encoding="utf-8")
    numbers = [field.name for field in fields(HostProfile) if field.type != "str"]
    constants = [name for name in numbers if re.search(r"_s(_|$)|^(supervisor|agent)_", name)]
    tails = {f"step_latency_s_{tail}" for tail in ("p95", "p99")}

    assert constants
    assert [] == [name for name in (*METRICS, *constants) if f"`{name}`" not in text and name not in tails]
    assert "`step_latency_s_p50`, `_p95`, `_p99`" in text


def test_the_physics_page_gives_the_window() -> None:
    """How long a run settles before its window and drains after it is told as it is."""
    text = PHYSICS.read_text(encoding="utf-8")

    assert f"{run.SETTLE_S:.1f} s passes (`SETTLE_S`" in text
    assert f"{run.DRAIN_S:.1f} s more (`DRAIN_S`)" in text
