"""Token bucket, with and without debt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios.story import TokenBucket
from sim.policies.rate_limit import Limiter

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy


def spec(
    *, rate: float = 10, capacity: float = 100, level: float = 100, debt: bool = True, shared: bool = False
) -> TokenBucket:
    """A bucket with the given figures."""
    return TokenBucket("llm", rate, capacity, level, "shared" if shared else "agent", debt)


def play(limiter: Limiter, env: simpy.Environment, takes: list[tuple[float, str, float]]) -> list[tuple[float, str]]:
    """Ask at the given times for (agent, tokens); when each was granted is returned."""
    story: list[tuple[float, str]] = []

    def one(at_s: float, agent: str, tokens: float) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(at_s)
        yield limiter.take(agent, tokens)
        story.append((round(env.now, 6), agent))

    for take in takes:
        env.process(one(*take))
    env.run()
    return story


def test_debt_is_worked_off_before_the_next(env: simpy.Environment) -> None:
    """A hundred in hand and 150 spent is -50; at 10 tokens/s the next passes 5 s later."""
    limiter = Limiter(env, spec())

    assert [(0, "a"), (5, "a")] == play(limiter, env, [(0, "a", 150), (0.0, "a", 1)])
    assert 50 == limiter.tally.debt_tokens_max


def test_without_debt_the_whole_amount_is_awaited(env: simpy.Environment) -> None:
    """A drained bucket lets nobody pass until the amount has dripped in."""
    limiter = Limiter(env, spec(debt=False, level=0))

    assert [(3, "a"), (4, "a")] == play(limiter, env, [(0, "a", 30), (0, "a", 10)])
    assert 0 == limiter.tally.debt_tokens_max


def test_bucket_never_holds_more_than_its_capacity(env: simpy.Environment) -> None:
    """After a long rest only one capacity may be spent at once."""
    limiter = Limiter(env, spec(debt=False))

    assert [(1000, "a"), (1010, "a")] == play(limiter, env, [(1000, "a", 100), (1000, "a", 100)])


def test_more_than_the_capacity_passes_with_a_full_bucket(env: simpy.Environment) -> None:
    """An amount that no bucket could ever hold waits for a full one and leaves it in debt."""
    limiter = Limiter(env, spec(debt=False, level=0))

    assert [(10, "a"), (16, "a")] == play(limiter, env, [(0, "a", 150), (0, "a", 10)])


@pytest.mark.parametrize(("shared", "second_s"), [(True, 6.0), (False, 1.0)])
def test_scope_decides_who_waits_for_whom(env: simpy.Environment, *, shared: bool, second_s: float) -> None:
    """Agents of a shared bucket wait for each other; with a bucket each they do not."""
    limiter = Limiter(env, spec(debt=False, level=0, shared=shared))

    assert [(5, "b"), (second_s, "a")][:: 1 if second_s > 5 else -1] == play(limiter, env, [(0, "b", 50), (0, "a", 10)])


def test_tally_tells_what_happened(env: simpy.Environment) -> None:
    """Granted tokens, waits and their seconds add up."""
    limiter = Limiter(env, spec(debt=False, level=0))
    play(limiter, env, [(0, "a", 10), (0, "a", 10)])

    assert (20, 2, 3.0, 0) == (
        limiter.tally.granted_tokens,
        limiter.tally.waits_count,
        limiter.tally.wait_s_sum,
        limiter.tally.waiting_count,
    )


@pytest.mark.timeout(5)
def test_wait_below_the_clocks_resolution_is_none(env: simpy.Environment) -> None:
    """A fast bucket late in a story serves at once what the clock could not wait for."""
    limiter = Limiter(env, spec(rate=1e6, capacity=1e6, level=1e6, debt=False, shared=True))
    takes = [(1e4 + index * 0.1, "a", 333_333.3 + index * 0.7) for index in range(200)]

    assert 200 == len(play(limiter, env, takes))
