"""One container of a live run: what it was asked, what is still open, and what its death will settle.

All of it belongs to the loop's thread, but for the handshake, which a call's thread takes part in.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from live import messages
from live.handshake import Greeting
from live.oom_signs import DeathSigns
from sim.machine import Lost, Refused

if TYPE_CHECKING:
    import simpy

    from live.attachment import Attachment
    from live.engine_events import EngineEvent
    from scenarios.story import Container
    from sim.machine import Finished, Program, Sample

    Message = dict[str, Any]

GREETING_WORDS = frozenset({"ready", "clock"})


@dataclass(slots=True)
class OpenProgram:
    """A program under way; `next_index` is the first step not yet reported as done.

    `parts` are the indexes of steps that this program only does a part of.
    """

    done: simpy.Event
    agent: str
    next_index: int
    parts: frozenset[int]


class LiveContainer:
    """A container from the moment its start is asked for until it is buried."""

    def __init__(self, spec: Container, number: int) -> None:
        """Begin as one that is starting; `number` counts the starts of this run.

        `create_s` will be how long the engine took to create it, `started_s` when its start had returned.
        """
        self.spec = spec
        self.number = number
        self.state: Literal["starting", "up", "gone"] = "starting"
        self.container_id = ""
        self.create_s = 0.0
        self.started_s = 0.0
        self.attachment: Attachment | None = None
        self.greeting = Greeting()
        self.stop_asked = False
        self.kill_asked = False
        self.oom_events_count = 0
        self.agents_oom_killed_count = 0
        self.death: EngineEvent | None = None
        self.ended = threading.Event()
        self.endings: list[simpy.Event] = []
        self._numbers = itertools.count(1)
        self._programs: dict[int, OpenProgram] = {}
        self._samples: dict[int, simpy.Event] = {}

    @property
    def name(self) -> str:
        """Its name in the story."""
        return self.spec.name

    @property
    def is_dying(self) -> bool:
        """Whether its end is known or on its way."""
        return self.state != "up" or self.death is not None

    # What is asked of it.

    def ask_sample(self, done: simpy.Event) -> None:
        """Have its counters read; `done` gets the sample."""
        number = next(self._numbers)
        self._samples[number] = done
        if not self._send(messages.sample(number)):
            del self._samples[number]
            done.succeed(Refused(self.name, "does not read what it is sent"))

    def ask_program(self, program: Program, done: simpy.Event) -> None:
        """Have a program run; `done` gets how it ended."""
        number = next(self._numbers)
        first = program.steps[0].index if program.steps else 0
        parts = frozenset(step.index for step in program.steps if not step.last)
        self._programs[number] = OpenProgram(done, program.agent, first, parts)
        if not self._send(messages.submit(number, program)):
            del self._programs[number]
            done.succeed(Refused(self.name, "does not read what it is sent"))

    def ask_stop(self) -> None:
        """Have its supervisor end itself and its agents."""
        self.stop_asked = True
        self._send(messages.STOP)

    # What it answers.

    def program_ended(self, number: int, outcome: Finished | Lost | Refused) -> None:
        """Settle a program."""
        program = self._programs.pop(number, None)
        if program is not None:
            program.done.succeed(outcome)

    def sampled(self, number: int | None, sample: Sample) -> None:
        """Settle a question for counters; samples of its own accord answer none."""
        done = self._samples.pop(number, None) if number is not None else None
        if done is not None:
            done.succeed(sample)

    def step_done(self, agent: str, index: int) -> bool:
        """Note how far an agent's program got; whether that ends the step, which may have parts to come."""
        last = True
        for program in self._programs.values():
            if program.agent == agent:
                program.next_index = max(program.next_index, index + 1)
                last = last and index not in program.parts
        return last

    # How it ends.

    def hear_end(self) -> None:
        """Its output has ended, so nothing it said is still on its way; called in the reading thread."""
        self.greeting.end()
        self.ended.set()

    def signs(self, exit_code: int, *, engine_flag: bool) -> DeathSigns:
        """What is known about its death."""
        return DeathSigns(
            exit_code=exit_code,
            engine_flag=engine_flag,
            oom_events_count=self.oom_events_count,
            agents_oom_killed_count=self.agents_oom_killed_count,
            kill_asked=self.kill_asked,
        )

    def settle_all(self, happened_s: float, why: str) -> None:
        """Settle whatever is still open: the container is gone."""
        self.state = "gone"
        for program in self._programs.values():
            program.done.succeed(Lost(program.agent, program.next_index, "container", happened_s))
        for done in self._samples.values():
            done.succeed(Refused(self.name, why))
        self._programs.clear()
        self._samples.clear()

    def end_with(self, outcome: object) -> None:
        """Settle every stop and kill that waited for the end."""
        for done in self.endings:
            done.succeed(outcome)
        self.endings.clear()

    def _send(self, message: Message) -> bool:
        return self.attachment is not None and self.attachment.send(message)
