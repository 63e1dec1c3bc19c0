"""What runs on a host beside a live run: a process that wants a little CPU at regular times and notes when it had it.

It ends when its stdin closes, which is at the latest when the process that started it ends, and then writes its times
to stdout: pairs of doubles, due and finished, in seconds of the machine's monotonic clock. Its arguments are the
interval and the CPU time in seconds, and how many pairs it keeps at most. It is due whenever that clock passes a
multiple of the interval, which no run knows anything of.
As the worker it needs nothing but the standard library, and little of it: what it loads is paid while the run is on.
"""

from __future__ import annotations

import os
import sys
from _thread import start_new_thread
from array import array
from time import monotonic, sleep

from live.worker.burner import burn

# What is left to do once all times are kept is to wait for the end.
IDLE_S = 60.0


def main() -> None:
    """Want CPU until stdin closes."""
    every_s, compute_s, count_max = map(float, sys.argv[1:])
    times = array("d")
    start_new_thread(_tell_at_end, (times,))
    _probe(times, every_s, round(compute_s * 1e9), int(count_max))
    while True:
        sleep(IDLE_S)


def _probe(times: array[float], every_s: float, compute_ns: int, count_max: int) -> None:
    """Burn CPU at each due time; where one has passed already, at once."""
    first = int(monotonic() / every_s) + 1
    for number in range(first, first + count_max):
        due_s = number * every_s
        while (ahead_s := due_s - monotonic()) > 0:
            sleep(ahead_s)
        burn(compute_ns)
        times.extend((due_s, monotonic()))


def _tell_at_end(times: array[float]) -> None:
    """Wait until stdin closes, then write what there is and end the process, whatever it is at."""
    try:
        while os.read(0, 1):
            pass
        told = memoryview(times[: len(times) // 2 * 2].tobytes())
        while told:
            told = told[os.write(1, told) :]
    finally:
        os._exit(0)
