"""Risk: how likely a run misses a goal, told from how many runs did, and when that is known well enough.

Formula: the exact interval of a share of independent runs by Clopper and Pearson (Biometrika 26, 1934), whose ends are
quantiles of beta distributions. A value is looked at again and again until its interval lies on one side of the risk,
and whoever looks often enough sees anything. So the looks are planned, and each has its equal share of the error
(Bonferroni): all intervals of one value hold together with at least the confidence asked for, wherever one stops.
Known to be rough: looks at the same runs depend on one another, so the intervals are wider than they need be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["fits", "does not fit", "undecided"]

# From one look to the next while so few runs can only show that a value does not fit.
SCOUTS_FACTOR = 3
# From the look at which no miss at all shows that a value fits, so many times as many runs; then it stays open.
LATER_FACTORS = (1, 2)
# No value is worth more runs, however small the risk.
RUNS_COUNT_MAX = 10_000
# The plan depends on how many looks there are, and that on the plan; it settles within a few rounds.
PLAN_ROUNDS_MAX = 20
# An interval that ends exactly at the risk is on its side, whatever the last bit says.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RiskRule:
    """When a value fits: its risk is at most `risk_ratio`, known with `confidence_ratio` at one of the `looks`."""

    risk_ratio: float
    confidence_ratio: float
    looks: tuple[int, ...]

    @property
    def tail_ratio(self) -> float:
        """How likely one end of the interval may be wrong at one look."""
        return _tail_ratio(self.confidence_ratio, len(self.looks))

    def next_look(self, runs_count: int) -> int | None:
        """How many runs the next look has; None after the last."""
        return next((look for look in self.looks if look > runs_count), None)

    def interval(self, misses_count: int, runs_count: int) -> tuple[float, float]:
        """Between which two risks the true one lies."""
        # Loaded here because it takes longer than all the rest of the module.
        from scipy.special import betaincinv

        low, high = 0.0, 1.0
        if misses_count > 0:
            low = float(betaincinv(misses_count, runs_count - misses_count + 1, self.tail_ratio))
        if misses_count < runs_count:
            high = float(betaincinv(misses_count + 1, runs_count - misses_count, 1.0 - self.tail_ratio))
        return low, high

    def verdict(self, misses_count: int, runs_count: int) -> Verdict:
        """Whether the value is known to fit, known not to, or neither."""
        low, high = self.interval(misses_count, runs_count)
        if high <= self.risk_ratio + ROUNDING:
            return "fits"
        return "does not fit" if low > self.risk_ratio + ROUNDING else "undecided"

    def can_show(self, verdict: Verdict) -> bool:
        """Whether the last look has runs enough to come to a verdict at all."""
        last = self.looks[-1]
        return self.verdict(0 if verdict == "fits" else last, last) == verdict

    def telling_runs_count(self) -> int | None:
        """How many runs a value takes at most until it can be known to fit; None where this rule has them."""
        if self.can_show("fits"):
            return None
        least = clear_runs_count(self.risk_ratio, _tail_ratio(self.confidence_ratio, 1))
        counts = range(max(least, self.looks[0]), RUNS_COUNT_MAX + 1)
        rules = (planned(self.risk_ratio, self.confidence_ratio, self.looks[0], count) for count in counts)
        return next((rule.looks[-1] for rule in rules if rule.can_show("fits")), None)

    def seems_to_fit(self, misses_count: int, runs_count: int) -> bool:
        """Whether the value fits as far as the share of missed runs goes."""
        return misses_count <= self.risk_ratio * runs_count + ROUNDING


def planned(risk_ratio: float, confidence_ratio: float, runs_count: int, runs_count_max: int | None = None) -> RiskRule:
    """Plan the looks: the first at `runs_count` runs, the last at `runs_count_max`, or where more is not worth it."""
    looks: tuple[int, ...] = (runs_count,)
    for _ in range(PLAN_ROUNDS_MAX):
        clear_count = clear_runs_count(risk_ratio, _tail_ratio(confidence_ratio, len(looks)))
        found = _looks(clear_count, runs_count, runs_count_max)
        settled = len(found) == len(looks)
        looks = found
        if settled:
            break
    return RiskRule(risk_ratio, confidence_ratio, looks)


def clear_runs_count(risk_ratio: float, tail_ratio: float) -> int:
    """How many runs without a single miss show that the risk is not higher: (1 - risk)^runs <= tail."""
    return max(1, math.ceil(math.log(tail_ratio) / math.log1p(-risk_ratio) - ROUNDING))


def _tail_ratio(confidence_ratio: float, looks_count: int) -> float:
    """Half of the error for each end, an equal share of it for each look."""
    return (1.0 - confidence_ratio) / 2.0 / looks_count


def _looks(clear_count: int, first_count: int, last_count: int | None) -> tuple[int, ...]:
    wanted = [first_count, *(clear_count * factor for factor in LATER_FACTORS)]
    scouts_count = first_count * SCOUTS_FACTOR
    while scouts_count < clear_count / 2:
        wanted.append(scouts_count)
        scouts_count *= SCOUTS_FACTOR
    if last_count is not None:
        wanted.append(last_count)
    most_count = RUNS_COUNT_MAX if last_count is None else last_count
    return tuple(sorted({min(max(count, first_count), most_count) for count in wanted}))
