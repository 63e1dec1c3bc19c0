"""Agreement: one metric as real runs and simulated ones show it, and whether the two are the same.

Relative difference: d = (mean sim - mean live) / max(|mean live|, floor).

Its 90 % interval, by the delta method: the variance of d is (v_sim / R + q^2 v_live / K) / denominator^2, where q is
sim / live, because an uncertain denominator moves d by q times as much, and 1 where the denominator is the floor, which
is certain. The multiple of its root is Cochran and Cox's ("Experimental Designs", 1950): the mean of the two Student
quantiles, weighted by the two variances. Welch's degrees of freedom were tried and err too often with few real runs
(at the edge of the margin 6 % wrong `equivalent` with three runs and 8 % with two, where 5 % are meant); this errs in
3.4 to 5 %, and finds a right prediction as often.

A 90 % interval inside the margin is the two one-sided tests at 5 % each (D. J. Schuirmann, J. Pharmacokin. Biopharm.
15, 1987): at the very edge of the margin at most one verdict in twenty is a wrong `equivalent`.

Known to be rough: t intervals of counts below about five, and of tails from few runs, whose values are skewed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sim.quantities import error_floor, margin_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.baseline import Noise

Verdict = Literal["equivalent", "different", "undecided"]

# With fewer degrees of freedom (three runs have two) the noise is a guess, and a guess must not widen a margin.
NOISE_DEGREES_COUNT_MIN = 4

# Runs in one world from which "it never happened in the other" is a finding and not a chance.
RUNS_COUNT_MIN = 2

# A difference of exactly the margin is inside it, whatever the last bit says.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric in both worlds; values in its unit, None for what is not known.

    `live_low` to `live_high` and `sim_low` to `sim_high` are 95 % intervals of the means;
    `difference_low` to `difference_high` is the 90 % interval of the relative difference.
    """

    name: str
    container: str | None
    kind: Literal["physics", "shared"]
    unit: str
    live: float | None
    live_low: float | None
    live_high: float | None
    sim: float | None
    sim_low: float | None
    sim_high: float | None
    error_ratio: float | None
    noise_ratio: float | None
    difference_low: float | None
    difference_high: float | None
    margin_ratio: float
    verdict: Verdict
    headline: bool

    @property
    def difference_ratio(self) -> float | None:
        """The error with its sign: above 0 where the simulation says more."""
        if self.error_ratio is None or self.live is None or self.sim is None:
            return None
        return math.copysign(self.error_ratio, self.sim - self.live)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one metric: its value in each run that has it, and how many runs there were."""

    name: str
    container: str | None
    kind: Literal["physics", "shared"]
    unit: str
    live: Sequence[float]
    simulated: Sequence[float]
    live_runs_count: int
    simulated_runs_count: int


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over runs, with the variance of one run (None: not known) and the degrees of freedom behind it."""

    value: float
    runs_count: int
    variance: float | None
    degrees_count: int

    def bounds(self) -> tuple[float | None, float | None]:
        """The 95 % t interval of the mean; two None where the variance is not known."""
        if self.variance is None:
            return None, None
        spread = _spread((self.variance / self.runs_count, self.degrees_count), (0.0, 0), 0.975)
        return self.value - spread, self.value + spread


