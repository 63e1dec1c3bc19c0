"""Limits that change while the container runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.machine import Compute, Finished, Hold, Limited, Lost, Refused, Release, Restarted, Sample, Sleep
from tests.conformance.bench import ALWAYS, MIB, container, program

if TYPE_CHECKING:
    from collections.abc import Generator

    import simpy

    from tests.conformance.bench import Bench


def test_limits_change_while_running(bench: Bench) -> None:
    """A quota cut to a fifth slows the same work down, without a restart."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container())
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        outcomes.append((yield bench.machine.limit("a", cpus_limit=0.2, memory_bytes_limit=None)))
        yield bench.machine.submit("a", program(Compute(0.1, 1), index=1, due_s=bench.env.now))

    bench.play(script)
    fast, slow = bench.heard.steps
    assert [Limited("a")] == outcomes
    assert slow.latency_s > 2 * fast.latency_s


def test_a_raised_memory_limit_lets_more_through(bench: Bench) -> None:
    """What is killed under the old limit runs under the new one, in the same life."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield bench.machine.start(container(memory_mib=96))
        outcomes.append((yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False)))))
        outcomes.append((yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=256 * MIB)))
        outcomes.append((yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False), index=1))))

    bench.play(script)
    lost, limited, finished = outcomes
    assert isinstance(lost, Lost)
    assert "oom" == lost.cause
    assert Limited("a") == limited
    assert isinstance(finished, Finished)


def test_a_memory_limit_below_what_is_used(bench: Bench) -> None:
    """It holds and somebody dies of it, or the kernel refuses it and the old one holds: nothing in between."""

    def script() -> Generator[simpy.Event, Any, tuple[object, object, object]]:
        yield bench.machine.start(container(memory_mib=256))
        running = bench.machine.submit("a", program(Hold(100 * MIB, leak=False), Sleep(3.0), Release()))
        yield bench.env.timeout(1.0)
        outcome = yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=64 * MIB)
        ended = yield running
        return outcome, ended, (yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False), index=1)))

    outcome, ended, later = bench.play(script)
    if isinstance(outcome, Limited):
        assert isinstance(ended, Lost)
        assert isinstance(later, Lost)
        assert ("oom", "oom") == (ended.cause, later.cause)
    else:
        assert isinstance(outcome, Refused)
        assert "a" == outcome.container
        assert [Finished, Finished] == [type(ended), type(later)]


def test_limits_change_apart(bench: Bench) -> None:
    """A new memory limit leaves the quota as it was, and a new quota leaves the memory limit."""

    def script() -> Generator[simpy.Event, Any, object]:
        yield bench.machine.start(container(cpus=0.2, memory_mib=96))
        yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=128 * MIB)
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        yield bench.machine.limit("a", cpus_limit=1.0, memory_bytes_limit=None)
        yield bench.machine.submit("a", program(Compute(0.1, 1), index=1, due_s=bench.env.now))
        return (yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False), index=2)))

    lost = bench.play(script)
    slow, fast = bench.heard.steps
    assert slow.latency_s > 2 * fast.latency_s
    assert isinstance(lost, Lost)
    assert "oom" == lost.cause


def test_a_memory_limit_changes_twice_in_a_row(bench: Bench) -> None:
    """Raised and raised again, both changes hold, the counters are still read, and what the last one allows runs."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(memory_mib=64))
        return [
            (yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=128 * MIB)),
            (yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=256 * MIB)),
            (yield bench.machine.sample("a")),
            (yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False)))),
        ]

    first, second, sample, finished = bench.play(script)
    assert [Limited("a"), Limited("a")] == [first, second]
    assert isinstance(sample, Sample)
    assert isinstance(finished, Finished)


def test_a_memory_limit_raised_and_lowered_again_leaves_no_swap(bench: Bench) -> None:
    """Back at what it was, a container has no more room than before: what went over the limit at first does again."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(memory_mib=96))
        return [
            (yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=192 * MIB)),
            (yield bench.machine.limit("a", cpus_limit=None, memory_bytes_limit=96 * MIB)),
            (yield bench.machine.submit("a", program(Hold(130 * MIB, leak=False)))),
        ]

    raised, lowered, lost = bench.play(script)
    assert [Limited("a"), Limited("a")] == [raised, lowered]
    assert isinstance(lost, Lost)
    assert "oom" == lost.cause


def test_limits_survive_a_restart(bench: Bench) -> None:
    """What was changed in one life holds in the next: the smaller quota and the larger memory limit."""

    def script() -> Generator[simpy.Event, Any, list[object]]:
        yield bench.machine.start(container(memory_mib=96, restart=ALWAYS))
        yield bench.machine.submit("a", program(Compute(0.1, 1), due_s=bench.env.now))
        limited = yield bench.machine.limit("a", cpus_limit=0.2, memory_bytes_limit=256 * MIB)
        yield bench.machine.crash("a", 1)
        yield from bench.hear(Restarted)
        yield bench.machine.submit("a", program(Compute(0.1, 1), index=1, due_s=bench.env.now))
        return [limited, (yield bench.machine.submit("a", program(Hold(150 * MIB, leak=False), index=2)))]

    limited, finished = bench.play(script)
    fast, slow, _ = bench.heard.steps
    assert Limited("a") == limited
    assert slow.latency_s > 2 * fast.latency_s
    assert isinstance(finished, Finished)
