"""The ledger: a few words of memory an agent shares with the supervisor, which outlive the agent.

An agent killed in mid-step cannot say which step it was at, nor report the steps it had finished since its
last flush. Both are read here by the supervisor when it finds the agent dead.
"""

from __future__ import annotations

import mmap

SIZE_BYTES = 65536
_HEAD_BYTES = 64
ROWS_BYTES_MAX = SIZE_BYTES - _HEAD_BYTES

# Phases of an agent: waiting for a program, running one, telling the driver that it is done.
IDLE, RUNNING, TELLING = 0, 1, 2

_SERIAL, _PHASE, _STEP, _START, _END = range(5)


class Ledger:
    """What an agent is at, and the rows (JSON text) of finished steps it has not reported yet."""

    __slots__ = ("_memory", "_words")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE_BYTES, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        self._words = memoryview(self._memory)[:_HEAD_BYTES].cast("q")

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._memory.close()

    @property
    def serial(self) -> int:
        """How many programs the agent has begun."""
        return self._words[_SERIAL]

    @property
    def phase(self) -> int:
        """`IDLE`, `RUNNING` or `TELLING`."""
        return self._words[_PHASE]

    @phase.setter
    def phase(self, phase: int) -> None:
        self._words[_PHASE] = phase

    @property
    def step(self) -> int:
        """The index of the step under way, thinking before it included."""
        return self._words[_STEP]

    @step.setter
    def step(self, index: int) -> None:
        self._words[_STEP] = index

    def begin(self) -> None:
        """Count a program as begun."""
        self._words[_PHASE] = RUNNING
        self._words[_SERIAL] += 1

    def add(self, row: bytes) -> bool:
        """Keep a row; False if there is no room for it."""
        end = self._words[_END]
        text = b"," + row if end else row
        if end + len(text) > ROWS_BYTES_MAX:
            return False
        self._memory[_HEAD_BYTES + end : _HEAD_BYTES + end + len(text)] = text
        # The length comes last: a row cut short by a kill does not count.
        self._words[_END] = end + len(text)
        return True

    def rows(self) -> bytes:
        """The rows kept and not yet reported, with commas between them."""
        return self._memory[_HEAD_BYTES + self._words[_START] : _HEAD_BYTES + self._words[_END]]

    def told(self, size: int) -> None:
        """Strike out `size` bytes of rows and the comma behind them, because the driver has them."""
        start = self._words[_START] + size + 1
        if start >= self._words[_END]:
            self._words[_END] = 0
            self._words[_START] = 0
        else:
            self._words[_START] = start
