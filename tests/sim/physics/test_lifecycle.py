"""A container from its first start until it is gone: restarts, stops, what works meanwhile."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from scenarios.story import RestartPolicy
from sim.machine import (
    Compute,
    Died,
    Hold,
    Limited,
    Lost,
    ProcessKilled,
    Refused,
    Restarted,
    Sample,
    Sleep,
    Started,
    Stopped,
)
from tests.sim.physics.bench import (
    ALWAYS,
    MIB,
    NOTHING_S,
    ON_FAILURE,
    ROUND,
    Heard,
    container,
    machine_of,
    notices,
    program,
    reasons,
)

if TYPE_CHECKING:
    import simpy

    from sim.machine import Blow
    from sim.physics.simulated_machine import SimulatedMachine


def crash_loop(env: simpy.Environment, machine: SimulatedMachine, lives_s: list[float]) -> list[tuple[float, float]]:
    """Crash a container after each of these lives; when each death and the restart after it happened."""
    for life_s in lives_s:
        env.run(until=env.now + life_s)
        machine.crash("a", 3)
        count = len(notices(machine, Restarted))
        while len(notices(machine, Restarted)) == count:
            env.step()
    died = [notice.happened_s for notice in notices(machine, Died) if isinstance(notice, Died)]
    back = [notice.happened_s for notice in notices(machine, Restarted) if isinstance(notice, Restarted)]
    return list(zip(died, back, strict=True))


# What the engine does in the container's cgroup takes 0.2 s of CPU.
WORKING = dataclasses.replace(ROUND, start_cpu_s=0.2)


def test_container_pays_for_the_engines_work_in_its_cgroup(env: simpy.Environment) -> None:
    """A start of 1 s has room for 0.2 s of work in the container; the first process burns 0.5 s after that."""
    machine = machine_of(env, profile=WORKING)
    started = env.run(until=machine.start(container()))
    sample = env.run(until=machine.sample("a"))

    assert isinstance(started, Started)
    assert isinstance(sample, Sample)
    assert 1.0 == pytest.approx(started.start_s, abs=0.15)
    assert 0.7 == pytest.approx(sample.cpu_s)


def test_small_quota_holds_the_start_up(env: simpy.Environment) -> None:
    """At a tenth of a core the 0.2 s take about two seconds, and the start ends with them and not after 1 s."""
    machine = machine_of(env, profile=WORKING)
    started = env.run(until=machine.start(container(cpus_limit=0.1)))

    assert isinstance(started, Started)
    assert 0.2 + 1.7 <= started.start_s <= 0.3 + 2.1


@pytest.mark.parametrize("blow", ["stop", "crash", "loss"])
def test_start_that_the_engine_does_not_live_to_end_leaves_no_cgroup(env: simpy.Environment, blow: Blow) -> None:
    """Struck in the midst of its work, it is refused; the next start makes a cgroup of its own and pays once."""
    machine = machine_of(env, profile=WORKING)
    refused = machine.start(container())
    env.run(until=0.35)
    machine.strike_host("h", blow, 1.0)
    env.run(until=10.0)
    env.run(until=machine.start(container()))
    sample = env.run(until=machine.sample("a"))

    assert ["the engine is lost"] == reasons([refused])
    assert isinstance(sample, Sample)
    assert 0.7 == pytest.approx(sample.cpu_s)


def test_restart_that_is_stopped_meanwhile_leaves_no_cgroup(env: simpy.Environment) -> None:
    """Stopped while the engine works in its cgroup, its name can be used anew, and the next one pays once."""
    machine = machine_of(env, profile=dataclasses.replace(WORKING, restart_s_mean=1.0))
    env.run(until=machine.start(container(restart=ALWAYS)))
    machine.crash("a", 1)
    env.run(until=env.now + 0.45)
    stopped = env.run(until=machine.stop("a"))
    env.run(until=machine.start(container()))
    sample = env.run(until=machine.sample("a"))

    assert Stopped("a", 1) == stopped
    assert isinstance(sample, Sample)
    assert 0.7 == pytest.approx(sample.cpu_s)


def test_each_restart_is_paid_for(env: simpy.Environment) -> None:
    """A life that came by a restart begins with the engine's work, too."""
    machine = machine_of(env, profile=dataclasses.replace(WORKING, restart_s_mean=1.0))
    env.run(until=machine.start(container(restart=ALWAYS)))
    machine.crash("a", 1)
    env.run(until=env.now + 5)
    sample = env.run(until=machine.sample("a"))

    assert isinstance(sample, Sample)
    assert 0.7 == pytest.approx(sample.cpu_s)


