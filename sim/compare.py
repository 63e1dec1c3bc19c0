"""The comparison: how far the simulated runs of a story are off from its real runs, next to their own noise.

What is compared: every metric that both worlds measured, per container and in total. Where the story has one
container, a total that equals the container's figure is that figure again, and is dropped: nothing counts twice.
Structural zeros (zero in every run of both worlds) are dropped too: they would all agree, and say nothing.

Agreement is asked of physics metrics alone; what both worlds take from the same code proves nothing by agreeing.
A story that calibrates must also come to the same outcome, and to rates less than a step apart.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sim.agreement import MetricComparison, Observed, judge
from sim.baseline import Baseline, pool
from sim.calibration_course import CALIBRATION
from sim.likely_reasons import likely_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim.baseline import Key
    from sim.course_comparison import CourseComparison
    from sim.metrics import Metric
    from sim.physics.host_profile import Pace

# A story agrees when its physics metrics stay within all four.
MEDIAN_ERROR_RATIO_MAX = 0.03
P90_ERROR_RATIO_MAX = 0.10
EQUIVALENT_RATIO_MIN = 0.80
DIFFERENT_ERROR_RATIO_MAX = 0.15

# Given the other load the furthest metric must come this much closer before that load is called the reason.
LOAD_EXPLAINS_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class Harness:
    """How well the real runs could be driven: lag of the run's clock, CPU used by others, time stolen by the host.

    `harness_cores` is what driver and engine used themselves; it is not part of the other load. `pace` is
    what was measured in a container of its own beside the runs, None where nobody did.
    """

    lag_s_p99: float
    other_load_cores: float
    steal_ratio: float
    harness_cores: float = 0.0
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class ChangedRatio:
    """A ratio that shrinking the story to this machine changed, before and after."""

    name: str
    full: float
    shrunk: float


@dataclass(frozen=True, slots=True)
class NegativeControl:
    """Deliberately broken physics, and whether the comparison caught it; `detail` names what gave it away."""

    name: str
    caught: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Furthest:
    """The physics metric that is furthest off, and the likely reason; no ratio where one world lacks it."""

    name: str
    container: str | None
    error_ratio: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the caller knows of how the runs came about; everything a comparison cannot tell from metrics.

    `comparable` is False where the real runs were disturbed, and `reasons` says by what.
    `load_given` is the comparison with simulations that were given the measured other load. `courses` is None where the
    story calibrates nothing.
    """

    kind: Literal["validation", "comparison"] = "comparison"
    scenario: str | None = None
    comparable: bool = True
    reasons: tuple[str, ...] = ()
    load_given: Comparison | None = None
    live_runs: tuple[str, ...] = ()
    seconds_simulated: float | None = None
    seconds_live: float | None = None
    harness: Harness | None = None
    changed_ratios: tuple[ChangedRatio, ...] = ()
    negative_controls: tuple[NegativeControl, ...] = ()
    courses: CourseComparison | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A story in both worlds, metric by metric, and what follows from it.

    `compare` makes it; `dataclasses.replace(comparison, circumstances=...)` adds what only the caller knows.
    """

    metrics: tuple[MetricComparison, ...]
    live_count: int
    simulated_count: int
    circumstances: Circumstances = field(default_factory=Circumstances)

    def row(self, name: str, container: str | None) -> MetricComparison | None:
        """One metric's comparison, None where it was not compared."""
        return next((row for row in self.metrics if (row.name, row.container) == (name, container)), None)

    @property
    def physics(self) -> tuple[MetricComparison, ...]:
        """The metrics that agreement is asked of."""
        return tuple(row for row in self.metrics if row.kind == "physics")

    @property
    def median_error_ratio(self) -> float | None:
        """The median error of the physics metrics that both worlds measured; None where there are none."""
        errors = self._errors()
        return statistics.median(errors) if errors else None

    @property
    def p90_error_ratio(self) -> float | None:
        """The 90th percentile of those errors, between neighbours by straight line."""
        errors = self._errors()
        return _quantile(errors, 0.9) if errors else None

    @property
    def equivalent_count(self) -> int:
        """How many physics metrics are equivalent."""
        return sum(row.verdict == "equivalent" for row in self.physics)

    @property
    def equivalent_ratio(self) -> float | None:
        """The share of physics metrics that are equivalent; one that a world lacks is not."""
        return self.equivalent_count / len(self.physics) if self.physics else None

    @property
    def different_count(self) -> int:
        """How many physics metrics are different."""
        return sum(row.verdict == "different" for row in self.physics)

    @property
    def furthest(self) -> Furthest | None:
        """The physics metric with the largest error; one that a whole world lacks is further than any."""
        if not self.physics:
            return None
        row = max(self.physics, key=_distance)
        return Furthest(row.name, row.container, row.error_ratio, self._reason(row))

    @property
    def verdict(self) -> Literal["agrees", "does not agree", "not comparable"]:
        """Whether the story agrees: all bounds hold and calibrations come to the same, on runs that may be judged."""
        if not self.circumstances.comparable or self.median_error_ratio is None:
            return "not comparable"
        if self._courses_are_apart():
            return "does not agree"
        enough = (self.equivalent_ratio or 0.0) >= EQUIVALENT_RATIO_MIN
        apart = any(far_apart(row) for row in self.physics)
        return "agrees" if self._errors_are_small() and enough and not apart else "does not agree"

    @property
    def open(self) -> bool:
        """Whether all that stands against agreement is metrics that more repeats may yet decide."""
        may_agree = self._errors_are_small() and self.different_count == 0 and not self._courses_are_apart()
        return self.verdict == "does not agree" and may_agree

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints and `comparison.json` holds; what is not known is None, never NaN."""
        told = self.circumstances
        written: dict[str, Any] = {
            "kind": told.kind,
            "scenario": told.scenario,
            "metrics": [_finite(asdict(row)) for row in self.metrics],
            "median_error_ratio": self.median_error_ratio,
            "p90_error_ratio": self.p90_error_ratio,
            "equivalent_ratio": self.equivalent_ratio,
            "different_count": self.different_count,
            "furthest": asdict(self.furthest) if self.furthest else None,
            "comparable": told.comparable,
            "reasons": list(told.reasons),
            "verdict": self.verdict,
            "load_given": _load_given(told),
            "live_runs": list(told.live_runs),
            "simulated_count": self.simulated_count,
            "live_count": self.live_count,
            "seconds_simulated": told.seconds_simulated,
            "seconds_live": told.seconds_live,
            "harness": _finite(asdict(told.harness)) if told.harness else None,
            "changed_ratios": [_finite(asdict(changed)) for changed in told.changed_ratios],
        }
        if told.negative_controls:
            written["negative_controls"] = [asdict(control) for control in told.negative_controls]
        if told.courses is not None:
            written[CALIBRATION] = told.courses.to_json()
        return written

    def _errors(self) -> list[float]:
        return [row.error_ratio for row in self.physics if row.error_ratio is not None]

    def _courses_are_apart(self) -> bool:
        courses = self.circumstances.courses
        return courses is not None and not courses.agree

    def _errors_are_small(self) -> bool:
        median, p90 = self.median_error_ratio, self.p90_error_ratio
        if median is None or p90 is None:
            return False
        return median <= MEDIAN_ERROR_RATIO_MAX and p90 <= P90_ERROR_RATIO_MAX

    def _reason(self, row: MetricComparison) -> str:
        given = self.circumstances.load_given
        twin = given.row(row.name, row.container) if given else None
        if twin is None or twin.error_ratio is None or row.error_ratio is None:
            return likely_reason(row)
        if twin.error_ratio > LOAD_EXPLAINS_RATIO * row.error_ratio:
            return likely_reason(row)
        return f"likely other load on the host: given it, the error is {100.0 * twin.error_ratio:.1f} %"


def compare(
    live: Sequence[Sequence[Metric]],
    simulated: Sequence[Sequence[Metric]],
    *,
    baseline: Baseline | None,
    headline: Sequence[str],
) -> Comparison:
    """Compare the metrics of real and simulated runs of one story.

    Give comparable real runs only. `baseline` is the noise of earlier real runs of the same story on the same
    machine, without these; `headline` names the metrics the story is about. With one real run and no baseline
    nothing is known about noise, and every verdict is `undecided`.
    """
    noise = (baseline or Baseline()).plus(pool(live))
    rows = (
        judge(observed, noise.of(observed.name, observed.container), headline=observed.name in headline)
        for observed in observe(live, simulated)
    )
    return Comparison(metrics=tuple(rows), live_count=len(live), simulated_count=len(simulated))


def observe(live: Sequence[Sequence[Metric]], simulated: Sequence[Sequence[Metric]]) -> list[Observed]:
    """What was seen of each metric, in the order it first appears; without structural zeros and repeated totals."""
    first: dict[Key, Metric] = {}
    for run in (*live, *simulated):
        for metric in run:
            first.setdefault((metric.name, metric.container), metric)
    live_values, simulated_values = _values(live), _values(simulated)
    seen = [
        Observed(
            name=metric.name,
            container=metric.container,
            kind=metric.kind,
            unit=metric.unit,
            live=live_values.get(key, []),
            simulated=simulated_values.get(key, []),
            live_runs_count=len(live),
            simulated_runs_count=len(simulated),
        )
        for key, metric in first.items()
    ]
    containers = {one.container for one in seen if one.container is not None}
    kept = [one for one in seen if any(one.live) or any(one.simulated)]
    return _without_repeated_totals(kept) if len(containers) == 1 else kept


def _values(runs: Sequence[Sequence[Metric]]) -> dict[Key, list[float]]:
    values: dict[Key, list[float]] = {}
    for run in runs:
        for metric in run:
            if math.isfinite(metric.value):
                values.setdefault((metric.name, metric.container), []).append(metric.value)
    return values


def _without_repeated_totals(seen: Sequence[Observed]) -> list[Observed]:
    own = {one.name: one for one in seen if one.container is not None}
    return [one for one in seen if one.container is not None or one.name not in own or not _same(one, own[one.name])]


def _same(first: Observed, second: Observed) -> bool:
    pairs = ((first.live, second.live), (first.simulated, second.simulated))
    return all(
        len(mine) == len(theirs) and all(math.isclose(*pair, rel_tol=1e-9) for pair in zip(mine, theirs, strict=True))
        for mine, theirs in pairs
    )


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _distance(row: MetricComparison) -> tuple[bool, float]:
    return row.error_ratio is None and row.verdict == "different", row.error_ratio or 0.0


def far_apart(row: MetricComparison) -> bool:
    """Whether a metric alone forbids agreement: different, and by more than the bound."""
    if row.verdict != "different":
        return False
    return row.error_ratio is None or row.error_ratio > DIFFERENT_ERROR_RATIO_MAX


def _load_given(told: Circumstances) -> dict[str, Any] | None:
    given = told.load_given
    if given is None:
        return None
    return {
        "other_load_cores": told.harness.other_load_cores if told.harness else None,
        "metrics": [_finite(asdict(row)) for row in given.metrics],
        "median_error_ratio": given.median_error_ratio,
        "p90_error_ratio": given.p90_error_ratio,
        "equivalent_ratio": given.equivalent_ratio,
    }


def _finite(written: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if _is_nothing(value) else value for name, value in written.items()}


def _is_nothing(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
