"""Rolling window: at most so many tokens within any window of time, and no debt.

An amount frees exactly `window_s` after it was granted. An amount above the limit passes alone, with the window empty.
Source: the later limiter of the agent-ecology project.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sim.timers import after

if TYPE_CHECKING:
    import simpy

    from scenarios.story import RollingWindow
    from sim.policies.token_bucket import LimitTally

# Sums of floats may miss the limit by this much.
_EPSILON_TOKENS = 1e-9
# The clock may miss the end of a window by this much.
_EPSILON_S = 1e-9


class Window:
    """One window: what was granted within it, and those who wait."""

    __slots__ = ("_env", "_granted", "_limit", "_tally", "_used", "_waiting", "_window_s")

    def __init__(self, env: simpy.Environment, spec: RollingWindow, tally: LimitTally) -> None:
        """Begin with nothing spent."""
        self._env = env
        self._limit = spec.limit_tokens
        self._window_s = spec.window_s
        self._tally = tally
        self._used = 0.0
        self._granted: deque[tuple[float, float]] = deque()
        self._waiting: deque[tuple[simpy.Event, float, float]] = deque()

    @property
    def level_tokens(self) -> float:
        """What may be spent now."""
        self._free()
        return self._limit - self._used

    def take(self, tokens: float) -> simpy.Event:
        """Take tokens: the event fires when they are granted, with the seconds waited as its value."""
        granted = self._env.event()
        self._waiting.append((granted, tokens, self._env.now))
        self._tally.waiting_count += 1
        if len(self._waiting) == 1:
            self._serve()
        return granted

    def _free(self) -> None:
        """Forget what was granted a whole window ago."""
        while self._granted and not self._lasts():
            self._used -= self._granted.popleft()[1]
        if not self._granted:
            self._used = 0.0

    def _lasts(self) -> bool:
        """Whether the oldest grant still counts; a rest that the clock cannot resolve is over."""
        left_s = self._granted[0][0] + self._window_s - self._env.now
        return left_s > _EPSILON_S and self._env.now + left_s > self._env.now

    def _serve(self) -> None:
        while self._waiting:
            granted, tokens, since_s = self._waiting[0]
            if min(tokens, self._limit) > self.level_tokens + _EPSILON_TOKENS:
                after(self._env, max(0.0, self._granted[0][0] + self._window_s - self._env.now), self._serve)
                return
            self._waiting.popleft()
            self._used += tokens
            self._granted.append((self._env.now, tokens))
            waited_s = self._env.now - since_s
            self._tally.waiting_count -= 1
            self._tally.granted_tokens += tokens
            self._tally.waits_count += 1
            self._tally.wait_s_sum += waited_s
            granted.succeed(waited_s)