def test_crash_loop_backs_off(env: simpy.Environment) -> None:
    """The restarts begin 0.1, 0.2, 0.4 ... s after each death; a life of 10 s makes the wait short again."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=ALWAYS)))
    spans = crash_loop(env, machine, [1.0, 1.0, 1.0, 1.0, 10.0, 1.0])

    assert [pytest.approx(wait_s, abs=NOTHING_S) for wait_s in (0.1, 0.2, 0.4, 0.8, 0.1, 0.2)] == [
        back_s - died_s for died_s, back_s in spans
    ]


def test_restart_takes_the_engine_and_the_program_their_time(env: simpy.Environment) -> None:
    """After the back-off: 0.3 s of the engine, 0.2 s to attach, 0.5 s of CPU, and the 2 s the program sleeps."""
    profile = dataclasses.replace(ROUND, restart_s_mean=0.3, attach_s_mean=0.2, notice_s_mean=0.01)
    machine = machine_of(env, profile=profile)
    env.run(until=machine.start(container(restart=ALWAYS, start_delay_s=2.0)))
    machine.crash("a", 0)
    env.run(until=env.now + 10)
    died, restarted = notices(machine)

    assert isinstance(died, Died)
    assert isinstance(restarted, Restarted)
    assert ("exited", 0) == (died.cause, died.exit_code)
    # Two starts of one container differ by some per cent.
    assert 0.1 + 0.3 == pytest.approx(restarted.happened_s - died.happened_s, abs=0.3 * 0.15)
    assert 0.2 + 0.5 + 2.0 == pytest.approx(restarted.ready_s - restarted.happened_s)
    assert 0.01 == pytest.approx(restarted.noticed_s - restarted.ready_s)
    assert 1 == restarted.restarts_count


def test_restart_not_measured_takes_what_a_start_takes(env: simpy.Environment) -> None:
    """Without a constant of its own, a restart is a start without create."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, restart_s_mean=None, create_s_mean=5.0))
    env.run(until=machine.start(container(restart=ALWAYS)))
    machine.crash("a", 0)
    env.run(until=env.now + 10)
    died, restarted = notices(machine)

    assert isinstance(died, Died)
    assert isinstance(restarted, Restarted)
    assert 0.1 + 1.0 == pytest.approx(restarted.happened_s - died.happened_s, abs=0.15)


def test_on_failure_gives_up(env: simpy.Environment) -> None:
    """Two restarts are allowed: the third failure leaves nothing, and the name is free."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=RestartPolicy("on-failure", 2))))
    crash_loop(env, machine, [1.0, 1.0])
    machine.crash("a", 1)
    env.run(until=env.now + 10)

    assert [1, 2] == [notice.restarts_count for notice in notices(machine, Restarted) if isinstance(notice, Restarted)]
    assert 3 == len(notices(machine, Died))
    assert isinstance(env.run(until=machine.start(container())), Started)


def test_a_name_is_free_at_once_where_no_restart_follows(env: simpy.Environment) -> None:
    """A container that ended by itself is gone before its end is noticed."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=ON_FAILURE)))
    machine.crash("a", 0)
    env.run(until=env.now + 0.01)
    outcomes = [
        env.run(until=event)
        for event in (machine.stop("a"), machine.kill("a"), machine.sample("a"), machine.submit("a", program()))
    ]
    assert [Refused] * 4 == [type(outcome) for outcome in outcomes]
    assert [] == notices(machine)

    assert isinstance(env.run(until=machine.start(container())), Started)


