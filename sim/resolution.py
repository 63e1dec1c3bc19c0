"""What the coarse resolution makes of a story: its beginning is run in both resolutions, and the metrics are compared.

Whoever asks for whole periods instead of slices and ticks is told with each answer how far it may be off for that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim.compare import compare
from sim.report_text import metric_label, ratio_text
from sim.run import simulate

if TYPE_CHECKING:
    from scenarios.story import Story
    from sim.metrics import Metric
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Resolution

# How much of a story is run in both, and how often.
COMPARED_S = 60.0
RUNS_COUNT = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """How far physics metrics in whole periods are from those at kernel resolution, over a story's beginning.

    `furthest` is the metric that differs most and `furthest_ratio` by how much, above 0 where whole periods say more
    and None where only one of the two has it at all. All are None where a story has no metric to compare.
    """

    compared_s: float
    median_ratio: float | None
    p90_ratio: float | None
    furthest: str | None
    furthest_container: str | None
    furthest_ratio: float | None


def difference_text(difference: Difference | None) -> str:
    """One line for people; None is what nobody waited for."""
    if difference is None:
        return "resolution: whole CPU periods; nobody waited for how far they are off"
    seconds = f"{difference.compared_s:g} s"
    if difference.furthest is None:
        return f"resolution: whole CPU periods; its first {seconds} have nothing to compare them by"
    where = f" of {difference.furthest_container}" if difference.furthest_container else ""
    ratio = difference.furthest_ratio
    apart = "only one of them has it" if ratio is None else ratio_text(ratio, signed=True)
    return (
        f"resolution: whole CPU periods; over its first {seconds} they differ from slices and ticks by "
        f"{ratio_text(difference.median_ratio)} (median) and {ratio_text(difference.p90_ratio)} (90th percentile), "
        f"most in {metric_label(difference.furthest)}{where} ({apart})"
    )


def resolution_difference(story: Story, profile: HostProfile) -> Difference:
    """Run the beginning of a story in both resolutions, with the same draws of its workload.

    A calibration is left out: it would go on past the beginning, and might take another course.
    """
    compared_s = min(story.duration_s, COMPARED_S)
    beginning = replace(story, duration_s=compared_s, calibrate=None)

    def metrics(resolution: Resolution) -> list[tuple[Metric, ...]]:
        runs = range(1, RUNS_COUNT + 1)
        return [simulate(beginning, profile=profile, physics_seed=seed, variant=resolution).metrics for seed in runs]

    found = compare(metrics("kernel"), metrics("periods"), baseline=None, headline=())
    furthest = found.furthest
    row = None if furthest is None else found.row(furthest.name, furthest.container)
    return Difference(
        compared_s,
        found.median_error_ratio,
        found.p90_error_ratio,
        None if row is None else row.name,
        None if row is None else row.container,
        None if row is None else row.difference_ratio,
    )
