"""PID 1: errands one after another, standing still, SIGTERM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sim.physics.cpu import GroupLimits
from sim.physics.supervisor import SimulatedSupervisor
from tests.sim.physics.bench import fluid_cpu

if TYPE_CHECKING:
    import simpy


@pytest.fixture(name="supervisor")
def _supervisor(env: simpy.Environment) -> SimulatedSupervisor:
    """A supervisor with a core of its own."""
    cpu = fluid_cpu(env, 1)
    cpu.add_group("a", GroupLimits(None, 1024, None))
    return SimulatedSupervisor(env, cpu, "a")


def noting(env: simpy.Environment, into: list[tuple[str, float]], what: str) -> None:
    """Note that something happened now."""
    into.append((what, round(env.now, 6)))


def test_errands_wait_while_it_stands_still(env: simpy.Environment, supervisor: SimulatedSupervisor) -> None:
    """A sleep begins in its turn; what was asked before and meanwhile is done after it, in order."""
    seen: list[tuple[str, float]] = []
    supervisor.errand(1.0, lambda: supervisor.stand_still(5.0, lambda: noting(env, seen, "awake"), lightly=False))
    supervisor.errand(1.0, lambda: noting(env, seen, "first"))
    env.run(until=3)
    supervisor.errand(2.0, lambda: noting(env, seen, "second"))
    env.run(until=20)

    assert [("awake", 6.0), ("first", 7.0), ("second", 9.0)] == seen


def test_sigterm_comes_after_the_errand_under_way(env: simpy.Environment, supervisor: SimulatedSupervisor) -> None:
    """A signal is noticed before the next errand, not in the middle of one."""
    seen: list[tuple[str, float]] = []
    supervisor.listen_to_signals()
    supervisor.errand(2.0, lambda: noting(env, seen, "under way"))
    supervisor.errand(2.0, lambda: noting(env, seen, "next"))
    env.run(until=1)
    supervisor.terminate(lambda: noting(env, seen, "SIGTERM"))
    env.run(until=10)

    assert [("under way", 2.0), ("SIGTERM", 2.0), ("next", 4.0)] == seen


def test_sigterm_without_a_handler_is_lost(env: simpy.Environment, supervisor: SimulatedSupervisor) -> None:
    """The kernel drops it for a PID 1 that has none yet, so it is not noticed later either."""
    seen: list[tuple[str, float]] = []
    supervisor.errand(1.0, supervisor.listen_to_signals)
    supervisor.terminate(lambda: noting(env, seen, "SIGTERM"))
    env.run(until=10)

    assert [] == seen


@pytest.mark.parametrize(("lightly", "noticed_s"), [(True, 1.0), (False, 5.0)])
def test_sigterm_ends_a_sleep_and_no_hang(
    env: simpy.Environment, supervisor: SimulatedSupervisor, *, lightly: bool, noticed_s: float
) -> None:
    """A sleep before readiness is ended by it and never comes to its end; a hang goes on, and it is only noted."""
    seen: list[tuple[str, float]] = []
    supervisor.listen_to_signals()
    supervisor.errand(0.0, lambda: supervisor.stand_still(5.0, lambda: noting(env, seen, "awake"), lightly=lightly))
    env.run(until=1)
    supervisor.terminate(lambda: noting(env, seen, "SIGTERM"))
    env.run(until=10)

    assert [*([] if lightly else [("awake", 5.0)]), ("SIGTERM", noticed_s)] == seen


def test_dropped_errands_are_owed_to_nobody(env: simpy.Environment, supervisor: SimulatedSupervisor) -> None:
    """Whoever asked hears that it will not be done, and later errands are done as ever."""
    seen: list[tuple[str, float]] = []
    supervisor.errand(2.0, lambda: noting(env, seen, "done"), lambda: noting(env, seen, "under way"))
    supervisor.errand(2.0, lambda: noting(env, seen, "done"), lambda: noting(env, seen, "waiting"))
    env.run(until=1)
    supervisor.drop_errands()
    supervisor.errand(1.0, lambda: noting(env, seen, "later"))
    env.run(until=10)

    assert [("under way", 1.0), ("waiting", 1.0), ("later", 2.0)] == seen


def test_dropping_errands_wakes_nobody(env: simpy.Environment, supervisor: SimulatedSupervisor) -> None:
    """One that stands still goes on standing, and what it is asked later waits for its end."""
    seen: list[tuple[str, float]] = []
    supervisor.errand(0.0, lambda: supervisor.stand_still(5.0, lambda: noting(env, seen, "awake"), lightly=False))
    env.run(until=1)
    supervisor.drop_errands()
    supervisor.errand(1.0, lambda: noting(env, seen, "later"))
    env.run(until=10)

    assert [("awake", 5.0), ("later", 6.0)] == seen
