"""A container from the order to start it until it is gone: the lives it has, and the waits between them.

First start: create and start by the engine, attach, boot. After an unasked end its restart policy decides
(`sim/physics/restarts.py`): a back-off, the engine's start without create, attach, boot. Part of the engine's start is
work inside the container's cgroup, paid from its quota: where that takes longer than the rest, the start does.
Measured constants: `docs/physics.md`, section Container life.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.machine import Died, Limited, Refused, Restarted, Started, Stopped
from sim.physics.container import SIGKILL_EXIT, Cause, SimulatedContainer
from sim.physics.cpu import Task
from sim.physics.health import HealthWatch
from sim.physics.restarts import Restarts
from sim.randomness import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from scenarios.story import Container
    from sim.machine import Blow
    from sim.physics.engine import SimulatedEngine

ENGINE_LOST = "the engine is lost"
NOT_UP = "no container of that name is up"
# Two starts of the same container differ by about this much (standard deviation over mean; measured on the reference
# machine, `docs/physics.md`, section Container life).
_START_SPREAD_RATIO = 0.08
# How far into its start an engine makes the container's cgroup and begins to work in it: by the time at which the
# kernel says that PID 1 was forked, eight starts of 202 to 353 ms were then 17 to 30 % over, 22 % in the mean.
_CGROUP_MADE_RATIO = 0.22
# Nobody can ask a lost engine with which exit code its containers ended.
_UNKNOWN_EXIT = -1


class Lifecycle:
    """One container of a name, alive or waiting for its next life."""

    def __init__(self, engine: SimulatedEngine, spec: Container, answer: simpy.Event) -> None:
        """Be asked to start; `answer` gets `Started` or `Refused`."""
        self.spec = spec
        self.name = spec.name
        self._engine = engine
        self._around = engine.around
        self._starting: simpy.Event | None = answer
        # Whoever asked for its end, and whether the engine has come to removing it.
        self._endings: list[simpy.Event] = []
        self._removing = False
        self._life: SimulatedContainer | None = None
        self._watch: HealthWatch | None = None
        self._restarts = Restarts(spec.restart)
        self._cpus_limit = spec.cpus_limit
        self._memory_bytes_limit = spec.memory_bytes_limit
        # The engine's own work in the container's cgroup while it starts, and whether there is a cgroup.
        self._runtime = Task(spec.name)
        self._has_cgroup = False
        self._spread = Stream(self._around.seed, spec.name, "start")
        self._ready = False
        self._wanted_back = False
        self._up_since_s = 0.0
        self._exit_code = 0
        # Counts plans that were dropped, so that what belongs to one of them is known as that.
        self._plan = 0

    @property
    def up(self) -> SimulatedContainer | None:
        """The life that verbs act on: there is none while the container waits for its restart."""
        return self._life if self._ready or self._starting is not None else None

    # The first start.

    def create(self) -> None:
        """Let the engine create and start; how long that takes depends on how many starts are under way."""
        self._engine.starting.add(self.name)
        # Starts asked for in the same instant slow each other, so the count is taken at its end.
        self._later(0, self._create)

    def _create(self) -> None:
        refusal = self._engine.join(self.spec.networks)
        if refusal is not None:
            self._end_start(refusal)
            self._leave()
            return
        profile = self._around.profile
        start_s = (profile.create_s_mean + profile.start_s(len(self._engine.starting))) * self._spread_ratio(0)
        self._let_start(start_s, self._started)

    def _started(self, start_s: float) -> None:
        def announce() -> None:
            answer, self._starting = self._starting, None
            if answer is not None:
                answer.succeed(Started(self.name, start_s, self._around.now))

        self._later(self._attach_s, lambda: self._boot(announce))

    def _end_start(self, reason: str) -> None:
        """Refuse the first start, if it is not answered yet."""
        answer, self._starting = self._starting, None
        if answer is not None:
            answer.succeed(Refused(self.name, reason))

    def _let_start(self, start_s: float, then: Callable[[float], object]) -> None:
        """Let the engine start the container, in `start_s` or more; `then` is told how long it took."""
        around = self._around
        began_s = around.now
        waiting = {"engine", "cgroup"}

        def over(what: str) -> None:
            waiting.discard(what)
            if not waiting:
                then(around.now - began_s)

        def make_cgroup() -> None:
            around.cpu.add_group(self.name, around.cpu_limits(self.spec, self._cpus_limit))
            self._has_cgroup = True
            around.cpu.run(self._runtime, around.profile.start_cpu_s, lambda: over("cgroup"))

        self._later(start_s * _CGROUP_MADE_RATIO, make_cgroup)
        self._later(start_s, lambda: over("engine"))

    def _remove_cgroup(self) -> None:
        if self._has_cgroup:
            self._around.cpu.cancel(self._runtime)
            self._around.cpu.remove_group(self.name)
        self._has_cgroup = False

    @property
    def _attach_s(self) -> float:
        """What attaching takes; nobody attaches to a foreign program."""
        return self._around.profile.attach_s_mean if self.spec.foreign is None else 0.0

    def _spread_ratio(self, number: int) -> float:
        return 1 + _START_SPREAD_RATIO * (2 * math.sqrt(3) * (self._spread.uniform(number) - 0.5))

    # A life.

    def _boot(self, announce: Callable[[], object]) -> None:
        """Let PID 1 come up, charged to the container's own quota; `announce` is called when it is ready."""
        around = self._around
        self._engine.starting.discard(self.name)
        self._up_since_s = around.now - self._attach_s
        life = SimulatedContainer(around, self.spec, around.memory_limit(self._memory_bytes_limit), self._died)
        if not life.alive:
            self._stillborn()
            return
        self._life = life
        if self.spec.health is not None:
            self._watch = HealthWatch(around, life, self.spec.health, self._up_since_s)

        def ready() -> None:
            self._ready = True
            life.sample_each(around.sample_interval_s)
            announce()

        life.boot(ready)

    def _stillborn(self) -> None:
        if self._starting is not None:
            self._end_start("its memory limit is below what its first process needs")
            self._leave()
        else:
            self._died("oom", SIGKILL_EXIT)

    def _died(self, cause: Cause, exit_code: int) -> None:
        """Follow an end of PID 1 that the container did not survive: the policy says whether another life comes."""
        self._bury()
        if self._engine.lost:
            return
        now = self._around.now
        self._around.tell(Died(self.name, cause, exit_code, now, now), self._around.profile.stop_s_mean)
        was_started = self._starting is None
        self._end_start("it died before its supervisor answered")
        if self._endings:
            self._remove(exit_code)
            return
        back_off_s = self._restarts.after_end(exit_code, now - self._up_since_s) if was_started else None
        if back_off_s is None:
            self._leave()
        else:
            self._exit_code = exit_code
            self._later(back_off_s, self._start_anew)

    def _bury(self) -> None:
        """Forget a life whose processes are gone."""
        if self._watch is not None:
            self._watch.end()
        self._remove_cgroup()
        self._life, self._watch, self._ready = None, None, False

    # The next life.

    def _start_anew(self) -> None:
        self._engine.starting.add(self.name)
        self._later(0, self._restart)

    def _restart(self) -> None:
        start_s = self._around.profile.start_anew_s(len(self._engine.starting))
        self._let_start(start_s * self._spread_ratio(self._restarts.count), self._restarted)

    def _restarted(self, _start_s: float) -> None:
        happened_s = self._around.now

        def announce() -> None:
            now = self._around.now
            notice = Restarted(self.name, self._restarts.count, happened_s, now, now)
            self._around.tell(notice, self._around.profile.notice_s_mean)

        self._later(self._attach_s, lambda: self._boot(announce))

    # The verbs that end it or change it.

    def stop(self, answer: simpy.Event) -> None:
        """SIGTERM, SIGKILL after the grace; a container that waits for its restart is just removed."""
        if self._endings or (self._life is None and self._starting is not None):
            answer.succeed(Refused(self.name, NOT_UP))
            return
        self._endings.append(answer)
        if self._life is None:
            self._remove(self._exit_code)
            return
        # The engine takes whole seconds.
        self._later(math.ceil(self.spec.stop_grace_s), lambda: self._stopped(SIGKILL_EXIT))
        self._life.terminate(lambda: self._stopped(0))

    def _stopped(self, exit_code: int) -> None:
        if self._life is not None:
            self._life.end()
            self._bury()
            self._end_start("it was stopped before its supervisor answered")
            self._remove(exit_code)

    def kill(self, answer: simpy.Event) -> None:
        """SIGKILL to PID 1; where a stop is under way, that is answered too."""
        assert self._life is not None
        self._endings.append(answer)
        self._life.die("killed", SIGKILL_EXIT)

    def limit(self, cpus_limit: float | None, memory_bytes_limit: int | None) -> Limited | Refused:
        """Change limits, for this life and the next; cgroup v1 refuses a memory limit below what nothing frees."""
        assert self._life is not None
        around = self._around
        if memory_bytes_limit is not None and around.profile.cgroup_version == 1:
            wanted = around.memory_limit(memory_bytes_limit)
            if wanted is not None and self._life.memory.kept_bytes > wanted:
                return Refused(self.name, "memory.limit_in_bytes: device or resource busy")
        if cpus_limit is not None:
            self._cpus_limit = cpus_limit
            around.cpu.set_limits(self.name, around.cpu_limits(self.spec, cpus_limit))
        if memory_bytes_limit is not None:
            self._memory_bytes_limit = memory_bytes_limit
            self._life.set_memory_limit(around.memory_limit(memory_bytes_limit))
        return Limited(self.name)

    def _remove(self, exit_code: int) -> None:
        """Let the engine remove what is left; the name is taken until it has answered."""
        self._removing = True
        self._drop_plans()

        def removed() -> None:
            self._answer_endings(Stopped(self.name, exit_code))
            self._leave()

        self._later(self._around.profile.stop_s_mean, removed)

    def _answer_endings(self, outcome: Stopped | Refused) -> None:
        answers, self._endings = self._endings, []
        for answer in answers:
            answer.succeed(outcome)

    def _leave(self) -> None:
        self._drop_plans()
        self._engine.forget(self)

    # The engine's own end.

    def lose_engine(self, blow: Blow) -> None:
        """Be left by the engine: what was asked of it is refused, and only a crash leaves the processes alone."""
        self._drop_plans()
        was_known = self._starting is None and not self._removing
        self._wanted_back = was_known and not self._endings
        if blow == "crash" and was_known:
            self._cut_off()
        elif self._life is not None:
            self._life.end()
            self._bury()
        self._end_start(ENGINE_LOST)
        self._answer_endings(Refused(self.name, ENGINE_LOST))
        if was_known:
            now = self._around.now
            notice = Died(self.name, "engine_lost", _UNKNOWN_EXIT, now, now)
            self._around.tell(notice, self._around.profile.notice_s_mean)
        else:
            self._leave()

    def _cut_off(self) -> None:
        if self._watch is not None:
            self._watch.end()
        if self._life is not None:
            self._life.cut_off()

    def find_engine(self, blow: Blow) -> None:
        """Be found by the engine when it is back: what still runs is ended, and the policy says what follows."""
        if self._life is not None:
            self._life.end()
            self._bury()
        wait_s = self._restarts.after_loss(blow) if self._wanted_back else None
        if wait_s is None:
            self._leave()
        else:
            self._later(wait_s, self._start_anew)

    # Time.

    def _later(self, delay_s: float, act: Callable[[], object]) -> None:
        """Call `act` after a delay, unless the plan is dropped meanwhile."""
        plan = self._plan
        self._around.after(delay_s, lambda: act() if plan == self._plan else None)

    def _drop_plans(self) -> None:
        self._plan += 1
        self._engine.starting.discard(self.name)
        if self._life is None:
            self._remove_cgroup()