def test_waiting_for_its_restart_it_can_only_be_stopped(env: simpy.Environment) -> None:
    """During the back-off its name is taken; a stop tells its last exit code, and no restart follows."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=ALWAYS)))
    machine.crash("a", 7)
    env.run(until=env.now + 0.05)
    refused = [
        machine.start(container()),
        machine.kill("a"),
        machine.limit("a", cpus_limit=1.0, memory_bytes_limit=None),
        machine.sample("a"),
        machine.submit("a", program()),
        machine.crash("a", 1),
        machine.hang("a", 1.0),
        machine.kill_agent("a", "w/0"),
    ]
    env.run(until=env.now + NOTHING_S)
    assert [Refused] * 8 == [type(event.value) for event in refused]

    assert Stopped("a", 7) == env.run(until=machine.stop("a"))
    env.run(until=env.now + 10)
    assert [] == notices(machine, Restarted)
    assert isinstance(env.run(until=machine.start(container())), Started)


def test_restarted_container_is_not_up_before_it_is_ready(env: simpy.Environment) -> None:
    """Between the engine's start and its supervisor's answer only a stop acts, which has to wait for the grace."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=ALWAYS, stop_grace_s=0.2)))
    machine.crash("a", 7)
    env.run(until=env.now + 0.3)
    refused, stopped = machine.submit("a", program()), machine.stop("a")
    env.run(until=env.now + 20)

    assert isinstance(refused.value, Refused)
    # 0.2 s of grace are a whole second to the engine, in which PID 1 comes up: the signal was lost by then.
    assert Stopped("a", 137) == stopped.value


def test_killing_or_stopping_brings_nobody_back(env: simpy.Environment) -> None:
    """After `kill` and `stop` no policy is followed; the kill is noticed, the stop is not."""
    machine = machine_of(env)
    for name in ("a", "b"):
        env.run(until=machine.start(container(name, restart=ALWAYS)))
    env.run(until=machine.kill("a"))
    env.run(until=machine.stop("b"))
    env.run(until=env.now + 100)

    assert [("a", "killed", 137)] == [
        (notice.container, notice.cause, notice.exit_code) for notice in notices(machine) if isinstance(notice, Died)
    ]
    assert [] == notices(machine, Restarted)


V2 = dataclasses.replace(ROUND, cgroup_version=2)


def test_cgroup_v1_refuses_a_memory_limit_below_what_is_used(env: simpy.Environment) -> None:
    """The kernel cannot make room by killing: nothing of the change is done, nobody dies, and the old limit holds."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, cgroup_version=1))
    env.run(until=machine.start(container()))
    env.run(until=machine.submit("a", program(Hold(40 * MIB, leak=True))))
    refused = env.run(until=machine.limit("a", cpus_limit=0.1, memory_bytes_limit=20 * MIB))
    begun_s = env.now
    env.run(until=machine.submit("a", program(Hold(40 * MIB, leak=True), Compute(1.0, 1), index=1)))

    assert Refused("a", "memory.limit_in_bytes: device or resource busy") == refused
    assert 1.0 == pytest.approx(env.now - begun_s, abs=0.01)
    assert [] == notices(machine)


def test_cgroup_v2_kills_for_a_memory_limit_below_what_is_used(env: simpy.Environment) -> None:
    """The limit holds from then on, and the largest process dies of it."""
    machine = machine_of(env, profile=V2)
    env.run(until=machine.start(container()))
    env.run(until=machine.submit("a", program(Hold(40 * MIB, leak=True))))
    limited = env.run(until=machine.limit("a", cpus_limit=None, memory_bytes_limit=20 * MIB))
    env.run(until=env.now + 1)

    assert Limited("a") == limited
    (killed,) = notices(machine)
    assert isinstance(killed, ProcessKilled)
    assert ("w/0", "oom") == (killed.agent, killed.cause)


@pytest.mark.parametrize("cgroup_version", [1, 2])
def test_a_memory_limit_that_has_room_is_taken_by_both(env: simpy.Environment, cgroup_version: int) -> None:
    """Lowered to just what is used, it holds; nobody dies of it."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, cgroup_version=cgroup_version))
    env.run(until=machine.start(container()))
    limited = env.run(until=machine.limit("a", cpus_limit=None, memory_bytes_limit=10 * MIB))
    env.run(until=env.now + 1)

    assert (Limited("a"), []) == (limited, notices(machine))


def test_death_over_the_limit_is_restarted_with_the_new_limit(env: simpy.Environment) -> None:
    """A limit below what PID 1 needs ends it; the next lives are stillborn until somebody stops the loop."""
    machine = machine_of(env, profile=V2)
    env.run(until=machine.start(container(restart=ALWAYS)))
    limited = machine.limit("a", cpus_limit=None, memory_bytes_limit=9 * MIB)
    env.run(until=env.now + 1.0)
    stopped = env.run(until=machine.stop("a"))

    assert Limited("a") == limited.value
    # At 0, 0.1, 0.3 and 0.7 s.
    assert ["oom"] * 4 == [notice.cause for notice in notices(machine, Died) if isinstance(notice, Died)]
    assert Stopped("a", 137) == stopped


