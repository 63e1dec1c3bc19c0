"""The printed comparison, word by word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sim.compare import ChangedRatio, Circumstances, Comparison, Harness, NegativeControl, compare
from sim.course_comparison import compare_courses
from sim.metrics import Metric
from sim.report_text import comparison_text, metric_label, points_text, ratio_text, value_text
from tests.sim.made_courses import OTHER_OUTCOME, SAME, TERMS, course, found_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.course_comparison import CourseComparison

HEADLINE = ("steps_per_s", "step_latency_s_p99")


def run_of(container: str | None, rate: float, latency_s: float, kills: float, wait_s: float) -> list[Metric]:
    """One run: throughput, a tail, kills, and a shared wait."""
    return [
        Metric("oom_kill_count", container, "physics", "count", kills),
        Metric("steps_per_s", container, "physics", "1/s", rate),
        Metric("step_latency_s_p99", container, "physics", "s", latency_s),
        Metric("memory_bytes_mean", container, "physics", "bytes", 150e6),
        Metric("token_wait_s_mean", None, "shared", "s", wait_s),
    ]


def example(containers: Sequence[str | None] = ("api",), headline: Sequence[str] = HEADLINE) -> Comparison:
    """Three real runs against four simulated ones."""
    live = [
        [metric for name in containers for metric in run_of(name, rate, latency_s, 7, 1.5)]
        for rate, latency_s in ((19.6, 0.38), (19.7, 0.42), (19.8, 0.41))
    ]
    simulated = [
        [metric for name in containers for metric in run_of(name, rate, 0.43, 8, 1.6)]
        for rate in (19.8, 19.8, 19.7, 19.9)
    ]
    return compare(live, simulated, baseline=None, headline=headline)


HARNESS = Harness(lag_s_p99=0.0004, other_load_cores=0.02, steal_ratio=0.0)

FIGURES = "median error 3.6 %, 90th percentile 12.0 %, 3 of 4 equivalent, 1 undecided"

REASON = "likely the programs' own page cache gave way first, where the model kills at once"

EXPECTED = f"""\
simulated 4 times in 600 ms · real 3 times in 48.0 s · other load 0.02 cores · lag p99 0.400 ms · comparable

metric                 real  simulated   error  noise  verdict
steps               19.7 /s    19.8 /s  +0.5 %  0.7 %  equivalent
step latency, 99th   403 ms     430 ms  +6.6 %  7.3 %  undecided
... and 2 more, all equivalent; 1 shared by both worlds, not judged

