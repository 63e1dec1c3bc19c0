"""A simulated container that is up: its supervisor, its agents' processes, its memory, its counters.

The supervisor is a task like any other: handing over a program, reporting one and sampling cost CPU from the
container's own quota, and when the container stands still, so does it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sim.grid import wait_for_grid_s
from sim.machine import Died, Finished, Lost, Notice, Observer, ProcessKilled, Program, Sample
from sim.physics.agent_process import AgentProcess, memory_owner
from sim.physics.cpu import Cpu, Task
from sim.physics.memory import INIT, ContainerMemory
from sim.timers import after

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from scenarios.story import Container
    from sim.physics.host_profile import HostProfile

SIGKILL_EXIT = 137
# The worker's processes raise their `oom_score_adj` by 500, so that PID 1 outlives them.
_CHILD_ADJUSTMENT_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class _Errand:
    """Something the supervisor has to do: what it costs, what follows, and what follows where it cannot be done."""

    cpu_s: float
    then: Callable[[], object]
    lost: Callable[[], object]


class SimulatedContainer:
    """One running container; the machine makes it when its start is done."""

    def __init__(  # A container is where everything meets; each argument is one thing.
        self,
        env: simpy.Environment,
        spec: Container,
        cpu: Cpu,
        profile: HostProfile,
        observer: Observer,
        notify: Callable[[Notice], None],
        memory_bytes_limit: int | None,
    ) -> None:
        """Be up, with PID 1 and nothing else; not `alive` where the limit is below what PID 1 needs."""
        self.spec = spec
        self.name = spec.name
        self.cpu = cpu
        self.profile = profile
        self.observer = observer
        self.memory = ContainerMemory(memory_bytes_limit)
        self.alive = not self.memory.enter(INIT, profile.supervisor_memory_bytes, 0.0)
        self._env = env
        self._notify = notify
        self._processes: dict[str, AgentProcess] = {}
        self._waiting: dict[str, tuple[Program, simpy.Event]] = {}
        self._supervisor = Task(spec.name)
        self._errands: deque[_Errand] = deque()
        # Killed processes that the kernel is still clearing away, each with what tells of its loss.
        self._ending: dict[Task, Callable[[], object]] = {}
        self._busy = False

    @property
    def now(self) -> float:
        """The run's clock."""
        return float(self._env.now)

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        """Call `act` after a delay."""
        after(self._env, delay_s, act)

    # The supervisor.

    def errand(self, cpu_s: float, then: Callable[[], object], lost: Callable[[], object] = lambda: None) -> None:
        """Let the supervisor do something that costs it CPU, one thing after another.

        `lost` is called in the place of `then` where the container ends first, so that no answer stays owed.
        """
        if not self.alive:
            lost()
            return
        self._errands.append(_Errand(cpu_s, then, lost))
        if not self._busy:
            self._run_errand()

    def _run_errand(self) -> None:
        errand = self._errands[0]
        self._busy = True

        def done() -> None:
            if not self.alive:
                return
            self._errands.popleft()
            # Still busy, so that what `then` queues is begun below and nowhere else.
            errand.then()
            self._busy = False
            if self._errands:
                self._run_errand()

        self.cpu.run(self._supervisor, errand.cpu_s, done)

    def sample_each(self, interval_s: float) -> None:
        """Sample now and on every later point of the interval's grid, until the container ends."""
        self.after(wait_for_grid_s(self.now, interval_s), lambda: self._sample_and_go_on(interval_s))

    def _sample_and_go_on(self, interval_s: float) -> None:
        if not self.alive:
            return
        self.errand(self.profile.sample_cpu_s, lambda: self.observer.sample(self.read()))
        self.sample_each(interval_s)

    def read(self) -> Sample:
        """Read the container's counters as they stand now."""
        cpu = self.cpu.counters(self.name)
        used = self.memory.used_bytes
        return Sample(
            container=self.name,
            at_s=self.now,
            cpu_s=cpu.cpu_s,
            periods_count=cpu.periods_count,
            throttled_periods_count=cpu.throttled_periods_count,
            throttled_s=cpu.throttled_s,
            memory_bytes=used,
            memory_raw_bytes=used,
            memory_peak_bytes=self.memory.peak_bytes,
            oom_kills_count=self.memory.kills_count,
        )

    # Programs.

    def submit(self, program: Program, answer: simpy.Event) -> None:
        """Hand a program to its agent's process; `answer` gets `Finished` or `Lost`."""
        self._waiting[program.agent] = (program, answer)
        self.errand(self.profile.submit_cpu_s / 2, lambda: self._hand_over(program, answer))

    def _hand_over(self, program: Program, answer: simpy.Event) -> None:
        if not self._awaits(program, answer):
            return
        process = self._processes.get(program.agent)
        if process is not None:
            process.begin(program, self._finished)
            return
        process = AgentProcess(self, program.agent, memory_owner(program))
        self._processes[program.agent] = process
        adjustment = _CHILD_ADJUSTMENT_RATIO if program.process == "own" else 0.0
        self._bury(self.memory.enter(program.agent, self.profile.agent_memory_bytes, adjustment))
        # Forking a process is the supervisor's own work, charged to the container's quota.
        self.errand(
            self.profile.respawn_s_mean,
            lambda: process.begin(program, self._finished) if self._awaits(program, answer) else None,
        )

    def _awaits(self, program: Program, answer: simpy.Event) -> bool:
        """Whether a program is still to be run: its agent's process may have died before it was handed over."""
        return self._waiting.get(program.agent) == (program, answer)

    def _index_lost(self, program: Program) -> int:
        """The step a program is at: the one under way, or its first where it has not begun."""
        process = self._processes.get(program.agent)
        if process is not None and process.busy:
            return process.step_index
        return program.steps[0].index if program.steps else 0

    def _finished(self, outcome: Finished) -> None:
        waiting = self._waiting.pop(outcome.agent, None)
        if waiting is None:
            return
        _program, answer = waiting

        def tell() -> None:
            self.after(self.profile.notice_s_mean, lambda: answer.succeed(outcome))

        # What is done is done, even where the container ends before it could be reported.
        self.errand(self.profile.submit_cpu_s / 2, tell, tell)

    # Memory and death.

    def charge(self, process: AgentProcess, memory_bytes: int) -> bool:
        """Charge memory to a process's owner and bury who dies of it; whether the process itself lives on."""
        self._bury(self.memory.charge(process.owner, memory_bytes))
        return process.alive

    def set_memory_limit(self, memory_bytes_limit: int | None) -> None:
        """Change the memory limit; whoever no longer fits dies."""
        self._bury(self.memory.set_limit(memory_bytes_limit))

    def _bury(self, victims: list[str]) -> None:
        for victim in victims:
            if victim == INIT:
                self.die("oom")
                return
            self._lose(victim)

    def _lose(self, agent: str) -> None:
        """Take a killed process's work with it and tell, as late as the supervisor would.

        Its memory counts as free at once, since whoever asks for it kills nobody else meanwhile. Giving it back page by
        page is the dead process's own CPU work, charged to the container.
        """
        happened_s = self.now
        waiting = self._waiting.pop(agent, None)
        index = self._index_lost(waiting[0]) if waiting else 0
        process = self._processes.pop(agent)
        process.kill()
        self.memory.leave(agent)
        resident_bytes = self.profile.agent_memory_bytes + process.own_bytes

        def tell() -> None:
            self._notify(ProcessKilled(self.name, agent, "oom", happened_s, self.now))
            if waiting is not None:
                waiting[1].succeed(Lost(agent, index, "oom", happened_s))

        def gone() -> None:
            del self._ending[remains]
            self.errand(self.profile.submit_cpu_s / 2, lambda: self.after(self.profile.notice_s_mean, tell), tell)

        remains = Task(self.name)
        self._ending[remains] = tell
        self.cpu.run(remains, self.profile.oom_kill_cpu_s + resident_bytes * self.profile.release_s_per_byte, gone)

    def die(self, cause: Literal["oom", "killed", "exited"]) -> None:
        """End with PID 1: every program is lost, and the machine hears of it."""
        if not self.alive:
            return
        happened_s = self.now
        self.end()
        exit_code = 0 if cause == "exited" else SIGKILL_EXIT
        self.after(
            self.profile.stop_s_mean,
            lambda: self._notify(Died(self.name, cause, exit_code, happened_s, self.now)),
        )

    def end(self) -> None:
        """Stop everything in the container; programs under way are lost with it."""
        self.alive = False
        happened_s = self.now
        self.cpu.cancel(self._supervisor)
        for agent, (program, answer) in self._waiting.items():
            answer.succeed(Lost(agent, self._index_lost(program), "container", happened_s))
        for process in self._processes.values():
            process.kill()
        for remains, tell in self._ending.items():
            self.cpu.cancel(remains)
            tell()
        self._ending.clear()
        self._waiting.clear()
        self._processes.clear()
        while self._errands:
            self._errands.popleft().lost()
