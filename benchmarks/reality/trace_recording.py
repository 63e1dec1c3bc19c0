"""Records what the scheduler does with a workload: processes that sleep and burn, and a trace instance of their own.

Tracefs is mounted on a temporary directory, and events are switched on in an instance made for this recording, so that
nobody else's tracing is touched. However it ends, processes, events, buffer and mount are gone afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
import secrets
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from live.kernel_constants import kernel_constants
from live.worker.burner import burn
from scenarios.units import show_duration
from sim.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, NoReturn

EVENTS = ("sched_switch", "sched_waking", "sched_wakeup", "sched_wakeup_new", "sched_migrate_task")
# The buffer is memory of the kernel: enough for minutes of a few cores, and never more than this in all.
BUFFER_KIB, CORE_BUFFER_KIB_MAX, CORE_BUFFER_KIB_MIN = 128 * 1024, 32 * 1024, 512
STOPPING = {signal.SIGINT, signal.SIGTERM}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Workload:
    """So many processes that think and compute in turn, each for a time drawn from an exponential distribution."""

    processes_count: int
    compute_s: float
    think_s: float

    def __str__(self) -> str:
        """Say it as a column's heading would."""
        return f"{self.processes_count} × {show_duration(self.compute_s)} / {show_duration(self.think_s)}"


def tick_us() -> int:
    """How long a tick of this machine's kernel is."""
    return round(kernel_constants(os.cpu_count() or 1, is_this_kernel=True)["tick_s"].value_s * 1e6)


def record(workload: Workload, run_s: float, into: IO[str]) -> None:
    """Run a workload and write its recording."""
    with mounted() as place, instance(place) as trace, processes(workload, run_s) as pids:
        (trace / "tracing_on").write_text("1", encoding="ascii")
        time.sleep(run_s)
        (trace / "tracing_on").write_text("0", encoding="ascii")
        into.write(f"# pids {' '.join(map(str, pids))}\n# workload {workload}\n")
        into.write(f"# tick_us {tick_us()}\n# kernel {platform.release()}\n")
        with (trace / "trace").open(encoding="utf-8", errors="replace") as lines:
            into.writelines(lines)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A while in which nobody stops this program: whoever tries does so at its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


@contextlib.contextmanager
def mounted() -> Iterator[Path]:
    """Tracefs on a directory of its own."""
    if os.geteuid() != 0:
        raise RequestError("tracing the kernel needs root; run it with sudo, or read a kept trace with --from FILE")
    place = Path(tempfile.mkdtemp(prefix="tonnage-trace-"))
    try:
        with undisturbed():
            _call("mount", "-t", "tracefs", "nodev", str(place))
        yield place
    finally:
        with undisturbed():
            if place.is_mount():
                _call("umount", str(place))
            # Never more than an empty directory, lest something of the kernel's is removed where it is still mounted.
            place.rmdir()


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise RequestError(f"`{' '.join(command)}` fails ({said}); it needs root with CAP_SYS_ADMIN and CONFIG_FTRACE")


@contextlib.contextmanager
def instance(place: Path) -> Iterator[Path]:
    """A trace instance with the scheduler's events switched on, and its tracing still off."""
    trace = place / "instances" / f"tonnage-{secrets.token_hex(4)}"
    try:
        with undisturbed():
            _set_up(trace)
        yield trace
    finally:
        with undisturbed():
            _take_down(trace)


def _set_up(trace: Path) -> None:
    size_kib = min(max(BUFFER_KIB // (os.cpu_count() or 1), CORE_BUFFER_KIB_MIN), CORE_BUFFER_KIB_MAX)
    settings = {"tracing_on": "0", "trace_clock": "mono", "buffer_size_kb": str(size_kib)}
    settings |= {f"events/sched/{event}/enable": "1" for event in EVENTS}
    name = "its directory"
    try:
        trace.mkdir()
        for name, value in settings.items():
            (trace / name).write_text(value, encoding="ascii")
    except OSError as problem:
        what = f"{trace}: {name} cannot be set ({problem.strerror})"
        raise RequestError(f"{what}; it needs a kernel with scheduler events and {size_kib} KiB a core") from problem


def _take_down(trace: Path) -> None:
    if not trace.is_dir():
        return
    for name in ("tracing_on", "events/enable"):
        # Removing the instance ends its events and frees its buffer, also where this was refused.
        with contextlib.suppress(OSError):
            (trace / name).write_text("0", encoding="ascii")
    trace.rmdir()


@contextlib.contextmanager
def processes(workload: Workload, run_s: float) -> Iterator[list[int]]:
    """The processes of a workload; none is left afterwards."""
    pids: list[int] = []
    try:
        # A child that is stopped before it has left the recorder's ways would tidy up in its place.
        with undisturbed():
            for number in range(workload.processes_count):
                pid = os.fork()
                if pid == 0:
                    _live(random.Random(f"{number} {workload}"), workload, run_s)
                pids.append(pid)
        yield pids
    finally:
        with undisturbed():
            _end(pids)


def _live(draws: random.Random, workload: Workload, run_s: float) -> NoReturn:
    """Think and compute until the time is over, or the parent is gone."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        until_s = time.monotonic() + run_s
        while time.monotonic() < until_s:
            time.sleep(draws.expovariate(1.0 / workload.think_s))
            burn(round(draws.expovariate(1.0 / workload.compute_s) * 1e9))
        code = 0
    finally:
        # Whatever happened, a copy of the recorder must not go on as if it were the recorder.
        os._exit(code)


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)
