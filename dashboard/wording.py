"""Names and numbers as people read them: metrics in words, quantities with units, dates, and verdicts with a sign.

A metric's unit is read off its name, where units stand last (`step_latency_s_p99`, `memory_bytes_max`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = "–"

METRIC_NAMES = {
    "steps_per_s": "Steps finished",
    "cpu_cores_mean": "CPU used",
    "throttled_period_ratio": "Throttled periods",
    "throttled_s": "Time throttled",
    "memory_bytes_mean": "Memory, mean",
    "memory_bytes_max": "Memory, peak",
    "step_latency_s_mean": "Step latency, mean",
    "step_latency_s_p50": "Step latency, median",
    "step_latency_s_p95": "Step latency, 95th percentile",
    "step_latency_s_p99": "Step latency, 99th percentile",
    "token_wait_s_mean": "Wait for tokens, mean",
    "token_wait_s_p95": "Wait for tokens, 95th percentile",
    "oom_kill_count": "OOM kills",
    "restart_count": "Restarts",
    "start_s_mean": "Start of a container, mean",
    "start_s_p95": "Start of a container, 95th percentile",
    "ready_s": "Whole story up after",
    "agents_up_count": "Agents up",
    "containers_up_count": "Containers up",
    "recovery_s": "Recovery after a failure",
    "unhealthy_count": "Turns to unhealthy",
    "disk_bytes_max": "Disk used, peak",
    "disk_full_count": "Writes refused by a full disk",
    "page_cache_bytes_mean": "Page cache, mean",
    "completion_ratio": "Work completed",
    "makespan_s": "Time to finish all work",
    "cpu_wait_s": "Waiting for CPU",
    "host_memory_bytes_max": "Host memory, peak",
    "host_probe_latency_s_mean": "Host's own latency, mean",
    "host_probe_latency_s_p50": "Host's own latency, median",
    "host_probe_latency_s_p99": "Host's own latency, 99th percentile",
    "host_swap_bytes_max": "Host swap, peak",
    "gpu_utilisation_ratio": "GPU use",
    "vram_used_ratio": "GPU memory used",
    "network_bytes": "Network traffic",
    "debt_tokens_max": "Token debt, deepest",
    "provider_429_count": "Refused by the provider (429)",
    "cost_usd": "Cost",
}

UNITS = ("per_s", "tokens", "bytes", "cores", "ratio", "count", "usd", "s")

QUALIFIERS = {
    "mean": "mean",
    "max": "peak",
    "min": "lowest",
    "p50": "median",
    "p95": "95th percentile",
    "p99": "99th percentile",
}

VERDICT_WORDS = {
    "agrees": "✓ agrees",
    "does not agree": "✗ does not agree",
    "not comparable": "⊘ not comparable",
    "equivalent": "✓ equivalent",
    "different": "✗ different",
    "undecided": "◇ undecided",
}

WORLD_WORDS = {"sim": "Simulated", "docker": "Real (Docker)"}

EVENT_WORDS = {
    "started": "started",
    "ready": "ready",
    "died": "container died",
    "restarted": "container started anew",
    "healthy": "healthy",
    "unhealthy": "unhealthy",
    "process_killed": "process killed",
    "lost": "work lost",
    "stopped": "stopped",
    "refused": "refused",
    "provider_429": "provider refused (429)",
    "step_failed": "step failed",
    "disk_full": "write refused, disk full",
    "probe_refused": "host not probed",
    "fault": "fault dealt",
    "limited": "limits changed",
    "fault_refused": "fault not dealt",
    "engine_lost": "engine lost",
    "engine_back": "engine back",
    "unanswered": "not answered",
}


def unit_of(metric: str) -> str:
    """The unit in a metric's name, or an empty text: `step_latency_s_p99` is in `s`."""
    words = metric.split("_")
    while words and words[-1] in QUALIFIERS:
        words.pop()
    stem = "_".join(words)
    return next((unit for unit in UNITS if stem == unit or stem.endswith(f"_{unit}")), "")


def metric_words(metric: str) -> str:
    """A metric's name in words; one that is not listed is taken apart: `queue_length_count` is "Queue length"."""
    if metric in METRIC_NAMES:
        return METRIC_NAMES[metric]
    words = metric.split("_")
    qualifiers = [QUALIFIERS[word] for word in words if word in QUALIFIERS]
    rest = " ".join(word for word in words if word not in QUALIFIERS)
    stem = rest.removesuffix(unit_of(metric).replace("_", " ")).strip() or rest
    return ", ".join([stem[:1].upper() + stem[1:], *qualifiers])


