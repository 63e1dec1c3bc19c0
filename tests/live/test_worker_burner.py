"""Burning CPU time and touching memory, as the worker does both, here on the host."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from live.worker import burner
from live.worker.burner import burn
from live.worker.memory import Memory

MIB = 1024 * 1024
LIVE = Path(__file__).parents[2] / "live"


# What shares a core with the one that looks at the clock.
BURN = "from worker.burner import burn\nwhile True: burn(5_000_000)"
ASKED = """
import time
from worker.burner import burn
before = time.thread_time()
for _ in range(50): burn(2_000_000)
print(time.thread_time() - before)
"""
WATCH = """
import time
gaps, last = [], time.monotonic()
end = last + 0.7
while last < end:
    now = time.monotonic()
    if now - last > 0.0003:
        gaps.append(now - last)
    last = now
print(*gaps)
"""


def _short_ratio() -> float:
    """The share of the burner's turns that are shorter than a plain program's."""
    turn_s = statistics.median(_gaps_s("while True: pass"))
    gaps_s = _gaps_s(BURN)
    return len([gap_s for gap_s in gaps_s if gap_s < 0.9 * turn_s]) / len(gaps_s)


def _gaps_s(work: str) -> list[float]:
    """How long a program that looks at the clock is away at a time while `work` shares its core."""
    core = str(min(os.sched_getaffinity(0)))
    bound = ["taskset", "-c", core, sys.executable, "-S", "-c"]
    with subprocess.Popen([*bound, work], cwd=LIVE) as busy:
        try:
            told = subprocess.run([*bound, WATCH], capture_output=True, text=True, check=True, timeout=5).stdout
        finally:
            busy.kill()
    return [float(gap) for gap in told.split()]


def _used_by_two_s() -> list[float]:
    """The CPU time that two burners use for 50 demands of 2 ms each while they share a core."""
    bound = ["taskset", "-c", str(min(os.sched_getaffinity(0))), sys.executable, "-S", "-c", ASKED]
    both = [subprocess.Popen(bound, cwd=LIVE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return [float(asked.communicate(timeout=10)[0]) for asked in both]


class TestBurner:
    """CPU time to order."""

    @pytest.mark.parametrize("cpu_ms", [0.0, 0.01, 0.5, 5.0, 50.0])
    def test_it_burns_what_was_asked(self, cpu_ms: float) -> None:
        """The thread's CPU clock moves by the demand, and the burner reports what it took it to be.

        Interrupts, and others that take the core for less than half a millisecond, come between the two: so it is the
        nearest of five, within 20 us or 0.2 %.
        """
        apart_ns = []
        for _ in range(5):
            before_ns = time.thread_time_ns()
            told_ns = burn(int(cpu_ms * 1e6))
            apart_ns.append(abs(time.thread_time_ns() - before_ns - told_ns))
            assert cpu_ms * 1e6 <= told_ns

        assert min(apart_ns) <= cpu_ms * 1e6 * 0.002 + 20_000

    def test_it_burns_what_was_asked_beside_others(self) -> None:
        """Two that share a core burn 100 ms in demands of 2 ms each, within 1 %, whoever ran in between.

        A share of 0.6 % is what each turn costs at its ends. Whatever else is on the core comes for less than half a
        millisecond, too, so it is the first of twenty times at which nothing did.
        """
        apart = (max(abs(used_s / 0.1 - 1) for used_s in _used_by_two_s()) for _ in range(20))

        assert any(ratio < 0.01 for ratio in apart)

    def test_it_leaves_out_what_others_ran(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the time between two looks at the clock, half a millisecond and more is somebody else's."""
        looks_ns = itertools.accumulate([0, 400_000, 4_000_000, 400_000, 500_000, 400_000])
        monkeypatch.setattr(burner, "perf_counter_ns", lambda: next(looks_ns))

        assert burn(1_200_000) == 1_200_000
        assert next(looks_ns, None) is None

    def test_it_takes_turns_as_a_program_does(self) -> None:
        """Sharing a core it gives way when a plain program does, at ticks.

        While it read its CPU clock at the end of each demand of 5 ms, one turn in six was cut short. The best of three,
        because others use the core too.
        """
        assert min(_short_ratio(), _short_ratio(), _short_ratio()) < 0.1


class TestMemory:
    """Resident memory to order."""

    @pytest.mark.parametrize("size_bytes", [1, 4096, 3 * MIB + 5, 40 * MIB])
    def test_what_is_held_is_resident(self, size_bytes: int) -> None:
        """Anonymous resident memory rises by whole pages of it when held, and falls when released."""
        memory = Memory()
        pages_bytes = -(-size_bytes // 4096) * 4096
        before = _anonymous_bytes()
        memory.hold(size_bytes)
        held = _anonymous_bytes() - before
        memory.release()

        assert held == pytest.approx(pages_bytes, abs=MIB // 4)
        assert _anonymous_bytes() - before == pytest.approx(0, abs=MIB // 4)

    def test_what_leaks_is_not_released(self) -> None:
        """Release gives back what is held, never what has leaked; holding nothing is nothing."""
        memory = Memory()
        before = _anonymous_bytes()
        memory.leak(8 * MIB)
        memory.hold(4 * MIB)
        memory.hold(0)
        memory.release()

        assert _anonymous_bytes() - before == pytest.approx(8 * MIB, abs=MIB // 4)

    def test_a_forked_process_does_not_have_it(self) -> None:
        """The threads of an agent are processes, and would make its memory count twice."""
        memory = Memory()
        memory.hold(16 * MIB)
        here = _anonymous_bytes()
        source, sink = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(sink, b"%d" % _anonymous_bytes())
            os._exit(0)
        there = int(os.read(source, 20))
        os.waitpid(pid, 0)
        os.close(source)
        os.close(sink)
        memory.release()

        assert here - there >= 15 * MIB


def test_the_worker_loads_little() -> None:
    """Nothing heavy is imported: each of these would add to the memory and start-up CPU of every container."""
    ask = "import sys, worker.supervisor; print(*sys.modules)"
    command = [sys.executable, "-S", "-E", "-s", "-c", ask]
    loaded = subprocess.run(command, cwd=LIVE, capture_output=True, text=True, check=True).stdout.split()

    assert "worker.agent" in loaded
    assert {"json", "re", "enum", "typing", "collections", "functools", "signal"} & set(loaded) == set()


def _anonymous_bytes() -> int:
    """This process's private resident memory, files apart."""
    info = psutil.Process().memory_info()
    return int(info.rss - info.shared)
