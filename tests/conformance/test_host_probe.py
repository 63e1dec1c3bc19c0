"""A task of the host's own, outside all containers: both machines have it due as often, and in the way of the same."""

from __future__ import annotations

import dataclasses
import os
import statistics
from typing import TYPE_CHECKING, Any

import pytest

from sim.machine import Compute, Probed, Refused
from tests.conformance.bench import HOST, bench_story, container, program

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import simpy

    from tests.conformance.bench import Bench, World

EVERY_S, COMPUTE_S = 0.03, 0.005
# As many cores as this machine has: an engine elsewhere, or a host that is a part of this one, cannot be probed.
CORES_COUNT = os.cpu_count() or 1


@pytest.fixture(name="whole_host")
def _whole_host(world: World) -> Iterator[Bench]:
    """Every machine in turn, with a host as large as the one the tests run on."""
    story = bench_story()
    [host] = story.hosts
    with world.set_up(dataclasses.replace(story, hosts=(dataclasses.replace(host, cpus_count=CORES_COUNT),))) as bench:
        yield bench


def probed(bench: Bench, span_s: float) -> Generator[simpy.Event, Any, Probed]:
    """What a probe of so long found."""
    found = yield bench.machine.probe(HOST, EVERY_S, COMPUTE_S, bench.env.timeout(span_s))
    assert isinstance(found, Probed), found
    return found


def latencies_s(found: Probed) -> list[float]:
    """From due to finished, one by one."""
    return [finish_s - due_s for due_s, finish_s in zip(found.due_s, found.finish_s, strict=True)]


def test_a_probe_is_due_as_often_as_asked(whole_host: Bench) -> None:
    """One interval after another within its time, and each finished after its CPU time at the soonest."""

    def script() -> Generator[simpy.Event, Any, tuple[float, Probed, float]]:
        begin_s = whole_host.env.now
        found = yield from probed(whole_host, 1.5)
        return begin_s, found, whole_host.env.now

    begin_s, found, end_s = whole_host.play(script)
    first_s = found.due_s[0]
    assert HOST == found.host
    assert begin_s < first_s
    assert len(found.due_s) >= 5
    assert [pytest.approx(first_s + number * EVERY_S) for number in range(len(found.due_s))] == list(found.due_s)
    assert sorted(found.finish_s) == list(found.finish_s)
    assert found.finish_s[-1] <= end_s
    assert all(latency_s > 0.99 * COMPUTE_S for latency_s in latencies_s(found))


def test_a_busy_host_answers_later_than_an_idle_one(whole_host: Bench) -> None:
    """Alone, some have their CPU soon after they are due; beside a container that takes all cores they wait longer.

    The best of the idle ones counts: on a machine with other work to do a core may be taken for a while.
    """

    def script() -> Generator[simpy.Event, Any, tuple[Probed, Probed]]:
        yield whole_host.machine.start(container(cpus=None))
        idle = yield from probed(whole_host, 2.0)
        threads_count = 2 * CORES_COUNT
        whole_host.machine.submit("a", program(Compute(60.0 * threads_count, threads_count), due_s=whole_host.env.now))
        yield whole_host.env.timeout(0.5)
        return idle, (yield from probed(whole_host, 3.0))

    idle, busy = whole_host.play(script)
    assert min(latencies_s(idle)) < 1.5 * COMPUTE_S
    assert statistics.mean(latencies_s(busy)) > statistics.mean(latencies_s(idle))


def test_a_host_has_one_probe_at_a_time(whole_host: Bench) -> None:
    """A second one is refused, and so is one of a host that is not there; once the first has ended there is room."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        until = whole_host.env.timeout(0.5)
        first = whole_host.machine.probe(HOST, EVERY_S, COMPUTE_S, until)
        second = yield whole_host.machine.probe(HOST, EVERY_S, COMPUTE_S, until)
        stranger = yield whole_host.machine.probe("nowhere", EVERY_S, COMPUTE_S, until)
        return [(yield first), second, stranger, (yield from probed(whole_host, 0.5))]

    first, second, stranger, third = whole_host.play(script)
    assert Refused(HOST, "it is probed already") == second
    assert isinstance(stranger, Refused)
    assert "nowhere" == stranger.container
    assert [Probed, Probed] == [type(first), type(third)]
