"""What this machine's kernel does to spread runnable tasks over cores, seen in its own trace.

    python benchmarks/reality/spreading.py [--count 4] [--compute 10ms] [--think 30ms] [--seconds 60] [--keep FILE]
    python benchmarks/reality/spreading.py --from FILE

Processes that sleep and burn CPU run while the scheduler's events are recorded; the tables say what it did with them.
Unless one workload is asked for, three share the time: a few that compute for long, and more that compute for less.
They take about half of the machine, because a kernel that is fully used has nowhere to spread anybody to. A kept trace
names everything that ran on the machine meanwhile. Needs root, and a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from benchmarks.reality.kernel_trace import read_recordings
from benchmarks.reality.spreading_chances import tallies_of
from benchmarks.reality.spreading_page import page
from benchmarks.reality.trace_recording import Workload, record, tick_us
from scenarios.units import read_duration, show_duration
from sim.commands import say
from sim.errors import RequestError, SimError
from sim.exit_codes import BAD_INPUT, INTERRUPTED, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.reality.kernel_trace import Recording

COUNT, COMPUTE_S, THINK_S, RUN_S = 4, 0.010, 0.030, 60.0
COUNT_MAX, TIME_S_MIN, TIME_S_MAX, RUN_S_MAX = 256, 0.0001, 10.0, 600.0
# Per core: processes, computing, thinking.
DEFAULTS = ((1.5, 0.020, 0.040), (2, COMPUTE_S, THINK_S), (4, 0.003, 0.021))


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; the exit code."""
    asked = _asked(arguments)
    try:
        print(page([(one, tallies_of(one)) for one in _recordings(asked)]))
    except KeyboardInterrupt:
        return tell("interrupted; the tracing is switched off again", INTERRUPTED)
    except SimError as problem:
        return tell(str(problem), BAD_INPUT)
    return 0


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    counts = range(1, COUNT_MAX + 1)
    time, run = _duration(TIME_S_MIN, TIME_S_MAX), _duration(1.0, RUN_S_MAX)
    parser.add_argument("--count", type=int, choices=counts, metavar="N", help="processes, for one workload alone; 4")
    parser.add_argument("--compute", type=time, metavar="TIME", help="mean CPU time at a stretch, as --count; 10ms")
    parser.add_argument("--think", type=time, metavar="TIME", help="mean time between two stretches, as --count; 30ms")
    parser.add_argument("--seconds", type=run, metavar="TIME", help="for all workloads together; 60")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where the trace is kept")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="a trace kept earlier; traces nothing")
    asked = parser.parse_args(arguments)
    others = (asked.count, asked.compute, asked.think, asked.seconds, asked.keep)
    if asked.source is not None and any(other is not None for other in others):
        parser.error("--from FILE reads what was recorded, so it goes with no other option; leave them out")
    return asked


def _duration(low_s: float, high_s: float) -> Callable[[str], float]:
    """A reader of durations within limits."""

    def read(text: str) -> float:
        low, high = show_duration(low_s), show_duration(high_s)
        wanted = f"`{text}` must be a time from {low} to {high}, such as {high}"
        try:
            value_s = read_duration(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(wanted) from problem
        if not low_s <= value_s <= high_s:
            raise argparse.ArgumentTypeError(wanted)
        return value_s

    return read


def _recordings(asked: argparse.Namespace) -> list[Recording]:
    """Read what was kept, or record what is asked for."""
    if asked.source is not None:
        with _opened(asked.source, "r") as lines:
            return read_recordings(lines, str(asked.source), tick_us())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workloads = _workloads(asked)
    run_s = (asked.seconds or RUN_S) / len(workloads)
    with _kept(asked.keep) as file:
        for workload in workloads:
            say(f"{workload} for {show_duration(round(run_s, 1))}")
            record(workload, run_s, file)
        file.seek(0)
        return read_recordings(file, "the trace", tick_us())


def _workloads(asked: argparse.Namespace) -> Sequence[Workload]:
    if asked.count is None and asked.compute is None and asked.think is None:
        cores_count = os.cpu_count() or 1
        return [Workload(min(round(per_core * cores_count), COUNT_MAX), *times_s) for per_core, *times_s in DEFAULTS]
    return [Workload(asked.count or COUNT, asked.compute or COMPUTE_S, asked.think or THINK_S)]


@contextlib.contextmanager
def _kept(place: Path | None) -> Iterator[IO[str]]:
    """Where a trace is written: the file asked for, once all went well, or one that nobody sees."""
    if place is not None and (place.exists() or not place.parent.is_dir()):
        what = "is there already" if place.exists() else "has no directory to be in"
        raise RequestError(f"{place} {what}; name a new file for --keep, in a directory that exists")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        yield file
        if place is not None:
            file.seek(0)
            with _opened(place, "x") as kept:
                kept.writelines(file)


@contextlib.contextmanager
def _opened(place: Path, mode: str) -> Iterator[IO[str]]:
    try:
        file = place.open(mode, encoding="utf-8", errors="replace")
    except OSError as problem:
        raise RequestError(f"{place} cannot be opened ({problem.strerror}); name another file") from problem
    with file:
        yield file


if __name__ == "__main__":
    sys.exit(main())
