"""What the waits of steps tell of how a kernel spreads work."""

from __future__ import annotations

import math

import pytest

from live.spreading import Spread, distance, spread_of


def steps(*rows: tuple[float, float, float]) -> dict[str, list[float]]:
    """A table of steps: due, finish, wait, in seconds."""
    due_s, finish_s, wait_s = zip(*rows, strict=True)
    return {"due_s": list(due_s), "finish_s": list(finish_s), "cpu_wait_s": list(wait_s)}


def test_steps_are_told_apart_by_their_company() -> None:
    """Company is who was under way when a step began: not who ended before, nor who came later."""
    spread = spread_of(
        [
            steps((0.0, 1.0, 0.1), (0.5, 3.0, 0.2), (2.0, 2.5, 0.3), (2.1, 2.2, 0.4), (2.15, 2.3, 0.5)),
            steps((0.0, 9.0, 0.6)),
        ],
        2,
    )

    assert spread.waits_s == ([0.1, 0.6], [0.2, 0.3], [0.4, 0.5])
    assert spread.mean_s == pytest.approx(0.35)


def test_the_order_of_rows_does_not_matter() -> None:
    """Steps are recorded as they end, and compared as they begin."""
    rows = [(0.0, 1.0, 0.1), (0.5, 3.0, 0.2), (2.0, 2.5, 0.3)]

    assert spread_of([steps(*reversed(rows))], 2) == spread_of([steps(*rows)], 2)


def test_equal_spreads_are_not_apart() -> None:
    """No distance between a spread and itself, nor between two in which nobody waits."""
    some = Spread(([0.002, 0.0] * 10, [0.003, 0.004] * 10, []))
    nobody = Spread(([0.0] * 20, [0.0] * 20, [0.0] * 20))

    assert distance(some, some) == 0.0
    assert distance(nobody, nobody) == 0.0


def test_distance_is_in_variances() -> None:
    """Means of 0 and 1 over 20 steps each, by their variances; shares of 1/2 and 1 by that of their mean."""
    one = Spread(([-1.0, 1.0] * 10, [], []))
    other = Spread(([0.01, 1.99] * 10, [], []))
    of_means = 1 / (1 / 20 + 0.99**2 / 20)
    of_shares = 0.25 / (0.75 * 0.25 * 0.1)

    assert distance(one, other) == pytest.approx(of_means + of_shares)


def test_few_steps_say_nothing() -> None:
    """Nine steps in one company are too few to weigh."""
    assert distance(Spread(([0.5] * 9, [], [])), Spread(([0.0] * 9, [], []))) == 0.0


def test_a_prediction_without_what_reality_had_is_none() -> None:
    """A candidate does not come near by making the steps it would have to explain disappear."""
    assert distance(Spread(([0.5] * 20, [], [])), Spread(([], [0.5] * 20, []))) == math.inf


def test_room_is_counted_in_cores() -> None:
    """Beside two others there is room on four cores and none on two."""
    rows = steps((0.0, 9.0, 0.1), (1.0, 9.0, 0.2), (2.0, 9.0, 0.3))

    assert spread_of([rows], 4).waits_s == ([0.1], [0.2, 0.3], [])
    assert spread_of([rows], 2).waits_s == ([0.1], [0.2], [0.3])
