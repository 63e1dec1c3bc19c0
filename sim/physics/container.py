"""One life of a simulated container: its supervisor, its agents' processes, its memory and files, its counters.

The supervisor is a task like any other: handing over a program, reporting one and sampling cost CPU from the
container's own quota, and when the container stands still, so does it.
A foreign container (`Container.foreign`) is idle in the model, since nobody knows its program: it burns no CPU, needs
the memory of our supervisor as a stand-in (or its limit, where that is less), and its counters are read from outside.
Known to be wrong: the memory of a program whose `process` is "main" is touched without the supervisor, so that a hang
of PID 1 does not hold it up; in a container cut off from its engine, what the supervisor writes never blocks it; and a
foreign container that another waits for until it has completed ends with exit code 0 as soon as it is up, though a real
one works for a while and may fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sim.grid import wait_for_grid_s
from sim.machine import DiskFull, Finished, Lost, Notice, Observer, ProcessKilled, Program, Refused, Sample, Struck
from sim.physics.agent_process import AgentProcess, memory_owner
from sim.physics.cpu import Task
from sim.physics.memory import INIT, PROBE
from sim.physics.storage import storage_of
from sim.physics.supervisor import SimulatedSupervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from scenarios.story import Container
    from sim.machine import StepDone
    from sim.physics.surroundings import Surroundings

Cause = Literal["oom", "killed", "exited"]

SIGKILL_EXIT = 137
# The worker's processes raise their `oom_score_adj` by 500, so that PID 1 outlives them.
_CHILD_ADJUSTMENT_RATIO = 0.5
# A job takes next to no time, but ends after it was started and not in the same instant.
_JOB_S = 0.001


class _Nobody:
    """The observer of a container whose engine is lost."""

    def step(self, done: StepDone) -> None:
        """Lose a step."""

    def sample(self, sample: Sample) -> None:
        """Lose a sample."""


class SimulatedContainer:
    """One running container from the moment its PID 1 is there until that ends."""

    def __init__(
        self,
        around: Surroundings,
        spec: Container,
        memory_bytes_limit: int | None,
        died: Callable[[Cause, int], object],
    ) -> None:
        """Be up, with PID 1 and nothing else; not `alive` where the limit is below what PID 1 needs.

        `died` is called with cause and exit code when PID 1 ends unasked, with everything in the container gone.
        """
        self.spec = spec
        self.name = spec.name
        self.cpu = around.cpu
        self.profile = around.profile
        self.observer: Observer = around.observer
        self.after = around.after
        self.memory, self.storage = storage_of(spec, memory_bytes_limit, around)
        self.supervisor = SimulatedSupervisor(around.env, around.cpu, spec.name)
        self.errand = self.supervisor.errand
        self.alive = not self.memory.enter(INIT, self._base_bytes(memory_bytes_limit), 0.0)
        self._env = around.env
        self._tell = around.tell
        self._died = died
        self._processes: dict[str, AgentProcess] = {}
        self._waiting: dict[str, tuple[Program, simpy.Event]] = {}
        # Killed processes that the kernel is still clearing away, each with what tells of its loss.
        self._ending: dict[Task, Callable[[], object]] = {}
        self._sample_missed = False
        # Whether a question is answered: PID 1 listens once its own program is ready.
        self.serves = False
        self._is_job = spec.name in around.jobs

    def _base_bytes(self, memory_bytes_limit: int | None) -> int:
        base_bytes = self.profile.supervisor_memory_bytes
        if self.spec.foreign is None or memory_bytes_limit is None:
            return base_bytes
        return min(base_bytes, memory_bytes_limit)

    @property
    def now(self) -> float:
        """The run's clock."""
        return float(self._env.now)

    # Coming up and being looked at.

    def boot(self, ready: Callable[[], object]) -> None:
        """Let PID 1 come up: an interpreter's start is CPU work, and some programs sleep before they are ready."""
        if self.spec.foreign is not None:
            ready()
            if self._is_job:
                self.after(_JOB_S, lambda: self.die("exited", 0))
            return

        def serving() -> None:
            self.serves = True
            ready()

        def listening() -> None:
            self.supervisor.listen_to_signals()
            if self.spec.start_delay_s > 0:
                self.supervisor.stand_still(self.spec.start_delay_s, serving, lightly=True)
            else:
                serving()

        self.errand(self.profile.ready_s_mean, listening)

    def sample_each(self, interval_s: float) -> None:
        """Sample now and on every later point of the interval's grid, until the container ends."""
        self.after(wait_for_grid_s(self.now, interval_s), lambda: self._sample_and_go_on(interval_s))

    def _sample_and_go_on(self, interval_s: float) -> None:
        if not self.alive:
            return
        if self.supervisor.still:
            self._sample_missed = True
        else:
            self._observe()
        self.sample_each(interval_s)

    def _observe(self) -> None:
        self._sample_missed = False
        self.read_with(self.observer.sample, lambda: None)

    def read_with(self, then: Callable[[Sample], object], lost: Callable[[], object]) -> None:
        """Have the counters read by whoever does it: the supervisor, which costs CPU, or the engine from outside."""
        if self.spec.foreign is not None:
            then(self.read())
            return
        self.errand(self.profile.sample_cpu_s, lambda: then(self.read()), lost)

    def read(self) -> Sample:
        """Read the container's counters as they stand now."""
        cpu = self.cpu.counters(self.name)
        return Sample(
            container=self.name,
            at_s=self.now,
            cpu_s=cpu.cpu_s,
            periods_count=cpu.periods_count,
            throttled_periods_count=cpu.throttled_periods_count,
            throttled_s=cpu.throttled_s,
            memory_bytes=self.memory.working_set_bytes,
            memory_raw_bytes=self.memory.used_bytes,
            memory_peak_bytes=self.memory.peak_bytes,
            oom_kills_count=self.memory.kills_count,
            disk_bytes=0 if self.storage is None else self.storage.used_bytes,
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

    def _index_unreported(self, program: Program) -> int:
        """The first step of a program that nobody was told of."""
        process = self._processes.get(program.agent)
        return process.unreported_index if process is not None and process.busy else self._index_lost(program)

    def _finished(self, outcome: Finished) -> None:
        waiting = self._waiting.pop(outcome.agent, None)
        if waiting is None:
            return
        _program, answer = waiting

        def tell() -> None:
            self.after(self.profile.notice_s_mean, lambda: answer.succeed(outcome))

        # What is done is done, even where the container ends before it could be reported.
        self.errand(self.profile.submit_cpu_s / 2, tell, tell)

    # Memory, files and death.

    def charge(self, process: AgentProcess, memory_bytes: int) -> bool:
        """Charge memory to a process's owner and bury who dies of it; whether the process itself lives on."""
        self._bury(self.memory.charge(process.owner, memory_bytes))
        return process.alive

    def hire(self, process: AgentProcess, threads_count: int) -> bool:
        """Charge what further threads of a process occupy, wherever its own memory is; whether it lives on."""
        size_bytes = self.profile.hire_memory_bytes + threads_count * self.profile.thread_memory_bytes
        self._bury(self.memory.charge(process.agent, size_bytes))
        process.threads_bytes += size_bytes
        return process.alive

    def store(self, process: AgentProcess, size_bytes: int) -> int:
        """Append to a process's file and bury who dies of it; how much was stored is returned, 0 for a dead writer."""
        if self.storage is None:
            return 0
        stored_bytes, victims = self.storage.append(process.agent, process.owner, size_bytes)
        self._bury(victims)
        return stored_bytes if process.alive else 0

    @property
    def room_s(self) -> float:
        """When the memory that was charged last is really there: what gave way to it may have to be written back."""
        return 0.0 if self.storage is None else self.storage.room_s

    def tell_full(self, agent: str) -> None:
        """Tell that a write was refused; the agent's process says so itself."""
        self._tell(DiskFull(self.name, agent, self.now, self.now), self.profile.notice_s_mean)

    def begin_probe(self) -> bool:
        """Charge what a health probe occupies, where its program is known; whether the container lives on."""
        if self.spec.foreign is None:
            self._bury(self.memory.enter(PROBE, self.profile.probe_memory_bytes, 0.0))
        return self.alive

    def end_probe(self) -> bool:
        """Give back what a health probe occupies; whether it was still there, and not killed for memory."""
        was_there = self.spec.foreign is not None or self.memory.has(PROBE)
        self.memory.leave(PROBE)
        return was_there

    def set_memory_limit(self, memory_bytes_limit: int | None) -> None:
        """Change the memory limit; whoever no longer fits dies."""
        self._bury(self.memory.set_limit(memory_bytes_limit))

    def _bury(self, victims: list[str]) -> None:
        for victim in victims:
            if victim == INIT:
                self.die("oom", SIGKILL_EXIT)
                return
            if victim != PROBE:
                self._lose(victim, "oom")

    def _lose(self, agent: str, cause: Literal["oom", "killed"]) -> None:
        """Take a killed process's work with it and tell, as late as the supervisor would.

        Its memory counts as free at once, since whoever asks for it kills nobody else meanwhile. Giving it back page by
        page is the dead process's own CPU work, charged to the container.
        """
        happened_s = self.now
        waiting = self._waiting.pop(agent, None)
        index = self._index_lost(waiting[0]) if waiting else 0
        process = self._processes.pop(agent)
        process.report()
        process.kill()
        self.memory.leave(agent)
        # What PID 1 held in its place it gives back, but not what leaked.
        self.memory.give_back(INIT, process.held_bytes if process.owner == INIT else 0)
        resident_bytes = self.profile.agent_memory_bytes + process.own_bytes
        kill_cpu_s = self.profile.oom_kill_cpu_s if cause == "oom" else 0.0

        def tell(delay_s: float = 0.0) -> None:
            self._tell(ProcessKilled(self.name, agent, cause, happened_s, self.now), delay_s)
            if waiting is not None:
                self._answer(waiting[1], Lost(agent, index, cause, happened_s), delay_s)

        def gone() -> None:
            del self._ending[remains]
            self.errand(self.profile.submit_cpu_s / 2, lambda: tell(self.profile.notice_s_mean), tell)

        remains = Task(self.name)
        self._ending[remains] = tell
        self.cpu.run(remains, kill_cpu_s + resident_bytes * self.profile.release_s_per_byte, gone)

    def _answer(self, answer: simpy.Event, outcome: Lost, delay_s: float) -> None:
        """Answer at once or after a delay, but only once."""
        if answer.triggered:
            return
        if delay_s > 0:
            self.after(delay_s, lambda: answer.succeed(outcome))
        else:
            answer.succeed(outcome)

    def die(self, cause: Cause, exit_code: int) -> None:
        """End with PID 1: every program is lost, and whoever keeps the container hears of it."""
        if not self.alive:
            return
        self.end()
        self._died(cause, exit_code)

    def end(self) -> None:
        """Stop everything in the container; programs under way are lost with it."""
        self.alive = False
        if self.storage is not None:
            self.storage.abandon()
        self.supervisor.halt()
        self._lose_programs()
        for process in self._processes.values():
            process.kill()
        for remains, tell in self._ending.items():
            self.cpu.cancel(remains)
            tell()
        self._ending.clear()
        self._processes.clear()
        self.supervisor.abandon()

    def _lose_programs(self) -> None:
        happened_s = self.now
        for agent, (program, answer) in self._waiting.items():
            answer.succeed(Lost(agent, self._index_unreported(program), "container", happened_s))
        self._waiting.clear()

    def terminate(self, then: Callable[[], object]) -> None:
        """Send SIGTERM: `then` is called when PID 1 ends of it; a foreign program is taken to do so at once."""
        if self.spec.foreign is None:
            self.supervisor.terminate(then)
        else:
            then()

    # Blows.

    def crash(self, exit_code: int) -> None:
        """Have PID 1 end by itself, once it gets to it."""
        self.errand(self.profile.submit_cpu_s / 2, lambda: self.die("exited", exit_code))

    def hang(self, duration_s: float) -> None:
        """Have PID 1 stand still, once it gets to it; the agents go on, and what is asked meanwhile waits."""

        def awake() -> None:
            if self._sample_missed:
                self._observe()

        self.errand(
            self.profile.submit_cpu_s / 2,
            lambda: self.supervisor.stand_still(duration_s, awake, lightly=False),
        )

    def kill_agent(self, agent: str, answer: simpy.Event) -> None:
        """Have one agent's process killed; `answer` gets `Struck`, or `Refused` where there is none."""

        def strike() -> None:
            outcome: Struck | Refused = Refused(self.name, f"it has no process of {agent}")
            if agent in self._processes:
                outcome = Struck(self.name)
                self._lose(agent, "killed")
            self.after(self.profile.notice_s_mean, lambda: answer.succeed(outcome))

        def lost() -> None:
            answer.succeed(Refused(self.name, "it died before it could answer"))

        self.errand(self.profile.submit_cpu_s / 2, strike, lost)

    def cut_off(self) -> None:
        """Live on with nobody to hear of it: the engine is lost, and with it all that was asked and is told."""

        def tell_nobody(_notice: Notice, _delay_s: float) -> None:
            """Lose a notice."""

        self.observer, self._tell = _Nobody(), tell_nobody
        self._lose_programs()
        for tell in self._ending.values():
            tell()
        self.supervisor.drop_errands()
