"""Ctrl-C, SIGTERM and a closed terminal in a live run: the loop stops between two events, and all is cleaned up.

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

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible(env: LiveEnvironment) -> Iterator[None]:
    """Turn the signals into an interrupt of the loop; those that are ignored, as under nohup, stay so.

    The clean-up after the loop is not interrupted: a signal that came meanwhile raises KeyboardInterrupt at its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, lambda *_: env.interrupt()) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if env.interrupted:
        raise KeyboardInterrupt
