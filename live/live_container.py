"""One container of a live run: what it was asked, what is still open, and what its death will settle.

All of it belongs to the loop's thread, but for its line, which a call's thread takes part in.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from live import messages
from live.oom_signs import DeathSigns
from sim.machine import Lost, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy

    from live.container_life import Standing
    from live.engine_events import EngineEvent
    from live.line import Line
    from live.streamed_stats import StatsStream
    from scenarios.story import Container
    from sim.machine import Finished, Program, Sample

    Message = dict[str, Any]

# Events that wait until a start or a look at a death is over: more is an engine gone wild, and the oldest are dropped.
EVENTS_WAITING_MAX = 64

# The engine waits this long before it starts a container anew, so lives that begin closer together are one life.
LIVES_APART_S_MIN = 0.1


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
    """A container from the moment its start is asked for until it is buried.

    It is "starting", then "up"; "restarting" from an end that the engine will follow up with a new start until that
    new life takes programs; at last "gone".
    """

    def __init__(self, spec: Container, number: int, new_line: Callable[[LiveContainer], Line]) -> None:
        """Begin as one that is starting; `number` counts the starts of this run.

        `create_s` will be how long the engine took to create it, `start_asked_s` when it was asked to start it, and
        `started_s` when that had returned.
        """
        self.spec = spec
        self.number = number
        self.state: Literal["starting", "up", "restarting", "gone"] = "starting"
        self.container_id = ""
        self.create_s = 0.0
        self.start_asked_s = 0.0
        self.started_s = 0.0
        # Whether the engine may still have it, although its start was refused.
        self.is_left_behind = False
        self.stop_asked = False
        self.stops: list[simpy.Event] = []
        self.kills: list[simpy.Event] = []
        self.events_waiting: deque[EngineEvent] = deque(maxlen=EVENTS_WAITING_MAX)
        # Whether the engine has told of the first start.
        self.start_heard = False
        self.restarts_count = 0
        # When the engine started the present life anew, before which any death was an old life's, and when that ended.
        self.reborn_s = -math.inf
        self.died_s = -math.inf
        # Whether it was given up with the engine, and may be found running.
        self.was_lost = False
        self._new_line = new_line
        self._numbers = itertools.count(1)
        self._programs: dict[int, OpenProgram] = {}
        self._samples: dict[int, simpy.Event] = {}
        self._strikes: dict[int, tuple[str, simpy.Event]] = {}
        self.begin_life()

    def begin_life(self) -> None:
        """Be as one of which nothing is known: a new line, and no sign of death."""
        self.line = self._new_line(self)
        self.stats: StatsStream | None = None
        # Whether the engine is to send counters of a foreign one, and the last that it sent.
        self.sends_stats = False
        self.latest: Sample | None = None
        self.reported_s = -math.inf
        self.death: EngineEvent | None = None
        self.is_reviving = False
        self.is_mute = False
        self.kill_asked = False
        self.looks_count = 0
        self.oom_events_count = 0
        self.agents_oom_killed_count = 0

    @property
    def name(self) -> str:
        """Its name in the story."""
        return self.spec.name

    @property
    def is_foreign(self) -> bool:
        """Whether it runs a program of the user's own."""
        return self.spec.foreign is not None

    @property
    def is_dying(self) -> bool:
        """Whether its end is known or on its way."""
        return self.state != "up" or self.death is not None

    def is_new_start(self, started_s: float) -> bool:
        """Take note of a start by the engine; whether it is not the one that the present life began with."""
        heard, self.start_heard = self.start_heard, True
        return heard if self.restarts_count == 0 else self._is_later(started_s)

    def is_over(self, found: Standing) -> bool:
        """Whether the present life is over, as the container stands."""
        # The first life is if any is. When it began was asked for by our clock, which the engine's may differ from.
        return not found.runs or (found.ended_before if self.restarts_count == 0 else self._is_later(found.started_s))

    def _is_later(self, started_s: float) -> bool:
        return started_s > self.reborn_s + LIVES_APART_S_MIN / 2

    # What is asked of it.

    def ask_sample(self, done: simpy.Event) -> None:
        """Have its counters read; `done` gets the sample."""
        number = next(self._numbers)
        self._samples[number] = done
        if not self.line.send(messages.sample(number)):
            del self._samples[number]
            done.succeed(self.deaf())

    def await_stats(self, done: simpy.Event) -> None:
        """Answer with what the engine counts next; `done` gets the sample."""
        self._samples[next(self._numbers)] = done

    def ask_program(self, program: Program, done: simpy.Event) -> None:
        """Have a program run; `done` gets how it ended."""
        number = next(self._numbers)
        first = program.steps[0].index if program.steps else 0
        parts = frozenset(step.index for step in program.steps if not step.last)
        self._programs[number] = OpenProgram(done, program.agent, first, parts)
        if not self.line.send(messages.submit(number, program)):
            del self._programs[number]
            done.succeed(self.deaf())

    def ask_strike(self, agent: str, done: simpy.Event) -> None:
        """Have an agent's process killed; `done` gets whether it had one."""
        number = next(self._numbers)
        self._strikes[number] = (agent, done)
        if not self.line.send(messages.kill(number, agent)):
            del self._strikes[number]
            done.succeed(self.deaf())

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

    def stats_came(self, sample: Sample) -> None:
        """Settle every question for counters with what the engine counted."""
        self.latest = sample
        for done in self._samples.values():
            done.succeed(sample)
        self._samples.clear()

    def stats_ended(self, why: str) -> None:
        """Settle every question for counters: the engine sends none for the moment."""
        self.sends_stats = False
        for done in self._samples.values():
            done.succeed(Refused(self.name, why))
        self._samples.clear()

    def struck(self, message: Message) -> None:
        """Settle an order to kill an agent's process."""
        agent, done = self._strikes.pop(message["id"], ("", None))
        if done is not None:
            done.succeed(messages.struck_from(self.name, agent, message))

    def step_done(self, agent: str, index: int) -> bool:
        """Note how far an agent's program got; whether that ends the step, which may have parts to come."""
        last = True
        for program in self._programs.values():
            if program.agent == agent:
                program.next_index = max(program.next_index, index + 1)
                last = last and index not in program.parts
        return last

    # How it ends.

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
        """Settle whatever is still open: this life is over."""
        for program in self._programs.values():
            program.done.succeed(Lost(program.agent, program.next_index, "container", happened_s))
        asked = [*self._samples.values(), *(done for _, done in self._strikes.values())]
        for done in asked:
            done.succeed(Refused(self.name, why))
        self._programs.clear()
        self._samples.clear()
        self._strikes.clear()

    def end_with(self, outcome: object) -> None:
        """Settle every stop and kill that waited for the end."""
        for done in (*self.stops, *self.kills):
            done.succeed(outcome)
        self.stops.clear()
        self.kills.clear()

    def give_up_kills(self, outcome: Refused) -> None:
        """Settle the kills that the container has survived."""
        for done in self.kills:
            done.succeed(outcome)
        self.kills.clear()

    def deaf(self) -> Refused:
        """The answer of one that does not read what it is sent."""
        return Refused(self.name, "does not read what it is sent")
