"""Faults on purpose: each is dealt through the port at its time, by the same code and the same draws in both worlds.

What follows from a blow is physics; what was dealt, and what the machine refused, is written down here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.story import (
    ChangeLimits,
    CrashContainer,
    FillDisk,
    HangContainer,
    KillAgent,
    KillContainer,
    LeakMemory,
    RudeNotices,
    StrikeHost,
)
from sim.machine import Hold, Program, Refused, Sleep, Step, Write
from sim.randomness import LawStream, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import simpy

    from scenarios.story import AgentGroup, Fault, Story
    from sim.machine import Machine, Work
    from sim.record import Recorder

# A leak comes in so many pieces, so that a limit is met about where it lies.
LEAK_PIECES_COUNT = 20
# Repeats of one fault: more is a slip, and no loop here may be without end.
REPEATS_COUNT_MAX = 10_000
# A program that could not begin is refused at once; one that is not refused by then was dealt, however long it runs.
REFUSAL_S_MAX = 1.0
# Names of a story's own agents begin otherwise.
NOBODY = "!"
# Later than any run ends.
FAR_S = 1e9


class FaultCourse:
    """All faults of a story, on their way to the machine."""

    def __init__(self, env: simpy.Environment, story: Story, machine: Machine, recorder: Recorder) -> None:
        """Have dealt none yet."""
        self._env = env
        self._story = story
        self._machine = machine
        self._recorder = recorder

    def begin(self, begin_s: float, until_s: Callable[[], float]) -> None:
        """Let every fault take its course in the window from `begin_s` on; when it ends may yet come forward."""
        for number, fault in enumerate(self._story.faults):
            if not isinstance(fault, RudeNotices):
                self._env.process(self._run(number, fault, begin_s, until_s))

    def _run(
        self, number: int, fault: Fault, begin_s: float, until_s: Callable[[], float]
    ) -> Generator[simpy.Event, Any, None]:
        assert not isinstance(fault, RudeNotices)
        who = f"fault/{number}"
        at_s = begin_s + LawStream(fault.when.first_s, self._story.seed, who, "first").value(0)
        every = None if fault.when.every_s is None else LawStream(fault.when.every_s, self._story.seed, who, "every")
        for repeat in range(REPEATS_COUNT_MAX):
            if at_s >= until_s():
                return
            yield self._env.timeout(max(0.0, at_s - self._env.now))
            if self._env.now >= until_s():
                return
            self._env.process(self._deal(number, repeat, fault))
            if every is None:
                return
            at_s += every.value(repeat)

    def _deal(self, number: int, repeat: int, fault: Fault) -> Generator[simpy.Event, Any, None]:
        dealt_s = self._env.now
        answer = self._blow(number, repeat, fault)
        if isinstance(fault, LeakMemory | FillDisk):
            yield self._env.any_of([answer, self._env.timeout(REFUSAL_S_MAX)])
        else:
            yield answer
        outcome = answer.value if answer.processed else None
        what, detail = "limited" if isinstance(fault, ChangeLimits) else "fault", _words(fault)
        if isinstance(outcome, Refused):
            what, detail = "fault_refused", f"{detail}: {outcome.reason}"
        self._recorder.event(dealt_s, what, _container_of(fault, self._story), None, detail)

    def _blow(self, number: int, repeat: int, fault: Fault) -> simpy.Event:
        machine = self._machine
        match fault:
            case KillContainer():
                struck = machine.kill(fault.container)
            case CrashContainer():
                struck = machine.crash(fault.container, fault.exit_code)
            case HangContainer():
                struck = machine.hang(fault.container, fault.duration_s)
            case KillAgent():
                container = _group(self._story, fault).container
                struck = machine.kill_agent(container, self._victim(number, repeat, fault))
            case ChangeLimits():
                cpus, memory = fault.cpus_limit, fault.memory_bytes_limit
                struck = machine.limit(fault.container, cpus_limit=cpus, memory_bytes_limit=memory)
            case StrikeHost():
                struck = machine.strike_host(fault.host, fault.blow, fault.down_s)
            case LeakMemory():
                struck = machine.submit(fault.container, self._leak(f"{NOBODY}leak-{number}/{repeat}", fault))
            case FillDisk():
                struck = machine.submit(fault.container, self._filling(f"{NOBODY}fill-{number}/{repeat}", fault))
            case _:
                raise AssertionError(fault)
        return struck

    def _victim(self, number: int, repeat: int, fault: KillAgent) -> str:
        draw = Stream(self._story.seed, f"fault/{number}", "victim").uniform(repeat)
        return f"{fault.group}/{int(draw * _group(self._story, fault).count)}"

    def _leak(self, agent: str, fault: LeakMemory) -> Program:
        piece = Hold(fault.memory_bytes // LEAK_PIECES_COUNT, leak=True)
        return self._program(agent, (piece, Sleep(fault.duration_s / LEAK_PIECES_COUNT)) * LEAK_PIECES_COUNT)

    def _filling(self, agent: str, fault: FillDisk) -> Program:
        """Write as much as the whole disk holds, however much lies on it: the last of it is refused."""
        container = self._story.container(fault.container)
        host = next(host for host in self._story.hosts if host.name == container.host)
        room = container.tmpfs[0].bytes_limit or host.memory_bytes
        return self._program(agent, (Write(room + 1),))

    def _program(self, agent: str, work: tuple[Work, ...]) -> Program:
        # Not the last part of its step, so that it counts as nobody's work done.
        return Program(agent, (Step(0, self._env.now, 0.0, work, last=False),), FAR_S)


def _words(fault: Fault) -> str:
    return f"{fault.blow} of {fault.host}" if isinstance(fault, StrikeHost) else type(fault).__name__


def _container_of(fault: Fault, story: Story) -> str | None:
    return _group(story, fault).container if isinstance(fault, KillAgent) else getattr(fault, "container", None)


def _group(story: Story, fault: KillAgent) -> AgentGroup:
    return next(group for group in story.agents if group.name == fault.group)
