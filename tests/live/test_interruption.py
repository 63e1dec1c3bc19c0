"""Signals during a live run: none is lost, none ends the clean-up, and what is ignored stays ignored."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from live.interruption import SIGNALS, interruptible
from live.real_time import LiveEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("heeded_signals")


@pytest.fixture(autouse=True)
def _same_handlers_after() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_loop(number: signal.Signals) -> None:
    """It is raised by the loop, as KeyboardInterrupt."""
    with LiveEnvironment() as env, interruptible(env):
        env.timeout(0.0).callbacks = [lambda _: os.kill(os.getpid(), number)]
        with pytest.raises(KeyboardInterrupt):
            env.run(until=10.0)

    assert not env.interrupted


def test_a_signal_during_the_clean_up_comes_after_it() -> None:
    """The clean-up goes on to its end, and then the program ends as it would have."""
    done: list[str] = []

    def clean_up() -> None:
        with LiveEnvironment() as env, interruptible(env):
            os.kill(os.getpid(), signal.SIGINT)
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        clean_up()

    assert done == ["cleaned up"]


def test_what_failed_is_not_hidden_by_a_signal() -> None:
    """An exception that is under way goes on, whatever came meanwhile."""

    def fail() -> None:
        with LiveEnvironment() as env, interruptible(env):
            os.kill(os.getpid(), signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_an_ignored_signal_stays_ignored() -> None:
    """A run under nohup outlives its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with LiveEnvironment() as env, interruptible(env):
        os.kill(os.getpid(), signal.SIGHUP)
        env.run(until=env.timeout(0.01))

    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
