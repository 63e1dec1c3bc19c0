"""Keyed draws: pure functions of seed, owner, purpose and index."""

from __future__ import annotations

import math

import pytest

from scenarios.story import Law
from sim.randomness import LawStream, Stream

DRAWS_COUNT = 20_000


def test_same_key_gives_same_numbers() -> None:
    """Two streams of one key agree at every index, in any order of asking."""
    first, second = Stream(7, "worker/0", "think"), Stream(7, "worker/0", "think")

    assert [first.uniform(index) for index in range(5)] == [second.uniform(index) for index in (0, 1, 2, 3, 4)]


@pytest.mark.parametrize("other", [(8, "worker/0", "think"), (7, "worker/1", "think"), (7, "worker/0", "cpu")])
def test_any_part_of_the_key_changes_the_numbers(other: tuple[int, str, str]) -> None:
    """Seed, owner and purpose each make another stream."""
    assert Stream(7, "worker/0", "think").uniform(0) != Stream(*other).uniform(0)


def test_known_bits_do_not_change() -> None:
    """The numbers are the same on every machine and in every version: recorded runs depend on it."""
    stream = Stream(1, "worker/0", "0/cpu")

    assert [0.5396250951750041, 0.02419938436668906, 0.3130319008506423] == [
        stream.uniform(index) for index in range(3)
    ]


def test_uniform_is_uniform() -> None:
    """Means and squares of many draws are those of the open unit interval, within five standard errors."""
    values = [Stream(3, "a", "b").uniform(index) for index in range(DRAWS_COUNT)]

    assert all(0 < value < 1 for value in values)
    assert abs(sum(values) / DRAWS_COUNT - 0.5) < 5 * math.sqrt(1 / 12 / DRAWS_COUNT)
    assert abs(sum(value * value for value in values) / DRAWS_COUNT - 1 / 3) < 5 * math.sqrt(4 / 45 / DRAWS_COUNT)


@pytest.mark.parametrize(
    ("law", "mean", "cv"),
    [
        (Law("constant", (0.2,)), 0.2, 0.0),
        (Law("uniform", (1.0, 3.0)), 2.0, 1 / math.sqrt(12)),
        (Law("exponential", (0.2,)), 0.2, 1.0),
        (Law("lognormal", (4.0, 0.5)), 4.0, 0.5),
        (Law("gamma", (2.0, 0.7)), 2.0, 0.7),
        (Law("gamma", (2.0, 2.0)), 2.0, 2.0),
        (Law("empirical", (1.0, 2.0, 3.0)), 2.0, math.sqrt(2 / 3) / 2),
    ],
)
def test_laws_have_their_mean_and_spread(law: Law, mean: float, cv: float) -> None:
    """Mean and coefficient of variation of many draws are the law's own."""
    stream = LawStream(law, 5, "a", "b")
    values = [stream.value(index) for index in range(DRAWS_COUNT)]
    found = sum(values) / DRAWS_COUNT
    spread = math.sqrt(sum((value - found) ** 2 for value in values) / DRAWS_COUNT) / found

    assert abs(found / mean - 1) <= 5 * cv / math.sqrt(DRAWS_COUNT) + 1e-9
    assert abs(spread - cv) <= 0.08 * cv + 1e-9


def test_largest_draw_is_below_one() -> None:
    """The index whose bits are all set would round to 1, which a normal draw does not take."""
    assert 1 - 2**-53 == Stream(1, "a", "b").uniform(18358543940080197187)
