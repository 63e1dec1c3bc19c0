"""What the coherence checks share: names that are known, what a name stands for, the least a law gives."""

from __future__ import annotations

import pytest

from scenarios.finding import Finding, known, law_least
from scenarios.story import Law


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("one", ["one", "two"], []),
        (None, ["one"], []),
        (None, ["one", "two"], [Finding(("x",), "a name out of hosts: one, two", "one")]),
        ("tow", ["one", "two"], [Finding(("x",), "a name out of hosts: one, two", "two")]),
        ("one", [], [Finding(("x",), "a name out of hosts, and this scenario has none")]),
    ],
)
def test_a_name_must_be_known(name: str | None, names: list[str], expected: list[Finding]) -> None:
    """One that is left out stands for the only one; the nearest is offered for one that nobody knows."""
    assert expected == list(known(("x",), name, "hosts", names))


@pytest.mark.parametrize(
    ("law", "least"),
    [
        (Law("constant", (3.0,)), 3.0),
        (Law("uniform", (2.0, 9.0)), 2.0),
        (Law("empirical", (5.0, 4.0, 6.0)), 4.0),
        (Law("exponential", (7.0,)), 7.0),
        (Law("lognormal", (8.0, 0.5)), 8.0),
        (Law("gamma", (8.0, 0.5)), 8.0),
    ],
)
def test_the_least_of_a_law_is_its_smallest_value_or_its_mean(law: Law, least: float) -> None:
    """A law that begins at 0 has its mean, never its coefficient of variation."""
    assert least == law_least(law)
