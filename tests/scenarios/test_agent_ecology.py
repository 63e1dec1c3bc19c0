"""The arithmetic in the comments of the agent-ecology system's stories, worked out from what the stories say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import floor, gcd
from typing import TYPE_CHECKING

import pytest

from scenarios import Story, load
from scenarios import story as told
from scenarios.demand import AGENT_PROCESS_BYTES, SUPERVISOR_BYTES, group_demand, tokens_per_step
from scenarios.laws import law_max, law_mean
from scenarios.scale import shrink
from scenarios.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

Sized = Callable[[Story], Story]

# What the document writes: CPUs and gigabytes of each container.
LIMITS = {
    "agent-ecology-single": {"everything": (2, 4)},
    "agent-ecology-separate": {"agents": (2, 4), "database": (1, 2)},
    "agent-ecology-scaled-out": {"agents-1-10": (2, 4), "agents-11-20": (2, 4), "database": (2, 4)},
    "agent-ecology-memory": {"agents": (2, 4)},
    "agent-ecology-calibration": {"agents": (2, 4)},
}
# "Laptop (4 cores) 5-10 tokens/sec, desktop (8 cores) 10-20, server (16+ cores) 20-50".
CLASSES = {4: (5.0, 10.0), 8: (10.0, 20.0), 16: (20.0, 50.0)}
BUSY_RATIO_MAX = 0.8
# How far a share of the CPU must be from every edge that a calibration looks at: then both worlds see the same side.
MARGIN_RATIO = 0.05
# A step that jumps over the band leaves no more on either side.
MARGIN_RATIO_OSCILLATING = 0.035


def in_full(story: Story) -> Story:
    """The story as it is, beside `shrink`."""
    return story


def group(story: Story, name: str) -> told.AgentGroup:
    """A group of agents by its name."""
    return next(one for one in story.agents if one.name == name)


def held_bytes_max(story: Story, name: str) -> float:
    """What an agent of a group holds at its largest."""
    sizes = [stage.memory_bytes for stage in group(story, name).stages if isinstance(stage, told.Hold)]
    return max(law_max(size) for size in sizes)


def with_processes(held_bytes: float, agents_count: int) -> float:
    """What a container uses whose agents hold so much together."""
    return held_bytes + SUPERVISOR_BYTES + agents_count * AGENT_PROCESS_BYTES


def memory_limit(story: Story, name: str) -> int:
    """A container's memory limit."""
    limit = story.container(name).memory_bytes_limit
    assert limit is not None
    return limit


def bucket(story: Story) -> told.TokenBucket:
    """The story's one bucket."""
    [limit] = story.rate_limits
    assert isinstance(limit, told.TokenBucket)
    return limit


@pytest.mark.parametrize("name", LIMITS)
def test_containers_have_the_limits_of_the_document(name: str) -> None:
    """At full size, and without swap to hide in."""
    containers = load(name).story.containers
    limits = {one.name: (one.cpus_limit, (one.memory_bytes_limit or 0) / GIB) for one in containers}

    assert limits == LIMITS[name]
    assert all(one.memory_bytes_limit == one.memory_swap_bytes_limit for one in containers)


# One container against two.


def test_the_twins_differ_in_their_containers_alone() -> None:
    """The same agents, provider, time, seed and bound; only where they live is another."""
    single, separate = (load(f"agent-ecology-{name}").story for name in ("single", "separate"))
    agents = [[replace(one, container="") for one in story.agents] for story in (single, separate)]
    [bounds] = {tuple((goal.value_max, goal.metric) for goal in story.goals) for story in (single, separate)}

    assert agents[0] == agents[1]
    assert bounds
    assert (single.duration_s, single.seed, single.hosts, single.providers) == (
        separate.duration_s,
        separate.seed,
        separate.hosts,
        separate.providers,
    )


@pytest.mark.parametrize("sized", [in_full, shrink])
def test_agents_starve_the_database_of_cpu_alone(sized: Sized) -> None:
    """They ask for more than the limit, the database for next to nothing of its own, and memory suffices for both."""
    single, separate = (sized(load(f"agent-ecology-{name}").story) for name in ("single", "separate"))
    cpus = single.container("everything").cpus_limit or 0.0
    database_cpus = separate.container("database").cpus_limit or 0.0
    asked, query = (group_demand(single, group(single, name)).cpus_mean for name in ("worker", "query"))
    held = sum(group_demand(single, one).held_bytes_max for one in single.agents)
    processes = sum(one.count for one in single.agents)

    assert asked > 1.3 * cpus
    assert query < 0.2 * database_cpus
    assert with_processes(held, processes) < 0.9 * memory_limit(single, "everything")


