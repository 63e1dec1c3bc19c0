"""A host's engine: what a blow to it does to its containers, and how many networks it has room for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sim.machine import (
    Blow,
    Compute,
    Died,
    EngineBack,
    EngineLost,
    Hold,
    Lost,
    Refused,
    Restarted,
    Sample,
    Sleep,
    Started,
    Stopped,
    Struck,
)
from tests.sim.physics.bench import (
    ALWAYS,
    HOST,
    MIB,
    NO,
    ON_FAILURE,
    ROUND,
    UNLESS_STOPPED,
    Heard,
    container,
    machine_of,
    notices,
    program,
    reasons,
)

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Container
    from sim.physics.simulated_machine import SimulatedMachine

OTHER = dataclasses.replace(HOST, name="other")
BLOWS: tuple[Blow, ...] = ("stop", "crash", "loss")


def started(env: simpy.Environment, machine: SimulatedMachine, *specs: Container) -> None:
    """Start containers and wait until all are up."""
    outcomes = env.run(until=env.all_of([machine.start(spec) for spec in specs]))
    assert outcomes is not None
    env.run(until=env.now + 1)


@pytest.mark.parametrize("blow", BLOWS)
def test_a_lost_engine_is_noticed_with_each_of_its_containers(env: simpy.Environment, blow: Blow) -> None:
    """Its containers are lost with it, those of another host are not; nobody knows how they ended without it."""
    machine = machine_of(env, hosts=(HOST, OTHER))
    started(env, machine, container("a"), container("b"), container("c", host="other"))
    struck_s = env.now
    struck = machine.strike_host("h", blow, None)
    env.run(until=env.now + 100)

    assert Struck("h") == struck.value
    assert [
        EngineLost("h", struck_s, struck_s),
        Died("a", "engine_lost", -1, struck_s, struck_s),
        Died("b", "engine_lost", -1, struck_s, struck_s),
    ] == notices(machine)
    assert isinstance(env.run(until=machine.sample("c")), Sample)


@pytest.mark.parametrize("blow", BLOWS)
def test_nothing_can_be_asked_of_a_lost_engine(env: simpy.Environment, blow: Blow) -> None:
    """What was under way is answered at the loss, and what is asked later is refused in the same words."""
    machine = machine_of(env)
    started(env, machine, container("a"), container("b", stop_grace_s=60.0))
    machine.hang("b", 100.0)
    env.run(until=env.now + 1)
    running, stopping, sampling = machine.submit("a", program(Sleep(60.0))), machine.stop("b"), machine.sample("b")
    starting = machine.start(container("c"))
    env.run(until=env.now + 0.1)
    machine.strike_host("h", blow, None)
    lost_s = env.now
    late = [
        machine.start(container("d")),
        machine.stop("a"),
        machine.kill("a"),
        machine.limit("a", cpus_limit=1.0, memory_bytes_limit=None),
        machine.sample("a"),
        machine.submit("a", program()),
        machine.crash("a", 1),
        machine.hang("a", 1.0),
        machine.kill_agent("a", "w/0"),
        machine.strike_host("h", blow, None),
    ]
    env.run(until=env.now + 1e-6)

    assert Lost("w/0", 0, "container", lost_s) == running.value
    assert [Refused] * 3 == [type(event.value) for event in (stopping, sampling, starting)]
    assert ["the engine is lost"] * 10 == reasons(late)


@pytest.mark.parametrize(("blow", "back"), [("stop", ["a", "u"]), ("crash", ["a"]), ("loss", ["a", "f", "u"])])
def test_returning_engine_starts_some_anew(env: simpy.Environment, blow: Blow, back: list[str]) -> None:
    """After 5 s down and 1 s of its start come back those that its policies bring back; the others are gone."""
    machine = machine_of(env)
    policies = {"n": NO, "f": ON_FAILURE, "u": UNLESS_STOPPED, "a": ALWAYS}
    started(env, machine, *(container(name, restart=policy) for name, policy in policies.items()))
    lost_s = env.now
    machine.strike_host("h", blow, 5.0)
    env.run(until=env.now + 20)
    again = [env.run(until=machine.start(container(name))) for name in policies if name not in back]

    assert [EngineBack("h", lost_s + 6.0, lost_s + 6.0)] == notices(machine, EngineBack)
    restarted = [notice for notice in notices(machine, Restarted) if isinstance(notice, Restarted)]
    assert back == sorted(notice.container for notice in restarted)
    assert [pytest.approx(lost_s + 6.0)] * len(back) == [notice.happened_s for notice in restarted]
    assert {1} == {notice.restarts_count for notice in restarted}
    assert all(isinstance(outcome, Started) for outcome in again)
    assert all(isinstance(env.run(until=machine.sample(name)), Sample) for name in back)


@pytest.mark.parametrize("blow", ["stop", "loss"])
def test_most_blows_end_containers_at_once(env: simpy.Environment, blow: Blow) -> None:
    """Stopped in order or lost with its host, a container burns nothing more."""
    machine = machine_of(env)
    started(env, machine, container("a"))
    machine.submit("a", program(Compute(100.0, 1)))
    env.run(until=env.now + 1)
    machine.strike_host("h", blow, 5.0)

    with pytest.raises(KeyError):
        machine._engines["h"].around.cpu.counters("a")


def test_a_crash_leaves_containers_running(env: simpy.Environment) -> None:
    """They burn CPU for the 6 s until the engine is back and ends them, and none of their samples reach anybody."""
    heard = Heard()
    machine = machine_of(env, heard=heard)
    started(env, machine, container("a"))
    machine.submit("a", program(Compute(100.0, 1)))
    env.run(until=env.now + 1.1)
    cpu = machine._engines["h"].around.cpu
    before_s, samples_count = cpu.counters("a").cpu_s, len(heard.samples)
    machine.strike_host("h", "crash", 5.0)
    env.run(until=env.now + 5.9)
    after_s = cpu.counters("a").cpu_s
    env.run(until=env.now + 0.2)

    assert 5.9 == pytest.approx(after_s - before_s)
    assert samples_count == len(heard.samples)
    with pytest.raises(KeyError):
        cpu.counters("a")


def test_steps_of_a_cut_off_container_are_heard_by_nobody(env: simpy.Environment) -> None:
    """A step that ends while the engine is away is not reported, then or later."""
    heard = Heard()
    machine = machine_of(env, heard=heard)
    started(env, machine, container("a"))
    machine.submit("a", program(Compute(2.0, 1)))
    env.run(until=env.now + 1)
    machine.strike_host("h", "crash", 5.0)
    env.run(until=env.now + 20)

    assert [] == heard.steps


def test_what_dies_unseen_is_found_dead(env: simpy.Environment) -> None:
    """PID 1 that runs out of memory while the engine is away is no news of its own; the policy holds all the same."""
    machine = machine_of(env)
    started(env, machine, container("a", restart=ALWAYS))
    # Due at the run's beginning, so that the sleep is over 6 s after that: while the engine is away.
    machine.submit("a", program(Sleep(6.0), Hold(200 * MIB, leak=True), process="main"))
    env.run(until=env.now + 1)
    machine.strike_host("h", "crash", 5.0)
    env.run(until=env.now + 20)

    assert [EngineLost, Died, EngineBack, Restarted] == [type(notice) for notice in notices(machine)]


def test_a_loss_is_answered_once_though_its_engine_goes_meanwhile(env: simpy.Environment) -> None:
    """A killed process that the kernel is still clearing away is answered for at the loss, and never again."""
    machine = machine_of(env, profile=dataclasses.replace(ROUND, release_s_per_byte=2.0 / MIB))
    started(env, machine, container("a"))
    running = machine.submit("a", program(Sleep(60.0)))
    env.run(until=env.now + 1)
    machine.kill_agent("a", "w/0")
    env.run(until=env.now + 1)
    assert not running.triggered
    machine.strike_host("h", "crash", 5.0)
    lost_s = env.now
    env.run(until=env.now + 20)

    assert isinstance(running.value, Lost)
    assert "killed" == running.value.cause
    assert lost_s - 1.0 == pytest.approx(running.value.happened_s)
    assert [EngineLost, Died, EngineBack] == [type(notice) for notice in notices(machine)]


def test_a_container_stopped_or_never_up_is_not_brought_back(env: simpy.Environment) -> None:
    """Whoever was to be stopped, or had not yet started, is gone with the engine although its policy is `always`."""
    machine = machine_of(env)
    started(env, machine, container("a", restart=ALWAYS, stop_grace_s=60.0))
    machine.hang("a", 100.0)
    env.run(until=env.now + 1)
    machine.stop("a")
    machine.start(container("b", restart=ALWAYS))
    env.run(until=env.now + 0.5)
    machine.strike_host("h", "crash", 5.0)
    env.run(until=env.now + 20)

    assert [] == notices(machine, Restarted)
    assert isinstance(env.run(until=machine.stop("b")), Refused)


def test_a_container_waiting_for_its_restart_waits_for_the_engine_too(env: simpy.Environment) -> None:
    """The loss ends its back-off; the returning engine starts it anew, without waiting."""
    machine = machine_of(env)
    started(env, machine, container("a", restart=ALWAYS))
    machine.crash("a", 1)
    env.run(until=env.now + 0.05)
    lost_s = env.now
    machine.strike_host("h", "crash", 5.0)
    env.run(until=env.now + 20)
    (restarted,) = notices(machine, Restarted)

    assert isinstance(restarted, Restarted)
    assert lost_s + 6.0 == pytest.approx(restarted.happened_s)


def test_an_engine_may_be_lost_again(env: simpy.Environment) -> None:
    """Twice down, twice back, and the container twice restarted."""
    machine = machine_of(env)
    started(env, machine, container("a", restart=ALWAYS))
    for blow in ("crash", "loss"):
        machine.strike_host("h", "crash" if blow == "crash" else "loss", 2.0)
        env.run(until=env.now + 10)

    assert [1, 2] == [notice.restarts_count for notice in notices(machine, Restarted) if isinstance(notice, Restarted)]
    assert Stopped("a", 0) == env.run(until=machine.stop("a"))


def test_unknown_host_is_refused(env: simpy.Environment) -> None:
    """A blow to nobody is a value that says so."""
    assert Refused("x", "no host of that name is there") == machine_of(env).strike_host("x", "stop", 1.0).value


def test_thirty_networks_and_no_more(env: simpy.Environment) -> None:
    """A container that needs a 31st is refused in the engine's words; one in known networks, or in none, starts."""
    machine = machine_of(env)
    names = tuple(f"n{number}" for number in range(30))
    started(env, machine, container("a", networks=names))
    refused = env.run(until=machine.start(container("b", networks=("n0", "one more"))))
    others = [
        env.run(until=machine.start(container("b", networks=("n29",)))),
        env.run(until=machine.start(container("c"))),
    ]

    assert isinstance(refused, Refused)
    assert "could not find an available, non-overlapping IPv4 address pool among the defaults" in refused.reason
    assert [Started, Started] == [type(outcome) for outcome in others]


def test_hosts_have_networks_of_their_own(env: simpy.Environment) -> None:
    """Thirty on one engine leave room for thirty on another."""
    machine = machine_of(env, hosts=(HOST, OTHER))
    names = tuple(f"n{number}" for number in range(30))

    started(env, machine, container("a", networks=names))
    assert isinstance(env.run(until=machine.start(container("b", host="other", networks=("x",)))), Started)
