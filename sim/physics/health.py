"""A container's health check: the engine's probes, and when their results change its health.

Rule: one probe an interval after the start and an interval after the end of the probe before. A probe is an
interpreter's start in the container, paid from its quota, and an answer of the supervisor; one that takes longer than
the time-out has failed. The first pass makes the container healthy, `retries_max` failures in a row unhealthy. Until
the first verdict, failures of probes begun within the start period do not count.
Source: Docker's daemon/health.go (`handleProbeResult`, `monitor`).
A probe's process has memory too, which is charged while it runs; one that is killed for it has failed.
Known to be wrong: what the engine itself takes to run a probe is left out, and a killed probe is missed only when it
would have answered. A foreign container, whose program nobody knows, passes each probe that gets its CPU in time, and
its probes occupy nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.machine import HealthChanged
from sim.physics.cpu import Task

if TYPE_CHECKING:
    from scenarios.story import HealthCheck
    from sim.physics.container import SimulatedContainer
    from sim.physics.surroundings import Surroundings


class HealthWatch:
    """The probing of one life of a container, from its start until `end`."""

    def __init__(
        self, around: Surroundings, container: SimulatedContainer, check: HealthCheck, started_s: float
    ) -> None:
        """Probe for the first time an interval after the engine started the container, at `started_s`."""
        self._around = around
        self._container = container
        self._check = check
        self._started_s = started_s
        self._task = Task(container.name)
        self._healthy: bool | None = None
        self._failures_count = 0
        # Counts probes and their ends, so that what belongs to an earlier one is known as that.
        self._number = self._asked_number = 0
        self._began_s = 0.0
        self._question_waits = False
        self._ended = False
        self._plan(max(0.0, started_s + check.interval_s - around.now))

    def end(self) -> None:
        """Probe no more."""
        self._ended = True
        self._around.cpu.cancel(self._task)
        self._container.end_probe()

    def _plan(self, wait_s: float) -> None:
        self._around.after(wait_s, self._probe)

    def _probe(self) -> None:
        if self._ended:
            return
        self._number += 1
        number, self._began_s = self._number, self._around.now
        if not self._container.begin_probe():
            return
        self._around.after(self._check.timeout_s, lambda: self._conclude(number, passed=False))
        self._around.cpu.run(self._task, self._around.profile.probe_cpu_s, self._ask)

    def _ask(self) -> None:
        """Let the supervisor answer, if it is the container's own that is asked.

        One that stands still finds one question when it goes on, however many probes gave up meanwhile.
        """
        self._asked_number = self._number
        if self._container.spec.foreign is not None:
            self._conclude(self._number, passed=True)
        elif not self._container.serves:
            # Nobody listens yet, so the question is refused at once.
            self._conclude(self._number, passed=False)
        elif not self._question_waits:
            self._question_waits = True
            self._container.errand(self._around.profile.submit_cpu_s / 2, self._answered)

    def _answered(self) -> None:
        """Pass the probe that asked last, if it still waits."""
        self._question_waits = False
        self._conclude(self._asked_number, passed=True)

    def _conclude(self, number: int, *, passed: bool) -> None:
        """Take the first result of the probe under way, and plan the next."""
        if self._ended or number != self._number:
            return
        self._number += 1
        self._around.cpu.cancel(self._task)
        was_there = self._container.end_probe()
        if passed and was_there:
            self._failures_count = 0
            self._turn(healthy=True)
        elif self._counts():
            self._failures_count += 1
            if self._failures_count >= self._check.retries_max:
                self._turn(healthy=False)
        self._plan(self._check.interval_s)

    def _counts(self) -> bool:
        in_start_period = self._began_s - self._started_s < self._check.start_period_s
        return self._healthy is not None or not in_start_period

    def _turn(self, *, healthy: bool) -> None:
        if healthy == self._healthy:
            return
        self._healthy = healthy
        now = self._around.now
        self._around.tell(HealthChanged(self._container.name, healthy, now, now), self._around.profile.notice_s_mean)
