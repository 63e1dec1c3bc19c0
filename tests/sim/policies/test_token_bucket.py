"""Token bucket, with and without debt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from scenarios.story import RollingWindow, TokenBucket
from sim.policies.rate_limit import Limiter
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Generator


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


# Turning the rate.


def turned(env: simpy.Environment, limiter: Limiter, turns: list[tuple[float, float]]) -> None:
    """Have the rate turned at the given times."""
    for at_s, rate in turns:
        after(env, at_s, partial(limiter.turn, rate))


def test_what_dripped_in_before_did_so_at_the_old_rate(env: simpy.Environment) -> None:
    """Three seconds at ten a second and two at twenty are seventy, and no more than the bucket holds."""
    limiter = Limiter(env, spec(level=0, shared=True))
    turned(env, limiter, [(3, 20)])
    env.run(until=5)
    after_five = limiter.level_tokens_min
    env.run(until=60)

    assert (70, 100) == (after_five, limiter.level_tokens_min)


@pytest.mark.parametrize(("rate", "granted_s"), [(100, 5.5), (1, 55.0)])
def test_who_waits_is_served_by_the_new_rate(env: simpy.Environment, rate: float, granted_s: float) -> None:
    """Half of a hundred is there after five seconds; the rest comes ten times sooner, or ten times later."""
    limiter = Limiter(env, spec(debt=False, level=0))
    turned(env, limiter, [(5, rate)])

    assert [(granted_s, "a"), (granted_s + 10 / rate, "a")] == play(limiter, env, [(0, "a", 100), (0, "a", 10)])
    assert (2, 0, 110) == (limiter.tally.waits_count, limiter.tally.waiting_count, limiter.tally.granted_tokens)


def test_debt_is_worked_off_at_the_new_rate(env: simpy.Environment) -> None:
    """Fifty owed at ten a second are thirty after two, which are paid in one second at thirty."""
    limiter = Limiter(env, spec())
    turned(env, limiter, [(2, 30)])

    assert [(0, "a"), (3, "a")] == play(limiter, env, [(0, "a", 150), (0, "a", 1)])


@given(
    st.lists(st.tuples(st.floats(0.1, 20), st.floats(0.1, 100)), max_size=6),
    st.floats(1, 99),
)
def test_a_grant_comes_when_enough_has_dripped_in(turns: list[tuple[float, float]], tokens: float) -> None:
    """However often the rate is turned, the wait is as long as the rates together need, and the level is exact."""
    env = simpy.Environment()
    limiter = Limiter(env, spec(debt=False, level=0))
    at_s, rate, dripped, times = 0.0, 10.0, 0.0, []
    for lasts_s, following in turns:
        if dripped + lasts_s * rate >= tokens:
            break
        dripped, at_s, rate = dripped + lasts_s * rate, at_s + lasts_s, following
        times.append((at_s, rate))
    turned(env, limiter, times)

    ((granted_s, _),) = play(limiter, env, [(0, "a", tokens)])
    assert at_s + (tokens - dripped) / rate == pytest.approx(granted_s, abs=2e-6)
    assert 1 == limiter.tally.waits_count


def test_every_bucket_has_the_new_rate(env: simpy.Environment) -> None:
    """Those that are there and those made later; the scenario's level is where a later one begins."""
    limiter = Limiter(env, spec(debt=False, level=0))
    limiter.admit("a")
    limiter.turn(20)

    assert 20 == limiter.rate_tokens_per_s
    assert [(1, "a"), (3, "b")] == play(limiter, env, [(0, "a", 20), (2, "b", 20)])


def test_waits_under_way_are_counted(env: simpy.Environment) -> None:
    """What was waited so far is known at any time, to whomever it will be granted."""
    limiter = Limiter(env, spec(debt=False, level=0, shared=True))
    sums: list[float] = []
    for at_s in (1.0, 4.0):
        after(env, at_s, lambda: sums.append(limiter.bucket_wait_s_sum))
    play(limiter, env, [(0, "a", 20), (0, "b", 1000)])

    # Two wait for a second; one is served after two seconds, and the other has waited four by then.
    assert [2.0, 6.0] == sums


def test_a_window_has_no_rate(env: simpy.Environment) -> None:
    """There is nothing to turn in a rolling window."""
    limiter = Limiter(env, RollingWindow("llm", 100, 60, "shared"))

    assert limiter.rate_tokens_per_s is None
    with pytest.raises(AssertionError, match="no rate to turn"):
        limiter.turn(10)
