"""A container's stdin and stdout: JSON lines both ways over the engine's framed attach stream.

Frames: one byte of stream number (1 stdout, 2 stderr), three of zeros, four of length, big-endian, then the data
(Docker Engine API, ContainerAttach). One thread reads and one writes, so the loop never waits for a full pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    Message = dict[str, Any]

FRAME_HEADER = struct.Struct(">BxxxL")
STDOUT = 1
READ_BYTES_MAX = 65_536
# The longest line taken from a worker; a longer one is a broken worker.
LINE_BYTES_MAX = 4 * 1024 * 1024

# Messages waiting to be written; a container that lets so many wait is not reading.
SENDS_MAX = 1_024

STDERR_BYTES_KEPT = 4_096


class Duplex(Protocol):
    """A byte stream with two directions, as sockets are."""

    def recv(self, bufsize: int, /) -> bytes:
        """Wait for bytes; none means the end."""

    def sendall(self, data: bytes, /) -> None:
        """Write all of the bytes."""

    def shutdown(self, how: int, /) -> None:
        """End one direction or both."""

    def close(self) -> None:
        """Give the stream back."""


class Frames:
    """Takes the attach stream's bytes as they come and gives out whole lines of stdout."""

    def __init__(self) -> None:
        """Begin at the start of a frame and of a line."""
        self._raw = bytearray()
        self._line = bytearray()
        self.stderr_tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete; ValueError where a line outgrows its bound."""
        self._raw += data
        while len(self._raw) >= FRAME_HEADER.size:
            stream, length = FRAME_HEADER.unpack_from(self._raw)
            end = FRAME_HEADER.size + length
            if len(self._raw) < end:
                break
            self._take(stream, bytes(self._raw[FRAME_HEADER.size : end]))
            del self._raw[:end]
        *lines, rest = bytes(self._line).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            msg = f"a line of more than {LINE_BYTES_MAX} bytes"
            raise ValueError(msg)
        self._line = bytearray(rest)
        return lines

    def _take(self, stream: int, payload: bytes) -> None:
        if stream == STDOUT:
            self._line += payload
        else:
            self.stderr_tail = (self.stderr_tail + payload)[-STDERR_BYTES_KEPT:]


class Attachment:
    """The two-way line to one container's supervisor.

    `on_message` and `on_end` are called in the reading thread; they must only hand over and return.
    """

    def __init__(
        self, stream: Duplex, name: str, on_message: Callable[[Message], None], on_end: Callable[[], None]
    ) -> None:
        """Take over `stream` and start reading and writing it."""
        self._stream = stream
        self._on_message = on_message
        self._on_end = on_end
        self._frames = Frames()
        self._sends: queue.Queue[bytes | None] = queue.Queue(SENDS_MAX)
        self._threads = tuple(
            threading.Thread(target=work, name=f"{what}-{name}", daemon=True)
            for what, work in (("read", self._read), ("write", self._write))
        )
        for thread in self._threads:
            thread.start()

    @property
    def stderr_tail(self) -> str:
        """The last of what the container wrote to stderr, for the reason of a failed start."""
        return self._frames.stderr_tail.decode("utf-8", errors="replace").strip()

    def send(self, message: Message) -> bool:
        """Have a message written; False where the container has let `SENDS_MAX` of them wait."""
        try:
            self._sends.put_nowait(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """End both directions and both threads."""
        with contextlib.suppress(queue.Full):
            self._sends.put_nowait(None)
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        here = threading.current_thread()
        for thread in self._threads:
            if thread is not here:
                thread.join(timeout=1.0)
        with contextlib.suppress(OSError):
            self._stream.close()
        # Over TLS the SDK hangs the answer on the socket, and with it the connection that the request was made on.
        answer = getattr(self._stream, "_response", None)
        if answer is not None:
            answer.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._stream.recv(READ_BYTES_MAX):
                for line in self._frames.feed(data):
                    self._on_message(_message(line))
        # A worker that talks nonsense is hung up on: its stdin closes, it ends, and the engine tells of its death.
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(queue.Full):
            # Nothing more will be read, so the writing thread may end; one that has much to write fails by itself.
            self._sends.put_nowait(None)
        self._on_end()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._sends.get()) is not None:
                self._stream.sendall(data)


def _message(line: bytes) -> Message:
    message = json.loads(line)
    if not isinstance(message, dict) or "is" not in message:
        raise ValueError(f"no message: {line[:80]!r}")
    return message


def attach(client: docker.DockerClient, container_id: str) -> Duplex:
    """The attach stream of a created container; attach before starting it, so that no byte is missed."""
    raw: Any = client.api.attach_socket(container_id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    if hasattr(raw, "recv"):
        # A TLS socket or an SSH channel: both are duplex as they are.
        raw.settimeout(None)
        return cast("Duplex", raw)
    # The SDK gives a read-only view of a plain socket; the same descriptor serves both directions.
    stream = socket.socket(fileno=os.dup(raw.fileno()))
    stream.settimeout(None)
    # Closes the connection that the request was made on too, whose socket would linger if only `raw` were closed.
    raw._response.close()  # noqa: SLF001  # Where the SDK leaves it for its own purposes; there is no public way.
    # And the view itself, which keeps that connection's socket open until the garbage collector comes by.
    raw.close()
    return stream
