"""The comparison of real and simulated runs, on runs made up with known answers."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.baseline import pool
from sim.compare import (
    ChangedRatio,
    Circumstances,
    Comparison,
    Harness,
    NegativeControl,
    compare,
    observe,
)
from sim.metrics import Metric
from sim.quantities import error_floor
from tests.sim.made_courses import OTHER_OUTCOME, SAME, found_at

Runs = list[list[Metric]]


def latency(value: float, *, container: str | None = "api", name: str = "step_latency_s_mean") -> Metric:
    """A latency of one run."""
    return Metric(name=name, container=container, kind="physics", unit="s", value=value)


def runs_of(*values: float, name: str = "step_latency_s_mean", unit: str = "s", container: str | None = "api") -> Runs:
    """One run for each value, with that metric alone."""
    return [[Metric(name, container, "physics", unit, value)] for value in values]


def side_by_side(*groups: Runs) -> Runs:
    """Runs whose metrics are those of the groups' runs, one group's beside the other's."""
    return [[metric for run in runs for metric in run] for runs in zip(*groups, strict=True)]


def compared(live: Runs, simulated: Runs) -> Comparison:
    """The comparison without a baseline and without headlines."""
    return compare(live, simulated, baseline=None, headline=())


def verdict_of(comparison: Comparison) -> str:
    """The verdict on a comparison's only metric."""
    (row,) = comparison.metrics
    return row.verdict


def test_error_is_relative_to_the_real_mean() -> None:
    """The error is the distance of the means over the real mean, and the signed difference has its direction."""
    (row,) = compared(runs_of(0.1, 0.1, 0.1), runs_of(0.09, 0.09)).metrics

    assert row.error_ratio == pytest.approx(0.1)
    assert row.difference_ratio == pytest.approx(-0.1)


def test_error_below_the_floor_is_relative_to_the_floor() -> None:
    """Half a millisecond against a tenth of one is 40 % of the floor of a millisecond, not 400 %."""
    (row,) = compared(runs_of(0.0001, 0.0001), runs_of(0.0005, 0.0005)).metrics

    assert row.error_ratio == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("name", "unit", "floor"),
    [
        ("step_latency_s_p95", "s", 1e-3),
        ("host_probe_latency_s_p99", "s", 1e-3),
        ("throttled_s", "s", 1.0),
        ("steps_per_s", "1/s", 1e-2),
        ("memory_bytes_max", "bytes", 2**20),
        ("completion_ratio", "ratio", 1e-2),
        ("restart_count", "count", 1.0),
        ("unheard_of", "bytes", 2**20),
        ("unheard_of", "furlongs", 1e-9),
    ],
)
def test_floors_go_by_name_then_by_unit(name: str, unit: str, floor: float) -> None:
    """A metric's floor is its own, else that of the unit in its name, else that of the unit beside it."""
    assert error_floor(name, unit) == floor


def test_equal_steady_runs_are_equivalent() -> None:
    """Runs that never vary and agree need no more repeats."""
    assert verdict_of(compared(runs_of(0.1, 0.1, 0.1), runs_of(0.102, 0.102))) == "equivalent"


def test_a_shift_of_a_fifth_is_different() -> None:
    """Twenty percent more than quiet real runs lies wholly outside any margin."""
    comparison = compared(runs_of(0.100, 0.101, 0.099), runs_of(*[0.120, 0.121, 0.119] * 6))

    assert verdict_of(comparison) == "different"
    assert comparison.different_count == 1


def test_noisy_real_runs_leave_a_metric_undecided() -> None:
    """Three real runs that scatter by a fifth prove neither sameness nor difference."""
    assert verdict_of(compared(runs_of(0.08, 0.10, 0.12), runs_of(*[0.1, 0.101] * 10))) == "undecided"


def test_one_real_run_without_a_baseline_decides_nothing() -> None:
    """With one real run nothing is known about noise: no interval, no noise, no verdict."""
    (row,) = compared(runs_of(0.1), runs_of(0.2, 0.2)).metrics

    assert (row.verdict, row.difference_low, row.noise_ratio, row.live_low) == ("undecided", None, None, None)


