"""How a kernel spreads work over cores, as the steps' waits for CPU tell it.

Steps are told apart by their company when they began. Alone, a step waits only where a later one joins its core; beside
fewer others than there are cores, where an idle core was overlooked; beside as many or more, it shares a core anyway.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from math import inf
from statistics import fmean, pvariance
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALONE, WITH_ROOM, CROWDED = range(3)
# A wait above it is a wait: shorter ones are what starting a step takes.
WAIT_S_MIN = 0.001
# Fewer steps than this have no variance worth dividing by.
STEPS_COUNT_MIN = 10


@dataclass(frozen=True, slots=True)
class Spread:
    """The waits for CPU of all steps, in seconds, by the company in which they began."""

    waits_s: tuple[list[float], ...] = field(default_factory=lambda: ([], [], []))

    @property
    def mean_s(self) -> float:
        """The mean over all steps."""
        return fmean([wait_s for waits_s in self.waits_s for wait_s in waits_s] or [0.0])


def spread_of(runs: Iterable[Mapping[str, Sequence[Any]]], cores_count: int) -> Spread:
    """The spread seen in the step tables of some runs of one story on so many cores."""
    spread = Spread()
    for steps in runs:
        rows = sorted(zip(steps["due_s"], steps["finish_s"], steps["cpu_wait_s"], strict=True))
        ends_s: list[float] = []
        for due_s, finish_s, wait_s in rows:
            del ends_s[: bisect_left(ends_s, due_s)]
            company = CROWDED if len(ends_s) >= cores_count else WITH_ROOM if ends_s else ALONE
            spread.waits_s[company].append(wait_s)
            ends_s.insert(bisect_left(ends_s, finish_s), finish_s)
    return spread


def distance(real: Spread, predicted: Spread) -> float:
    """How unlikely it is that two spreads are one: squared differences of means and shares over their variances."""
    pairs = [pair for pair in zip(real.waits_s, predicted.waits_s, strict=True) if len(pair[0]) >= STEPS_COUNT_MIN]
    # A prediction without the steps that reality had is no prediction of them.
    return sum(_distance(*pair) if len(pair[1]) >= STEPS_COUNT_MIN else inf for pair in pairs)


def _distance(real_s: list[float], predicted_s: list[float]) -> float:
    """Of the steps in one company: their mean wait, and the share that waited at all."""
    shares = [fmean(wait_s > WAIT_S_MIN for wait_s in waits_s) for waits_s in (real_s, predicted_s)]
    share = fmean(shares)
    each = 1 / len(real_s) + 1 / len(predicted_s)
    variance = pvariance(real_s) / len(real_s) + pvariance(predicted_s) / len(predicted_s)
    # Where nobody waits in either world there is no difference to weigh.
    of_means = (fmean(real_s) - fmean(predicted_s)) ** 2 / variance if variance else 0.0
    of_shares = (shares[0] - shares[1]) ** 2 / (share * (1 - share) * each) if 0 < share < 1 else 0.0
    return of_means + of_shares
