"""Any verbs in any order: each question is answered, and what was started can be stopped until nothing is left."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest

from scenarios import story as told
from sim.machine import Blow, Compute, Erase, Hold, Read, Release, Sleep, Write
from sim.physics.host_profile import load_profile
from tests.sim.physics.bench import (
    ALWAYS,
    HOST,
    MIB,
    NO,
    ON_FAILURE,
    UNLESS_STOPPED,
    Heard,
    container,
    machine_of,
    program,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import simpy

    from sim.machine import Program, Work
    from sim.physics.simulated_machine import SimulatedMachine

OTHER = dataclasses.replace(HOST, name="other")
HOST_OF = {"a": "h", "b": "h", "c": "other", "d": "other"}
# The container whose agents write to a volume, where the others may have a tmpfs.
WITH_VOLUME = "b"
AGENTS = ("w/0", "w/1", "w/2")
POLICIES = (NO, ALWAYS, UNLESS_STOPPED, ON_FAILURE, told.RestartPolicy("on-failure", 2))
BLOWS: tuple[Blow, ...] = ("stop", "crash", "loss")
VERBS_COUNT = 150
GAP_S_MEAN = 0.15
# Longer than any grace, hang, start delay and back-off below together, at the smallest quota.
QUIET_S = 400.0
RUDE = told.RudeNotices(told.Law("exponential", (0.5,)), 0.3, 0.3, 0.3, 0.1)


class Chance:
    """Verbs, containers and work drawn by a seed."""

    def __init__(self, seed: int, machine: SimulatedMachine) -> None:
        """Draw for this machine."""
        self._random = random.Random(seed)
        self._machine = machine
        # The one program at a time that an agent may have, as the port's users keep it.
        self._programs: dict[tuple[str, str], simpy.Event] = {}

    def gap_s(self) -> float:
        """The time to the next verb."""
        return self._random.expovariate(1 / GAP_S_MEAN)

    def ask(self) -> simpy.Event | None:
        """Use one verb on one name; None where that agent still has a program."""
        draw, machine = self._random, self._machine
        name, host = draw.choice(list(HOST_OF)), draw.choice(["h", "other"])
        blow = draw.choice(BLOWS)
        verbs: dict[Callable[[], simpy.Event | None], int] = {
            lambda: machine.start(self._container(name)): 25,
            lambda: self._submit(name, draw.choice(AGENTS)): 30,
            lambda: machine.sample(name): 10,
            lambda: machine.crash(name, draw.choice([0, 1, 137])): 6,
            lambda: machine.hang(name, draw.uniform(0, 4)): 5,
            lambda: machine.kill_agent(name, draw.choice(AGENTS)): 5,
            lambda: self._limit(name): 5,
            lambda: machine.stop(name): 5,
            lambda: machine.kill(name): 5,
            lambda: machine.strike_host(host, blow, draw.uniform(0, 4)): 4,
        }
        (verb,) = draw.choices(list(verbs), list(verbs.values()))
        return verb()

    def _limit(self, name: str) -> simpy.Event:
        cpus, memory_mib = self._random.choice([None, 0.1, 2.0]), self._random.choice([3, 9, 100])
        return self._machine.limit(name, cpus_limit=cpus, memory_bytes_limit=memory_mib * MIB)

    def _submit(self, name: str, agent: str) -> simpy.Event | None:
        before = self._programs.get((name, agent))
        if before is not None and not before.triggered:
            return None
        answer = self._programs[name, agent] = self._machine.submit(name, self._program(agent))
        return answer

    def _container(self, name: str) -> told.Container:
        draw = self._random
        has_volume = name == WITH_VOLUME
        return container(
            name,
            host=HOST_OF[name],
            restart=draw.choice(POLICIES),
            cpus_limit=draw.choice([None, 0.05, 0.5]),
            memory_bytes_limit=draw.choice([None, 20 * MIB, 64 * MIB]),
            stop_grace_s=draw.choice([0.0, 1.5, 10.0]),
            health=draw.choice([None, told.HealthCheck(1.0, 0.3, 2, 3.0)]),
            tmpfs=draw.choice([(), *((told.Tmpfs("/s", size),) for size in (8 * MIB, None) if not has_volume)]),
            volume=told.Volume("files", "/v") if has_volume else None,
            start_delay_s=draw.choice([0.0, 0.0, 2.0]),
            foreign=draw.choice([None, None, None, told.Foreign("nginx")]),
        )

    def _program(self, agent: str) -> Program:
        work = [self._work() for _ in range(self._random.randrange(6))]
        return program(*work, agent=agent, process=self._random.choice(["own", "own", "main"]))

    def _work(self) -> Work:
        draw = self._random
        kinds: list[Work] = [
            Sleep(draw.random()),
            Compute(0.3 * draw.random(), draw.choice([1, 2])),
            Hold(draw.randrange(30 * MIB), draw.random() < 0.3),
            Release(),
            Write(draw.randrange(12 * MIB)),
            Read(draw.randrange(24 * MIB)),
            Erase(),
        ]
        return draw.choice(kinds)


def asking(env: simpy.Environment, chance: Chance, asked: list[simpy.Event]) -> Generator[simpy.Event, None, None]:
    """Ask one thing after another."""
    for _ in range(VERBS_COUNT):
        yield env.timeout(chance.gap_s())
        answer = chance.ask()
        if answer is not None:
            asked.append(answer)


@pytest.mark.parametrize("seed", range(20))
def test_every_question_is_answered_and_nothing_is_left(env: simpy.Environment, seed: int) -> None:
    """However blows, limits, kills and programs fall together: no answer stays owed, no container, start or CPU group.

    What memory holds is never less than what lies on a tmpfs, and no more than what is charged.
    """
    heard = Heard()
    faults = (RUDE,) if seed % 2 else ()
    machine = machine_of(env, heard=heard, profile=load_profile(None), hosts=(HOST, OTHER), faults=faults)
    asked: list[simpy.Event] = []
    env.run(until=env.process(asking(env, Chance(seed, machine), asked)))
    env.run(until=env.now + QUIET_S)
    assert [] == [event for event in asked if not event.triggered]

    for name in HOST_OF:
        env.run(until=machine.stop(name))
    assert ({}, set()) == (machine._names.containers, machine._names.starting)
    for name, host in HOST_OF.items():
        with pytest.raises(KeyError):
            machine._engines[host].around.cpu.counters(name)
    assert all(0 <= sample.memory_bytes <= sample.memory_raw_bytes for sample in heard.samples)
    on_tmpfs = [sample for sample in heard.samples if sample.container != WITH_VOLUME]
    assert all(0 <= sample.disk_bytes <= sample.memory_bytes for sample in on_tmpfs)
