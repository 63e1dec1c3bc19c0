"""The first words with a supervisor, spoken over a real socket with a supervisor of the test's own."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from live.attachment import Attachment
from live.handshake import CLOCK_QUESTIONS_COUNT, Greeted, Greeting, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT, STDERR = 1, 2

# An answer without delay is a round trip of a fraction of this; the offset is wrong by half a round trip at the worst.
OFFSET_ERROR_S_MAX = 0.02


class Supervisor:
    """The far end of an attachment: answers as told, from a clock of its own."""

    def __init__(self) -> None:
        """Connect; nothing is said before `answer`."""
        ours, self._line = socket.socketpair()
        self.greeting = Greeting()
        self.attachment = Attachment(ours, "test", self.greeting.hear, self.greeting.end)
        self._thread: threading.Thread | None = None

    def say(self, message: dict[str, Any]) -> None:
        """Send a message in a frame."""
        self.write(STDOUT, json.dumps(message).encode() + b"\n")

    def write(self, stream: int, payload: bytes) -> None:
        """Send a frame."""
        self._line.sendall(struct.pack(">BxxxL", stream, len(payload)) + payload)

    def answer(self, ahead_s: float, delays_s: list[float], *, is_ready_line_heard: bool = True) -> None:
        """Be ready, then answer each question after its delay by a clock that is ahead."""

        def serve() -> None:
            # Two questions may come in one piece.
            questions = self._line.makefile("r", encoding="ascii")
            if is_ready_line_heard:
                self.say({"is": "ready", "mono": time.monotonic() + ahead_s, "pid": 1, "cgroup": 2})
            for delay_s in delays_s:
                asked = json.loads(questions.readline())
                time.sleep(delay_s)
                self.say({"is": "clock", "id": asked["id"], "mono": time.monotonic() + ahead_s})
            questions.close()
            self.hang_up()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """End as a container does."""
        self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give both ends back."""
        self.attachment.close()
        if self._thread is not None:
            self._thread.join(5.0)
        self._line.close()


@pytest.fixture(name="supervisor")
def _supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


def test_the_quickest_answer_sets_the_clock(supervisor: Supervisor) -> None:
    """A clock that is 100 s ahead is found to within the quickest round trip, however slow the others were."""
    supervisor.answer(100.0, [0.1, 0.1, 0.0, 0.1, 0.0, 0.1])

    greeted = supervisor.greeting.exchange(supervisor.attachment)

    assert isinstance(greeted, Greeted)
    assert greeted.ahead_s == pytest.approx(100.0, abs=OFFSET_ERROR_S_MAX)


def test_one_clock_is_taken_as_one(supervisor: Supervisor) -> None:
    """On one machine the offset is none, and not the error of measuring it."""
    supervisor.answer(0.0, [0.0] * CLOCK_QUESTIONS_COUNT)

    greeted = supervisor.greeting.exchange(supervisor.attachment)

    assert isinstance(greeted, Greeted)
    assert greeted.ahead_s == 0.0


def test_a_worker_that_ends_first_is_told_with_its_last_words(supervisor: Supervisor) -> None:
    """A start fails with what the worker wrote on stderr."""
    supervisor.write(STDERR, b"python3: can't open file 'worker'\n")
    supervisor.hang_up()

    silent = supervisor.greeting.exchange(supervisor.attachment)

    assert silent == Silent("its worker ended before it was ready: python3: can't open file 'worker'")


def test_a_worker_that_ends_while_it_is_greeted_is_told(supervisor: Supervisor) -> None:
    """An end between two questions does not leave the start waiting."""
    supervisor.answer(0.0, [0.0, 0.0])

    assert supervisor.greeting.exchange(supervisor.attachment) == Silent("its worker ended while it was greeted")


def test_a_worker_whose_ready_line_was_missed_is_asked(supervisor: Supervisor) -> None:
    """One that was ready before anybody listened answers a question, and its clock is compared as ever."""
    supervisor.answer(100.0, [0.0] * (CLOCK_QUESTIONS_COUNT + 1), is_ready_line_heard=False)

    greeted = supervisor.greeting.exchange(supervisor.attachment, may_have_missed=True)

    assert isinstance(greeted, Greeted)
    assert greeted.ahead_s == pytest.approx(100.0, abs=OFFSET_ERROR_S_MAX)


def test_a_ready_line_that_was_not_missed_says_when(supervisor: Supervisor) -> None:
    """The first question is answered late, the ready line came before: that is when the worker was ready."""
    supervisor.answer(100.0, [0.3, *[0.0] * CLOCK_QUESTIONS_COUNT])
    asked_s = time.monotonic()

    greeted = supervisor.greeting.exchange(supervisor.attachment, may_have_missed=True)

    assert isinstance(greeted, Greeted)
    assert greeted.ready_monotonic_s - asked_s < 0.25
    assert greeted.ahead_s == pytest.approx(100.0, abs=OFFSET_ERROR_S_MAX)


def test_a_worker_that_says_nothing_is_given_up(supervisor: Supervisor) -> None:
    """Patience has an end, which the reason names."""
    assert supervisor.greeting.exchange(supervisor.attachment, ready_s_max=0.05) == Silent(
        "its worker was not ready within 0 s"
    )
