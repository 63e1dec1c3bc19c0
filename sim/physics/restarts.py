"""Restart policies: whether an engine starts a container anew that ended unasked, and how long it waits before.

Rule: 100 ms, doubling with each restart up to 60 s, and 100 ms again after a life of at least 10 s.
Source: Docker's restartmanager (`ShouldRestart`); after the loss of an engine: measured on Docker 20.10
(`docs/physics.md`, section Container life).
Known to be wrong: whether the loss of a host counts among the retries of `on-failure` was not measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.story import RestartPolicy
    from sim.machine import Blow

BACK_OFF_S_MIN = 0.1
BACK_OFF_S_MAX = 60.0
BACK_OFF_FACTOR = 2
# What a returning engine says of a container whose end it did not see.
_FOUND_DEAD_EXIT = 255
# A life this long makes the next wait the shortest again.
UP_S_MIN = 10.0


class Restarts:
    """The restarts of one container: how many there were, and what its policy says of the next."""

    __slots__ = ("_back_off_s", "_policy", "count")

    def __init__(self, policy: RestartPolicy) -> None:
        """Have seen none."""
        self._policy = policy
        self._back_off_s = 0.0
        self.count = 0

    def after_end(self, exit_code: int, up_s: float) -> float | None:
        """The wait before the restart that follows an unasked end after `up_s`; None where none does."""
        if up_s >= UP_S_MIN:
            self._back_off_s = 0.0
        self._back_off_s = min(max(BACK_OFF_S_MIN, self._back_off_s * BACK_OFF_FACTOR), BACK_OFF_S_MAX)
        return self._count_one(self._back_off_s) if self._follows(exit_code) else None

    def after_loss(self, blow: Blow) -> float | None:
        """The wait before the restart by an engine that is back, which is none; None where it leaves the container.

        It finds dead what was lost with its host, which is a failure; what it has to end itself after a crash counts as
        stopped by hand, and what it had ended in order before it went as a success.
        """
        self._back_off_s = 0.0
        back = {
            "stop": self._policy.condition in {"always", "unless-stopped"},
            "crash": self._policy.condition == "always",
            "loss": self._follows(_FOUND_DEAD_EXIT),
        }
        return self._count_one(0.0) if back[blow] else None

    def _follows(self, exit_code: int) -> bool:
        policy = self._policy
        if policy.condition == "on-failure":
            return exit_code != 0 and (policy.retries_max == 0 or self.count < policy.retries_max)
        return policy.condition in {"always", "unless-stopped"}

    def _count_one(self, wait_s: float) -> float:
        self.count += 1
        return wait_s