def judge(observed: Observed, noise: Noise | None, *, headline: bool) -> MetricComparison:
    """Compare one metric; `noise` is pooled from the real runs given and from earlier ones.

    A metric that every run of one world has (at least two) and no run of the other is `different`, with no ratio.
    """
    live = _live_mean(observed.live, noise) if observed.live else None
    sim = _sim_mean(observed.simulated) if observed.simulated else None
    live_low, live_high = live.bounds() if live else (None, None)
    sim_low, sim_high = sim.bounds() if sim else (None, None)
    floor = error_floor(observed.name, observed.unit)
    margin = _margin(observed, noise, live.value if live else 0.0)
    interval = difference_interval(live, sim, floor) if live and sim else None
    return MetricComparison(
        name=observed.name,
        container=observed.container,
        kind=observed.kind,
        unit=observed.unit,
        live=live.value if live else None,
        live_low=live_low,
        live_high=live_high,
        sim=sim.value if sim else None,
        sim_low=sim_low,
        sim_high=sim_high,
        error_ratio=abs(sim.value - live.value) / max(abs(live.value), floor) if live and sim else None,
        noise_ratio=noise.ratio(observed.name, observed.unit, live.value) if noise and live else None,
        difference_low=interval[0] if interval else None,
        difference_high=interval[1] if interval else None,
        margin_ratio=margin,
        verdict=_verdict(interval, margin) if live and sim else _one_sided_verdict(observed),
        headline=headline,
    )


def difference_interval(live: Mean, sim: Mean, floor: float) -> tuple[float, float] | None:
    """The 90 % interval of (sim - live) / max(|live|, floor); None where no variance is known.

    A single simulated run tells nothing of its spread: it is taken to vary as the real ones do.
    """
    if live.variance is None:
        return None
    leverage = sim.value / live.value if abs(live.value) > floor else 1.0
    from_live = live.variance / live.runs_count * leverage**2
    lent = sim.variance is None
    from_sim = (live.variance if sim.variance is None else sim.variance) / sim.runs_count
    spread = _spread(
        (from_live, live.degrees_count), (from_sim, live.degrees_count if lent else sim.degrees_count), 0.95
    )
    difference = sim.value - live.value
    denominator = max(abs(live.value), floor)
    return (difference - spread) / denominator, (difference + spread) / denominator


def _live_mean(values: Sequence[float], noise: Noise | None) -> Mean:
    # The pooled deviation, and not that of these few runs alone: it has the more degrees of freedom.
    known = noise is not None and noise.degrees_count > 0
    return Mean(
        value=math.fsum(values) / len(values),
        runs_count=len(values),
        variance=noise.value_sd**2 if noise is not None and known else None,
        degrees_count=noise.degrees_count if noise is not None else 0,
    )


def _sim_mean(values: Sequence[float]) -> Mean:
    degrees_count = len(values) - 1
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return Mean(mean, len(values), squares / degrees_count if degrees_count else None, degrees_count)


def _spread(first: tuple[float, int], second: tuple[float, int], probability: float) -> float:
    """The half-width of an interval whose variance has two parts, each with its degrees of freedom."""
    # Loaded here because it takes longer than all the rest of a comparison.
    from scipy.special import stdtrit

    variance = first[0] + second[0]
    if variance == 0.0:
        return 0.0
    shares = ((part / variance, degrees_count) for part, degrees_count in (first, second) if part > 0.0)
    return math.sqrt(variance) * sum(share * float(stdtrit(degrees, probability)) for share, degrees in shares)


def _margin(observed: Observed, noise: Noise | None, live: float) -> float:
    if noise is None or noise.degrees_count < NOISE_DEGREES_COUNT_MIN:
        return margin_ratio(observed.name, live, None)
    return margin_ratio(observed.name, live, noise.ratio(observed.name, observed.unit, live))


def _verdict(interval: tuple[float, float] | None, margin: float) -> Verdict:
    if interval is None:
        return "undecided"
    low, high = interval
    if -margin - ROUNDING <= low and high <= margin + ROUNDING:
        return "equivalent"
    if low > margin + ROUNDING or high < -margin - ROUNDING:
        return "different"
    return "undecided"


def _one_sided_verdict(observed: Observed) -> Verdict:
    if observed.live:
        always = len(observed.live) == observed.live_runs_count
    else:
        always = len(observed.simulated) == observed.simulated_runs_count
    enough = min(observed.live_runs_count, observed.simulated_runs_count) >= RUNS_COUNT_MIN
    return "different" if always and enough else "undecided"
