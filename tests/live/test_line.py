"""The line to one life of a container: words to whom they belong, and an end in any order."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from live.handshake import Silent
from live.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S_MAX = 5.0


class Call:
    """A line whose far end is in the test's hands."""

    def __init__(self) -> None:
        """Make it; it is not open yet."""
        self.heard: list[dict[str, Any]] = []
        self.over = threading.Event()
        self.line = Line(lambda _, message: self.heard.append(message), lambda _: self.over.set())
        self.near_end, self.far_end = socket.socketpair()

    def say(self, message: dict[str, Any]) -> None:
        """Send a message from the far end."""
        payload = json.dumps(message).encode() + b"\n"
        self.far_end.sendall(struct.pack(">BxxxL", 1, len(payload)) + payload)


@pytest.fixture(name="call")
def _call() -> Iterator[Call]:
    call = Call()
    yield call
    call.line.close()
    call.near_end.close()
    call.far_end.close()


def test_first_words_are_for_the_greeting_only(call: Call) -> None:
    """Clock and ready reach whoever greets, all else the machine; the end is told after the last word."""
    call.line.open(call.near_end, "a")

    call.say({"is": "ready", "mono": 1.0})
    call.say({"is": "steps"})
    call.far_end.shutdown(socket.SHUT_RDWR)

    assert call.over.wait(WAIT_S_MAX)
    assert call.heard == [{"is": "steps"}]
    assert not call.line.is_open


def test_what_is_not_open_takes_nothing(call: Call) -> None:
    """Nobody waits for the last words of a line that was never open."""
    assert not call.line.send({"do": "sample"})
    assert not call.line.is_open


def test_a_stream_that_comes_after_the_end_is_hung_up_on(call: Call) -> None:
    """A container that died again while it was being attached to leaves no line open, and whoever greets is told."""
    call.line.close()

    attachment = call.line.open(call.near_end, "a")

    assert call.far_end.recv(1) == b""
    assert isinstance(call.line.greeting.exchange(attachment), Silent)
