"""The printed comparison: one screen of plain text, the verdict last, readable in a log.

Words carry every meaning, so colour is the caller's to add or to leave out. Values have three digits and a unit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sim.agreement import MetricComparison
    from sim.compare import Comparison
    from sim.course_comparison import CourseComparison, WindowComparison
    from sim.policies.calibration import Verdict

NAMES = {
    "agents_up_count": "agents up",
    "completion_ratio": "completed",
    "containers_up_count": "containers up",
    "cost_usd": "cost",
    "cpu_cores": "CPU used",
    "cpu_wait_s": "wait for CPU",
    "debt_tokens": "token debt",
    "disk_bytes": "disk used",
    "disk_full_count": "writes refused, disk full",
    "page_cache_bytes": "page cache",
    "gpu_utilisation_ratio": "GPU used",
    "host_memory_bytes": "host memory",
    "host_probe_latency_s": "host's own latency",
    "host_swap_bytes": "host swap",
    "makespan_s": "time to finish",
    "memory_bytes": "memory",
    "network_bytes": "network traffic",
    "oom_kill_count": "out-of-memory kills",
    "provider_429_count": "provider refusals (429)",
    "ready_s": "time to ready",
    "recovery_s": "recovery",
    "restart_count": "restarts",
    "start_s": "container start",
    "step_latency_s": "step latency",
    "steps_count": "steps",
    "steps_per_s": "steps",
    "throttled_period_ratio": "throttled periods",
    "throttled_s": "throttled time",
    "token_wait_s": "wait for tokens",
    "unhealthy_count": "turns to unhealthy",
    "vram_used_ratio": "GPU memory used",
}

QUALIFIERS = {
    "max": "highest",
    "mean": "mean",
    "min": "lowest",
    "p50": "median",
    "p90": "90th",
    "p95": "95th",
    "p99": "99th",
    "total": "total",
}

UNKNOWN = "–"
HEADINGS = ("metric", "real", "simulated", "error", "noise", "verdict")
COURSE_HEADINGS = (
    "round",
    "rate, real",
    "rate, simulated",
    "CPU of limit, real",
    "CPU of limit, simulated",
    "difference",
)
GAP = "  "

SECONDS_MINUTES_FROM = 180.0

# Figures are published from this many real runs on; fewer seldom decide anything.
REPEATS_PUBLISHED_COUNT = 8

# Every disturbed run brings its own reasons; a line holds the first of them.
REASONS_SHOWN_COUNT = 2


def comparison_text(comparison: Comparison, *, full: bool = False) -> str:
    """The whole answer, lines joined by newlines and none at the end.

    The table shows the headline metrics and every physics metric that is not equivalent, and says how many it
    leaves out; with `full`, or where the story names no headline, it shows all.
    """
    rows = _shown(comparison, full=full)
    lines = [_header(comparison), ""]
    if rows:
        lines += [*_table(comparison, rows), *_left_out(comparison, rows), ""]
    if comparison.circumstances.courses is not None:
        lines += [*_course_lines(comparison.circumstances.courses), ""]
    return "\n".join([*lines, *_ending(comparison)])


def metric_label(name: str) -> str:
    """A metric's name in plain words: `step_latency_s_p99` is "step latency, 99th"."""
    if name in NAMES:
        return NAMES[name]
    stem, _, last = name.rpartition("_")
    if stem in NAMES and last in QUALIFIERS:
        return f"{NAMES[stem]}, {QUALIFIERS[last]}"
    return name.replace("_", " ")


