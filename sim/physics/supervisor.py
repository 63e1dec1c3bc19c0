"""A container's first process as a task like any other: one errand after another, each costing CPU of the container.

It can stand still, which is how a program hangs and how it sleeps before it is ready.
Its counterpart is `live/worker/supervisor.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.physics.cpu import Cpu, Task
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy


@dataclass(frozen=True, slots=True)
class _Errand:
    """Something to do: what it costs, what follows, and what follows where it cannot be done."""

    cpu_s: float
    then: Callable[[], object]
    lost: Callable[[], object]


class SimulatedSupervisor:
    """PID 1 of a simulated container: its errands, and whether it stands still."""

    __slots__ = ("_busy", "_cpu", "_deaf", "_ended", "_env", "_errands", "_lightly", "_naps_count", "_task", "still")

    def __init__(self, env: simpy.Environment, cpu: Cpu, group: str) -> None:
        """Have nothing to do; SIGTERM finds no handler yet."""
        self._env = env
        self._cpu = cpu
        self._task = Task(group)
        self._errands: deque[_Errand] = deque()
        self._busy = False
        self._deaf = True
        self._ended = False
        self._naps_count = 0
        self._lightly = False
        self.still = False

    def errand(self, cpu_s: float, then: Callable[[], object], lost: Callable[[], object] = lambda: None) -> None:
        """Do something that costs CPU, after everything that was asked before.

        `lost` is called in the place of `then` where the container ends first, so that no answer stays owed.
        """
        if self._ended:
            lost()
            return
        self._errands.append(_Errand(cpu_s, then, lost))
        if not self._busy:
            self._run()

    def _run(self) -> None:
        errand = self._errands[0]
        self._busy = True

        def done() -> None:
            if self._ended:
                return
            self._errands.popleft()
            # Still busy, so that what `then` queues is begun below and nowhere else.
            errand.then()
            if not self.still:
                self._go_on()

        self._cpu.run(self._task, errand.cpu_s, done)

    def _go_on(self) -> None:
        self._busy = False
        if self._errands:
            self._run()

    # Standing still, and being told to end.

    def listen_to_signals(self) -> None:
        """Have a handler for SIGTERM from now on; the kernel drops it for a PID 1 that has none."""
        self._deaf = False

    def stand_still(self, duration_s: float, then: Callable[[], object], *, lightly: bool) -> None:
        """Do nothing for a while, then call `then` and go on; only from within an errand's `then`.

        SIGTERM ends it where it is a sleep that a signal ends, which `lightly` says; `then` is not called in that case.
        """
        self.still, self._lightly = True, lightly
        self._naps_count += 1
        number = self._naps_count

        def wake() -> None:
            if number != self._naps_count or self._ended:
                return
            self.still = False
            then()
            if not self.still:
                self._go_on()

        after(self._env, duration_s, wake)

    def terminate(self, then: Callable[[], object]) -> None:
        """Get SIGTERM: `then` is called when it has the CPU to notice, after the errand or hang under way."""
        if self._ended or self._deaf:
            return
        if self.still and self._lightly:
            self._naps_count += 1
            self._busy = self.still = False
        # The first errand of a busy supervisor is under way, unless it stands still.
        position = 1 if self._busy and not self.still else 0
        self._errands.insert(position, _Errand(0.0, then, lambda: None))
        if not self._busy:
            self._run()

    # Ending.

    def halt(self) -> None:
        """Be gone from the CPU for good."""
        self._ended = True
        self._cpu.cancel(self._task)

    def abandon(self) -> None:
        """Tell whoever waits for an errand that it will not be done."""
        while self._errands:
            self._errands.popleft().lost()

    def drop_errands(self) -> None:
        """Lose whoever asked, and with them all that was asked, but go on."""
        self._cpu.cancel(self._task)
        self.abandon()
        self._busy = self.still
