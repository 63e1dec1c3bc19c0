"""The metrics a story may name in its goals and its headline, each with its unit and one-line meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scenarios import units
from scenarios.errors import BadValueError

# What a story must have for the metric to be measured at all.
Needs = Literal["", "cpus", "rate_limits", "providers", "restart", "disk", "volume", "healthcheck", "probe"]

# How a metric's value moves when a story is shrunk (see scale.py); "none" is for counts, ratios and engine times.
ScaledWith = Literal["time", "rate", "memory", "cpus", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, the unit of its value, what it means, and what shrinking a story does to it.

    `whole_story` metrics belong to no single container; `needs` says what a story must have for it to be measured.
    """

    name: str
    unit: str
    meaning: str
    scaled_with: ScaledWith = "none"
    whole_story: bool = False
    needs: Needs = ""


_OF_CONTAINERS = (
    Metric("steps_per_s", "1/s", "Steps the agents finished, per second.", "rate"),
    Metric("cpu_cores_mean", "cores", "CPU used, averaged over the run; 1 is one whole core.", "cpus"),
    Metric("throttled_period_ratio", "ratio", "Share of the 100 ms periods in which the quota ran out.", needs="cpus"),
    Metric("throttled_s", "s", "Time that cores stood still because the quota had run out.", "time", needs="cpus"),
    Metric("memory_bytes_mean", "bytes", "Memory in use without inactive page cache, averaged over the run.", "memory"),
    Metric("memory_bytes_max", "bytes", "The most memory in use at any moment, as the kernel tracks it.", "memory"),
    Metric("step_latency_s_mean", "s", "Mean time of a step's work from due to finished, sleeping left out.", "time"),
    Metric("step_latency_s_p50", "s", "Half of the steps took no longer than this.", "time"),
    Metric("step_latency_s_p95", "s", "19 steps in 20 took no longer than this.", "time"),
    Metric("step_latency_s_p99", "s", "99 steps in 100 took no longer than this.", "time"),
    Metric("cpu_wait_s", "s", "Mean time per step that computing took beyond the CPU time it needed.", "time"),
    Metric("oom_kill_count", "count", "Processes the kernel killed because the memory limit was reached."),
    Metric("completion_ratio", "ratio", "Steps finished, over those and the steps that were lost."),
    Metric("restart_count", "count", "Times the engine started a container anew.", needs="restart"),
    Metric("recovery_s", "s", "Mean time from a container's end to when it took work again.", needs="restart"),
    Metric(
        "disk_bytes_max", "bytes", "The most that lay on the container's first tmpfs or volume.", "memory", needs="disk"
    ),
    Metric("disk_full_count", "count", "Writes that were refused because the disk was full.", needs="disk"),
    Metric(
        *(
            "page_cache_bytes_mean",
            "bytes",
            "Inactive page cache: what the kernel takes back first, averaged.",
            "memory",
        ),
        needs="volume",
    ),
    Metric("unhealthy_count", "count", "Times a health check turned unhealthy.", needs="healthcheck"),
)

_OF_THE_STORY = (
    Metric("agents_up_count", "count", "Agents alive at the end of the run.", whole_story=True),
    Metric("containers_up_count", "count", "Containers up at the end of the run.", whole_story=True),
    Metric("start_s_mean", "s", "Mean time the engine took to create and start a container.", whole_story=True),
    Metric("start_s_p95", "s", "19 container starts in 20 took no longer than this.", whole_story=True),
    Metric("ready_s", "s", "Time until every container of the story was ready.", whole_story=True),
    Metric(
        *("host_probe_latency_s_mean", "s", "Mean time of a host's probe from due to finished.", "time"),
        whole_story=True,
        needs="probe",
    ),
    Metric(
        *("host_probe_latency_s_p50", "s", "Half of a host's probes took no longer than this.", "time"),
        whole_story=True,
        needs="probe",
    ),
    Metric(
        *("host_probe_latency_s_p99", "s", "99 of a host's probes in 100 took no longer than this.", "time"),
        whole_story=True,
        needs="probe",
    ),
    Metric(
        *("token_wait_s_mean", "s", "Mean time an agent waited for tokens of a rate limit.", "time"),
        whole_story=True,
        needs="rate_limits",
    ),
    Metric(
        *("debt_tokens_max", "tokens", "The deepest debt of any token bucket."),
        whole_story=True,
        needs="rate_limits",
    ),
    Metric(
        *("provider_429_count", "count", "Requests that providers refused because a limit was reached."),
        whole_story=True,
        needs="providers",
    ),
    Metric(
        *("cost_usd", "usd", "What the providers charge for the run, in US dollars."),
        whole_story=True,
        needs="providers",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_OF_CONTAINERS, *_OF_THE_STORY)}


def read_bound(metric: Metric, value: object) -> float:
    """Read a goal's bound in the unit of its metric: `200ms` for seconds, `3g` for bytes, else a plain number."""
    if metric.unit == "s":
        return units.read_duration(value)
    if metric.unit == "bytes":
        return float(units.read_size(value))
    number = units.read_number(value, f"a number, because {metric.name} is in {metric.unit}", "0.8")
    if number < 0:
        raise BadValueError("0 or more", "0.8")
    return number
