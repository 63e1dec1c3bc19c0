"""Agents: the processes that ask for tokens, calls and work, the same code in both worlds.

A step is due when its think time after the one before is over. Where it needs a shared decision (tokens from a bucket,
a provider with limits) the agent asks here, in the driver; everything between two such decisions is one program
that the container runs on its own. A loop that needs none is sent as long programs of many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios import story as told
from sim.machine import (
    Compute,
    Erase,
    Finished,
    Hold,
    Lost,
    Machine,
    Program,
    Read,
    Refused,
    Release,
    Sample,
    Sleep,
    Step,
    Work,
    Write,
)
from sim.policies.provider import Caller, LlmProvider
from sim.randomness import LawStream

if TYPE_CHECKING:
    import simpy

    from scenarios.story import AgentGroup, Story
    from sim.policies.rate_limit import Limiter
    from sim.presence import Presence
    from sim.record import Recorder

# A program's length: long enough that handing it over costs nothing, short enough for one line of the wire protocol.
# Counted in stages, so that a step of many stages does not make the line longer.
WORKS_PER_PROGRAM_MAX = 4000
# An agent whose step failed waits at least this long, or a story without think time would stand still in time.
FAILURE_PAUSE_S_MIN = 0.001
# An agent that was refused by a container that answers waits at least this long: what it lacks does not come at once.
REFUSED_PAUSE_S_MIN = 1.0
# An agent whose container is gone and that hears nothing of it asks after so long: a notice can be lost.
ASK_AGAIN_S = 5.0

Draw = Callable[[int], Work]


@dataclass(slots=True)
class Shared:
    """What all agents of a run share: limits and providers by name, which containers are up, when the story ends."""

    limiters: dict[str, Limiter]
    providers: dict[str, LlmProvider]
    presence: Presence
    until_s: float


@dataclass(frozen=True, slots=True)
class _Taking:
    """Tokens to take before the step may go on."""

    limiter: Limiter
    tokens: LawStream


@dataclass(frozen=True, slots=True)
class _Calling:
    """A provider to call."""

    caller: Caller


class Agent:
    """One agent of a group: think, then the stages of one step, until the story ends."""

    def __init__(  # One composition site calls it.
        self, env: simpy.Environment, story: Story, group: AgentGroup, number: int, machine: Machine, shared: Shared
    ) -> None:
        """Be number `number` (from 0) of `group`; nothing happens before `live`."""
        self.name = f"{group.name}/{number}"
        self.up = shared.presence[group.container].up
        self._gave_up = False
        # Whether its last program was refused by a container that is there all the same.
        self._turned_away = False
        self._env = env
        self._group = group
        self._machine = machine
        self._shared = shared
        self._seed = story.seed
        self._think = LawStream(group.think_s, story.seed, self.name, "think")
        specs = {provider.name: provider for provider in story.providers}
        self._stages = [self._prepare(position, stage, specs) for position, stage in enumerate(group.stages)]
        for limiter in shared.limiters.values():
            limiter.admit(self.name)

    def live(self, recorder: Recorder) -> Generator[simpy.Event, Any, None]:
        """Run steps until the story ends or the agent gives up; while its container is gone, wait for it."""
        index = 0
        free_s = self._env.now
        while max(free_s, self._env.now) < self._shared.until_s and not self._gave_up:
            if not self.up:
                yield from self._wait_for_container()
                free_s = max(free_s, self._env.now)
            elif self._autonomous:
                index, free_s = yield from self._run_many(index, free_s, recorder)
            else:
                index, free_s = yield from self._run_one(index, free_s, recorder)

    @property
    def container(self) -> str:
        """The container it lives in."""
        return self._group.container

    # Preparing.

    @property
    def _autonomous(self) -> bool:
        return all(callable(stage) for stage in self._stages)

    def _prepare(self, position: int, stage: told.Stage, specs: dict[str, told.Provider]) -> Draw | _Taking | _Calling:
        """Turn a stage of the story into its draws for this agent."""

        def law(of: told.Law, what: str) -> LawStream:
            return LawStream(of, self._seed, self.name, f"{position}/{what}")

        if isinstance(stage, told.Take):
            return _Taking(self._shared.limiters[stage.rate_limit], law(stage.tokens, "tokens"))
        if isinstance(stage, told.Call):
            laws = (law(stage.input_tokens, "input"), law(stage.output_tokens, "output"))
            provider = self._shared.providers[stage.provider]
            return _Calling(Caller(provider, specs[stage.provider], laws, self._seed, f"{self.name}/{position}"))
        return self._local(stage, law)

    def _local(
        self,
        stage: told.Compute | told.Hold | told.Leak | told.Release | told.Sleep | told.Write | told.Read | told.Erase,
        law: Callable[[told.Law, str], LawStream],
    ) -> Draw:
        """Turn a stage that the container runs on its own into the work of a step."""
        if isinstance(stage, told.Compute):
            cpu, threads = law(stage.cpu_s, "cpu"), stage.threads
            return lambda index: Compute(cpu.value(index), threads)
        if isinstance(stage, told.Sleep):
            duration = law(stage.duration_s, "sleep")
            return lambda index: Sleep(duration.value(index))
        if isinstance(stage, told.Write):
            written = law(stage.size_bytes, "disk")
            return lambda index: Write(int(written.value(index)))
        if isinstance(stage, told.Read):
            wanted = law(stage.size_bytes, "disk")
            return lambda index: Read(int(wanted.value(index)))
        if isinstance(stage, told.Release | told.Erase):
            work = Release() if isinstance(stage, told.Release) else Erase()
            return lambda _index: work
        size, leak = law(stage.memory_bytes, "memory"), isinstance(stage, told.Leak)
        return lambda index: Hold(int(size.value(index)), leak)

    # Running.

    def _wait_for_container(self) -> Generator[simpy.Event, Any, None]:
        """Wait until the container is up again; where nobody says so for a while, ask it."""
        presence, name = self._shared.presence, self._group.container
        ask_again = self._env.timeout(min(ASK_AGAIN_S, max(0.0, self._shared.until_s - self._env.now)))
        while not presence[name].up and not ask_again.processed:
            yield self._env.any_of([presence.changed(name), ask_again])
        if not presence[name].up and self._env.now < self._shared.until_s:
            # A question that costs neither tokens nor work; one that is not answered is asked again.
            answer = self._machine.sample(name)
            yield self._env.any_of([answer, self._env.timeout(ASK_AGAIN_S)])
            if answer.processed and isinstance(answer.value, Sample):
                presence.came_up(name, answer.value.at_s)
        self.up = presence[name].up

    def _run_many(
        self, first: int, free_s: float, recorder: Recorder
    ) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Run one long program; the next index and the time the agent is free are returned."""
        if free_s > self._env.now:
            # A process that is there before its time would take memory, and could be killed for it, without any pause.
            yield self._env.timeout(free_s - self._env.now)
        steps: list[Step] = []
        left_s = self._shared.until_s - free_s
        steps_count_max = max(1, WORKS_PER_PROGRAM_MAX // max(1, len(self._stages)))
        while left_s > 0 and len(steps) < steps_count_max:
            index = first + len(steps)
            step = self._step(index, None, [draw(index) for draw in self._stages if callable(draw)])
            left_s -= step.think_s + _shortest_s(step)
            steps.append(step)
        first_due_s = free_s + steps[0].think_s
        steps[0] = Step(first, first_due_s, 0.0, steps[0].work)
        outcome = yield self._submit(steps)
        if isinstance(outcome, Finished) and outcome.steps_count < len(steps):
            return first + outcome.steps_count, self._shared.until_s
        return (yield from self._after(outcome, first, first + len(steps), recorder))

    def _run_one(self, index: int, free_s: float, recorder: Recorder) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Run one step with its shared decisions."""
        due_s = free_s + self._think.value(index)
        if due_s >= self._shared.until_s:
            return index, due_s
        if due_s > self._env.now:
            yield self._env.timeout(due_s - self._env.now)
        if not self._shared.presence[self._group.container].up:
            # It went while the agent thought: nothing is taken and nobody called from a container that is gone.
            self.up = False
            return index, due_s
        work: list[Work] = []
        begun = False
        for stage in self._stages:
            if callable(stage):
                work.append(stage(index))
                continue
            if work and self._may_wait(stage):
                part = Step(index, self._env.now, 0.0, tuple(work), last=False)
                outcome = yield self._submit([part])
                if not isinstance(outcome, Finished):
                    return (yield from self._after(outcome, index, index + 1, recorder, begun=begun))
                work, begun = [], True
            if isinstance(stage, _Taking):
                yield stage.limiter.take(self.name, stage.tokens.value(index))
            elif not (yield from self._call(stage.caller, index, recorder)):
                recorder.event(self._env.now, "step_failed", self._group.container, self.name, "provider refused")
                return (yield from self._give_up(index, recorder))
            else:
                work.append(Sleep(stage.caller.latency_s(index)))
        outcome = yield self._submit([self._step(index, self._env.now, work)])
        return (yield from self._after(outcome, index, index + 1, recorder, begun=begun))

    def _give_up(self, index: int, recorder: Recorder) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Leave a failed step: give back what it held, and pause as after a kill, so that failing takes time."""
        free_s = self._env.now + max(self._group.restart_delay_s, FAILURE_PAUSE_S_MIN)
        if any(isinstance(stage, told.Hold) for stage in self._group.stages):
            outcome = yield self._submit([Step(index, self._env.now, 0.0, (Release(),), last=False)])
            if not isinstance(outcome, Finished):
                return (yield from self._after(outcome, index + 1, index + 1, recorder))
        yield self._env.timeout(max(0.0, free_s - self._env.now))
        return index + 1, free_s

    def _call(self, caller: Caller, index: int, recorder: Recorder) -> Generator[simpy.Event, Any, bool]:
        """Ask a provider until it lets the call pass; False when the agent gives up."""
        refusals_count = 0
        while not caller.ask(index):
            refusals_count += 1
            recorder.event(self._env.now, "provider_429", self._group.container, self.name, caller.provider.name)
            wait_s = caller.back_off_s(index, refusals_count)
            if wait_s is None:
                return False
            yield self._env.timeout(wait_s)
        return True

    def _step(self, index: int, due_s: float | None, work: list[Work]) -> Step:
        think_s = self._think.value(index) if due_s is None else 0.0
        return Step(index, due_s, think_s, (*work, Release()) if _holds(self._group) else tuple(work))

    def _submit(self, steps: list[Step]) -> simpy.Event:
        program = Program(self.name, tuple(steps), self._shared.until_s, self._group.process)
        return self._machine.submit(self._group.container, program)

    def _after(
        self, outcome: object, first: int, following: int, recorder: Recorder, *, begun: bool = False
    ) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Decide what follows a program: go on, start anew after a kill, wait for the container, or give up.

        `first` is the step that a refused program would have begun with, `following` the one after a finished program.
        Where an earlier part of `first` was done, which `begun` says, a refusal loses that step.
        """
        if isinstance(outcome, Refused):
            free_s = yield from self._refused(outcome.reason, recorder, begun=begun)
            return (first + 1 if begun else first), free_s
        self._turned_away = False
        if isinstance(outcome, Finished):
            return following, outcome.finish_s
        assert isinstance(outcome, Lost)
        recorder.event(outcome.happened_s, "lost", self.container, self.name, outcome.cause)
        if outcome.cause == "container":
            self._shared.presence.went(self.container, outcome.happened_s)
            self.up = False
        elif self._group.on_kill == "stop":
            self.up, self._gave_up = False, True
        return outcome.step_index + 1, max(self._env.now, outcome.happened_s + self._group.restart_delay_s)

    def _refused(self, reason: str, recorder: Recorder, *, begun: bool) -> Generator[simpy.Event, Any, float]:
        """Tell a container that is gone from one that only took no program; when the agent is free is returned.

        The first refusal of a row is written down, but none by a container whose end is known; a loss always is.
        """
        presence, refused_s = self._shared.presence, self._env.now
        answers = yield from self._answers()
        if begun:
            recorder.event(refused_s, "lost", self.container, self.name, "refused" if answers else "container")
        elif presence[self.container].up and not self._turned_away:
            recorder.event(refused_s, "refused", self.container, self.name, reason)
        self.up = self._turned_away = answers
        delay_s = self._group.restart_delay_s
        if answers:
            return self._env.now + max(delay_s, REFUSED_PAUSE_S_MIN)
        presence.missed(self.container)
        return refused_s + delay_s if begun else refused_s

    def _answers(self) -> Generator[simpy.Event, Any, bool]:
        """Ask a container that is not known to be gone; one of whose return is heard meanwhile is there, too."""
        state = self._shared.presence[self.container]
        if not state.up:
            return False
        known_s = state.known_s
        answer = self._machine.sample(self.container)
        yield self._env.any_of([answer, self._env.timeout(ASK_AGAIN_S)])
        is_refused = answer.processed and isinstance(answer.value, Refused)
        return self._shared.presence[self.container].up and (state.known_s > known_s or not is_refused)

    @staticmethod
    def _may_wait(stage: _Taking | _Calling) -> bool:
        return isinstance(stage, _Taking) or stage.caller.provider.limited


def _holds(group: AgentGroup) -> bool:
    """Whether a step holds memory that must be given back at its end."""
    released = bool(group.stages) and isinstance(group.stages[-1], told.Release)
    return not released and any(isinstance(stage, told.Hold) for stage in group.stages)


def _shortest_s(step: Step) -> float:
    """The least time a step can take: its sleeping, and its CPU time on as many cores as it has threads."""
    total_s = 0.0
    for work in step.work:
        if isinstance(work, Sleep):
            total_s += work.duration_s
        elif isinstance(work, Compute):
            total_s += work.cpu_s / work.threads
    return total_s
