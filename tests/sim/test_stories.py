"""What the library's stories of containers' lives come to in virtual time: each shows what its purpose says."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from sim.physics.host_profile import load_profile
from sim.run import simulate

if TYPE_CHECKING:
    from sim.run import Outcome

PROFILE = load_profile(None)


@cache
def outcome_of(name: str, physics_seed: int = 0) -> Outcome:
    """A library story, simulated once with each seed."""
    return simulate(load(name).story, profile=PROFILE, physics_seed=physics_seed)


def value(name: str, metric: str, container: str | None = None) -> float:
    """One metric of a story."""
    [found] = [one.value for one in outcome_of(name).metrics if (one.name, one.container) == (metric, container)]
    return found


def events(name: str, what: str, physics_seed: int = 0) -> Counter[str]:
    """How often something happened, by container and agent."""
    table = outcome_of(name, physics_seed).recorder.tables["events"]
    rows = zip(table["what"], table["container"], table["agent"], strict=True)
    return Counter(
        f"{agent or container}".rpartition("/")[0] or f"{container}" for one, container, agent in rows if one == what
    )


@pytest.mark.parametrize(
    "name",
    [
        *("child-kill", "container-kill", "container-starts", "cpu-threads", "disk-full", "disk-quota"),
        *("engine-crash", "engine-stop", "host-loss", "memory-leak-siblings", "restart-backoff", "slow-start"),
        *("page-cache", "sudden-leak"),
    ],
)
def test_a_story_meets_its_goals_and_breaks_no_law(name: str) -> None:
    """The goals are what the story is about, and a machine that breaks an invariant shows nothing."""
    outcome = outcome_of(name)

    assert [] == [goal.name for goal in outcome.goals if not goal.met]
    assert [] == [check for check in outcome.checks if not check.ok]


def test_starts_at_once_slow_one_another() -> None:
    """Six at once take longer each than one alone."""
    assert value("container-starts", "start_s_mean") > 1.5 * PROFILE.start_s(1)
    assert value("container-starts", "ready_s") > value("container-starts", "start_s_p95")


def test_threads_spend_a_quota_twice_as_fast() -> None:
    """The quota stops two agents whose mean use is half of it."""
    assert value("cpu-threads", "cpu_cores_mean", "agents") < 0.75 * 1.2
    assert value("cpu-threads", "throttled_period_ratio", "agents") > 0.1


def test_the_largest_dies_of_a_leak() -> None:
    """Siblings are killed for what another leaks, in some runs, and the leaky one once it is larger than they are."""
    killed = sum((events("memory-leak-siblings", "process_killed", seed) for seed in range(8)), Counter[str]())

    assert killed["leaky"] > 0
    assert killed["sibling"] > 0


def test_a_tmpfs_is_a_quota_and_is_charged() -> None:
    """Below the memory limit writes are refused and nobody dies; above it writers die and none is refused."""
    assert 24 * 1024**2 == value("disk-quota", "disk_bytes_max", "bounded")
    assert (0.0, True) == (
        value("disk-quota", "oom_kill_count", "bounded"),
        value("disk-quota", "disk_full_count", "bounded") > 0,
    )
    assert (True, 0.0) == (
        value("disk-quota", "oom_kill_count", "unbounded") > 0,
        value("disk-quota", "disk_full_count", "unbounded"),
    )


def test_a_full_disk_refuses_and_kills_nobody() -> None:
    """Before the fault every write fits; after it none does, and the disk is full to the brim."""
    table = outcome_of("disk-full").recorder.tables["events"]
    [filled_s] = [at_s for at_s, what in zip(table["at_s"], table["what"], strict=True) if what == "fault"]
    refused_s = [at_s for at_s, what in zip(table["at_s"], table["what"], strict=True) if what == "disk_full"]

    assert refused_s
    assert min(refused_s) >= filled_s
    assert 32 * 1024**2 == value("disk-full", "disk_bytes_max", "agents")


def test_page_cache_fills_what_memory_there_is_and_is_no_working_set() -> None:
    """Agents that write far more than the limit are charged all of it, nearly all as page cache, and nobody dies."""
    mib = 1024**2
    assert 48 * mib == value("page-cache", "memory_bytes_max", "logs")
    assert value("page-cache", "disk_bytes_max", "logs") > 5 * 48 * mib
    assert value("page-cache", "memory_bytes_mean", "logs") < 10 * mib
    assert value("page-cache", "page_cache_bytes_mean", "logs") > 30 * mib
    assert 0 == sum(one.value for one in outcome_of("page-cache").metrics if one.name == "oom_kill_count")


def test_what_does_not_fit_in_memory_is_read_from_the_disk_again() -> None:
    """The same reader takes longer by the disk's time for what it reads where its file has no room."""
    slower_s = value("page-cache", "step_latency_s_p50", "tight") - value("page-cache", "step_latency_s_p50", "roomy")
    assert slower_s > 0.5 * 32 * 1024**2 * PROFILE.disk_read_s_per_byte


def test_a_sudden_leak_ends_with_the_leak() -> None:
    """The leaking process is killed, once, when what was left of the limit is full."""
    assert 1 == events("sudden-leak", "process_killed")["!leak-0"]
    assert value("sudden-leak", "memory_bytes_max", "agents") > 0.95 * 160 * 1024**2


def test_a_back_off_doubles_unless_the_container_lasts() -> None:
    """Six restarts of the restless one, each later, and it is down at the end; the lasting one is back at once."""
    assert (6.0, 3.0) == tuple(value("restart-backoff", "restart_count", name) for name in ("restless", "lasting"))
    assert value("restart-backoff", "recovery_s", "restless") > 2 * value("restart-backoff", "recovery_s", "lasting")
    assert 1.0 == value("restart-backoff", "containers_up_count")


def test_a_killed_container_stays_away() -> None:
    """Its restart policy does not bring it back, and its neighbour loses nothing."""
    assert (1.0, 0.0) == (value("container-kill", "containers_up_count"), value("container-kill", "restart_count"))
    assert 1.0 == value("container-kill", "completion_ratio", "spared")


def test_killed_processes_are_lost_work_in_a_living_container() -> None:
    """Each kill loses at most one step, and no kill is taken for one of memory."""
    killed = events("child-kill", "process_killed")["worker"]

    assert killed > 5
    assert 0 < events("child-kill", "lost")["worker"] <= killed
    assert 0.0 == value("child-kill", "oom_kill_count", "agents")


def test_health_is_waited_for_on_top_of_a_slow_start() -> None:
    """Three seconds of start, then the next probe of an interval of two, then the start of who depends on it."""
    assert 4.0 < value("slow-start", "ready_s") < 6.0


@pytest.mark.parametrize(
    ("name", "returning"),
    [
        ("engine-stop", {"always", "unless"}),
        ("engine-crash", {"always"}),
        ("host-loss", {"failing", "always", "unless"}),
    ],
)
def test_the_policy_says_what_an_engine_brings_back(name: str, returning: set[str]) -> None:
    """Of four containers with four policies those come back that come back on a real engine."""
    up = {container for container in ("never", "failing", "always", "unless") if events(name, "restarted")[container]}

    assert returning == up
    assert float(len(returning)) == value(name, "containers_up_count")