@pytest.mark.parametrize("sized", [in_full, shrink])
def test_the_95th_percentile_of_one_container_is_a_query_s(sized: Sized) -> None:
    """Even where agents have all of the quota, fewer than 5 steps in 100 are theirs."""
    single = sized(load("agent-ecology-single").story)
    cpus = single.container("everything").cpus_limit or 0.0
    worker, query = (group_demand(single, group(single, name)) for name in ("worker", "query"))
    workers_per_s = min(worker.steps_per_s, cpus / worker.cpu_s_mean)

    assert workers_per_s < 0.05 * (workers_per_s + query.steps_per_s)


# Scaling out.


def test_twenty_agents_need_two_containers() -> None:
    """Ten are below 90 % of the limit even with all at once, and twenty are above all of it."""
    story = load("agent-ecology-scaled-out").story
    first, second = group(story, "first"), group(story, "second")
    ten = with_processes(10 * held_bytes_max(story, "first"), 10)

    assert (10, 10) == (first.count, second.count)
    assert ten < 0.9 * memory_limit(story, first.container)
    assert 2 * ten - SUPERVISOR_BYTES > memory_limit(story, first.container)


def test_the_shared_database_is_asked_as_often_as_twenty_agents_ask() -> None:
    """Six queries for each step that the agents' rate allows."""
    story = load("agent-ecology-scaled-out").story
    steps_per_s = sum(group_demand(story, group(story, name)).steps_per_s for name in ("first", "second"))

    assert pytest.approx(6 * steps_per_s, rel=0.05) == group_demand(story, group(story, "query")).steps_per_s


# Memory.


def test_one_division_has_three_answers() -> None:
    """By the largest agent, by the mean one and by the smallest: what the document sums up as 8 to 20."""
    story = load("agent-ecology-memory").story
    [size] = [stage.memory_bytes for stage in group(story, "thinker").stages if isinstance(stage, told.Hold)]
    low, high = size.numbers
    limit = memory_limit(story, "agents")

    assert [8, 11, 20] == [floor(limit / one) for one in (high, law_mean(size), low)]


@pytest.mark.parametrize("sized", [in_full, shrink])
def test_eight_agents_always_fit_and_twelve_on_average(sized: Sized) -> None:
    """Eight at their largest are within the limit; twelve are at the mean of what they hold, not when all think."""
    story = sized(load("agent-ecology-memory").story)
    thinker, limit = group(story, "thinker"), memory_limit(story, "agents")
    demand = group_demand(story, thinker)

    assert 12 == thinker.count
    assert with_processes(8 * held_bytes_max(story, "thinker"), 8) < limit
    assert with_processes(9 * held_bytes_max(story, "thinker"), 9) > limit
    assert with_processes(demand.held_bytes_mean, 12) < 0.75 * limit
    assert with_processes(12 * demand.held_bytes_max_mean, 12) > limit


# Disk.


def test_a_share_is_never_full_and_the_total_soon() -> None:
    """What an agent writes in the whole story is two fifths of its share and twice its part of the total."""
    story = load("agent-ecology-disk").story
    filled: dict[str, float] = {}
    for one in story.agents:
        steps_count = story.duration_s * bucket(story).rate_tokens_per_s / tokens_per_step(one, "llm")
        written = sum(law_mean(stage.size_bytes) for stage in one.stages if isinstance(stage, told.Write))
        [tmpfs] = story.container(one.container).tmpfs
        assert tmpfs.bytes_limit is not None
        filled[one.container] = one.count * steps_count * written / tmpfs.bytes_limit

    assert pytest.approx({"shares": 0.4, "total": 2.0}) == filled


def test_the_document_s_figure_is_a_share_and_a_total() -> None:
    """500,000 bytes for each of five agents, and for the five together; shrinking leaves them."""
    story = load("agent-ecology-disk").story
    for one in (story, shrink(story)):
        sizes = {container.name: container.tmpfs[0].bytes_limit for container in one.containers}
        counts = {agents.container: agents.count for agents in one.agents}

        assert {"shares": counts["shares"] * 500_000, "total": 500_000} == sizes


# Hardware classes.


def token_cpu_s(story: Story) -> float:
    """CPU seconds that one token costs."""
    worker = group(story, "worker")
    return group_demand(story, worker).cpu_s_mean / tokens_per_step(worker, "llm")


def token_cpu_s_max(cores_count: int, agents_count: int, rate_tokens_per_s: float) -> float:
    """What a token may cost so that agents at this rate leave a fifth of the cores idle."""
    return BUSY_RATIO_MAX * cores_count / (agents_count * rate_tokens_per_s)


