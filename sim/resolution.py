"""What the coarse resolution makes of a story: its beginning is run in both resolutions, and the metrics are compared.

Whoever asks for whole periods instead of slices and ticks is told with each answer how far it may be off for that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sim.compare import compare
from sim.report_text import metric_label, ratio_text
from sim.run import simulate

if TYPE_CHECKING:
    from scenarios.story import Story
    from sim.metrics import Metric
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Resolution

# How much of a story is run in both, and how often: with these a mean latency is known to a percent or so.
COMPARED_S = 60.0
RUNS_COUNT = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """How far physics metrics in whole periods are from those at kernel resolution, over a story's beginning.

    `furthest` is the metric that differs most and `furthest_ratio` by how much, above 0 where whole periods say more.
    All three are None where a story has no metric to compare.
    """

    compared_s: float
    median_ratio: float | None
    p90_ratio: float | None
    furthest: str | None
    furthest_container: str | None
    furthest_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints under `resolution`."""
        return {"name": "periods", "difference": asdict(self)}

    def text(self) -> str:
        """One line for people."""
        seconds = f"{self.compared_s:g} s"
        if self.furthest is None:
            return f"resolution: whole CPU periods; its first {seconds} have nothing to compare them by"
        where = f" of {self.furthest_container}" if self.furthest_container else ""
        return (
            f"resolution: whole CPU periods; over its first {seconds} they differ from slices and ticks by "
            f"{ratio_text(self.median_ratio)} (median) and {ratio_text(self.p90_ratio)} (90th percentile), "
            f"most in {metric_label(self.furthest)}{where} ({ratio_text(self.furthest_ratio, signed=True)})"
        )


def resolution_difference(story: Story, profile: HostProfile) -> Difference:
    """Run the beginning of a story in both resolutions, with the same draws."""
    compared_s = min(story.duration_s, COMPARED_S)
    beginning = replace(story, duration_s=compared_s)

    def metrics(resolution: Resolution) -> list[tuple[Metric, ...]]:
        runs = range(1, RUNS_COUNT + 1)
        return [simulate(beginning, profile=profile, physics_seed=seed, variant=resolution).metrics for seed in runs]

    found = compare(metrics("kernel"), metrics("periods"), baseline=None, headline=())
    rows = [row for row in found.physics if row.difference_ratio is not None]
    furthest = max(rows, key=lambda row: abs(row.difference_ratio or 0.0), default=None)
    return Difference(
        compared_s,
        found.median_error_ratio,
        found.p90_error_ratio,
        None if furthest is None else furthest.name,
        None if furthest is None else furthest.container,
        None if furthest is None else furthest.difference_ratio,
    )
