"""The first words with a supervisor: wait until it answers, compare clocks, begin.

The clocks are compared by several questions, of which the quickest answered says most:
the offset is wrong by half its round trip at the worst. An offset within a round trip is taken as none,
because on one machine the driver and the container read the same monotonic clock.
"""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from live import messages

if TYPE_CHECKING:
    from live.attachment import Attachment

    Message = dict[str, Any]

# How long a supervisor may take to answer: an interpreter's start under a hundredth of a core takes about 20 s.
READY_S_MAX = 60.0

ANSWER_S_MAX = 30.0
CLOCK_QUESTIONS_COUNT = 6
# The number of the question that only finds out whether anybody answers.
FIRST_QUESTION = CLOCK_QUESTIONS_COUNT


@dataclass(frozen=True, slots=True)
class Greeted:
    """The supervisor answered: when it was ready on this process's clock, and how far its clock is ahead."""

    ready_monotonic_s: float
    ahead_s: float


@dataclass(frozen=True, slots=True)
class Silent:
    """The supervisor did not answer; `reason` says what came instead."""

    reason: str


class Greeting:
    """Where the reading thread leaves a supervisor's first words for the thread that waits for them."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._heard: queue.SimpleQueue[tuple[float, Message | None]] = queue.SimpleQueue()

    def hear(self, message: Message) -> None:
        """Leave a message, stamped now."""
        self._heard.put((time.monotonic(), message))

    def end(self) -> None:
        """Say that no more will come."""
        self._heard.put((time.monotonic(), None))

    def exchange(
        self, attachment: Attachment, *, ready_s_max: float = READY_S_MAX, may_have_missed: bool = False
    ) -> Greeted | Silent:
        """Wait for the supervisor and compare clocks; blocks, so call it in a thread of its own.

        Where its ready line may have been missed, because it ran before it was listened to, it is asked at once, and
        whichever word comes first says when it was ready.
        """
        if may_have_missed:
            attachment.send(messages.clock(FIRST_QUESTION))
        try:
            ready_s, ready = self._heard.get(timeout=ready_s_max)
        except queue.Empty:
            return Silent(f"its worker was not ready within {ready_s_max:.0f} s")
        if ready is None:
            return Silent(f"its worker ended before it was ready: {attachment.stderr_tail or 'no word on stderr'}")
        try:
            answers = [self._ask(attachment, number) for number in range(CLOCK_QUESTIONS_COUNT)]
        except queue.Empty:
            return Silent(f"its worker was ready and then did not answer within {ANSWER_S_MAX:.0f} s")
        except EOFError:
            return Silent("its worker ended while it was greeted")
        round_trip_s, ahead_s = min(answers)
        return Greeted(ready_s, ahead_s if abs(ahead_s) > round_trip_s else 0.0)

    def _ask(self, attachment: Attachment, number: int) -> tuple[float, float]:
        asked_s = time.monotonic()
        attachment.send(messages.clock(number))
        while True:
            answered_s, answer = self._heard.get(timeout=ANSWER_S_MAX)
            if answer is None:
                raise EOFError
            # A ready line, or the answer to what was asked to find out whether it is ready, may still come in between.
            if answer.get("id") == number:
                return answered_s - asked_s, float(answer["mono"]) - (asked_s + answered_s) / 2
