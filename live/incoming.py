"""What comes in from other threads, handed to the loop: the workers' words and the engine's events."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from live import messages
from live.errors import RunEnded
from live.line import Line
from sim.machine import ProcessKilled, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from live.container_register import ContainerRegister
    from live.engine_events import EngineEvent
    from live.fates import Fates
    from live.live_container import LiveContainer
    from live.real_time import LiveEnvironment
    from sim.machine import Observer
    from sim.notices import Notices

    Message = dict[str, Any]


class Incoming:
    """Takes in what is said, and sees to it that whoever waits for it or ought to know of it hears it.

    Fulfils `live.engine_events.EventListener`.
    """

    def __init__(
        self, env: LiveEnvironment, register: ContainerRegister, fates: Fates, notices: Notices, observer: Observer
    ) -> None:
        """Have heard nothing."""
        self._env = env
        self._register = register
        self._fates = fates
        self._notices = notices
        self._observer = observer
        self._words: dict[str, Callable[[LiveContainer, Message], object]] = {
            "sample": self._sample,
            "steps": self._steps,
            "finished": lambda sender, said: sender.program_ended(said["id"], messages.finished_from(said)),
            "lost": lambda sender, said: sender.program_ended(said["id"], messages.lost_from(said)),
            "killed": self._process_killed,
            "full": self._disk_full,
            "struck": lambda sender, said: sender.struck(said),
            "error": self._error,
        }

    def new_line(self, container: LiveContainer) -> Line:
        """A line for a new life of a container."""
        line = Line(
            lambda line, message: self._post(lambda: self._heard(container, line, message)),
            lambda line: self._post(lambda: self._fates.fell_silent(container, line)),
        )
        self._register.lines.add(line)
        return line

    # The engine's events come in a thread that ends by itself when the run has ended.

    def event(self, event: EngineEvent) -> None:
        """Hand an event over."""
        self._env.post(lambda: self._fates.event(event))

    def engine_lost(self) -> None:
        """Hand over that the engine is lost."""
        self._env.post(self._fates.engine_lost)

    def engine_back(self) -> None:
        """Hand over that it is back."""
        self._env.post(self._fates.engine_back)

    # The workers' words.

    def _post(self, act: Callable[[], object]) -> None:
        # What a container says after the run is of no interest.
        with contextlib.suppress(RunEnded):
            self._env.post(act)

    def _heard(self, sender: LiveContainer, line: Line, message: Message) -> None:
        if line is not sender.line:
            # The life that said it is over, and what it had to say was waited for.
            return
        hear = self._words.get(message["is"])
        if hear is not None:
            hear(sender, message)

    def _sample(self, sender: LiveContainer, message: Message) -> None:
        sample = messages.sample_from(sender.name, message)
        sender.sampled(message["id"], sample)
        if message["id"] is None:
            self._observer.sample(sample)

    def _steps(self, sender: LiveContainer, message: Message) -> None:
        for done in messages.steps_from(sender.name, message, sender.step_done):
            self._observer.step(done)

    def _disk_full(self, sender: LiveContainer, message: Message) -> None:
        self._notices.put(messages.disk_full_from(sender.name, message, self._env.now))

    def _error(self, sender: LiveContainer, message: Message) -> None:
        if "id" in message:
            sender.program_ended(message["id"], Refused(sender.name, message["text"]))

    def _process_killed(self, sender: LiveContainer, message: Message) -> None:
        if message["cause"] == "oom":
            sender.agents_oom_killed_count += 1
        self._notices.put(ProcessKilled(sender.name, message["agent"], message["cause"], message["at"], self._env.now))
