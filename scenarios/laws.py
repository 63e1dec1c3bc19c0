"""What is known of a law without drawing from it: its mean, its largest value, and itself scaled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.story import Law

# Behind the value itself, these kinds hold a coefficient of variation, which has no unit and is never scaled.
_MEAN_AND_CV = ("lognormal", "gamma")


def law_mean(law: Law) -> float:
    """Return the mean, in the law's unit."""
    if law.kind in {"uniform", "empirical"}:
        return math.fsum(law.numbers) / len(law.numbers)
    return law.numbers[0]


def law_max(law: Law) -> float:
    """Return the largest value the law can give; infinity where it has a tail."""
    if law.kind in {"constant", "uniform", "empirical"}:
        return max(law.numbers)
    return math.inf


def law_scaled(law: Law, factor: float) -> Law:
    """Return the law of the quantity times `factor`: the same shape, another size."""
    if law.kind in _MEAN_AND_CV:
        mean, cv = law.numbers
        return type(law)(law.kind, (mean * factor, cv))
    return type(law)(law.kind, tuple(number * factor for number in law.numbers))
