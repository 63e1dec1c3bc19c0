"""The line to a container: frames in, lines out, and never a wait in the loop."""

from __future__ import annotations

import json
import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.attachment import LINE_BYTES_MAX, SENDS_MAX, STDERR_BYTES_KEPT, Attachment, Frames

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT, STDERR = 1, 2
WAIT_S_MAX = 5.0


def frame(stream: int, payload: bytes) -> bytes:
    """A frame as the engine sends it."""
    return struct.pack(">BxxxL", stream, len(payload)) + payload


class TestFrames:
    """Taking the engine's stream apart."""

    @given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")), max_size=8), st.data())
    def test_lines_come_out_whatever_the_pieces(self, lines: list[bytes], data: st.DataObject) -> None:
        """However lines are cut into frames and frames into reads, the same lines come out, in order."""
        text = b"".join(line + b"\n" for line in lines)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        payloads = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        raw = b"".join(frame(STDOUT, payload) for payload in payloads)
        size = data.draw(st.integers(1, 40))
        frames = Frames()

        found = [line for start in range(0, len(raw), size) for line in frames.feed(raw[start : start + size])]

        assert lines == found

    def test_stderr_is_kept_apart(self) -> None:
        """Words on stderr between two halves of a line do not get into it; their end is kept."""
        frames = Frames()
        words = b"x" * STDERR_BYTES_KEPT + b"Traceback"

        found = frames.feed(frame(STDOUT, b'{"is":') + frame(STDERR, words) + frame(STDOUT, b'"ready"}\n'))

        assert found == [b'{"is":"ready"}']
        assert frames.stderr_tail == words[-STDERR_BYTES_KEPT:]

    def test_a_line_without_end_is_refused(self) -> None:
        """A worker that never ends its line cannot fill the driver's memory."""
        frames = Frames()
        frames.feed(frame(STDOUT, b"x" * LINE_BYTES_MAX))

        with pytest.raises(ValueError, match=f"a line of more than {LINE_BYTES_MAX} bytes"):
            frames.feed(frame(STDOUT, b"x"))


class Line:
    """An attachment whose other end is in the test's hands."""

    def __init__(self) -> None:
        """Connect the two ends."""
        ours, self.far_end = socket.socketpair()
        self.heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.ended = threading.Event()
        self.attachment = Attachment(ours, "test", self.heard.put, self.ended.set)


@pytest.fixture(name="line")
def _line() -> Iterator[Line]:
    line = Line()
    yield line
    line.attachment.close()
    line.far_end.close()


class TestAttachment:
    """The two threads on a real socket."""

    def test_messages_go_both_ways(self, line: Line) -> None:
        """What is sent arrives as a JSON line, what is answered is heard as a message."""
        assert line.attachment.send({"do": "clock", "id": 1})
        asked = json.loads(line.far_end.recv(1000))
        line.far_end.sendall(frame(STDOUT, b'{"is":"clock","id":1}\n'))

        assert asked == {"do": "clock", "id": 1}
        assert line.heard.get(timeout=WAIT_S_MAX) == {"is": "clock", "id": 1}

    def test_the_end_is_told_after_the_last_message(self, line: Line) -> None:
        """When the container ends, what it said before is heard first."""
        line.far_end.sendall(frame(STDOUT, b'{"is":"finished"}\n'))
        line.far_end.shutdown(socket.SHUT_RDWR)

        assert line.ended.wait(WAIT_S_MAX)
        assert line.heard.get_nowait() == {"is": "finished"}

    @pytest.mark.parametrize("nonsense", [b"Segmentation fault", b"[1]", b'{"do":"clock"}', b"\xff"])
    def test_a_worker_that_talks_nonsense_is_hung_up_on(self, line: Line, nonsense: bytes) -> None:
        """What is no message ends the reading and closes the worker's stdin, so that it ends as well."""
        line.far_end.sendall(frame(STDOUT, nonsense + b"\n"))

        assert line.ended.wait(WAIT_S_MAX)
        assert line.far_end.recv(1) == b""

    def test_a_container_that_does_not_read_never_blocks_the_sender(self, line: Line) -> None:
        """Messages wait up to a bound; beyond it sending says no at once."""
        message = {"do": "submit", "steps": "x" * 10_000}

        answers = [line.attachment.send(message) for _ in range(2 * SENDS_MAX)]

        # Some more than the bound are taken: those that fit the socket's own buffer.
        assert SENDS_MAX <= answers.count(True) < 2 * SENDS_MAX
        assert not answers[-1]

    def test_closing_ends_both_threads(self, line: Line) -> None:
        """No thread outlives its container, even one that waits for a full pipe."""
        for _ in range(100):
            line.attachment.send({"do": "submit", "steps": "x" * 10_000})

        line.attachment.close()

        assert [False, False] == [thread.is_alive() for thread in line.attachment._threads]


def test_the_end_of_the_line_ends_both_threads() -> None:
    """A container that is gone leaves no thread behind, even where nobody closes its line."""
    ours, line = socket.socketpair()
    before = set(threading.enumerate())
    attachment = Attachment(ours, "test", lambda _: None, lambda: None)
    mine = set(threading.enumerate()) - before

    line.close()
    for thread in mine:
        thread.join(WAIT_S_MAX)

    assert len(mine) == 2
    assert not any(thread.is_alive() for thread in mine)
    attachment.close()
