"""An LLM provider: limits per minute, refusals, back-off, price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.story import Law, Provider
from sim.policies.provider import LlmProvider

if TYPE_CHECKING:
    import simpy


def provider(env: simpy.Environment, *, rpm: float | None = None, tpm: float | None = None) -> LlmProvider:
    """A provider that charges 1 USD per million input and 2 per million output tokens."""
    return LlmProvider(env, Provider("p", Law("constant", (1,)), rpm, tpm, 1.0, 0.5, 3, 1e-6, 2e-6))


def test_requests_beyond_the_minute_are_refused(env: simpy.Environment) -> None:
    """Of three calls at once under two a minute the third is a 429, and passes once half a minute has gone by."""
    one = provider(env, rpm=2)
    answers = [one.try_call(1, 1) for _ in range(3)]
    env.run(until=30)

    assert [True, True, False, True] == [*answers, one.try_call(1, 1)]
    assert (3, 1) == (one.tally.calls_count, one.tally.refusals_count)


def test_refused_calls_cost_nothing(env: simpy.Environment) -> None:
    """Only calls that passed are charged, input and output by their own price."""
    one = provider(env, tpm=3_000)
    answers = [one.try_call(1_000, 2_000), one.try_call(1_000, 2_000)]

    assert [True, False] == answers
    assert 1_000 * 1e-6 + 2_000 * 2e-6 == one.tally.cost_usd


def test_back_off_doubles_with_jitter_and_ends(env: simpy.Environment) -> None:
    """Waits double from the provider's own figure, luck adds up to half, and after three retries it is over."""
    one = provider(env, rpm=1)

    assert [1.0, 2.0, 4.0, None] == [one.back_off_s(count, 0.0) for count in (1, 2, 3, 4)]
    assert 1.5 == one.back_off_s(1, 1.0)
    assert 1 == one.tally.failures_count


def test_unlimited_provider_refuses_nobody(env: simpy.Environment) -> None:
    """Without limits every call passes, and the agent need not ask."""
    one = provider(env)

    assert not one.limited
    assert all(one.try_call(1e9, 1e9) for _ in range(1000))