def test_each_life_counts_from_zero(env: simpy.Environment) -> None:
    """CPU, memory and peak of the life before are gone, and so are its programs."""
    machine = machine_of(env)
    env.run(until=machine.start(container(restart=ALWAYS)))
    running = machine.submit("a", program(Hold(40 * MIB, leak=True), Compute(5.0, 1), Sleep(60.0)))
    env.run(until=env.now + 6)
    machine.crash("a", 1)
    env.run(until=env.now + 1)
    sample = env.run(until=machine.sample("a"))

    assert isinstance(running.value, Lost)
    assert "container" == running.value.cause
    assert isinstance(sample, Sample)
    assert 0.5 == pytest.approx(sample.cpu_s)
    assert (10 * MIB, 10 * MIB) == (sample.memory_bytes, sample.memory_peak_bytes)


def test_stop_takes_what_an_unhindered_one_takes(env: simpy.Environment) -> None:
    """An idle container ends at once, with exit code 0."""
    machine = machine_of(env)
    env.run(until=machine.start(container()))
    asked_s = env.now

    assert Stopped("a", 0) == env.run(until=machine.stop("a"))
    assert 0.25 == pytest.approx(env.now - asked_s)


def test_stop_waits_until_the_supervisor_has_the_cpu_to_notice(env: simpy.Environment) -> None:
    """In a container that stands still until its next period, SIGTERM does too; its programs go on meanwhile."""
    heard = Heard()
    machine = machine_of(env, heard=heard)
    env.run(until=machine.start(container(cpus_limit=0.1, stop_grace_s=10.0)))
    running = machine.submit("a", program(Compute(30.0, 2)))
    env.run(until=env.now + 2)
    asked_s = env.now
    stopped = env.run(until=machine.stop("a"))

    assert Stopped("a", 0) == stopped
    assert 0.25 < env.now - asked_s < 2.0
    assert isinstance(running.value, Lost)


@pytest.mark.parametrize(
    ("hang_s", "grace_s", "exit_code", "took_s"), [(1.5, 2.0, 0, 1.5), (60.0, 2.0, 137, 2.0), (60.0, 1.2, 137, 2.0)]
)
def test_hung_container_is_killed_after_its_grace(
    env: simpy.Environment, hang_s: float, grace_s: float, exit_code: int, took_s: float
) -> None:
    """A hang shorter than the grace ends by SIGTERM, a longer one by SIGKILL after the grace in whole seconds."""
    machine = machine_of(env)
    env.run(until=machine.start(container(stop_grace_s=grace_s, restart=ALWAYS)))
    machine.hang("a", hang_s)
    env.run(until=env.now + NOTHING_S)
    asked_s = env.now
    stopped = env.run(until=machine.stop("a"))

    assert Stopped("a", exit_code) == stopped
    assert took_s + 0.25 == pytest.approx(env.now - asked_s, abs=0.001)
    assert [] == notices(machine)


def test_kill_answers_a_stop_under_way(env: simpy.Environment) -> None:
    """Both hear of the same end; a second stop is refused."""
    machine = machine_of(env)
    env.run(until=machine.start(container(stop_grace_s=60.0)))
    machine.hang("a", 100.0)
    env.run(until=env.now + 1)
    stopped, again = machine.stop("a"), machine.stop("a")
    env.run(until=env.now + 1)
    killed = machine.kill("a")
    env.run(until=env.now + 1)

    assert [Stopped("a", 137)] * 2 == [stopped.value, killed.value]
    assert isinstance(again.value, Refused)


def test_slow_start_is_asleep_and_ended_by_a_stop(env: simpy.Environment) -> None:
    """It is ready after its sleep, which costs no CPU; a stop meanwhile ends it, and its start was none."""
    machine = machine_of(env)
    started = env.run(until=machine.start(container("a", start_delay_s=5.0)))
    sample = env.run(until=machine.sample("a"))
    starting = machine.start(container("b", start_delay_s=5.0))
    env.run(until=env.now + 3)
    stopped = env.run(until=machine.stop("b"))

    assert isinstance(started, Started)
    assert isinstance(sample, Sample)
    assert 5.5 == pytest.approx(started.ready_s - started.start_s)
    assert 0.5 == pytest.approx(sample.cpu_s)
    assert Stopped("b", 0) == stopped
    assert isinstance(starting.value, Refused)
