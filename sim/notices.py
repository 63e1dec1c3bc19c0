"""What a machine says unasked, on its way to whoever listens: in order and once, unless the story says otherwise.

Real engines are rude: events come late, twice, out of order, before the answer of the call that caused them, or never.
Both machines put their notices through here, so that a story can make either of them as rude as it likes, by seed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import simpy

from sim.randomness import LawStream, Stream
from sim.timers import after

if TYPE_CHECKING:
    from scenarios.story import RudeNotices
    from sim.machine import Notice

KEY = "notices"
# A second telling comes this much after the first, as an engine's own stream does that is read anew.
TWICE_AFTER_S = 0.05


class Notices:
    """The way from a machine to `store`; `rude` None is a polite machine."""

    def __init__(self, env: simpy.Environment, rude: RudeNotices | None, seed: int) -> None:
        """Have told nothing yet."""
        self.store = simpy.Store(env)
        self._env = env
        self._rude = rude
        self._count = 0
        self._luck = {what: Stream(seed, KEY, what) for what in ("late", "twice", "early", "lost")}
        self._late = None if rude is None else LawStream(rude.late_s, seed, KEY, "late by")

    def put(self, notice: Notice, delay_s: float = 0.0) -> None:
        """Tell `notice` after the delay that physics gives it; `noticed_s` is set to when it is told."""
        if self._rude is None:
            self._tell_after(notice, delay_s)
            return
        number, self._count = self._count, self._count + 1
        if self._has_luck("lost", self._rude.lost_ratio, number):
            return
        if self._has_luck("early", self._rude.early_ratio, number):
            delay_s = 0.0
        elif self._late is not None and self._has_luck("late", self._rude.late_ratio, number):
            delay_s += self._late.value(number)
        self._tell_after(notice, delay_s)
        if self._has_luck("twice", self._rude.twice_ratio, number):
            self._tell_after(notice, delay_s + TWICE_AFTER_S)

    def _has_luck(self, what: str, ratio: float, number: int) -> bool:
        return self._luck[what].uniform(number) < ratio

    def _tell_after(self, notice: Notice, delay_s: float) -> None:
        if delay_s > 0:
            after(self._env, delay_s, lambda: self._tell(notice))
        else:
            self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        self.store.put(replace(notice, noticed_s=float(self._env.now)))