def test_one_real_run_with_a_baseline_is_judged() -> None:
    """Earlier real runs of the story lend a single one their deviation."""
    baseline = pool(runs_of(0.1, 0.1005, 0.0995, 0.1, 0.1002))
    comparison = compare(runs_of(0.1), runs_of(0.1, 0.1), baseline=baseline, headline=())

    assert verdict_of(comparison) == "equivalent"


def test_a_single_simulated_run_is_taken_to_vary_as_the_real_ones() -> None:
    """Two records can be compared where real runs of one of them are known."""
    baseline = pool(runs_of(0.1, 0.13, 0.07, 0.1))
    (row,) = compare(runs_of(0.1), runs_of(0.1), baseline=baseline, headline=()).metrics
    assert row.difference_low is not None
    assert row.difference_high is not None

    # The real run and the simulated one add the same variance: sqrt(2 x 0.0006), times t(0.95, 3 degrees) = 2.3534.
    assert pytest.approx(2.3534 * math.sqrt(2 * 0.0006) / 0.1, rel=1e-3) == row.difference_high
    assert (row.sim_low, row.sim_high) == (None, None)


def test_means_carry_t_intervals() -> None:
    """The 95 % interval of three runs' mean is the textbook's: t(0.975, 2 degrees) is 4.3027."""
    (row,) = compared(runs_of(0.09, 0.10, 0.11), runs_of(0.1, 0.1)).metrics
    spread = 4.3027 * 0.01 / math.sqrt(3)

    assert row.live_low == pytest.approx(0.1 - spread, rel=1e-4)
    assert row.live_high == pytest.approx(0.1 + spread, rel=1e-4)


def test_structural_zeros_are_left_out() -> None:
    """A metric that is zero in every run of both worlds is not compared at all."""
    kills = runs_of(0, 0, name="oom_kill_count", unit="count")

    assert compared(kills, kills).metrics == ()


def test_zero_in_one_world_only_is_kept() -> None:
    """One kill that the simulation never shows is an error of a whole count."""
    live = runs_of(1, 1, 1, name="oom_kill_count", unit="count")
    (row,) = compared(live, runs_of(0, 0, name="oom_kill_count", unit="count")).metrics

    assert (row.error_ratio, row.verdict) == (1.0, "different")


@pytest.mark.parametrize(
    ("live", "sim", "verdict"),
    [
        (7, 8, "equivalent"),
        (7, 9, "different"),
        (2, 3, "different"),
        (0, 1, "different"),
        (40, 41, "equivalent"),
        (40, 44, "different"),
    ],
)
def test_one_event_either_way_is_within_a_tally(live: int, sim: int, verdict: str) -> None:
    """A tally may be off by one event, but not by a quarter of itself, nor by none against one."""
    worlds = [runs_of(*[value] * 3, name="restart_count", unit="count") for value in (live, sim)]

    assert verdict_of(compared(*worlds)) == verdict


def test_how_many_are_up_is_no_tally() -> None:
    """Seven agents up where eight are is a different state, not one event more or less."""
    worlds = [runs_of(*[value] * 3, name="agents_up_count", unit="count") for value in (8, 7)]

    assert verdict_of(compared(*worlds)) == "different"


def test_tails_get_twice_the_margin() -> None:
    """Eight percent off is the same for a 99th percentile, and different for a mean."""
    tail, mean = [
        compared(runs_of(0.1, 0.1, name=name), runs_of(0.108, 0.108, name=name))
        for name in ("step_latency_s_p99", "step_latency_s_mean")
    ]

    assert (verdict_of(tail), verdict_of(mean)) == ("equivalent", "different")


def test_noise_widens_the_margin_once_it_is_known_well() -> None:
    """Three runs' noise is a guess and leaves the margin alone; with twelve runs behind it, it counts."""
    noisy = [0.09, 0.1, 0.11]
    guessed = compared(runs_of(*noisy), runs_of(0.1, 0.1)).metrics[0]
    baseline = pool(runs_of(*noisy * 3))
    known = compare(runs_of(*noisy), runs_of(0.1, 0.1), baseline=baseline, headline=()).metrics[0]

    assert guessed.margin_ratio == 0.05
    assert known.noise_ratio == known.margin_ratio
    assert known.margin_ratio > 0.1


