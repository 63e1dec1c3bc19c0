"""Rolling window: an amount frees exactly one window after it was spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.story import RollingWindow
from sim.policies.rate_limit import Limiter

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy


def granted_times(env: simpy.Environment, takes: list[tuple[float, float]]) -> list[float]:
    """Ask at the given times for the given amounts of a window of 100 tokens per 60 s."""
    limiter = Limiter(env, RollingWindow("tpm", 100, 60, "shared"))
    times: list[float] = []

    def one(at_s: float, tokens: float) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(at_s)
        yield limiter.take("a", tokens)
        times.append(env.now)

    for at_s, tokens in takes:
        env.process(one(at_s, tokens))
    env.run()
    return times


def test_amount_frees_after_exactly_one_window(env: simpy.Environment) -> None:
    """What does not fit waits until the oldest amount is a window old."""
    assert [0, 10, 60] == granted_times(env, [(0, 60), (10, 40), (20, 30)])


def test_overspending_is_refused_not_owed(env: simpy.Environment) -> None:
    """With 40 left, 50 wait although some are there: a window has no debt."""
    assert [0, 60] == granted_times(env, [(0, 60), (1, 50)])


def test_more_than_the_limit_passes_alone(env: simpy.Environment) -> None:
    """An amount above the limit waits for an empty window, and then blocks a whole one."""
    assert [0, 60, 120] == granted_times(env, [(0, 10), (1, 500), (2, 1)])