def value_text(value: float | None, name: str, unit: str = "") -> str:
    """A metric's value for people: three digits, in the unit that suits its size."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return FORMATS.get(quantity(name, unit), _plain)(value)


def ratio_text(ratio: float | None, *, signed: bool = False) -> str:
    """A ratio in percent with one digit after the point: "1.8 %", or "+1.8 %" where signed."""
    if ratio is None or not math.isfinite(ratio):
        return UNKNOWN
    # Adding zero turns a rounded -0.0 into 0.0.
    percent = round(100.0 * ratio, 1) + 0.0
    return f"{percent:+.1f} %" if signed else f"{percent:.1f} %"


def points_text(difference: float | None) -> str:
    """A difference of two shares in percentage points, signed: "+1.8 points"."""
    # As for ratios, adding zero turns a rounded -0.0 into 0.0.
    return UNKNOWN if difference is None else f"{round(100.0 * difference, 1) + 0.0:+.1f} points"


def course_rows(courses: CourseComparison) -> list[tuple[str, ...]]:
    """The cells of a table of both courses, a row for each window, under `COURSE_HEADINGS`."""
    return [_course_cells(window) for window in courses.windows]


def course_sentence(courses: CourseComparison) -> str:
    """What the calibrations of both worlds came to, at which rate, and whether that is the same."""
    rate = courses.rate_tokens_per_s
    parts = (
        f"calibrated, real: {_outcomes(courses.live_outcomes)}, at {_rates(rate.live, rate.live_low, rate.live_high)}",
        f"simulated: {_outcomes(courses.sim_outcomes)}, at {_rates(rate.sim, rate.sim_low, rate.sim_high)}",
        courses_apart(courses) or f"the same outcome, and rates less than {_step(courses)} apart",
    )
    return "; ".join(parts)


def courses_apart(courses: CourseComparison) -> str:
    """In what the calibrations of both worlds do not agree; empty where they do."""
    parts = [] if courses.same_outcome else ["the calibrations come to another outcome"]
    parts += [] if courses.rate_within_step else [f"their rates are {_step(courses)} or more apart"]
    return " and ".join(parts)


def _digits(value: float) -> str:
    """Three significant digits, never in powers of ten and never fewer digits than the whole part has."""
    if value == 0.0:
        return "0"
    whole = math.floor(math.log10(abs(value))) + 1
    return f"{value:.{min(max(3 - whole, 0), 6)}f}"


def _plain(value: float) -> str:
    return _digits(value)


def _seconds(value: float) -> str:
    if value == 0.0:
        return "0 s"
    if abs(value) < 1.0:
        return f"{_digits(value * 1e3)} ms"
    if abs(value) < SECONDS_MINUTES_FROM:
        return f"{_digits(value)} s"
    return f"{_digits(value / 60.0)} min"


def _bytes(value: float) -> str:
    for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{_digits(value)} B"


def _count(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else _digits(value)


FORMATS: dict[str, Callable[[float], str]] = {
    "bytes": _bytes,
    "cores": lambda value: f"{_digits(value)} cores",
    "count": _count,
    "per_s": lambda value: f"{_digits(value)} /s",
    "ratio": lambda value: f"{_digits(100.0 * value)} %",
    "s": _seconds,
    "tokens": lambda value: f"{_count(value)} tokens",
    "usd": lambda value: f"{_digits(value)} USD",
}


def _header(comparison: Comparison) -> str:
    told = comparison.circumstances
    parts = [
        f"simulated {_times(comparison.simulated_count, told.seconds_simulated)}",
        f"real {_times(comparison.live_count, told.seconds_live)}",
    ]
    if told.harness is not None:
        parts.append(f"other load {told.harness.other_load_cores:.2f} cores")
        parts.append(f"lag p99 {_seconds(told.harness.lag_s_p99)}")
        if told.harness.pace is not None:
            parts.append(f"a lone start beside took {_seconds(told.harness.pace.start_s)}")
    parts.append("comparable" if told.comparable else "NOT comparable")
    return " · ".join(parts)


def _times(count: int, seconds: float | None) -> str:
    times = "once" if count == 1 else f"{count} times"
    return times if seconds is None else f"{times} in {_seconds(seconds)}"


def _shown(comparison: Comparison, *, full: bool) -> list[MetricComparison]:
    rows = sorted(comparison.metrics, key=lambda row: (row.kind == "shared", not row.headline))
    if full or not any(row.headline for row in rows):
        return rows
    return [row for row in rows if row.headline or (row.kind == "physics" and row.verdict != "equivalent")]


def _left_out(comparison: Comparison, shown: Sequence[MetricComparison]) -> list[str]:
    rest = [row for row in comparison.metrics if row not in shown]
    # A physics metric is left out only where it is equivalent.
    equivalent_count = sum(row.kind == "physics" for row in rest)
    shared_count = len(rest) - equivalent_count
    parts = [f"{equivalent_count} more, all equivalent"] if equivalent_count else []
    parts += [f"{shared_count} shared by both worlds, not judged"] if shared_count else []
    return [f"... and {'; '.join(parts)}"] if parts else []


def _table(comparison: Comparison, rows: Sequence[MetricComparison]) -> list[str]:
    named = len({row.container for row in comparison.metrics} - {None}) > 1
    return _columns([HEADINGS, *(_cells(row, named=named) for row in rows)])


def _cells(row: MetricComparison, *, named: bool) -> tuple[str, ...]:
    where = f" · {row.container or 'all'}" if named else ""
    return (
        metric_label(row.name) + where,
        value_text(row.live, row.name, row.unit),
        value_text(row.sim, row.name, row.unit),
        ratio_text(row.difference_ratio, signed=True),
        ratio_text(row.noise_ratio),
        row.verdict if row.kind == "physics" else f"{row.verdict} (shared, not judged)",
    )


def _columns(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [_aligned(line, widths) for line in cells]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first = line[0].ljust(widths[0])
    figures = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
    return GAP.join([first, *figures, line[-1]])


def _course_lines(courses: CourseComparison) -> list[str]:
    """Both courses side by side, and a sentence; the sentence alone where no window could be judged."""
    rows = course_rows(courses)
    table = [*_columns([COURSE_HEADINGS, *rows]), ""] if rows else []
    return [*table, course_sentence(courses)]


def _course_cells(window: WindowComparison) -> tuple[str, ...]:
    rate, cpu = window.rate_tokens_per_s, window.cpu_ratio
    return (
        str(window.index),
        _rate(rate.live),
        _rate(rate.sim),
        ratio_text(cpu.live),
        ratio_text(cpu.sim),
        points_text(cpu.difference),
    )


def _outcomes(counts: Mapping[Verdict, int]) -> str:
    """How many runs came to what, the most frequent first: "converged (2 of 3), oscillating (1 of 3)"."""
    whole = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda one: -one[1])
    return ", ".join(f"{outcome.replace('_', ' ')} ({count} of {whole})" for outcome, count in ordered)


def _rates(mean: float | None, low: float | None, high: float | None) -> str:
    """The mean of the rates found, and between which they lie where they differ."""
    between = f" ({low:.4g} to {high:.4g})" if low is not None and high is not None and low < high else ""
    return f"{_rate(mean)}{between}"


def _rate(rate_tokens_per_s: float | None) -> str:
    return UNKNOWN if rate_tokens_per_s is None else f"{rate_tokens_per_s:.4g} tokens/s"


def _step(courses: CourseComparison) -> str:
    return f"a step (factor {courses.step_ratio:.4g})"


def _ending(comparison: Comparison) -> list[str]:
    lines = [_verdict_line(comparison)]
    if comparison.open:
        more = max(REPEATS_PUBLISHED_COUNT, 2 * comparison.live_count)
        lines.append(f"nothing is different, but too much is undecided: more real runs (`--repeats {more}`) would tell")
    furthest = comparison.furthest
    if furthest is not None and furthest.error_ratio != 0.0:
        where = f" of {furthest.container}" if furthest.container else ""
        by = f" by {ratio_text(furthest.error_ratio)}" if furthest.error_ratio is not None else ""
        lines.append(f"furthest off: {metric_label(furthest.name)}{where}{by}; {furthest.reason}")
    told = comparison.circumstances
    if told.load_given is not None:
        load = f" of {told.harness.other_load_cores:.2f} cores" if told.harness else ""
        lines.append(f"given the measured other load{load}: {_figures(told.load_given)}")
    if told.changed_ratios:
        lines.append("this is the shrunk story, not the full-size one; shrinking changed:")
        width = max(len(one.name) for one in told.changed_ratios)
        lines += [f"  {one.name:<{width}}  {_digits(one.full)} -> {_digits(one.shrunk)}" for one in told.changed_ratios]
    lines += [_control_line(one.name, one.detail, caught=one.caught) for one in told.negative_controls]
    return lines


def _verdict_line(comparison: Comparison) -> str:
    parts = [f"{comparison.verdict}: {_figures(comparison)}", _apart(comparison)]
    line = "; ".join(filter(None, parts))
    reasons = comparison.circumstances.reasons
    if not reasons:
        return line
    more = f"; and {len(reasons) - REASONS_SHOWN_COUNT} more reasons" if len(reasons) > REASONS_SHOWN_COUNT else ""
    return f"{line}; {'; '.join(reasons[:REASONS_SHOWN_COUNT])}{more}"


def _apart(comparison: Comparison) -> str:
    """What calibrations say against agreement, where runs may be judged at all."""
    courses = comparison.circumstances.courses
    return courses_apart(courses) if courses is not None and comparison.verdict == "does not agree" else ""


def _figures(comparison: Comparison) -> str:
    if comparison.median_error_ratio is None:
        return "no physics metric was measured in both worlds"
    parts = [
        f"median error {ratio_text(comparison.median_error_ratio)}",
        f"90th percentile {ratio_text(comparison.p90_error_ratio)}",
        f"{comparison.equivalent_count} of {len(comparison.physics)} equivalent",
    ]
    if comparison.different_count:
        parts.append(f"{comparison.different_count} different")
    undecided_count = sum(row.verdict == "undecided" for row in comparison.physics)
    if undecided_count:
        parts.append(f"{undecided_count} undecided")
    return ", ".join(parts)


def _control_line(name: str, detail: str, *, caught: bool) -> str:
    return f"negative control {name}: {'caught' if caught else 'NOT CAUGHT'}; {detail}"