def test_the_classes_mean_the_same_token() -> None:
    """At its lower rate each class bears 128 ms a token, at its upper one 64 ms, but the server 51 ms."""
    count = group(load("agent-ecology-hardware").story, "worker").count
    lower = [token_cpu_s_max(cores, count, rates[0]) for cores, rates in CLASSES.items()]
    upper = [token_cpu_s_max(cores, count, rates[1]) for cores, rates in CLASSES.items()]

    assert pytest.approx([0.128, 0.128, 0.128]) == lower
    assert pytest.approx([0.064, 0.064, 0.0512]) == upper


@pytest.mark.parametrize("sized", [in_full, shrink])
def test_the_hardware_story_is_a_laptop_whose_rate_holds(sized: Sized) -> None:
    """The upper rate of the class, a token that costs less than it may, and no limit but the machine's."""
    full = load("agent-ecology-hardware").story
    story = sized(full)
    [host] = story.hosts
    worker = group(story, "worker")

    assert [None] == [container.cpus_limit for container in story.containers]
    assert CLASSES[int(full.hosts[0].cpus_count)][1] == bucket(full).rate_tokens_per_s
    assert token_cpu_s(story) < token_cpu_s_max(int(host.cpus_count), worker.count, bucket(story).rate_tokens_per_s)


def test_an_agent_of_one_thread_could_not_reach_the_band() -> None:
    """At the desktop's upper rate and the token that it bears, an agent needs more than a core."""
    count = group(load("agent-ecology-hardware").story, "worker").count
    rate = CLASSES[8][1]

    assert rate * token_cpu_s_max(8, count, rate) > 1
    assert count / 8 < 0.7


# Calibration: a response in proportion, and the rule as written.


def share(story: Story, rate_tokens_per_s: float) -> float:
    """The part of the watched container's limit that its agents use at a rate, where the rate is what binds."""
    assert story.calibrate is not None
    worker = group(story, "worker")
    limit = story.container(story.calibrate.container).cpus_limit
    assert limit
    return worker.count * rate_tokens_per_s * token_cpu_s(story) / limit


def course(story: Story) -> Iterator[tuple[float, float]]:
    """The rates that the rule tries and their shares, up to one that it keeps or has tried before."""
    terms = story.calibrate
    assert terms is not None
    rate, tried = bucket(story).rate_tokens_per_s, set[float]()
    while round(rate, 9) not in tried:
        tried.add(round(rate, 9))
        busy = share(story, rate)
        yield rate, busy
        if busy > terms.reduce_above_ratio:
            rate *= terms.reduce_by_ratio
        elif busy < terms.raise_below_ratio:
            rate *= terms.raise_by_ratio
        else:
            return


@pytest.mark.parametrize(
    ("name", "rates", "shares", "margin_ratio"),
    [
        ("calibration-converges", [10, 8], [0.93, 0.744], MARGIN_RATIO),
        ("calibration-settles-outside", [10, 12.5, 15.625], [0.36, 0.45, 0.5625], MARGIN_RATIO),
        ("calibration-oscillates", [10, 12.5], [0.665, 0.831], MARGIN_RATIO_OSCILLATING),
    ],
)
def test_theory_tells_the_course(name: str, rates: list[float], shares: list[float], margin_ratio: float) -> None:
    """The comments' figures follow from the story, and none of them is near an edge."""
    story = load(name).story
    terms = story.calibrate
    assert terms is not None
    found = list(course(story))
    edges = {terms.cpu_ratio_low, terms.cpu_ratio_high, terms.reduce_above_ratio, terms.raise_below_ratio}

    assert pytest.approx(rates) == [rate for rate, _ in found]
    assert pytest.approx(shares, abs=0.001) == [busy for _, busy in found]
    assert [] == [(busy, edge) for _, busy in found for edge in edges if abs(busy / edge - 1) < margin_ratio]


def test_the_steps_of_the_oscillating_rule_jump_over_its_band() -> None:
    """Up is more than from edge to edge, and down again is exactly back."""
    terms = load("calibration-oscillates").story.calibrate
    assert terms is not None

    assert terms.raise_by_ratio > terms.cpu_ratio_high / terms.cpu_ratio_low
    assert pytest.approx(1) == terms.raise_by_ratio * terms.reduce_by_ratio
    assert (terms.cpu_ratio_low, terms.cpu_ratio_high) == (terms.raise_below_ratio, terms.reduce_above_ratio)


def test_raising_the_rate_once_ends_the_wait_for_tokens() -> None:
    """At first tokens take longer than a step by more than a tenth of it; after one raise less, by as much."""
    story = load("calibration-not-rate-bound").story
    terms = story.calibrate
    assert terms is not None
    worker = group(story, "worker")
    interval_s = tokens_per_step(worker, "llm") / bucket(story).rate_tokens_per_s
    step_s = group_demand(story, worker).step_s_mean

    assert interval_s > 1.1 * step_s
    assert interval_s / terms.raise_by_ratio < 0.9 * step_s
    assert share(story, bucket(story).rate_tokens_per_s) < 0.5 * terms.raise_below_ratio


