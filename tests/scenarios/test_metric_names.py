"""The metrics that goals and headlines may name."""

from __future__ import annotations

import re

import pytest

from scenarios.errors import BadValueError
from scenarios.metric_names import METRICS, read_bound
from scenarios.schema import HEADLINE_DEFAULT

# The unit that a name must carry, by the metric's unit.
IN_NAME = {"1/s": "per_s", "usd": "usd", "s": "s", "bytes": "bytes", "cores": "cores", "ratio": "ratio"}


@pytest.mark.parametrize("name", METRICS)
def test_a_metrics_name_carries_its_unit_last(name: str) -> None:
    """Only a qualifier may follow the unit."""
    metric = METRICS[name]
    unit = IN_NAME.get(metric.unit, metric.unit)

    assert re.search(rf"_{unit}(_mean|_max|_p\d+)?$", name)
    assert metric.meaning.endswith(".")


def test_the_default_headline_is_known() -> None:
    """It names metrics that every story has."""
    assert [] == [name for name in HEADLINE_DEFAULT if name not in METRICS or METRICS[name].needs]


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("step_latency_s_p95", "200ms", 0.2),
        ("memory_bytes_max", "1.5g", 1.5 * 1024**3),
        ("throttled_period_ratio", 0.2, 0.2),
        ("cost_usd", "3", 3.0),
    ],
)
def test_a_bound_is_read_in_the_metrics_unit(name: str, value: object, bound: float) -> None:
    """Times as durations, bytes as sizes, the rest as numbers."""
    assert bound == read_bound(METRICS[name], value)


def test_a_negative_bound_is_refused() -> None:
    """No metric can be below zero."""
    with pytest.raises(BadValueError, match="it must be 0 or more"):
        read_bound(METRICS["completion_ratio"], -0.5)


def test_what_a_metric_needs_is_said_of_those_that_not_every_story_has() -> None:
    """A metric of restarts, disks, volumes or health checks means nothing where there are none."""
    of_a_life = {"restart", "disk", "volume", "healthcheck"}
    needs = {name: metric.needs for name, metric in METRICS.items() if metric.needs in of_a_life}

    assert {
        "restart_count": "restart",
        "recovery_s": "restart",
        "disk_bytes_max": "disk",
        "disk_full_count": "disk",
        "page_cache_bytes_mean": "volume",
        "unhealthy_count": "healthcheck",
    } == needs