def test_a_metric_that_one_world_never_shows_is_different() -> None:
    """What every real run has and no simulated run has cannot agree, and is named as the furthest."""
    live = side_by_side(runs_of(0.1, 0.1), runs_of(1.0, 1.0, name="recovery_s"))
    comparison = compared(live, runs_of(0.1, 0.1))
    row = comparison.row("recovery_s", "api")
    assert row is not None
    assert comparison.furthest is not None

    assert (row.verdict, row.sim, row.error_ratio) == ("different", None, None)
    assert comparison.furthest.name == "recovery_s"
    assert "real runs only" in comparison.furthest.reason
    assert comparison.verdict == "does not agree"


def test_a_metric_that_only_some_runs_of_one_world_show_is_undecided() -> None:
    """A rare thing seen in one real run of two may still come in the simulation."""
    live = [[latency(0.1), latency(1.0, name="recovery_s")], [latency(0.1)]]
    row = compared(live, runs_of(0.1, 0.1)).row("recovery_s", "api")
    assert row is not None

    assert row.verdict == "undecided"


def test_the_total_of_a_single_container_is_not_counted_twice() -> None:
    """With one container, totals that equal its figures are dropped and totals of their own are kept."""
    run = [latency(0.1), latency(0.1, container=None), latency(4.0, container=None, name="ready_s")]

    kept = [(one.name, one.container) for one in observe([run, run], [run, run])]

    assert kept == [("step_latency_s_mean", "api"), ("ready_s", None)]


def test_a_total_that_differs_from_its_only_container_is_kept() -> None:
    """A total with something of its own in it is a metric of its own."""
    run = [latency(0.1), latency(0.2, container=None)]

    assert len(observe([run], [run])) == 2


def test_with_two_containers_totals_are_kept() -> None:
    """Where there is something to add up, the total says something of its own."""
    run = [latency(0.1), latency(0.1, container="db"), latency(0.1, container=None)]

    assert [one.container for one in observe([run], [run])] == ["api", "db", None]


def test_shared_metrics_do_not_count_as_agreement() -> None:
    """What both worlds take from the same code is shown, and judged by nobody."""
    shared = [[Metric("token_wait_s_mean", "api", "shared", "s", value)] for value in (1.0, 1.0)]
    comparison = compared(side_by_side(runs_of(0.1, 0.1), shared), side_by_side(runs_of(0.2, 0.2), shared))

    assert comparison.equivalent_ratio == 0.0
    assert comparison.median_error_ratio == pytest.approx(1.0)
    assert len(comparison.metrics) == 2


def test_a_story_with_shared_metrics_alone_cannot_be_judged() -> None:
    """Agreement of shared code with itself is no agreement."""
    shared = [[Metric("token_wait_s_mean", "api", "shared", "s", 1.0)]] * 2

    assert compared(shared, shared).verdict == "not comparable"


def many_metrics(*values: float) -> Runs:
    """Two equal runs with one latency metric per value, each of a container of its own."""
    run = [latency(value, container=f"c{number}") for number, value in enumerate(values)]
    return [run, run]


def test_summary_figures() -> None:
    """Median, 90th percentile and share of equivalents are those of the single errors."""
    comparison = compared(many_metrics(*[1.0] * 5), many_metrics(1.0, 1.01, 1.02, 1.04, 1.2))

    assert comparison.median_error_ratio == pytest.approx(0.02)
    assert comparison.p90_error_ratio == pytest.approx(0.04 + 0.6 * 0.16)
    assert comparison.equivalent_ratio == 0.8


@pytest.mark.parametrize(
    ("simulated", "verdict"),
    [
        ([1.0, 1.01, 1.02, 1.03, 1.04], "agrees"),
        ([1.04, 1.04, 1.04, 1.04, 1.04], "does not agree"),
        ([1.0, 1.0, 1.0, 1.06, 1.06], "does not agree"),
        ([1.0] * 19 + [1.14], "agrees"),
        ([1.0] * 19 + [1.16], "does not agree"),
        ([1.0] * 8 + [1.12] * 2, "does not agree"),
    ],
)
def test_agreement_needs_all_four_bounds(simulated: list[float], verdict: str) -> None:
    """Median, 90th percentile, share of equivalents and the greatest difference each can break agreement."""
    comparison = compared(many_metrics(*[1.0] * len(simulated)), many_metrics(*simulated))

    assert comparison.verdict == verdict


