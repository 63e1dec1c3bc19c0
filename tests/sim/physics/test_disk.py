"""A host's disk: a queue of requests, each as long as its bytes take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sim.physics.disk import SimulatedDisk
from tests.sim.physics.bench import MIB, ROUND

if TYPE_CHECKING:
    import simpy

# Seconds per MiB: one to read, two to write back, half a one to give back.
SLOW = dataclasses.replace(
    ROUND, disk_read_s_per_byte=1 / MIB, disk_write_s_per_byte=2 / MIB, disk_free_s_per_byte=0.5 / MIB
)


@pytest.fixture(name="disk")
def _disk(env: simpy.Environment) -> SimulatedDisk:
    """A slow disk at rest."""
    return SimulatedDisk(SLOW, lambda: float(env.now))


def test_a_request_waits_for_those_before_it(disk: SimulatedDisk) -> None:
    """Whatever it asks for: there is one queue, and each kind takes its own time per byte."""
    assert [3.0, 5.0, 6.0, 7.0] == [disk.read(3 * MIB), disk.write(MIB), disk.free(2 * MIB), disk.read(MIB)]


def test_half_a_piece_takes_half_the_time(disk: SimulatedDisk) -> None:
    """Nothing is rounded up."""
    assert [0.5, 0.5 + 1 / 256] == [disk.read(MIB // 2), disk.read(4096)]


def test_a_disk_at_rest_begins_at_once(env: simpy.Environment, disk: SimulatedDisk) -> None:
    """While a request is under way the next one follows it; time at rest is nobody's."""
    first_s = disk.read(4 * MIB)
    env.run(until=1.0)
    second_s = disk.read(MIB)
    env.run(until=20.0)

    assert [4.0, 5.0, 21.0] == [first_s, second_s, disk.read(MIB)]
    assert 20.0 == disk.now


def test_nothing_is_there_at_once(env: simpy.Environment, disk: SimulatedDisk) -> None:
    """A request of no bytes waits for nobody and nobody waits for it."""
    disk.read(4 * MIB)
    env.run(until=1.0)

    assert [1.0, 1.0, 1.0] == [disk.read(0), disk.write(0), disk.free(0)]
    assert 5.0 == disk.read(MIB)


def test_a_disk_that_takes_no_time_answers_at_once(env: simpy.Environment) -> None:
    """Where a constant is zero, its requests do not even queue."""
    free = dataclasses.replace(SLOW, disk_free_s_per_byte=0.0)
    disk = SimulatedDisk(free, lambda: float(env.now))
    disk.read(4 * MIB)

    assert 0.0 == disk.free(100 * MIB)
