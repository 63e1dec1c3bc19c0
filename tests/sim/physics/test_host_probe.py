"""A probe of a simulated host: when it is due, when it has its CPU, and what is in its way."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sim.machine import Compute, Probed, Refused
from tests.sim.physics.bench import HOST, ROUND, container, machine_of, program

if TYPE_CHECKING:
    import simpy

    from sim.physics.simulated_machine import SimulatedMachine

EVERY_S, COMPUTE_S = 0.1, 0.002


def probed(
    env: simpy.Environment,
    machine: SimulatedMachine,
    *,
    span_s: float = 1.0,
    every_s: float = EVERY_S,
    compute_s: float = COMPUTE_S,
    host: str = "h",
) -> Probed:
    """What a probe of so long found."""
    found = env.run(until=machine.probe(host, every_s, compute_s, env.timeout(span_s)))
    assert isinstance(found, Probed)
    return found


def latencies_s(found: Probed) -> list[float]:
    """From due to finished, one by one."""
    return [finish_s - due_s for due_s, finish_s in zip(found.due_s, found.finish_s, strict=True)]


def test_an_idle_host_gives_the_cpu_at_once(env: simpy.Environment) -> None:
    """First due within one interval, then one interval after another, and finished as soon as it can be."""
    found = probed(env, machine_of(env))

    assert "h" == found.host
    assert 0 < found.due_s[0] < EVERY_S
    assert [pytest.approx(found.due_s[0] + number * EVERY_S) for number in range(10)] == list(found.due_s)
    assert [pytest.approx(COMPUTE_S)] * 10 == latencies_s(found)


def test_a_probe_wakes_late_as_every_sleeper(env: simpy.Environment) -> None:
    """A millisecond of lateness is a millisecond of latency each time."""
    found = probed(env, machine_of(env, profile=dataclasses.replace(ROUND, wake_s_mean=0.001)))

    assert [pytest.approx(COMPUTE_S + 0.001)] * len(found.due_s) == latencies_s(found)


def test_hosts_are_probed_out_of_step(env: simpy.Environment) -> None:
    """Each host's first time is drawn for itself."""
    machine = machine_of(env, hosts=(HOST, dataclasses.replace(HOST, name="i")))
    until = env.timeout(1.0)
    answers = [machine.probe(host, EVERY_S, COMPUTE_S, until) for host in ("h", "i")]
    env.run(until=env.all_of(answers))
    found = [answer.value for answer in answers if isinstance(answer.value, Probed)]

    assert ["h", "i"] == [one.host for one in found]
    assert found[0].due_s[0] != found[1].due_s[0]


def test_a_probe_that_is_late_catches_up_and_is_due_no_later(env: simpy.Environment) -> None:
    """Wanting 30 ms each 20 ms it begins anew right after, and is 10 ms later each time; due times stay."""
    found = probed(env, machine_of(env), every_s=0.02, compute_s=0.03)

    assert [pytest.approx(0.03 + 0.01 * number) for number in range(len(found.due_s))] == latencies_s(found)
    assert pytest.approx(found.due_s[0] + 0.02 * 10) == found.due_s[10]


@pytest.mark.parametrize(("cpus_limit", "idle_ratio"), [(None, 0.0), (1.0, 0.3)])
def test_busy_cores_are_in_the_way(env: simpy.Environment, cpus_limit: float | None, idle_ratio: float) -> None:
    """Beside four threads on two cores a probe waits, and under a quota of one core only as long as they run."""
    machine = machine_of(env)
    env.run(until=machine.start(container(cpus_limit=cpus_limit)))
    machine.submit("a", program(Compute(100.0, 4)))
    found = probed(env, machine, span_s=10.0, every_s=0.0973)
    undisturbed = [latency_s < COMPUTE_S + 1e-6 for latency_s in latencies_s(found)]

    assert all(latency_s > COMPUTE_S - 1e-6 for latency_s in latencies_s(found))
    assert max(latencies_s(found)) > 2 * COMPUTE_S
    assert not all(undisturbed)
    assert sum(undisturbed) >= idle_ratio * len(undisturbed)


def test_a_probe_ends_with_its_event(env: simpy.Environment) -> None:
    """Under way or not, it takes no more CPU, and the next probe is one of its own."""
    machine = machine_of(env)
    first = probed(env, machine, span_s=0.35, compute_s=0.09)
    second = probed(env, machine, span_s=0.35)

    assert max(first.finish_s) <= 0.35 <= min(second.due_s)
    assert pytest.approx(COMPUTE_S) == latencies_s(second)[0]


def test_one_probe_at_a_time_and_only_of_hosts_that_are_there(env: simpy.Environment) -> None:
    """A second one and one of another host are refused, each with its reason."""
    machine = machine_of(env)
    until = env.timeout(1.0)
    machine.probe("h", EVERY_S, COMPUTE_S, until)
    refused = [machine.probe(host, EVERY_S, COMPUTE_S, until).value for host in ("h", "x")]

    assert [Refused("h", "it is probed already"), Refused("x", "no host of that name is there")] == refused


def test_a_probe_s_times_are_bounded(env: simpy.Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many as anybody keeps it rests until its end."""
    monkeypatch.setattr("sim.physics.host_probe.PROBES_COUNT_MAX", 3)

    assert 3 == len(probed(env, machine_of(env)).due_s)
