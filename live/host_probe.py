"""Probes of the machine itself: children of this process, outside all containers, that want a little CPU now and then.

A child stays where this process is: it is put into no cgroup, on no cores and to no other niceness, so that it gets its
CPU as anything would that a user starts from the same shell. Engines put their containers into a cgroup of their own
(`/docker`, or a slice of systemd), so that it competes with all of them together.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from live.engine_place import place
from scenarios.story import PROBES_COUNT_MAX
from sim.machine import Probed, Refused
from sim.run import PROBE_REFUSED

if TYPE_CHECKING:
    import simpy

    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls
    from scenarios.story import Story
    from sim.record import Table

# Without site packages and the user's environment it is up in a moment; it finds this project by its place.
PROGRAM = (
    f"import sys; sys.path.append({str(Path(__file__).parents[1])!r}); from live.host_probe_program import main; main()"
)
# A child that is told to end writes what it has, and that is at most a megabyte or two.
END_S_MAX = 10.0


def obstacle(story: Story, info: dict[str, Any]) -> str:
    """Why the hosts of a story cannot be probed, with an engine that says this of itself; empty where they can."""
    cores_count = int(info["NCPU"])
    if place(info) != "here":
        return "its engine runs elsewhere, and only the machine that this program runs on can be probed"
    if [math.ceil(host.cpus_count) for host in story.hosts] != [cores_count]:
        return f"it has not exactly the engine's {cores_count} cores, and a probe would run on those"
    usable_count = len(os.sched_getaffinity(0))
    if usable_count != cores_count:
        return f"this program, and so a probe, may run on {usable_count} of the engine's {cores_count} cores only"
    return ""


def unprobed(events: Table) -> list[str]:
    """What a story wanted to know of its hosts and a run cannot say, because they could not be probed."""
    rows = zip(events["what"], events["detail"], strict=True)
    return [f"a host could not be probed: {why}" for what, why in rows if what == PROBE_REFUSED]


class HostProbes:
    """The probes of one run, at most one at a time for each host."""

    def __init__(self, env: LiveEnvironment, calls: SlowCalls, why_not: str) -> None:
        """Have none yet; `why_not` refuses any."""
        self._env = env
        self._calls = calls
        self._why_not = why_not
        self._running: set[str] = set()
        self._children: list[_Child] = []

    @property
    def cpu_s(self) -> float:
        """The CPU seconds of all probes so far; any thread may ask."""
        return math.fsum(child.cpu_s() for child in tuple(self._children))

    def begin(self, host: str, every_s: float, compute_s: float, until: simpy.Event) -> simpy.Event:
        """Start a probe that lasts until an event: `Probed` after it, or `Refused`."""
        child = self._start(host, every_s, compute_s)
        answer = self._env.event()
        if isinstance(child, Refused):
            return answer.succeed(child)

        def end(_: simpy.Event) -> None:
            self._calls.patient(child.end, lambda outcome: self._ended(host, outcome, answer))

        assert until.callbacks is not None, "a probe ends with an event that is still to come"
        until.callbacks.append(end)
        return answer

    def close(self) -> None:
        """End those that are still there."""
        for child in self._children:
            child.close()

    def _start(self, host: str, every_s: float, compute_s: float) -> _Child | Refused:
        why = self._why_not or ("it is probed already" if host in self._running else "")
        if why:
            return Refused(host, why)
        try:
            child = _Child(host, every_s, compute_s, self._env.epoch_s)
        except OSError as problem:
            return Refused(host, f"no process could be started for it ({problem.strerror or problem})")
        self._running.add(host)
        self._children.append(child)
        return child

    def _ended(self, host: str, outcome: object, answer: simpy.Event) -> None:
        self._running.discard(host)
        answer.succeed(outcome)


class _Child:
    """One process that probes a host, from its start until `end` or `close`, each in any thread."""

    def __init__(self, host: str, every_s: float, compute_s: float, epoch_s: float) -> None:
        """Start it; `epoch_s` is the monotonic clock at the run's zero. OSError where it cannot be started."""
        terms = (every_s, compute_s, PROBES_COUNT_MAX)
        self._host = host
        self._epoch_s = epoch_s
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, *map(str, terms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._meter = psutil.Process(self._process.pid)
        self._cpu_s = 0.0
        # Whoever holds it hears the process out.
        self._hand = threading.Lock()
        self._is_over = False

    def cpu_s(self) -> float:
        """The CPU seconds it used so far; once it is gone, what was read last."""
        with contextlib.suppress(psutil.Error):
            times = self._meter.cpu_times()
            self._cpu_s = times.user + times.system
        return self._cpu_s

    def end(self) -> Probed | Refused:
        """Have it end, and take what it found."""
        with self._hand:
            if self._is_over:
                return Refused(self._host, "its probe was ended")
            self._is_over = True
            try:
                told, _ = self._process.communicate(timeout=END_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                told, _ = self._process.communicate()
        if self._process.returncode:
            return Refused(self._host, f"its probe ended with exit code {self._process.returncode}")
        return self._found(told)

    def close(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        with self._hand:
            if not self._is_over:
                self._is_over = True
                self._process.communicate()

    def _found(self, told: bytes) -> Probed:
        times = array("d")
        times.frombytes(told)
        run_s = [at_s - self._epoch_s for at_s in times]
        return Probed(self._host, tuple(run_s[::2]), tuple(run_s[1::2]))
