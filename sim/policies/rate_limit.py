"""A rate limit as the agents see it: `take`, whether each has a bucket of its own or all share one.

The rate of a token bucket can be turned while the story goes on; then it is another one for all its buckets.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scenarios.story import RateLimit, TokenBucket
from sim.policies.rolling_window import Window
from sim.policies.token_bucket import Bucket, LimitTally

if TYPE_CHECKING:
    import simpy


class Limiter:
    """One rate limit of the story, with what it did so far in `tally`."""

    def __init__(self, env: simpy.Environment, spec: RateLimit) -> None:
        """Have no bucket yet; each is made, full as the scenario says, when it is first asked."""
        self.name = spec.name
        self.tally = LimitTally()
        self._env = env
        self._spec = spec
        self._parts: dict[str, Bucket | Window] = {}
        if spec.scope == "shared":
            self._part("")

    def admit(self, agent: str) -> None:
        """Give an agent its bucket now, so that it fills from the start of the story."""
        self._part(agent)

    def take(self, agent: str, tokens: float) -> simpy.Event:
        """Take tokens for an agent: the event fires when they are granted, with the seconds waited as its value."""
        return self._part(agent).take(tokens)

    def turn(self, rate_tokens_per_s: float) -> None:
        """Let every bucket fill at another rate from now on, those that are yet to be made too."""
        assert isinstance(self._spec, TokenBucket), "a window has no rate to turn"
        self._spec = replace(self._spec, rate_tokens_per_s=rate_tokens_per_s)
        for bucket in self._buckets:
            bucket.turn(rate_tokens_per_s)

    @property
    def rate_tokens_per_s(self) -> float | None:
        """The rate at which each bucket fills now; None for a rolling window, which has none."""
        return self._spec.rate_tokens_per_s if isinstance(self._spec, TokenBucket) else None

    @property
    def level_tokens_min(self) -> float:
        """The lowest level of any bucket now; below zero it is debt."""
        return min((part.level_tokens for part in self._parts.values()), default=0.0)

    @property
    def bucket_wait_s_sum(self) -> float:
        """The time that was spent waiting for tokens of buckets so far, the waits under way included."""
        return self.tally.wait_s_sum + math.fsum(bucket.waiting_s for bucket in self._buckets)

    @property
    def _buckets(self) -> list[Bucket]:
        return [part for part in self._parts.values() if isinstance(part, Bucket)]

    def _part(self, agent: str) -> Bucket | Window:
        key = agent if self._spec.scope == "agent" else ""
        part = self._parts.get(key)
        if part is None:
            spec = self._spec
            if isinstance(spec, TokenBucket):
                part = Bucket(self._env, spec, self.tally)
            else:
                part = Window(self._env, spec, self.tally)
            self._parts[key] = part
        return part
