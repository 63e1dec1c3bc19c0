"""The line to one life of a container's supervisor: its attached stream, and its first words.

A container that the engine starts anew gets a new line, so that nothing said in an old life is taken for the new one's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from live.attachment import Attachment
from live.handshake import Greeting

if TYPE_CHECKING:
    from collections.abc import Callable

    from live.attachment import Duplex

    Message = dict[str, Any]

GREETING_WORDS = frozenset({"ready", "clock"})


class Line:
    """A line, closed from the start until `open` connects it.

    `on_message` and `on_end` are called in the reading thread; they must only hand over and return.
    """

    def __init__(self, on_message: Callable[[Line, Message], object], on_end: Callable[[Line], object]) -> None:
        """Have heard nothing."""
        self.greeting = Greeting()
        self.ended = threading.Event()
        self.attachment: Attachment | None = None
        self._on_message = on_message
        self._on_end = on_end
        self._closing = threading.Lock()
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether there is anything that could still be heard."""
        return self.attachment is not None and not self.ended.is_set()

    def open(self, stream: Duplex, name: str) -> Attachment:
        """Take over the stream of a container; one that comes after `close` is hung up on at once."""
        with self._closing:
            self.attachment = Attachment(stream, name, self._hear, self._hear_end)
            closed = self._closed
        if closed:
            self.attachment.close()
        return self.attachment

    def send(self, message: Message) -> bool:
        """Have a message written; False where nobody takes it."""
        return self.attachment is not None and self.attachment.send(message)

    def close(self) -> None:
        """Hang up; whoever waits for a first word waits no longer."""
        with self._closing:
            self._closed = True
            attachment = self.attachment
        self.greeting.end()
        if attachment is not None:
            attachment.close()

    def _hear(self, message: Message) -> None:
        if message["is"] in GREETING_WORDS:
            self.greeting.hear(message)
        else:
            self._on_message(self, message)

    def _hear_end(self) -> None:
        # Nothing it said is still on its way.
        self.greeting.end()
        self.ended.set()
        self._on_end(self)
