"""Ctrl-C and SIGTERM during a live run: the loop stops between two events, and the run is cleaned up.

Raised wherever the program happens to be, KeyboardInterrupt could end inside a process of the story or between
the creation of a container and its being known. So the signals only wake the loop, and the loop raises.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live.real_time import LiveEnvironment

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible(env: LiveEnvironment) -> Iterator[None]:
    """Turn the signals into an interrupt of the loop; while it is cleaned up after the loop they do nothing more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: env.interrupt()) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
