"""Token bucket: how fast calls may pass, with or without debt.

Formula: level = min(capacity, level + elapsed * rate), computed lazily when somebody looks.
With debt a taker passes whenever the level is not negative, and the whole amount is deducted: 100 in hand, 150 spent is
-50, and at 10 tokens/s the next one passes 5 s later. Without debt it waits until the level holds the whole amount.
Takers pass in the order they came. The rate can be turned: what dripped in before did so at the old rate.
Source: the bucket of the agent-ecology project, and the shaping bucket of queueing theory.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sim.timers import after

if TYPE_CHECKING:
    import simpy

    from scenarios.story import TokenBucket

# A level this little below what is needed counts as enough: clocks add up with rounding.
_EPSILON_TOKENS = 1e-9


@dataclass(slots=True)
class LimitTally:
    """What a rate limit did so far: for the record, in tokens and seconds."""

    granted_tokens: float = 0.0
    waits_count: int = 0
    wait_s_sum: float = 0.0
    waiting_count: int = 0
    debt_tokens_max: float = 0.0


class Bucket:
    """One bucket: a level that fills at a rate, and those who wait for it."""

    __slots__ = ("_alarm", "_at_s", "_capacity", "_debt", "_env", "_level", "_rate", "_tally", "_waiting")

    def __init__(self, env: simpy.Environment, spec: TokenBucket, tally: LimitTally) -> None:
        """Begin with the level the scenario gives."""
        self._env = env
        self._rate = spec.rate_tokens_per_s
        self._capacity = spec.capacity_tokens
        self._debt = spec.debt
        self._level = spec.level_tokens
        self._at_s = env.now
        self._tally = tally
        self._waiting: deque[tuple[simpy.Event, float, float]] = deque()
        # The number of the timer that counts; SimPy cannot call one off, so those set before it fire for nothing.
        self._alarm = 0

    @property
    def level_tokens(self) -> float:
        """The level now; below zero it is debt."""
        elapsed = self._env.now - self._at_s
        return min(self._capacity, self._level + elapsed * self._rate)

    @property
    def waiting_s(self) -> float:
        """How long those who wait now have waited so far, added up."""
        return math.fsum(self._env.now - since_s for _granted, _tokens, since_s in self._waiting)

    def take(self, tokens: float) -> simpy.Event:
        """Take tokens: the event fires when they are granted, with the seconds waited as its value."""
        granted = self._env.event()
        self._waiting.append((granted, tokens, self._env.now))
        self._tally.waiting_count += 1
        if len(self._waiting) == 1:
            self._serve()
        return granted

    def turn(self, rate_tokens_per_s: float) -> None:
        """Fill at another rate from now on; who waits is served by it, sooner or later than was foreseen."""
        self._level = self.level_tokens
        self._at_s = self._env.now
        self._rate = rate_tokens_per_s
        self._serve()

    def _needed(self, tokens: float) -> float:
        """The level at which this amount passes; more than a full bucket is never asked for."""
        return 0.0 if self._debt else min(tokens, self._capacity)

    def _serve(self) -> None:
        """Let pass whoever can, then sleep until the next one can."""
        self._alarm += 1
        while self._waiting:
            granted, tokens, since_s = self._waiting[0]
            missing = self._needed(tokens) - self.level_tokens
            wait_s = missing / self._rate
            # A wait that the clock cannot resolve would come back to this instant for ever.
            if missing > _EPSILON_TOKENS and self._env.now + wait_s > self._env.now:
                after(self._env, wait_s, partial(self._wake, self._alarm))
                return
            self._waiting.popleft()
            self._spend(tokens)
            self._note(tokens, self._env.now - since_s)
            granted.succeed(self._env.now - since_s)

    def _wake(self, alarm: int) -> None:
        """Go on serving, unless the rate was turned since this timer was set."""
        if alarm == self._alarm:
            self._serve()

    def _spend(self, tokens: float) -> None:
        self._level = self.level_tokens - tokens
        self._at_s = self._env.now

    def _note(self, tokens: float, waited_s: float) -> None:
        tally = self._tally
        tally.waiting_count -= 1
        tally.granted_tokens += tokens
        tally.waits_count += 1
        tally.wait_s_sum += waited_s
        tally.debt_tokens_max = max(tally.debt_tokens_max, -self._level)