def test_calibrations_that_come_apart_forbid_agreement() -> None:
    """Another outcome, or a rate a step away, weighs more than any metric; disturbed runs are not judged by it."""
    comparison = compared(many_metrics(1.0), many_metrics(1.0))
    told = [Circumstances(courses=courses) for courses in (None, SAME, OTHER_OUTCOME, found_at(8, 10))]
    told.append(Circumstances(courses=OTHER_OUTCOME, comparable=False))

    assert ["agrees", "agrees", "does not agree", "does not agree", "not comparable"] == [
        dataclasses.replace(comparison, circumstances=one).verdict for one in told
    ]


def test_more_repeats_do_not_bring_calibrations_together() -> None:
    """Where metrics alone are undecided more runs may tell; another outcome stays."""
    comparison = compared(runs_of(0.09, 0.1, 0.11), runs_of(0.1, 0.1))
    told = [Circumstances(courses=courses) for courses in (SAME, OTHER_OUTCOME)]

    assert [True, False] == [dataclasses.replace(comparison, circumstances=one).open for one in told]


def test_json_tells_calibrations_where_there_are_any() -> None:
    """They stand under their key, and a story that calibrates nothing does not speak of them."""
    comparison = compared(many_metrics(1.0), many_metrics(1.0))
    told = dataclasses.replace(comparison, circumstances=Circumstances(courses=SAME)).to_json()

    assert SAME.to_json() == told["calibration"]
    assert "calibration" not in comparison.to_json()


def test_disturbed_runs_are_not_judged() -> None:
    """However well the figures fit, runs that were disturbed give no verdict."""
    comparison = compared(many_metrics(1.0), many_metrics(1.0))
    disturbed = Circumstances(comparable=False, reasons=("other load was 0.61 cores",))

    assert comparison.verdict == "agrees"
    assert dataclasses.replace(comparison, circumstances=disturbed).verdict == "not comparable"


def test_no_real_run_at_all_is_not_comparable() -> None:
    """Where every real run was unfit, nothing is judged and nothing breaks."""
    comparison = compared([], runs_of(0.1, 0.1))

    assert (comparison.verdict, verdict_of(comparison)) == ("not comparable", "undecided")


def test_the_furthest_metric_comes_with_a_likely_reason() -> None:
    """The largest error is named, in its direction, in words that claim no proof."""
    memory = [runs_of(value, value, name="memory_bytes_mean", unit="bytes") for value in (2e8, 1e8)]
    furthest = compared(*memory).furthest
    assert furthest is not None

    assert (furthest.name, furthest.error_ratio) == ("memory_bytes_mean", 0.5)
    assert furthest.reason.startswith("likely an allocator's reserve")


def test_other_load_is_the_likely_reason_where_it_explains_the_error() -> None:
    """A metric that comes right once the measured load is given was off because of the load."""
    live = runs_of(0.2, 0.2)
    given = compared(live, runs_of(0.198, 0.198))
    comparison = dataclasses.replace(compared(live, runs_of(0.1, 0.1)), circumstances=Circumstances(load_given=given))
    assert comparison.furthest is not None

    assert comparison.furthest.reason == "likely other load on the host: given it, the error is 1.0 %"


def test_metrics_that_are_no_numbers_are_not_measured() -> None:
    """A run without steps has no mean latency: NaN counts as missing."""
    (row,) = compared(runs_of(0.1, math.nan, 0.1), runs_of(0.1, 0.1)).metrics

    assert row.live == pytest.approx(0.1)


def full_comparison() -> Comparison:
    """A comparison with every circumstance told."""
    live = side_by_side(runs_of(0.1, 0.11), runs_of(3.0, 3.0, name="recovery_s"))
    comparison = compare(live, runs_of(0.1), baseline=None, headline=["step_latency_s_mean"])
    return dataclasses.replace(
        comparison,
        circumstances=Circumstances(
            kind="validation",
            scenario="bursts",
            load_given=comparison,
            live_runs=("a", "b"),
            seconds_simulated=0.5,
            seconds_live=30.0,
            harness=Harness(lag_s_p99=math.nan, other_load_cores=0.02, steal_ratio=0.0),
            changed_ratios=(ChangedRatio("step against quota", 0.2, 0.8),),
            negative_controls=(NegativeControl("fluid", caught=True, detail="throttled_s"),),
        ),
    )


