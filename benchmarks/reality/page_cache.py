"""What page cache does in a container with a volume, stage by stage, on the engine and in the model.

    python benchmarks/reality/page_cache.py [--memory 64m] [--profile FILE]

One agent writes, reads, holds and erases with pauses in between. After each stage stand what it took, what the
container is charged, and what of that is inactive page cache, of both worlds. Takes half a minute, and a machine with
nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live.bench import docker_bench
from live.errors import EngineRefused, LiveError
from live.host_bench import HOST, MIB, Collected, bench_story
from scenarios.errors import BadValueError
from scenarios.story import Container, Volume
from scenarios.units import read_size, show_size
from sim.exit_codes import BAD_INPUT, tell
from sim.machine import Erase, Finished, Hold, Program, Read, Release, Sample, Started, Step, Write
from sim.physics.host_profile import load_profile
from sim.places import host_profile
from sim.run import simulated_bench

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import simpy

    from sim.machine import Machine, Work

PAUSE_S = 0.5
FOREVER_S = 1e9
MEMORY_BYTES_MIN = 16 * MIB
HEADINGS = ("stage", "took, real", "model", "charged MiB, real", "model", "page cache, real", "model")


def course(memory_bytes: int) -> list[Work]:
    """Stages in shares of the container's memory: with room, without, held against, read again, erased."""
    quarter, half = memory_bytes // 4, memory_bytes // 2
    return [
        *(Write(quarter), Write(quarter), Read(quarter), Read(quarter), Read(quarter)),
        *(Write(memory_bytes), Write(quarter), Read(quarter)),
        *(Hold(quarter, leak=False), Hold(quarter, leak=False), Read(quarter), Release(), Read(quarter), Read(quarter)),
        *(Read(2 * memory_bytes), Read(2 * memory_bytes), Read(half), Read(half), Read(half)),
        *(Write(quarter), Hold(half, leak=False), Release(), Erase(), Write(half), Erase()),
    ]


def played(
    env: Any,  # noqa: ANN401 - both worlds' environments.
    machine: Machine,
    collected: Collected,
    memory_bytes: int,
) -> list[tuple[float, Sample]]:
    """The latency of each stage and a sample after it."""

    def script() -> Generator[simpy.Event, Any, list[tuple[float, Sample]]]:
        volume = Volume("page-cache", "/disk")
        spec = Container("a", HOST, None, memory_bytes, memory_bytes, 1024, None, 16, 2.0, volume=volume)
        started = yield machine.start(spec)
        if not isinstance(started, Started):
            raise EngineRefused("start a container", str(started))
        seen: list[tuple[float, Sample]] = []
        for index, work in enumerate(course(memory_bytes)):
            yield env.timeout(PAUSE_S)
            outcome = yield machine.submit("a", Program("filing", (Step(index, None, 0.0, (work,)),), FOREVER_S))
            if not isinstance(outcome, Finished):
                raise EngineRefused("run a program in a container", str(outcome))
            seen.append((collected.steps[-1].latency_s, (yield machine.sample("a"))))
        yield machine.stop("a")
        return seen

    found: list[tuple[float, Sample]] = env.run(until=env.process(script()))
    return found


def page(works: Sequence[Work], real: list[tuple[float, Sample]], model: list[tuple[float, Sample]]) -> str:
    """A Markdown table, one line per stage."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    for work, ours, theirs in zip(works, real, model, strict=True):
        cells = [_words(work)]
        for figure in (_took, _charged, _cache):
            cells += [figure(*ours), figure(*theirs)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _words(work: Work) -> str:
    size_bytes = getattr(work, "size_bytes", getattr(work, "memory_bytes", 0))
    return f"{type(work).__name__.lower()} {show_size(size_bytes) if size_bytes else ''}".rstrip()


def _took(latency_s: float, _sample: Sample) -> str:
    return f"{latency_s * 1e3:.1f} ms"


def _charged(_latency_s: float, sample: Sample) -> str:
    return f"{sample.memory_raw_bytes / MIB:.1f}"


def _cache(_latency_s: float, sample: Sample) -> str:
    return f"{(sample.memory_raw_bytes - sample.memory_bytes) / MIB:.1f} MiB"


def _memory(text: str) -> int:
    memory_bytes = read_size(text)
    if memory_bytes < MEMORY_BYTES_MIN:
        raise BadValueError(f"{show_size(MEMORY_BYTES_MIN)} or more", "64m")
    return memory_bytes


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memory", default="64m", metavar="SIZE", help="the container's limit; 64m")
    parser.add_argument("--profile", type=Path, default=host_profile(), metavar="FILE", help="a host profile")
    asked = parser.parse_args(arguments)
    try:
        memory_bytes = _memory(asked.memory)
        profile = load_profile(asked.profile)
        story = bench_story(profile.cpus_count, profile.memory_bytes)
        heard = Collected()
        with docker_bench(story, heard) as (live_env, live_machine):
            real = played(live_env, live_machine, heard, memory_bytes)
    except BadValueError as problem:
        return tell(f"--memory {asked.memory}: {problem}", BAD_INPUT)
    except LiveError as problem:
        return tell(str(problem), BAD_INPUT)
    collected = Collected()
    env, machine = simulated_bench(story, collected, profile)
    print(page(course(memory_bytes), real, played(env, machine, collected, memory_bytes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
