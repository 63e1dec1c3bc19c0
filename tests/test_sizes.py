"""How long functions and files have become: told at the end of every test run, a prompt to think and not a gate."""

from __future__ import annotations

import ast
from itertools import chain
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
PACKAGES = ("scenarios", "sim", "live", "dashboard")
FILES_TOLD = 5


def function_sizes(text: str) -> list[tuple[int, str]]:
    """Lines and name of every function, docstring included, decorators apart."""
    return [
        ((node.end_lineno or node.lineno) - node.lineno + 1, node.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def told(sources: dict[str, str]) -> list[str]:
    """The two lines about all functions and files, given as text by path."""
    functions = [(size, f"{path}: {name}") for path, text in sources.items() for size, name in function_sizes(text)]
    sizes = [size for size, _ in functions]
    usual, many = median(sizes), quantiles(sizes, n=10, method="inclusive")[-1]
    longest, where = max(functions)
    files = sorted(((len(text.splitlines()), path) for path, text in sources.items()), reverse=True)
    return [
        f"lines of a function: median {usual:.0f}, 90th percentile {many:.0f}, longest {longest} ({where})",
        "longest files: " + ", ".join(f"{path} ({lines})" for lines, path in files[:FILES_TOLD]),
    ]


def test_a_function_is_as_long_as_its_lines() -> None:
    """The signature, the docstring and the body count; what decorates a function and what follows it does not."""
    text = '@cache\ndef one() -> int:\n    """One."""\n    return 1\n\n\nasync def two(): ...\n'

    assert [(3, "one"), (1, "two")] == function_sizes(text)


def test_the_longest_are_named_first() -> None:
    """The function and the files that most need a look are named with their place."""
    sources = {"a.py": "def one():\n    return 1\n", "b.py": "def two(): ...\ndef three(): ...\nx = 1\n"}

    expected = ["lines of a function: median 1, 90th percentile 2, longest 2 (a.py: one)"]
    assert [*expected, "longest files: b.py (3), a.py (2)"] == told(sources)


def test_sizes_are_told_at_the_end(closing_lines: list[str]) -> None:
    """Each test run ends with what is true of the sources now."""
    paths = chain([ROOT / "tonnage.py"], *((ROOT / package).rglob("*.py") for package in PACKAGES))
    lines = told({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths})
    closing_lines.extend(lines)

    assert lines == closing_lines[-len(lines) :]