def test_json_has_exactly_the_agreed_keys() -> None:
    """The object for `--json` has the keys that scripts and the dashboard rely on, for metrics too."""
    written = full_comparison().to_json()

    assert list(written) == [
        *("kind", "scenario", "metrics", "median_error_ratio", "p90_error_ratio", "equivalent_ratio"),
        *("different_count", "furthest", "comparable", "reasons", "verdict", "load_given", "live_runs"),
        *("simulated_count", "live_count", "seconds_simulated", "seconds_live", "harness", "changed_ratios"),
        "negative_controls",
    ]
    assert list(written["metrics"][0]) == [
        *("name", "container", "kind", "unit", "live", "live_low", "live_high", "sim", "sim_low", "sim_high"),
        *("error_ratio", "noise_ratio", "difference_low", "difference_high", "margin_ratio", "verdict", "headline"),
    ]
    assert list(written["load_given"]) == [
        *("other_load_cores", "metrics", "median_error_ratio", "p90_error_ratio", "equivalent_ratio"),
    ]


def test_json_is_strict() -> None:
    """What is not known is null: strict JSON readers stumble over NaN."""
    text = json.dumps(full_comparison().to_json(), allow_nan=False)
    harness: dict[str, Any] = json.loads(text)["harness"]

    assert harness == {
        "lag_s_p99": None,
        "other_load_cores": 0.02,
        "steal_ratio": 0.0,
        "harness_cores": 0.0,
        "pace": None,
    }


def test_headline_metrics_are_marked() -> None:
    """A metric the story is about carries its mark in every container."""
    marks = {row.name: row.headline for row in full_comparison().metrics}

    assert marks == {"step_latency_s_mean": True, "recovery_s": False}


seconds = st.floats(min_value=0.1, max_value=100.0)


@given(
    live=st.lists(seconds, min_size=2, max_size=6),
    simulated=st.lists(seconds, min_size=2, max_size=6),
    scale=st.sampled_from([0.125, 0.5, 4.0, 1024.0]),
)
def test_the_unit_does_not_matter_above_the_floor(live: list[float], simulated: list[float], scale: float) -> None:
    """Measured in another unit, errors, noise, intervals and verdicts stay the same."""
    (plain,) = compared(runs_of(*live), runs_of(*simulated)).metrics
    (scaled,) = compared(
        runs_of(*[value * scale for value in live]), runs_of(*[value * scale for value in simulated])
    ).metrics
    figures = ("error_ratio", "noise_ratio", "difference_low", "difference_high")

    assert [getattr(plain, name) for name in figures] == [pytest.approx(getattr(scaled, name)) for name in figures]
    assert plain.verdict == scaled.verdict


@given(live=st.lists(seconds, min_size=2, max_size=6), simulated=st.lists(seconds, min_size=1, max_size=6))
def test_the_interval_holds_the_difference(live: list[float], simulated: list[float]) -> None:
    """The interval of the difference always holds the difference that was seen, and the verdict fits it."""
    (row,) = compared(runs_of(*live), runs_of(*simulated)).metrics
    assert row.difference_low is not None
    assert row.difference_high is not None
    assert row.difference_ratio is not None

    assert row.difference_low - 1e-9 <= row.difference_ratio <= row.difference_high + 1e-9
    assert row.error_ratio == abs(row.difference_ratio)


@given(values=st.lists(seconds, min_size=2, max_size=8), order=st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_matter(values: list[float], order: Any) -> None:  # noqa: ANN401 - Hypothesis gives a private Random.
    """Runs are exchangeable: shuffled, they give the same comparison."""
    shuffled = list(values)
    order.shuffle(shuffled)
    first = compared(runs_of(*values), runs_of(1.0, 1.0)).metrics[0]
    second = compared(runs_of(*shuffled), runs_of(1.0, 1.0)).metrics[0]

    assert first.difference_low == pytest.approx(second.difference_low)
    assert first.live == second.live
