"""Load on a host that is not the story's: the harness, the engine, whatever else runs there.

It is modelled as one container without limits whose single thread wakes at random times for a short burst of CPU, so
that it takes the given number of cores on average.
Known to be wrong: real load comes in longer pieces and on particular cores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sim.physics.cpu import Cpu, GroupLimits, Task
from sim.physics.run_queue import DEFAULT_SHARES

if TYPE_CHECKING:
    import simpy

    from sim.randomness import Stream

_NAME = "(other load)"
# The length of one burst: what a driver woken by a message or an engine answering a call takes,
# as an order of magnitude.
_BURST_S = 0.001
_CORES_MAX = 0.95


class OtherLoad:
    """A stream of bursts on one host's cores."""

    def __init__(self, env: simpy.Environment, cpu: Cpu, cores: float, stream: Stream) -> None:
        """Burn `cores` cores on average, from now to the end of the run, in threads of at most one core each."""
        cpu.add_group(_NAME, GroupLimits(None, DEFAULT_SHARES, None))
        threads_count = math.ceil(cores / _CORES_MAX)
        for thread in range(threads_count):
            env.process(self._bursts(env, cpu, cores / threads_count, stream, thread))

    def _bursts(
        self, env: simpy.Environment, cpu: Cpu, cores: float, stream: Stream, thread: int
    ) -> simpy.events.ProcessGenerator:
        task = Task(_NAME)
        gap_s_mean = _BURST_S / cores - _BURST_S
        index = thread << 40
        while True:
            yield env.timeout(-gap_s_mean * math.log(stream.uniform(index)))
            burnt = env.event()
            cpu.run(task, _BURST_S, burnt.succeed)
            yield burnt
            index += 1
