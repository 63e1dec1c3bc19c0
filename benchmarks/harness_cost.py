"""What the harness itself takes: containers that do nothing, sampled each second and hardly ever.

    python benchmarks/harness_cost.py [--containers 1 5 20] [--window-s 15]

Shares of one core over the window: this process, the supervisors (all that idle containers use), the engine's
processes on this machine; and how late the loop is, whose timer ticks ten times a second meanwhile as agents' do. The
difference between the two is the cost of sampling. Prints a table and one JSON object. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import psutil

from live.bench import docker_bench
from live.cpu_meters import EngineMeter, container_cpu_s, driver_cpu_s
from live.host_bench import HOST, bench_story
from live.lag import LagHistogram
from scenarios.story import Container
from sim.machine import Started

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import simpy

    from live.docker_machine import DockerMachine
    from live.real_time import LiveEnvironment
    from scenarios.story import Story
    from sim.machine import Sample, StepDone

MEMORY_BYTES = 64 << 20
CONTAINERS_COUNTS = (1, 5, 20)
SAMPLED_S = 1.0
UNSAMPLED_S = 1000.0
WINDOW_S = 15.0
# After the last start the engine still has something to do.
SETTLE_S = 3.0
TICK_S = 0.1
# What the labels' lease leaves for starting and stopping.
START_S_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Cost:
    """One case: CPU as shares of one core, lateness of the loop's timers, samples that came."""

    containers_count: int
    sample_interval_s: float
    driver_cores: float
    supervisors_cores: float
    engine_cores: float
    lag_s_p50: float
    lag_s_p99: float
    timers_count: int
    samples_count: int

    @property
    def total_cores(self) -> float:
        """All that the harness takes."""
        return self.driver_cores + self.supervisors_cores + self.engine_cores


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at a moment of the monotonic clock."""

    at_s: float
    driver_s: float
    supervisors_s: float
    engine_s: float


class Counted:
    """An observer that only counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.samples_count = 0

    def step(self, _: StepDone) -> None:
        """Nobody works here."""

    def sample(self, _: Sample) -> None:
        """Count a sample."""
        self.samples_count += 1


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--containers", type=int, nargs="+", default=CONTAINERS_COUNTS)
    parser.add_argument("--window-s", type=float, default=WINDOW_S)
    asked = parser.parse_args()
    costs = []
    for count in asked.containers:
        for interval_s in (UNSAMPLED_S, SAMPLED_S):
            print(f"{count} containers, sampled every {interval_s:.0f} s", file=sys.stderr, flush=True)
            costs.append(measure(count, interval_s, asked.window_s))
    tell(costs)


def measure(containers_count: int, sample_interval_s: float, window_s: float) -> Cost:
    """Start the containers, let them be for the window, and see what that took."""
    observer = Counted()
    with docker_bench(_story(sample_interval_s, window_s), observer) as (env, machine):
        meter = EngineMeter()
        env.run(until=env.process(_start(machine, containers_count)))
        env.process(_tick(env))
        env.run(until=env.now + SETTLE_S)
        env.lag, samples_before_count = LagHistogram(), observer.samples_count
        before = _read(machine, meter)
        env.run(until=env.now + window_s)
        after, lag = _read(machine, meter), env.lag.summary()
    span_s = after.at_s - before.at_s
    return Cost(
        containers_count,
        sample_interval_s,
        (after.driver_s - before.driver_s) / span_s,
        (after.supervisors_s - before.supervisors_s) / span_s,
        (after.engine_s - before.engine_s) / span_s,
        lag.lag_s_p50,
        lag.lag_s_p99,
        lag.timers_count,
        observer.samples_count - samples_before_count,
    )


def tell(costs: Iterable[Cost]) -> None:
    """Print the table, what sampling adds, and all of it as JSON."""
    costs = list(costs)
    print("containers  sampled every  driver  supervisors  engine   total  lag p50   lag p99   samples")
    for cost in costs:
        print(
            f"{cost.containers_count:>10}  {cost.sample_interval_s:>11.0f} s  {cost.driver_cores:>6.2%}  "
            f"{cost.supervisors_cores:>11.2%}  {cost.engine_cores:>6.2%}  {cost.total_cores:>6.2%}  "
            f"{cost.lag_s_p50 * 1e3:>4.2f} ms  {cost.lag_s_p99 * 1e3:>5.2f} ms  {cost.samples_count:>7}"
        )
    added = {
        with_.containers_count: with_.total_cores - without.total_cores
        for with_, without in zip(costs[1::2], costs[0::2], strict=True)
    }
    for count, cores in added.items():
        print(f"sampling {count} containers each second takes {cores:.2%} of one core")
    rows = [asdict(cost) | {"total_cores": cost.total_cores} for cost in costs]
    print(json.dumps({"kind": "harness_cost", "rows": rows, "sampling_cores_by_containers": added}))


def _story(sample_interval_s: float, window_s: float) -> Story:
    story = bench_story(os.cpu_count() or 1, psutil.virtual_memory().total)
    return replace(
        story,
        name="harness-cost",
        purpose="Containers that do nothing, and what looking at them takes.",
        duration_s=window_s + START_S_MAX,
        sample_interval_s=sample_interval_s,
    )


def _start(machine: DockerMachine, count: int) -> Generator[simpy.Event, object, None]:
    for number in range(count):
        container = Container(f"idle-{number}", HOST, None, MEMORY_BYTES, MEMORY_BYTES, 1024, None, 64, 1.0)
        outcome = yield machine.start(container)
        if not isinstance(outcome, Started):
            raise SystemExit(f"a container did not start: {outcome}")


def _tick(env: LiveEnvironment) -> Generator[simpy.Event, object, None]:
    while True:
        yield env.timeout(TICK_S)


def _read(machine: DockerMachine, meter: EngineMeter) -> Reading:
    used_s = [container_cpu_s(container.container_id) for container in machine.containers_up]
    if None in used_s:
        raise SystemExit("the containers' cgroups cannot be read from here")
    return Reading(time.monotonic(), driver_cpu_s(), sum(filter(None, used_s)), meter.cpu_s())


if __name__ == "__main__":
    main()