def place_words(container: str | None) -> str:
    """Where a metric was taken: a container's name, or the whole story."""
    return container or "whole story"


def quantity(value: float | None, metric: str, unit: str = "") -> str:
    """A value with its unit, to three significant figures; `unit` is shown where the name tells none."""
    if value is None:
        return NONE
    known = unit_of(metric)
    if known in WRITERS:
        return WRITERS[known](value)
    number = figures(value)
    return {"per_s": f"{number} /s", "count": number, "usd": f"${value:,.2f}"}.get(
        known, f"{number} {known or unit}".strip()
    )


def figures(value: float) -> str:
    """A number to three significant figures, with whole numbers left whole: 0.0412, 19.7, 1,284."""
    if value == 0:
        return "0"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 1 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}" if abs(value) >= 0.1 else f"{value:.3g}"


def seconds(value: float) -> str:
    """A duration in the unit that reads best: 53.2 ms, 4.1 s, 12 min 5 s, 2 h 10 min."""
    size = abs(value)
    if size >= 3600:
        return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"
    if size >= 120:
        return f"{int(value // 60)} min {int(value % 60)} s"
    if size >= 1 or size == 0:
        return f"{figures(value)} s"
    if size >= 0.001:
        return f"{figures(value * 1e3)} ms"
    return f"{figures(value * 1e6)} µs"


def cores(value: float) -> str:
    """An amount of CPU: 0.41 cores, 1 core."""
    return f"{figures(value)} {'core' if value == 1 else 'cores'}"


def byte_size(value: float) -> str:
    """A size in binary units, as Compose counts them: 512 MiB."""
    divisor, unit = byte_unit(abs(value))
    return f"{figures(value / divisor)} {unit}"


def byte_unit(largest: float) -> tuple[float, str]:
    """The divisor and the name of the binary unit that suits values up to `largest` bytes."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if largest >= 1024**power:
            return float(1024**power), unit
    return 1.0, "B"


def second_unit(largest: float) -> tuple[float, str]:
    """The divisor and the name of the unit of time that suits values up to `largest` seconds."""
    if largest < 1:
        return 1e-3, "ms"
    if largest <= 600:
        return 1.0, "s"
    return (60.0, "min") if largest <= 36_000 else (3600.0, "h")


def percent(value: float | None) -> str:
    """A ratio in percent, to one decimal or, below one percent, two figures: 55.4 %, 1.9 %, 0.042 %."""
    if value is None:
        return NONE
    number = value * 100
    return f"{number:.0f} %" if number.is_integer() else f"{number:.1f} %" if abs(number) >= 1 else f"{number:.2g} %"


WRITERS: dict[str, Callable[[float], str]] = {"s": seconds, "bytes": byte_size, "cores": cores, "ratio": percent}


def signed_percent(value: float | None) -> str:
    """A relative difference in percent with its sign: +2.6 %."""
    return NONE if value is None else f"{value * 100:+.1f} %".replace("-", "−")


def verdict_words(verdict: str) -> str:
    """A verdict with its sign, so that colour is never the only one."""
    return VERDICT_WORDS.get(verdict, verdict or NONE)


def world_words(world: str) -> str:
    """The name of a world as people say it."""
    return WORLD_WORDS.get(world, world or "unknown world")


def event_words(what: str) -> str:
    """What happened, in words."""
    return EVENT_WORDS.get(what, what.replace("_", " "))


def commit_words(commit: object) -> str:
    """The commit something was made with, short: e5823a2c, with a word where files differed from it."""
    name, _, dirty = str(commit or "").partition("-")
    return f"{name[:8]} with changes" if dirty else name[:8] or NONE


def moment(text: str | None) -> datetime | None:
    """An ISO 8601 moment as a datetime with a time zone (UTC where none is given); None where it cannot be read."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment_words(text: str | None) -> str:
    """An ISO 8601 moment as a date people read, in UTC: 21 Nov 2026, 14:05 UTC."""
    found = moment(text)
    if found is None:
        return "at an unknown time"
    found = found.astimezone(UTC)
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def elapsed_words(duration: timedelta) -> str:
    """A time span in whole units: 45 s, 3 min, 2 h, 5 days."""
    total = max(int(duration.total_seconds()), 0)
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if total >= 2 * size:
            return f"{total // size} {unit}"
    return f"{total} s"


def counted(count: int, noun: str) -> str:
    """A count with its noun in the right number: 1 run, 3 runs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