does not agree: {FIGURES}
furthest off: out-of-memory kills of api by 14.3 %; {REASON}"""


def test_the_whole_answer() -> None:
    """One screen: how it came about, the headline metrics, the verdict, and what is furthest off and why."""
    told = Circumstances(kind="validation", seconds_simulated=0.6, seconds_live=48.0, harness=HARNESS)
    text = comparison_text(replace(example(), circumstances=told))

    assert text == EXPECTED


def test_the_full_table_shows_everything_with_shared_metrics_last() -> None:
    """Headline metrics come first, then the other physics, then what is shared and not judged."""
    lines = comparison_text(example(), full=True).splitlines()

    assert [line.split("  ")[0] for line in lines[3:8]] == [
        "steps",
        "step latency, 99th",
        "out-of-memory kills",
        "memory, mean",
        "wait for tokens, mean",
    ]
    assert lines[7].endswith("(shared, not judged)")


def test_without_a_headline_everything_is_shown() -> None:
    """A story that names no headline leaves nothing out."""
    text = comparison_text(example(headline=()))

    assert "wait for tokens, mean" in text
    assert "... and" not in text


def test_containers_are_named_where_there_are_several() -> None:
    """With two containers and a total each row says whose figure it is."""
    text = comparison_text(example(containers=("api", "db", None)), full=True)

    assert "steps · api" in text
    assert "steps · db" in text
    assert "steps · all" in text


def test_a_physics_metric_that_is_off_is_always_shown() -> None:
    """A metric that is no headline shows as soon as it is not equivalent."""
    comparison = compare(
        [run_of("api", 19.7, 0.4, 2, 1.5)] * 3, [run_of("api", 19.7, 0.4, 4, 1.5)] * 3, baseline=None, headline=HEADLINE
    )

    assert "out-of-memory kills" in comparison_text(comparison).split("\n\n")[1]


def test_disturbed_runs_say_so_first_and_last() -> None:
    """That runs may not be judged stands in the header and, with its reasons, in the verdict."""
    told = Circumstances(comparable=False, reasons=("other load was 0.61 cores (at most 0.10)",))
    lines = comparison_text(replace(example(), circumstances=told)).splitlines()

    assert lines[0] == "simulated 4 times · real 3 times · NOT comparable"
    assert lines[-2].startswith(f"not comparable: {FIGURES}")
    assert lines[-2].endswith("; other load was 0.61 cores (at most 0.10)")


def test_everything_the_caller_knows_is_told() -> None:
    """The prediction given the measured load, what shrinking changed, and the negative controls each have a line."""
    told = Circumstances(
        load_given=example(),
        harness=HARNESS,
        changed_ratios=(ChangedRatio("step against quota", 0.2, 0.8),),
        negative_controls=(
            NegativeControl("fluid", caught=True, detail="throttled time is 100 % off"),
            NegativeControl("no_oom", caught=False, detail="nothing was killed"),
        ),
    )
    lines = comparison_text(replace(example(), circumstances=told)).splitlines()

    assert lines[-5:] == [
        f"given the measured other load of 0.02 cores: {FIGURES}",
        "this is the shrunk story, not the full-size one; shrinking changed:",
        "  step against quota  0.200 -> 0.800",
        "negative control fluid: caught; throttled time is 100 % off",
        "negative control no_oom: NOT CAUGHT; nothing was killed",
    ]


def told_of(courses: CourseComparison) -> list[str]:
    """The lines of a comparison of a story that calibrates."""
    return comparison_text(replace(example(), circumstances=Circumstances(courses=courses))).splitlines()


def test_calibrations_stand_under_the_metrics() -> None:
    """A line for each window with both worlds, one sentence, and then the verdict."""
    lines = told_of(SAME)
    start = next(number for number, line in enumerate(lines) if line.startswith("round"))

    assert [
        ["round", "rate, real", "rate, simulated", "CPU of limit, real", "CPU of limit, simulated", "difference"],
        ["1", "10 tokens/s", "10 tokens/s", "93.0 %", "95.0 %", "+2.0 points"],
        ["2", "8 tokens/s", "8 tokens/s", "75.0 %", "74.0 %", "-1.0 points"],
    ] == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[start : start + 3]]
    assert [
        "",
        (
            "calibrated, real: converged (2 of 2), at 8 tokens/s; simulated: converged (3 of 3), at 8 tokens/s; "
            "the same outcome, and rates less than a step (factor 1.25) apart"
        ),
        "",
        f"does not agree: {FIGURES}",
    ] == lines[start + 3 : start + 7]


def test_calibrations_that_come_apart_are_told_in_the_verdict() -> None:
    """Another outcome and a rate a step away are each named; the range of rates is shown where there is one."""
    apart = "their rates are a step (factor 1.25) or more apart"
    both = compare_courses(
        TERMS,
        [course("converged", (8, 0.75))],
        [course("oscillating", (12, 0.9)), course("oscillating", (16, 0.9)), course("converged", (8, 0.75))],
    )

    assert f"does not agree: {FIGURES}; the calibrations come to another outcome" in told_of(OTHER_OUTCOME)
    assert f"does not agree: {FIGURES}; {apart}" in told_of(found_at(8, 10))
    assert f"does not agree: {FIGURES}; the calibrations come to another outcome and {apart}" in told_of(both)
    assert any("oscillating (2 of 3), converged (1 of 3), at 12 tokens/s (8 to 16)" in line for line in told_of(both))


def test_a_window_of_one_world_has_dashes() -> None:
    """What the other world lacks is not made up."""
    lines = told_of(compare_courses(TERMS, [course("converged", None, (8, 0.75))], [course("converged", (8, 0.75))]))
    first = next(line for line in lines if line.startswith("1 "))

    assert ["1", "–", "8 tokens/s", "–", "75.0 %", "–"] == [cell.strip() for cell in first.split("  ") if cell.strip()]


def test_calibrations_without_a_window_are_one_sentence() -> None:
    """There is no table without rows."""
    nothing = [course("out_of_rounds", None, None, None)]
    lines = told_of(compare_courses(TERMS, nothing, nothing))

    assert any("real: out of rounds (1 of 1), at 10 tokens/s" in line for line in lines)
    assert not any(line.startswith("round") for line in lines)


@pytest.mark.parametrize(("difference", "text"), [(0.0184, "+1.8 points"), (-0.0001, "+0.0 points"), (None, "–")])
def test_differences_of_shares_are_in_points(difference: float | None, text: str) -> None:
    """Two per cent and three per cent are one point apart; nothing is negative that rounds to nothing."""
    assert text == points_text(difference)


def test_what_more_repeats_would_tell_is_said() -> None:
    """Where only undecided metrics stand against agreement, the next line says what to do."""
    live = [run_of("api", 19.7, latency_s, 7, 1.5) for latency_s in (0.3, 0.4, 0.5)]
    comparison = compare(live, [run_of("api", 19.7, 0.4, 7, 1.5)] * 3, baseline=None, headline=())
    lines = comparison_text(comparison).splitlines()

    assert lines[-3:-1] == [
        "does not agree: median error 0.0 %, 90th percentile 0.0 %, 3 of 4 equivalent, 1 undecided",
        "nothing is different, but too much is undecided: more real runs (`--repeats 8`) would tell",
    ]


def test_nothing_to_compare_is_said() -> None:
    """Two records without a metric in common end in one clear line."""
    comparison = compare([], [], baseline=None, headline=())

    assert comparison_text(comparison).splitlines()[-1] == (
        "not comparable: no physics metric was measured in both worlds"
    )


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("step_latency_s_mean", "step latency, mean"),
        ("step_latency_s_p99", "step latency, 99th"),
        ("memory_bytes_max", "memory, highest"),
        ("throttled_s", "throttled time"),
        ("something_new_s_p95", "something new s p95"),
    ],
)
def test_metrics_have_plain_names(name: str, label: str) -> None:
    """Known metrics have words, unknown ones their own name without underscores."""
    assert metric_label(name) == label


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.0532, "step_latency_s_mean", "53.2 ms"),
        (0.402, "step_latency_s_p99", "402 ms"),
        (0.0, "throttled_s", "0 s"),
        (6.234, "throttled_s", "6.23 s"),
        (600.0, "makespan_s", "10.0 min"),
        (19.71, "steps_per_s", "19.7 /s"),
        (0.552, "throttled_period_ratio", "55.2 %"),
        (512 * 1024.0**2, "memory_bytes_max", "512 MiB"),
        (1536 * 1024.0**2, "memory_bytes_max", "1.50 GiB"),
        (12.0, "network_bytes", "12.0 B"),
        (0.4136, "cpu_cores_mean", "0.414 cores"),
        (7.0, "oom_kill_count", "7"),
        (7.25, "oom_kill_count", "7.25"),
        (50.0, "debt_tokens_max", "50 tokens"),
        (0.0123, "cost_usd", "0.0123 USD"),
        (12345.0, "unheard_of", "12345"),
        (None, "steps_per_s", "–"),
        (float("nan"), "steps_per_s", "–"),
    ],
)
def test_values_have_three_digits_and_a_unit(value: float | None, name: str, text: str) -> None:
    """Values are for people: a unit that suits the size, and no digits that mean nothing."""
    assert value_text(value, name) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.018, "+1.8 %"), (-0.0004, "+0.0 %"), (-0.02, "-2.0 %"), (None, "–"), (float("inf"), "–")]
)
def test_ratios_are_percent(ratio: float | None, text: str) -> None:
    """Ratios have one digit after the point and their sign."""
    assert ratio_text(ratio, signed=True) == text
