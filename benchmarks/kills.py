"""Kills runs with SIGKILL at random moments, in either world, and looks at what is left.

    python benchmarks/kills.py [--count 30] [--seed 1] [--world sim] [--world docker]

After each kill the record must be readable if it was begun. On the engine, `tonnage doctor --fix` must leave nothing
of the run and touch nothing of anybody else: containers, a network and a volume that look like Tonnage's lie there
meanwhile. The story (`kills.yaml`) has networks, a volume, restart policies and a program that outlives its driver.
Prints a table and one JSON object; exits with 1 if anything is wrong. Takes about 9 s a kill and has the engine alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from live.engine import connect
from live.image import worker_image
from live.labels import PREFIX, RUN
from live.leftovers import labelled
from sim.record import read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

TONNAGE = (sys.executable, str(Path(__file__).parents[1] / "tonnage.py"))
STORY = str(Path(__file__).with_suffix(".yaml"))
# Long enough that a good part of the wall time is the run itself, and not the start of an interpreter.
DURATIONS = {"sim": "1200s", "docker": "3s"}
COMMAND_S_MAX = 120.0
# Moments are drawn beyond the end of an undisturbed run, so that its last steps are met too.
BEYOND_RATIO = 1.05
# What the engine was asked for at the moment of the kill may take it this long.
SETTLE_S = 0.5
LOOKALIKE = "tonnage-lookalike"
OUTCOMES = ("not begun", "cut off", "ended", "unreadable")


@dataclass
class Tally:
    """What all kills of one world came to."""

    world: str
    run_s: float
    kills_count: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    removed_count: int = 0
    leftovers_count: int = 0
    foreign_touched_count: int = 0
    doctor_failures_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether nothing went wrong, and something was there to go wrong."""
        wrong_count = self.leftovers_count + self.foreign_touched_count + self.doctor_failures_count
        was_there = self.outcomes["cut off"] > 0 and (self.world == "sim" or self.removed_count > 0)
        return was_there and wrong_count == 0 and not self.outcomes["unreadable"]


class Lookalikes:
    """Objects on the engine that are not Tonnage's but look like it, as they were when they were made."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Make them."""
        self._client = client
        self._name = f"{LOOKALIKE}-{secrets.token_hex(4)}"
        self._undo = contextlib.ExitStack()
        image = worker_image(client)
        with contextlib.ExitStack() as unless_made:
            unless_made.enter_context(self._undo)
            network = client.networks.create(self._name)
            self._undo.callback(network.remove)
            volume = client.volumes.create(self._name)
            self._undo.callback(volume.remove)
            plain = self._container(image, self._name, {})
            partial = self._container(image, f"{self._name}-partial", {RUN: self._name, f"{PREFIX}pid": "1"})
            unless_made.pop_all()
        self._looks: dict[str, Callable[[], object]] = {
            "container without labels": lambda: _container_looks(client, plain),
            "container with some labels": lambda: _container_looks(client, partial),
            "network": lambda: client.api.inspect_network(str(network.id)),
            "volume": lambda: client.api.inspect_volume(self._name),
        }
        self._before = {what: look() for what, look in self._looks.items()}

    @property
    def run(self) -> str:
        """The run that the incomplete labels name."""
        return self._name

    def touched(self) -> list[str]:
        """What of them is not as it was."""
        return [what for what, look in self._looks.items() if _seen(look) != self._before[what]]

    def remove(self) -> None:
        """Remove them."""
        self._undo.close()

    def _container(self, image: str, name: str, labels: dict[str, str]) -> str:
        made = self._client.containers.create(image, name=name, labels=labels, stdin_open=True, network_mode="none")
        self._undo.callback(made.remove, force=True, v=True)
        made.start()
        return str(made.id)


def main() -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=30, help="kills in each world")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--world", action="append", choices=tuple(DURATIONS), help="only this one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tonnage-kills-") as home:
        os.environ["TONNAGE_HOME"] = home
        tallies = [
            _kills(world, asked.count, random.Random(f"{asked.seed} {world}"), Path(home))
            for world in asked.world or DURATIONS
        ]
    _tell(tallies, asked.seed)
    return 0 if all(tally.fine for tally in tallies) else 1


def _kills(world: str, count: int, draws: random.Random, home: Path) -> Tally:
    tally = Tally(world, _undisturbed_s(world, home))
    with _engine(world) as engine:
        for number in range(count):
            record = home / f"{world}-{number}"
            # One in each of equal parts of the run, so that a few kills meet all of it.
            moment_s = (number + draws.random()) / count * tally.run_s * BEYOND_RATIO
            _kill(world, record, moment_s)
            tally.kills_count += 1
            outcome = _outcome(record)
            tally.outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("unreadable"):
                tally.problems.append(f"kill {number} at {moment_s:.3f} s: {outcome}")
            if engine is not None:
                _look_at_engine(tally, number, *engine)
            _progress(f"{world}: kill {number + 1} of {count} at {moment_s:.2f} s, record {outcome}")
    return tally


