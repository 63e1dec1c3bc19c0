"""Calls in threads and what follows from them in the loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from live.errors import MachineBug
from live.real_time import CALLS_MAX, LiveEnvironment
from live.slow_calls import SlowCalls

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="env")
def _env() -> Iterator[LiveEnvironment]:
    with LiveEnvironment() as env:
        yield env


@pytest.fixture(name="calls")
def _calls(env: LiveEnvironment) -> Iterator[SlowCalls]:
    calls = SlowCalls(env)
    yield calls
    calls.end(5.0)


@pytest.mark.parametrize("kind", ["engine", "patient"])
def test_an_outcome_is_settled_before_it_is_seen(env: LiveEnvironment, calls: SlowCalls, kind: str) -> None:
    """Work is done in a thread, settling in the loop's own, and whoever waits comes last."""
    seen: list[tuple[object, bool]] = []
    here = threading.get_ident()
    call = getattr(calls, kind)

    done = call(
        lambda: threading.get_ident() == here, lambda value: seen.append((value, threading.get_ident() == here))
    )
    value = env.run(until=done)

    assert seen == [(False, True)]
    assert value is False


@pytest.mark.parametrize("kind", ["engine", "patient"])
def test_what_a_call_raises_is_a_bug(env: LiveEnvironment, calls: SlowCalls, kind: str) -> None:
    """Expected failures are values; anything else ends the run with the exception's words."""
    done = getattr(calls, kind)(lambda: 1 // 0, lambda _: None)

    with pytest.raises(MachineBug, match="ZeroDivisionError"):
        env.run(until=done)


def test_those_that_wait_hold_nobody_up(env: LiveEnvironment, calls: SlowCalls) -> None:
    """More waits than the engine may have calls are all under way at once, and so is a call to the engine."""
    count = CALLS_MAX + 8
    together = threading.Barrier(count + 1, timeout=10.0)
    waits = [calls.patient(together.wait, lambda _: None) for _ in range(count)]

    work = calls.engine(together.wait, lambda _: None)
    env.run(until=env.all_of([*waits, work]))

    assert {wait.value for wait in (*waits, work)} == set(range(count + 1))


def test_a_wait_keeps_the_run_open(env: LiveEnvironment, calls: SlowCalls) -> None:
    """With nothing scheduled the run goes on until the wait is over, and then ends."""
    let_go = threading.Event()
    settled: list[object] = []
    calls.patient(lambda: let_go.wait(10.0), settled.append)
    threading.Timer(0.05, let_go.set).start()

    env.run()

    assert settled == [True]