def test_five_agents_are_over_the_limit_and_four_are_not() -> None:
    """Whoever is fifth has no room, while the CPU would have room for more than twice as many."""
    story = load("calibration-over-limit").story
    terms = story.calibrate
    assert terms is not None
    size, limit = held_bytes_max(story, "worker"), memory_limit(story, "agents")

    assert 5 == group(story, "worker").count
    assert with_processes(4 * size, 5) < limit < with_processes(5 * size, 5)
    assert share(story, bucket(story).rate_tokens_per_s) < 0.5 * terms.raise_below_ratio


@pytest.mark.parametrize(
    "name",
    [
        *("agent-ecology-calibration", "calibration-converges", "calibration-settles-outside"),
        *("calibration-oscillates", "calibration-not-rate-bound", "calibration-over-limit"),
    ],
)
def test_a_calibration_fits_a_small_machine(name: str) -> None:
    """Live, a window takes 10 to 15 s, the watched container has one CPU of two, and the rounds have their time."""
    story = shrink(load(name).story)
    terms = story.calibrate
    assert terms is not None

    assert 10 <= terms.window_s <= 15
    assert 1.0 == story.container(terms.container).cpus_limit
    assert [2.0] == [host.cpus_count for host in story.hosts]
    assert story.duration_s >= terms.rounds_count_max * terms.window_s * (1 - 1e-9)


def test_the_document_s_calibration_is_as_the_document_writes_it() -> None:
    """Five agents, ten tokens a second each, five minutes, and every threshold."""
    story = load("agent-ecology-calibration").story
    terms = story.calibrate
    assert terms is not None

    assert (5, 10.0, 100.0) == (
        group(story, "worker").count,
        bucket(story).rate_tokens_per_s,
        bucket(story).capacity_tokens,
    )
    assert ("agent", 300.0, 0.0, "as_written") == (bucket(story).scope, terms.window_s, terms.settle_s, terms.rule)
    assert (0.7, 0.8, 0.9) == (terms.cpu_ratio_low, terms.cpu_ratio_high, terms.memory_ratio_max)
    assert (0.85, 0.8, 0.5, 1.25) == (
        terms.reduce_above_ratio,
        terms.reduce_by_ratio,
        terms.raise_below_ratio,
        terms.raise_by_ratio,
    )


@pytest.mark.parametrize("rate_tokens_per_s", [10.0, 24.4])
def test_the_bucket_binds_in_the_document_s_calibration(rate_tokens_per_s: float) -> None:
    """From the first rate to the last, tokens take longer than a step alone."""
    story = load("agent-ecology-calibration").story
    worker = group(story, "worker")

    assert tokens_per_step(worker, "llm") / rate_tokens_per_s > 1.5 * group_demand(story, worker).step_s_mean


# The host beside its containers.


def test_the_host_s_twins_differ_in_the_cpu_limit_alone() -> None:
    """The same host with the same probe, the same agents, time, seed and bounds."""
    limited, unlimited = (load(name).story for name in ("agent-ecology-responsive", "agent-ecology-unlimited"))
    [box] = limited.containers
    freed = replace(box, cpus_limit=None)
    told_alike = replace(
        limited, name=unlimited.name, purpose=unlimited.purpose, headline=unlimited.headline, containers=(freed,)
    )

    assert 2.0 == box.cpus_limit
    assert told_alike == unlimited


@pytest.mark.parametrize("sized", [in_full, shrink])
def test_the_host_is_asked_for_more_than_it_has_and_its_container_for_half(sized: Sized) -> None:
    """More agents than cores, that ask for more than all of them; the limit is half of the host."""
    story = sized(load("agent-ecology-responsive").story)
    [host], [box] = story.hosts, story.containers
    worker = group(story, "worker")

    assert worker.count >= 2 * host.cpus_count
    assert group_demand(story, worker).cpus_mean > 1.5 * host.cpus_count
    assert host.cpus_count / 2 == box.cpus_limit


def test_the_probe_falls_everywhere_in_a_tick_and_in_a_period() -> None:
    """Its times divide ticks of 4 ms into forty parts and periods of 100 ms into a thousand; it is a small load."""
    [host] = load("agent-ecology-responsive").story.hosts
    probe = host.probe
    assert probe is not None
    every_us = round(probe.every_s * 1e6)

    assert (40, 1000) == (4_000 // gcd(every_us, 4_000), 100_000 // gcd(every_us, 100_000))
    assert probe.compute_s / probe.every_s < 0.03