def _undisturbed_s(world: str, home: Path) -> float:
    """How long a run takes that nobody kills; the second, because the first may build the worker image."""
    for number in (1, 2):
        begun_s = time.monotonic()
        done = subprocess.run(
            _command(world, home / f"{world}-whole-{number}"),
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        if done.returncode not in {0, 1}:
            raise SystemExit(f"a run nobody kills ends with {done.returncode}: {done.stderr.strip()[-300:]}")
    return time.monotonic() - begun_s


def _command(world: str, record: Path) -> list[str]:
    options = ["--on", world, "--allow", "images,mounts", "--record", str(record)]
    sets = {"duration": DURATIONS[world]} | ({"containers.own.image": _image()} if world == "docker" else {})
    return [*TONNAGE, "run", STORY, *options, *(word for pair in sets.items() for word in ("--set", "=".join(pair)))]


@cache
def _image() -> str:
    """An image that is there without pulling one."""
    with contextlib.closing(connect()) as client:
        return worker_image(client)


def _kill(world: str, record: Path, moment_s: float) -> None:
    process = subprocess.Popen(
        _command(world, record), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment_s)
    process.kill()
    process.wait()


def _outcome(record: Path) -> str:
    """Which of `OUTCOMES` it is, with the reason after a colon where it cannot be read."""
    if not (record / "scenario.json").exists():
        return "not begun"
    try:
        found = read_record(record)
        tables = (found.samples, found.steps, found.events, found.gauges)
        rows = [len(next(iter(table.values()))) for table in tables]
    except Exception as problem:  # noqa: BLE001  # Whatever is raised, the record cannot be read.
        return f"unreadable: {type(problem).__name__}: {problem}"
    return f"{'ended' if found.ended else 'cut off'}: {sum(rows)} rows"


@contextlib.contextmanager
def _engine(world: str) -> Iterator[tuple[docker.DockerClient, Lookalikes] | None]:
    if world != "docker":
        yield None
        return
    with contextlib.closing(connect()) as client:
        lookalikes = Lookalikes(client)
        try:
            yield client, lookalikes
        finally:
            lookalikes.remove()


def _look_at_engine(tally: Tally, number: int, client: docker.DockerClient, lookalikes: Lookalikes) -> None:
    doctor = subprocess.run(
        [*TONNAGE, "doctor", "--fix", "--json"], capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False
    )
    if doctor.returncode == 0:
        done = json.loads(doctor.stdout)["done"]
        tally.removed_count += sum(line.startswith("removed") for line in done)
    else:
        tally.doctor_failures_count += 1
        tally.problems.append(f"after kill {number} the doctor ends with {doctor.returncode}: {doctor.stderr.strip()}")
    time.sleep(SETTLE_S)
    left = [f"{thing.kind} {thing.name}" for thing in labelled(client) if thing.run != lookalikes.run]
    tally.leftovers_count += len(left)
    tally.problems += [f"after kill {number} and the doctor there is {thing}" for thing in left]
    touched = lookalikes.touched()
    tally.foreign_touched_count += len(touched)
    tally.problems += [f"after kill {number} this is not as it was: {thing}" for thing in touched]


def _container_looks(client: docker.DockerClient, container_id: str) -> object:
    found = client.api.inspect_container(container_id)
    return {key: found[key] for key in ("Id", "Name", "State", "RestartCount", "Config", "HostConfig")}


def _seen(look: Callable[[], object]) -> object:
    try:
        return look()
    except Exception as problem:  # noqa: BLE001  # What cannot be looked at is not as it was.
        return problem


def _tell(tallies: list[Tally], seed: int) -> None:
    heads = ("world", "run s", "kills", *OUTCOMES, "removed", "leftovers", "foreign touched", "doctor failed")
    rows = [
        (
            tally.world,
            f"{tally.run_s:.2f}",
            tally.kills_count,
            *(tally.outcomes[outcome] for outcome in OUTCOMES),
            tally.removed_count,
            tally.leftovers_count,
            tally.foreign_touched_count,
            tally.doctor_failures_count,
        )
        for tally in tallies
    ]
    for row in (heads, *rows):
        print("  ".join(f"{cell!s:>{len(head)}}" for cell, head in zip(row, heads, strict=True)))
    for tally in tallies:
        print(
            *(f"{tally.world}: {problem}" for problem in tally.problems), sep="\n", end="\n" if tally.problems else ""
        )
    worlds = [asdict(tally) | {"fine": tally.fine} for tally in tallies]
    print(json.dumps({"kind": "kills", "scenario": STORY, "seed": seed, "worlds": worlds}))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
