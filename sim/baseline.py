"""The A/A baseline: how much real runs of one story differ among themselves on one machine.

Only differences *within* a validation count: its runs were made in one sitting with one version. What changes from
day to day (a new kernel, a warmer host) is no noise of a comparison, whose own runs are from one sitting too; pooling
the validations' means as well would hide a wrong prediction behind last month's upgrade. So the sums of squares about
each validation's own mean are added up, and so are their degrees of freedom.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sim.metrics import Metric
from sim.quantities import error_floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Key = tuple[str, str | None]

# The newest validations say what this machine does today, and reading a directory of thousands would take minutes.
VALIDATIONS_COUNT_MAX = 200


@dataclass(frozen=True, slots=True)
class Noise:
    """How one metric varied between real runs: mean and standard deviation of one run, in the metric's unit.

    `degrees_count` are the degrees of freedom behind `value_sd`; where they are 0 the deviation is not known.
    """

    value_mean: float
    value_sd: float
    degrees_count: int
    runs_count: int

    def plus(self, other: Noise) -> Noise:
        """Both pooled, each about its own mean."""
        degrees_count = self.degrees_count + other.degrees_count
        squares = self.value_sd**2 * self.degrees_count + other.value_sd**2 * other.degrees_count
        runs_count = self.runs_count + other.runs_count
        total = self.value_mean * self.runs_count + other.value_mean * other.runs_count
        return Noise(
            value_mean=total / runs_count,
            value_sd=math.sqrt(squares / degrees_count) if degrees_count else 0.0,
            degrees_count=degrees_count,
            runs_count=runs_count,
        )

    def ratio(self, name: str, unit: str, value: float) -> float | None:
        """What two real runs typically differ by, relative to `value`; None where the deviation is not known.

        The difference of two independent runs has twice the variance of one, so its root mean square is
        sqrt(2) standard deviations.
        """
        if self.degrees_count == 0:
            return None
        return math.sqrt(2.0) * self.value_sd / max(abs(value), error_floor(name, unit))


@dataclass(frozen=True, slots=True)
class Baseline:
    """The noise of every metric that was seen, by (name, container)."""

    noises: Mapping[Key, Noise] = field(default_factory=dict)

    def of(self, name: str, container: str | None) -> Noise | None:
        """The noise of one metric, None where it was never seen."""
        return self.noises.get((name, container))

    def plus(self, other: Baseline) -> Baseline:
        """Both pooled, metric by metric."""
        noises = dict(self.noises)
        for key, noise in other.noises.items():
            known = noises.get(key)
            noises[key] = noise if known is None else known.plus(noise)
        return Baseline(noises)


def pool(runs: Sequence[Sequence[Metric]]) -> Baseline:
    """The noise within one group of runs of the same story, made in one sitting."""
    values: dict[Key, list[float]] = {}
    for run in runs:
        for metric in run:
            if math.isfinite(metric.value):
                values.setdefault((metric.name, metric.container), []).append(metric.value)
    return Baseline({key: _noise(seen) for key, seen in values.items()})


def pool_groups(groups: Iterable[Sequence[Sequence[Metric]]]) -> Baseline:
    """The noise within several groups of runs, each about its own mean."""
    pooled = Baseline()
    for runs in groups:
        pooled = pooled.plus(pool(runs))
    return pooled


def key_of_story(story: Mapping[str, Any]) -> str:
    """The same short text for equal stories, whatever the order of their keys; `story` is as in `scenario.json`."""
    text = json.dumps(story, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_baseline(home: Path, story_key: str, host_key: str, *, excluding: Iterable[Path] = ()) -> Baseline:
    """The noise of all earlier comparable real runs of this story on this host; empty where there are none.

    `story_key` is `key_of_story` of the story, `host_key` the host profile's name, `excluding` the validations
    under way, whose runs the comparison adds itself. A validation that cannot be read is left out: a damaged
    one must not stop today's.
    """
    directories = sorted((home / "validations").glob("*/"), key=lambda found: found.name, reverse=True)
    under_way = {path.resolve() for path in excluding}
    earlier = [found for found in directories if found.resolve() not in under_way]
    return pool_groups(_comparable_runs(found, story_key, host_key) for found in earlier[:VALIDATIONS_COUNT_MAX])


def _noise(values: Sequence[float]) -> Noise:
    mean = math.fsum(values) / len(values)
    degrees_count = len(values) - 1
    squares = math.fsum((value - mean) ** 2 for value in values)
    sd = math.sqrt(squares / degrees_count) if degrees_count else 0.0
    return Noise(value_mean=mean, value_sd=sd, degrees_count=degrees_count, runs_count=len(values))


def _comparable_runs(validation: Path, story: str, host: str) -> list[list[Metric]]:
    found = (_comparable_run(directory, story, host) for directory in sorted(validation.glob("live-*/")))
    return [run for run in found if run is not None]


def _comparable_run(directory: Path, story: str, host: str) -> list[Metric] | None:
    try:
        provenance = _object(directory / "provenance.json")
        if provenance["world"] != "docker" or not provenance["comparable"] or provenance["host"]["name"] != host:
            return None
        if key_of_story(_object(directory / "scenario.json")["story"]) != story:
            return None
        summary = _object(directory / "summary.json")
        return [_metric(row) for row in summary["metrics"]] if summary["ended"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _object(path: Path) -> dict[str, Any]:
    read = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(read, dict):
        raise TypeError(f"{path} does not hold a JSON object")
    return read


def _metric(row: Mapping[str, Any]) -> Metric:
    value = row["value"]
    return Metric(
        name=row["name"],
        container=row["container"],
        kind=row["kind"],
        unit=row["unit"],
        value=math.nan if value is None else float(value),
    )
