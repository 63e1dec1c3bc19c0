"""Metrics: the figures of tables made up by hand, over a window from 10 s to 20 s."""

from __future__ import annotations

import dataclasses

import pytest

from scenarios import story as told
from sim.machine import Probed, Sample, StepDone
from sim.metrics import Metric, measure
from sim.record import Recorder

WINDOW = (10.0, 20.0)
BUCKETS = tuple(told.TokenBucket(name, 10.0, 100.0, 100.0, "shared", debt=True) for name in ("b", "c"))
PROVIDER = told.Provider("p", told.Law("constant", (1.0,)), 60.0, None, 1.0, 0.0, 3, 1e-6, 2e-6)


def story(*names: str, cpus_limit: float | None = 0.5) -> told.Story:
    """A story of these containers, without agents and policies; what is measured lies in the tables."""
    return told.Story(
        name="s",
        purpose="",
        source="",
        seed=1,
        duration_s=10.0,
        sample_interval_s=1.0,
        hosts=(told.Host("h", 2.0, 1 << 30, 0, 0, None),),
        containers=tuple(told.Container(name, "h", cpus_limit, None, None, 1024, None, 100, 1.0) for name in names),
        agents=(),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


def at(at_s: float, container: str = "a", **counters: float) -> Sample:
    """A sample with these counters and zero for the others."""
    return dataclasses.replace(Sample(container, at_s, 0.0, 0, 0, 0.0, 0, 0, 0, 0), **counters)  # type: ignore[arg-type]


def done(index: int, finish_s: float, latency_s: float = 0.1, *, container: str = "a", wait_s: float = 0.0) -> StepDone:
    """A finished step."""
    return StepDone(container, f"{container}/0", index, finish_s - latency_s, finish_s, latency_s, 0.05, wait_s)


def recorded(*rows: Sample | StepDone, ends: tuple[str, ...] = ("a",)) -> Recorder:
    """A recorder over the window with these rows, and bare samples at both ends for those that need no others."""
    recorder = Recorder(None)
    recorder.begin_window(*WINDOW)
    for container in ends:
        recorder.sample(at(WINDOW[0], container))
        recorder.sample(at(WINDOW[1], container))
    for row in rows:
        if isinstance(row, Sample):
            recorder.sample(row)
        else:
            recorder.step(row)
    return recorder


def figures(one: told.Story, recorder: Recorder, container: str | None = "a") -> dict[str, float]:
    """The metrics of one container, or of the story as a whole, by name."""
    return {metric.name: metric.value for metric in measure(one, recorder, {}) if metric.container == container}


# Counters and gauges of one container.


def test_counters_are_read_at_the_window_s_ends_between_samples() -> None:
    """4 s at 9 and 5 s at 11 are 4.5 s at 10; 9 s at 19 and 11 s at 21 are 10 s at 20: 5.5 s in 10 are 0.55 cores."""
    rows = [at(at_s, cpu_s=cpu_s) for at_s, cpu_s in ((9.0, 4.0), (11.0, 5.0), (19.0, 9.0), (21.0, 11.0))]

    assert 0.55 == pytest.approx(figures(story("a"), recorded(*rows, ends=()))["cpu_cores_mean"])


def test_throttling_is_what_the_window_added() -> None:
    """50 of 200 periods and 3 s before the window do not count; 25 of 100 and 4 s within it do."""
    before = at(10.0, periods_count=200, throttled_periods_count=50, throttled_s=3.0)
    after = at(20.0, periods_count=300, throttled_periods_count=75, throttled_s=7.0)
    found = figures(story("a"), recorded(before, after, ends=()))

    assert (0.25, 4.0) == (found["throttled_period_ratio"], found["throttled_s"])


def test_an_idle_container_is_not_throttled() -> None:
    """Where the kernel counted no period, the ratio is zero and no division by it."""
    assert 0.0 == figures(story("a"), recorded())["throttled_period_ratio"]


def test_without_a_quota_there_is_no_throttling_to_tell() -> None:
    """A container without a CPU limit has no throttling figures at all, which is not the same as zero."""
    found = figures(story("a", cpus_limit=None), recorded())

    assert "cpu_cores_mean" in found
    assert not {"throttled_period_ratio", "throttled_s"} & set(found)


def test_memory_is_averaged_over_time_not_over_samples() -> None:
    """100 bytes for a second, then a straight line to 1,000 in nine: (100 + 4,950) / 10 = 505, and not 400."""
    levels = ((5.0, 9_999), (10.0, 100), (11.0, 100), (20.0, 1_000), (25.0, 9_999))
    recorder = recorded(*[at(at_s, memory_bytes=level) for at_s, level in levels], ends=())

    assert 505.0 == pytest.approx(figures(story("a"), recorder)["memory_bytes_mean"])


@pytest.mark.parametrize(
    ("levels", "mean_bytes"),
    [(((6.0, 100), (14.0, 300), (24.0, 500)), 316), (((8.0, 100), (24.0, 500)), 275)],
    ids=["one sample inside", "none inside"],
)
def test_memory_of_few_samples(levels: tuple[tuple[float, int], ...], mean_bytes: float) -> None:
    """Straight lines reach over the window's ends at 10 and 20 s: 200 to 300 to 420 bytes, and 150 to 400."""
    recorder = recorded(*[at(at_s, memory_bytes=level) for at_s, level in levels], ends=())

    assert pytest.approx(mean_bytes) == figures(story("a"), recorder)["memory_bytes_mean"]


def test_the_memory_peak_is_the_kernel_s_at_the_end_of_the_window() -> None:
    """A peak from before the window counts, since the kernel keeps it; one from after the window does not."""
    peaks = ((5.0, 700), (20.0, 700), (25.0, 900))
    recorder = recorded(*[at(at_s, memory_peak_bytes=peak, memory_bytes=10) for at_s, peak in peaks], ends=())

    assert 700 == figures(story("a"), recorder)["memory_bytes_max"]


def test_the_order_of_rows_does_not_matter() -> None:
    """Samples and steps that were reported late give the figures they would have given in time."""
    rows: list[Sample | StepDone] = [at(10.0 + n, cpu_s=0.1 * n * n, memory_bytes=n * n) for n in range(11)]
    rows += [done(n, 10.0 + n, 0.1 * n) for n in range(1, 10)]
    in_time, late = (figures(story("a"), recorded(*some, ends=())) for some in (rows, rows[::-1]))

    assert in_time == {name: pytest.approx(value) for name, value in late.items()}


# Containers that come and go.


def lives(*events: tuple[float, str], **counters: tuple[float, ...]) -> Recorder:
    """Samples each two seconds from 10 to 20 s with these counters, and events of the container."""
    rows = [
        at(10.0 + 2.0 * row, "a", **{name: values[row] for name, values in counters.items()})
        for row in range(len(next(iter(counters.values()))))
    ]
    recorder = recorded(*rows, ends=())
    for count, (at_s, what) in enumerate(events):
        recorder.event(at_s, what, "a", None, f"{count}")
    return recorder


def returning(*names: str) -> told.Story:
    """A story of containers that are started anew whenever they end."""
    one = story(*names)
    always = (dataclasses.replace(each, restart=told.RestartPolicy("always")) for each in one.containers)
    return dataclasses.replace(one, containers=tuple(always))


def test_counters_of_several_lives_are_added_up() -> None:
    """From 3 to 5 s of CPU in one life, and 4 in the next: 6 s in ten are 0.6 cores; so with kills and throttling."""
    recorder = lives(
        (15.0, "died"),
        (15.5, "restarted"),
        cpu_s=(3.0, 4.0, 5.0, 1.0, 2.0, 4.0),
        oom_kills_count=(7, 7, 8, 0, 2, 2),
        periods_count=(100, 110, 120, 10, 20, 30),
        throttled_periods_count=(50, 55, 60, 5, 5, 5),
        throttled_s=(5.0, 5.5, 6.0, 0.5, 0.5, 0.5),
    )
    found = figures(story("a"), recorder)

    assert pytest.approx(0.6) == found["cpu_cores_mean"]
    assert 3.0 == found["oom_kill_count"]
    assert pytest.approx(15 / 50) == found["throttled_period_ratio"]
    assert pytest.approx(1.5) == found["throttled_s"]


def test_a_life_that_nobody_told_of_is_seen_by_its_counters() -> None:
    """Without any event, CPU time that falls is a new life and not time given back."""
    told_of = lives((15.0, "died"), (15.5, "restarted"), cpu_s=(3.0, 4.0, 5.0, 1.0, 2.0, 4.0))
    untold = lives(cpu_s=(3.0, 4.0, 5.0, 1.0, 2.0, 4.0))

    assert figures(story("a"), told_of)["cpu_cores_mean"] == figures(story("a"), untold)["cpu_cores_mean"]


def test_a_life_that_soon_passed_the_one_before_is_seen_by_its_events() -> None:
    """1 s of CPU in a short life and 3 in the next are 4, though the counter was never seen to fall."""
    recorder = lives((13.0, "died"), (13.5, "restarted"), cpu_s=(0.0, 1.0, 1.5, 2.0, 2.5, 3.0))

    assert pytest.approx(0.4) == figures(story("a"), recorder)["cpu_cores_mean"]


def test_the_memory_peak_is_that_of_the_highest_life() -> None:
    """900 bytes in the first life are more than 400 in the second; each life's peak begins anew."""
    recorder = lives((15.0, "died"), (15.5, "restarted"), memory_peak_bytes=(100, 300, 900, 200, 300, 400))

    assert 900 == figures(story("a"), recorder)["memory_bytes_max"]


def test_restarts_are_figures_of_who_may_return() -> None:
    """How often and how long, for each container and (the count alone) for all; none where no policy asks for it."""
    recorder = lives((15.0, "died"), (15.5, "restarted"), cpu_s=(0.0,) * 6)
    one = figures(returning("a"), recorder)
    both = figures(returning("a", "b"), recorder, None)

    assert (1.0, 0.5) == (one["restart_count"], one["recovery_s"])
    assert 1.0 == both["restart_count"]
    assert "recovery_s" not in both
    assert not {"restart_count", "recovery_s"} & set(figures(story("a"), recorder))


def test_ends_for_memory_count_as_kills() -> None:
    """PID 1 killed twice in the window, which no sample shows, and an agent in the life after, which one does: three.

    Ends before and after the window do not count, nor do ends of another cause or of another container.
    """
    recorder = recorded(at(10.0, oom_kills_count=4), at(20.0, oom_kills_count=1), ends=())
    for at_s, container, what, cause in (
        (9.9, "a", "died", "oom"),
        (10.0, "a", "died", "oom"),
        (20.0, "a", "died", "oom"),
        (20.1, "a", "died", "oom"),
        (15.0, "b", "died", "oom"),
        (15.0, "a", "died", "killed"),
        (15.0, "a", "process_killed", "oom"),
    ):
        recorder.event(at_s, what, container, None, cause)

    assert 3.0 == figures(story("a"), recorder)["oom_kill_count"]


def test_a_disk_has_its_highest_level_and_its_refusals() -> None:
    """Of what lay on it in the window the most counts, and refusals in the window; without a disk there is neither."""
    one = story("a")
    disk = (told.Tmpfs("/scratch", 1000),)
    with_disk = dataclasses.replace(one, containers=(dataclasses.replace(one.containers[0], tmpfs=disk),))
    recorder = recorded(*(at(at_s, disk_bytes=level) for at_s, level in ((9.0, 990), (15.0, 700), (21.0, 980))))
    for at_s in (9.0, 15.0, 16.0, 21.0):
        recorder.event(at_s, "disk_full", "a", "a/0", "")
    found = figures(with_disk, recorder)

    assert (700.0, 2.0) == (found["disk_bytes_max"], found["disk_full_count"])
    assert not {"disk_bytes_max", "disk_full_count"} & set(figures(one, recorder))


def test_page_cache_is_what_is_charged_beside_the_working_set() -> None:
    """With a volume, its mean over the window; with a tmpfs or without a disk there is none."""
    one = story("a")
    volume = told.Volume("data", "/data")
    with_volume = dataclasses.replace(one, containers=(dataclasses.replace(one.containers[0], volume=volume),))
    recorder = recorded(
        *(at(at_s, memory_bytes=100, memory_raw_bytes=raw) for at_s, raw in ((10.0, 200), (15.0, 500), (20.0, 500))),
        ends=(),
    )

    assert 325.0 == figures(with_volume, recorder)["page_cache_bytes_mean"]
    assert "page_cache_bytes_mean" not in figures(one, recorder)


def test_a_health_check_gives_its_turns() -> None:
    """A container that is asked how it is has a count of turns to unhealthy, zero where there was none."""
    one = story("a")
    asked = dataclasses.replace(one, containers=(dataclasses.replace(one.containers[0], health=told.HealthCheck()),))

    assert 0.0 == figures(asked, recorded())["unhealthy_count"]
    assert "unhealthy_count" not in figures(one, recorded())


# Steps.


def test_quantiles_lie_between_neighbours() -> None:
    """Latencies of 0 to 100 ms in whole milliseconds have 50, 95 and 99 ms as their quantiles and 50 as their mean."""
    recorder = recorded(*[done(n, 15.0, n / 1000, wait_s=n / 2000) for n in range(101)])
    found = figures(story("a"), recorder)

    names = ("step_latency_s_mean", "step_latency_s_p50", "step_latency_s_p95", "step_latency_s_p99", "cpu_wait_s")
    assert [pytest.approx(value) for value in (0.05, 0.05, 0.095, 0.099, 0.025)] == [found[name] for name in names]


def test_only_steps_that_finish_in_the_window_count() -> None:
    """Of steps at 9.9, 10, 15, 20 and 20.1 s the middle three count, wherever they began."""
    finishes_s = (9.9, 10.0, 15.0, 20.0, 20.1)
    latencies_s = (50.0, 1.0, 2.0, 3.0, 50.0)
    recorder = recorded(*[done(n, *times_s) for n, times_s in enumerate(zip(finishes_s, latencies_s, strict=True))])
    found = figures(story("a"), recorder)

    assert (0.3, 2.0, 2.0) == (found["steps_per_s"], found["step_latency_s_mean"], found["step_latency_s_p50"])


def test_means_are_exact_where_rows_were_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of odd steps are dropped when the table is full; rate and mean still count every step."""
    monkeypatch.setattr("sim.record.STEPS_COUNT_MAX", 100)
    recorder = recorded(*[done(n, 15.0, 0.3 if n % 2 else 0.1) for n in range(1000)])
    found = figures(story("a"), recorder)

    assert len(recorder.tables["steps"]["index"]) <= 100
    assert 100.0 == found["steps_per_s"]
    assert 0.2 == pytest.approx(found["step_latency_s_mean"])


def test_without_steps_there_is_no_latency() -> None:
    """No step is a rate of zero, and neither a latency nor a share of completed steps."""
    found = figures(story("a"), recorded())

    assert 0.0 == found["steps_per_s"]
    assert not {"step_latency_s_mean", "step_latency_s_p99", "cpu_wait_s", "completion_ratio"} & set(found)


def test_completion_counts_steps_lost_in_the_window() -> None:
    """Eight steps done and two lost are 80 %; losses elsewhere or at other times, and provider failures, are none."""
    recorder = recorded(*[done(n, 15.0) for n in range(8)])
    events = [("lost", "a", 10.0), ("lost", "a", 20.0), ("lost", "a", 9.9), ("lost", "a", 20.1), ("lost", "z", 15.0)]
    for what, container, at_s in [*events, ("step_failed", "a", 15.0)]:
        recorder.event(at_s, what, container, "a/0", "oom")

    assert 0.8 == figures(story("a"), recorder)["completion_ratio"]


def test_all_steps_lost_is_nothing_completed() -> None:
    """A container that only ever loses its steps completes none of them."""
    recorder = recorded()
    recorder.event(15.0, "lost", "a", "a/0", "oom")

    assert 0.0 == figures(story("a"), recorder)["completion_ratio"]


def test_kills_are_counted_by_the_kernel_s_counter() -> None:
    """Two kills before the window and five at its end are three."""
    rows = at(10.0, oom_kills_count=2), at(20.0, oom_kills_count=5)

    assert 3 == figures(story("a"), recorded(*rows, ends=()))["oom_kill_count"]


# The whole story.


def test_totals_are_sums_over_containers() -> None:
    """Two containers with a step and a core second each, and one kill, are 0.2 steps a second, 0.2 cores, one kill."""
    one = story("a", "b")
    ends = [at(10.0, name) for name in "ab"]
    ends += [at(20.0, "a", cpu_s=1.0, oom_kills_count=1), at(20.0, "b", cpu_s=1.0)]
    recorder = recorded(*ends, *[done(0, 15.0, container=name) for name in "ab"], ends=())

    assert {"steps_per_s": 0.2, "cpu_cores_mean": 0.2, "oom_kill_count": 1.0} == figures(one, recorder, None)
    assert [0.1, 0.1] == [figures(one, recorder, name)["steps_per_s"] for name in "ab"]


def test_one_container_has_no_totals() -> None:
    """The total of one container would be the same figure twice."""
    assert {} == figures(story("a"), recorded(done(0, 15.0)), None)


def test_a_container_that_was_never_sampled_has_no_figures() -> None:
    """One that never came up is left out; the other's figures are the totals."""
    one, recorder = story("a", "b"), recorded(done(0, 15.0))

    assert {} == figures(one, recorder, "b")
    assert 0.1 == figures(one, recorder, None)["steps_per_s"]


def test_who_is_up_is_told() -> None:
    """How many agents and containers were alive at the end comes from whoever ran the story."""
    found = measure(story("a"), recorded(), {"containers": 1, "agents": 7})

    up = [metric for metric in found if metric.name.endswith("_up_count")]
    assert [
        Metric("agents_up_count", None, "physics", "count", 7.0),
        Metric("containers_up_count", None, "physics", "count", 1.0),
    ] == up


def test_starts_are_averaged_over_containers() -> None:
    """Starts of 0.2 and 0.4 s are 0.3 s on average and 0.39 at the 95th percentile; readiness is the story's."""
    recorder = recorded()
    for name, value in (("start_s.a", 0.2), ("start_s.b", 0.4), ("ready_s", 0.9)):
        recorder.gauge(1.0, name, value)
    found = figures(story("a"), recorder, None)

    assert {"start_s_mean": pytest.approx(0.3), "start_s_p95": pytest.approx(0.39), "ready_s": 0.9} == found


def test_a_single_start_has_no_quantile() -> None:
    """The 95th percentile of one start would be the same figure twice."""
    recorder = recorded()
    recorder.gauge(1.0, "start_s.a", 0.2)

    assert {"start_s_mean": 0.2} == figures(story("a"), recorder, None)


def test_probes_of_hosts_are_one_set_of_latencies() -> None:
    """99 that took 2 ms and, of another host, one that took 12: the mean is 2.1, the median 2, the rest the tail."""
    recorder = recorded()
    due_s = tuple(10.0 + 0.1 * number for number in range(99))
    recorder.probed(Probed("h", due_s, tuple(at_s + 0.002 for at_s in due_s)))
    recorder.probed(Probed("i", (15.0,), (15.012,)))
    found = figures(story("a"), recorder, None)

    assert {
        "host_probe_latency_s_mean": pytest.approx(0.0021),
        "host_probe_latency_s_p50": pytest.approx(0.002),
        "host_probe_latency_s_p99": pytest.approx(0.0021),
    } == found


def test_probes_that_finished_outside_the_window_do_not_count() -> None:
    """Neither before nor after it, whenever they were due; without any there is no figure."""
    recorder = recorded()
    recorder.probed(Probed("h", (8.0, 19.9), (9.0, 20.5)))
    before = figures(story("a"), recorder, None)
    recorder.probed(Probed("h", (9.5,), (10.5,)))

    assert {} == before
    assert 1.0 == pytest.approx(figures(story("a"), recorder, None)["host_probe_latency_s_mean"])


def test_a_run_without_a_window_has_no_metrics() -> None:
    """A story whose containers never came up was not measured."""
    assert [] == measure(story("a"), Recorder(None), {"agents": 1})


# What both worlds share.


def test_token_waits_are_averaged_over_all_grants() -> None:
    """One bucket's 20 grants waited 10 s, the other's 30 none: 0.2 s a grant; what was before the window is not in."""
    one = dataclasses.replace(story("a"), rate_limits=BUCKETS)
    recorder = recorded()
    readings = ((10.0, "b", 5, 7.0), (20.0, "b", 25, 17.0), (10.0, "c", 0, 0), (20.0, "c", 30, 0))
    for at_s, name, waits, wait_s in readings:
        recorder.gauge(at_s, f"bucket.{name}.waits_count", waits)
        recorder.gauge(at_s, f"bucket.{name}.wait_s_sum", wait_s)
        recorder.gauge(at_s, f"bucket.{name}.debt_tokens_max", 3.0 * waits)

    assert {"token_wait_s_mean": 0.2, "debt_tokens_max": 90.0} == figures(one, recorder, None)


def test_a_limit_that_nobody_met_made_nobody_wait() -> None:
    """No grant at all is a wait of zero and no debt."""
    one = dataclasses.replace(story("a"), rate_limits=BUCKETS)

    assert {"token_wait_s_mean": 0.0, "debt_tokens_max": 0.0} == figures(one, recorded(), None)


def test_refusals_and_cost_are_what_the_window_added() -> None:
    """Totals between readings lie on a straight line: 4 refusals at 8 s and 8 at 12 s are 6 when the window opens."""
    one = dataclasses.replace(story("a"), providers=(PROVIDER,))
    recorder = recorded()
    for at_s, refusals_count in ((8.0, 4), (12.0, 8), (20.0, 11)):
        recorder.gauge(at_s, "provider.p.refusals_count", refusals_count)
        recorder.gauge(at_s, "provider.p.cost_usd", refusals_count / 2)
        recorder.gauge(at_s, "provider.q.refusals_count", 1000 * refusals_count)

    assert {"provider_429_count": 5.0, "cost_usd": 2.5} == figures(one, recorder, None)


def test_what_both_worlds_take_from_the_same_code_is_marked() -> None:
    """Figures of buckets and providers are shared, all others are physics."""
    one = dataclasses.replace(story("a", "b"), rate_limits=BUCKETS, providers=(PROVIDER,))
    found = measure(one, recorded(done(0, 15.0), ends=("a", "b")), {"agents": 1})

    shared = {metric.name for metric in found if metric.kind == "shared"}
    assert {"token_wait_s_mean", "debt_tokens_max", "provider_429_count", "cost_usd"} == shared
