"""The rules of a calibration: which rate follows one that was tried, and whether the course can still end well.

`as_written`: above one bound the rate is multiplied by a factor below 1, below another by one above 1, else kept. As
the bounds lie outside the band, there are two zones in which the rule is content and the CPU is not in the band.
`damped`: outside the band the rate is multiplied by middle of the band / CPU, within the two factors. The highest rate
known to be too low and the lowest known to be too high bracket it; a step that would leave the bracket becomes their
geometric mean. Each rate tried lies strictly inside the bracket, so that none comes twice, whatever the response.

CPU is taken to rise with the rate, so rates that were left both ways bracket those that might do, for the written rule
too. It is `oscillating` where, through all rounds that are left and at least there and back once, none of the rates
that it would go on to lies inside. So a course that could still come to a rate that does is never called that, though
steps that creep up on it (1.3 and 0.8 rise by 4 % there and back) go to and fro on their way.
Source: the calibration process of the agent-ecology document; the bracket is the classical safeguarded root search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scenarios.story import Calibrate

Side = Literal["below", "inside", "above"]

# Rates that differ by less are the same rate.
SAME_RATE_RATIO = 1e-3
# The smallest steps that a scenario may ask for go there and back in fewer than this.
FORESEEN_COUNT_MAX = 1000
# The damped rule ends where its bracket is narrower than this, and makes no smaller steps than half of it.
BRACKET_RATIO_MIN = 0.01
STEP_RATIO_MIN = 0.005


@dataclass(frozen=True, slots=True)
class Load:
    """The CPU of a window as a part of its limit, and the part of its tokens that came from a store."""

    cpu_ratio: float
    stock_ratio: float

    def side(self, terms: Calibrate) -> Side | None:
        """Where the CPU that the rate bears lies as to the band; None where stored tokens hide it."""
        side = _side(terms, self.cpu_ratio)
        # What the rate bears lies between the two, and each side of the band is all in one piece.
        return side if side == _side(terms, self.cpu_ratio * (1 - self.stock_ratio)) else None


def _side(terms: Calibrate, cpu_ratio: float) -> Side:
    if cpu_ratio < terms.cpu_ratio_low:
        return "below"
    return "above" if cpu_ratio > terms.cpu_ratio_high else "inside"


class AsWritten:
    """The rule of the document: steps of fixed size, beyond two bounds."""

    def __init__(self, terms: Calibrate) -> None:
        """Know of no rate yet that it is too low or too high."""
        self._terms = terms
        self._low_tokens_per_s = 0.0
        self._high_tokens_per_s = math.inf

    def rate_after(self, rate_tokens_per_s: float, load: Load) -> float:
        """The rate that follows one at which the load was as given; the same where it is kept."""
        rate = rate_tokens_per_s
        # Of two windows that contradict each other the later one is believed.
        if load.cpu_ratio > self._terms.reduce_above_ratio:
            self._high_tokens_per_s = min(rate, self._high_tokens_per_s)
            if self._low_tokens_per_s >= rate:
                self._low_tokens_per_s = 0.0
            return rate * self._terms.reduce_by_ratio
        if load.cpu_ratio < self._terms.raise_below_ratio:
            self._low_tokens_per_s = max(rate, self._low_tokens_per_s)
            if self._high_tokens_per_s <= rate:
                self._high_tokens_per_s = math.inf
            return rate * self._terms.raise_by_ratio
        return rate

    def oscillates(self, rate_tokens_per_s: float, rounds_left_count: int) -> bool:
        """Whether none of the rates to come, of which this is the first, lies between too low and too high."""
        low, high = self._low_tokens_per_s, self._high_tokens_per_s
        if low == 0 or high == math.inf:
            return False
        rate, steps = rate_tokens_per_s, set[float]()
        for foreseen_count in range(FORESEEN_COUNT_MAX):
            if low * (1 + SAME_RATE_RATIO) < rate < high / (1 + SAME_RATE_RATIO):
                return False
            if foreseen_count >= rounds_left_count and len(steps) > 1:
                return True
            # A rate that is the same as both, which then are next to each other, is the same as the nearer one.
            is_low = rate < math.sqrt(low * high)
            step = self._terms.raise_by_ratio if is_low else self._terms.reduce_by_ratio
            steps.add(step)
            rate *= step
        return False


class Damped:
    """The rule that cannot oscillate: steps in proportion, inside what is known to be too low and too high."""

    def __init__(self, terms: Calibrate) -> None:
        """Know of no rate yet that it is too low or too high."""
        self._terms = terms
        self._low_tokens_per_s = 0.0
        self._high_tokens_per_s = math.inf

    def rate_after(self, rate_tokens_per_s: float, load: Load) -> float:
        """The rate that follows one at which the load was as given; the same where it is kept."""
        side = load.side(self._terms)
        if side == "below":
            self._low_tokens_per_s = rate_tokens_per_s
        elif side == "above":
            self._high_tokens_per_s = rate_tokens_per_s
        else:
            return rate_tokens_per_s
        low, high = self._low_tokens_per_s, self._high_tokens_per_s
        if high <= low * (1 + BRACKET_RATIO_MIN):
            return rate_tokens_per_s
        turned = rate_tokens_per_s * self._factor(load.cpu_ratio)
        leaves = not low * (1 + STEP_RATIO_MIN) <= turned <= high / (1 + STEP_RATIO_MIN)
        # As long as one side is open, a step away from the other cannot leave.
        return math.sqrt(low * high) if leaves and low > 0 and high < math.inf else turned

    def oscillates(self, rate_tokens_per_s: float, _rounds_left_count: int) -> bool:
        """Whether the next rate lies outside what might do, which its own steps rule out."""
        return not self._low_tokens_per_s < rate_tokens_per_s < self._high_tokens_per_s

    def _factor(self, cpu_ratio: float) -> float:
        """The step towards the middle of the band: in proportion, but neither too large nor next to nothing."""
        terms = self._terms
        target_ratio = (terms.cpu_ratio_low + terms.cpu_ratio_high) / 2
        wanted = target_ratio / cpu_ratio if cpu_ratio > 0 else math.inf
        if cpu_ratio < terms.cpu_ratio_low:
            return min(max(wanted, 1 + STEP_RATIO_MIN), terms.raise_by_ratio)
        return max(min(wanted, 1 - STEP_RATIO_MIN), terms.reduce_by_ratio)


RULES: dict[str, type[AsWritten | Damped]] = {"as_written": AsWritten, "damped": Damped}
