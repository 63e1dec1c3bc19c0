"""A worker that is struck, hangs, ends, starts slowly, is asked for its health, or has no room: bare on the host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from live.worker.disk import file_name
from live.worker_probe import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator

    Message = dict[str, Any]

ROOT = Path(__file__).parents[2]
FLAGS = PROBE[1:-1]
PROGRAM = PROBE[-1].replace("from worker.", "from live.worker.")


class Bare:
    """A worker that runs as a plain child process, with an environment of its own."""

    def __init__(self, **environment: str) -> None:
        """Start it; nothing is said yet."""
        self.environment = os.environ | environment
        command = [sys.executable, "-m", "live.worker"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.heard: list[Message] = []

    def send(self, *messages: Message) -> None:
        """Say something to the worker, all of it at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        self.process.stdin.flush()

    def begin(self) -> None:
        """Begin a run that is at zero now, without samples."""
        self.send({"do": "begin", "epoch": time.monotonic(), "interval_s": 1000.0})

    def submit(self, number: int, *work: object, agent: str = "w/0") -> None:
        """Give an agent a program of one step."""
        head = {"do": "submit", "id": number, "agent": agent, "process": "own", "until": 1e9}
        self.send(head | {"steps": [[number, None, 0.0, list(work)]]})

    def hear(self, what: str) -> Message:
        """The next message of a kind; those before it are kept in `heard`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.heard.append(json.loads(line))
            if self.heard[-1]["is"] == what:
                return self.heard[-1]
        raise EOFError(what)

    def clock(self) -> float:
        """The worker's clock when it answered."""
        self.send({"do": "clock", "id": 1})
        return float(self.hear("clock")["mono"])

    def probe(self, timeout_s: float) -> int:
        """Ask for its health as the engine does; returns the exit code."""
        command = [sys.executable, *FLAGS, PROGRAM, str(timeout_s)]
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=False).returncode

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(timeout=10)


@contextmanager
def bare(**environment: str) -> Iterator[Bare]:
    """A worker that is over at the end."""
    worker = Bare(**environment)
    assert worker.process.stdin is not None
    assert worker.process.stdout is not None
    try:
        yield worker
    finally:
        worker.process.stdin.close()
        worker.process.stdout.close()
        worker.process.wait(timeout=15)


@pytest.fixture(name="worker")
def _worker() -> Iterator[Bare]:
    """A worker in a run that has begun."""
    with bare() as worker:
        worker.hear("ready")
        worker.begin()
        yield worker


class TestLives:
    """What a driver may say, and when."""

    def test_clocks_are_compared_before_the_run_begins(self) -> None:
        """A driver that missed the first word can ask at once, begin, and run programs."""
        with bare() as worker:
            before_s = time.monotonic()
            mono_s = worker.clock()
            worker.begin()
            worker.submit(1)

            assert before_s - 1e-5 <= mono_s <= time.monotonic() + 1e-5
            assert worker.hear("finished")["id"] == 1

    def test_a_life_has_one_run(self, worker: Bare) -> None:
        """A second beginning is refused, and the first one's zero stays."""
        worker.send({"do": "begin", "epoch": 0.0, "interval_s": 1.0})
        error = worker.hear("error")
        worker.submit(1)

        assert "cannot begin once one has begun" in error["text"]
        assert worker.hear("finished")["finish"] < 60.0


class TestKill:
    """One agent is killed."""

    def test_its_step_is_lost_and_it_can_be_used_again(self, worker: Bare) -> None:
        """The blow is answered first, then comes what followed from it; the other agent goes on."""
        worker.submit(1, ["sleep", 60.0])
        worker.submit(2, ["sleep", 0.5], agent="w/1")
        worker.send({"do": "kill", "id": 9, "agent": "w/0"})
        worker.hear("killed")
        said = worker.heard[1:]
        worker.submit(3)
        ends = [worker.hear("finished")["id"] for _ in range(2)]

        assert ["struck", "lost", "killed"] == [message["is"] for message in said]
        assert (9, True) == (said[0]["id"], said[0]["ok"])
        assert (1, "w/0", "killed") == (said[1]["id"], said[1]["agent"], said[1]["cause"])
        assert [2, 3] == sorted(ends)

    def test_nobody_is_struck(self, worker: Bare) -> None:
        """An agent that has no process cannot be killed."""
        worker.send({"do": "kill", "id": 9, "agent": "w/0"})

        assert {"is": "struck", "id": 9, "ok": False} == worker.hear("struck")


class TestHang:
    """PID 1 stands still."""

    def test_it_serves_nobody_meanwhile(self, worker: Bare) -> None:
        """A question is answered afterwards, and a program begins then; an agent at work is not disturbed."""
        worker.submit(1, ["sleep", 0.2])
        began_s = time.monotonic()
        worker.send({"do": "hang", "for_s": 1.0})
        worker.submit(2, agent="w/1")
        mono_s = worker.clock()
        first = next(message for message in worker.heard if message["is"] == "finished")
        worker.hear("finished")

        assert mono_s - began_s >= 1.0
        assert (1, True) == (first["id"], first["finish"] < 0.9)

    def test_it_is_deaf_to_sigterm_until_it_goes_on(self, worker: Bare) -> None:
        """The signal is noted, and ends it when the time is over."""
        began_s = time.monotonic()
        worker.send({"do": "hang", "for_s": 1.0})
        time.sleep(0.3)
        os.kill(worker.process.pid, signal.SIGTERM)

        assert worker.exit_code() == 0
        assert time.monotonic() - began_s >= 1.0


class TestExit:
    """PID 1 ends by itself."""

    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_it_ends_with_the_code(self, worker: Bare, code: int) -> None:
        """At once: its agents are killed without a word, and what was said behind it is not heard."""
        worker.submit(1, ["cpu", 60.0, 2])
        worker.send({"do": "exit", "code": code}, {"do": "clock", "id": 2})

        assert code == worker.exit_code()
        with pytest.raises(EOFError):
            worker.hear("any")
        assert ["ready"] == [message["is"] for message in worker.heard]


@pytest.mark.parametrize(
    "order",
    [
        {"do": "exit"},
        {"do": "exit", "code": 256},
        {"do": "exit", "code": -1},
        {"do": "exit", "code": "1"},
        {"do": "hang", "for_s": 0},
        {"do": "hang", "for_s": 1e9},
        {"do": "hang", "for_s": "long"},
        {"do": "hang"},
        {"do": "kill", "id": 1},
        {"do": "kill", "id": "x", "agent": "w/0"},
        {"do": "kill", "id": 1, "agent": ["w/0"]},
        {"do": ["kill"]},
    ],
)
def test_a_blow_nobody_could_deal_is_an_error(worker: Bare, order: Message) -> None:
    """It is answered with an error, and what follows is served."""
    worker.send(order)
    worker.clock()

    assert ["ready", "error", "clock"] == [message["is"] for message in worker.heard]


class TestSlowStart:
    """It sleeps before it is ready."""

    def test_it_is_ready_when_the_delay_is_over(self) -> None:
        """Not before; what was said meanwhile is heard then."""
        began_s = time.monotonic()
        with bare(TONNAGE_START_DELAY_S="0.8") as worker:
            mono_s = worker.clock()

            assert ["ready", "clock"] == [message["is"] for message in worker.heard]
            assert mono_s - began_s >= 0.8

    def test_sigterm_ends_it_meanwhile(self) -> None:
        """With exit code 0, and without ever having said that it was ready."""
        with bare(TONNAGE_START_DELAY_S="60") as worker:
            _wait_until_asleep(worker)
            os.kill(worker.process.pid, signal.SIGTERM)

            assert worker.exit_code() == 0
            with pytest.raises(EOFError):
                worker.hear("ready")


class TestHealth:
    """The engine's probe."""

    def test_a_worker_that_is_well_answers(self) -> None:
        """As often as it is asked, while an agent burns CPU."""
        with bare(TONNAGE_HEALTH=f"well-{os.getpid()}") as worker:
            worker.hear("ready")
            worker.submit(1, ["cpu", 60.0, 1])

            assert [0, 0, 0] == [worker.probe(10.0) for _ in range(3)]

    def test_a_worker_that_hangs_does_not(self) -> None:
        """The probe gives up after its time; later ones are answered again, however many have given up."""
        with bare(TONNAGE_HEALTH=f"hang-{os.getpid()}") as worker:
            worker.hear("ready")
            worker.send({"do": "hang", "for_s": 3.0})
            before = [worker.probe(0.05) for _ in range(3)]
            worker.clock()

            assert [1, 1, 1] == before
            assert worker.probe(10.0) == 0

    def test_without_the_variable_nobody_listens(self, worker: Bare) -> None:
        """A worker that was not asked to answer refuses at once, and has not loaded what it would take."""
        loaded = Path(f"/proc/{worker.process.pid}/maps").read_text(encoding="ascii")

        assert worker.probe(30.0) == 1
        assert "_socket" not in loaded

    def test_a_worker_that_starts_slowly_is_not_well_yet(self) -> None:
        """Nobody listens before it is ready."""
        with bare(TONNAGE_HEALTH=f"slow-{os.getpid()}", TONNAGE_START_DELAY_S="60") as worker:
            _wait_until_asleep(worker)

            assert worker.probe(5.0) == 1
            os.kill(worker.process.pid, signal.SIGTERM)


class TestDisk:
    """Writes."""

    def test_it_writes_and_erases(self, tmp_path: Path) -> None:
        """Each as a working stage: its time is latency, and none of it is asked-for CPU."""
        with bare(TONNAGE_DISK=str(tmp_path)) as worker:
            worker.hear("ready")
            worker.begin()
            worker.submit(1, ["write", 5_000_000], ["write", 7])
            worker.hear("finished")
            sizes = [path.stat().st_size for path in tmp_path.iterdir()]
            worker.submit(2, ["erase"])
            worker.hear("finished")
            (row, _) = (row for message in worker.heard if message["is"] == "steps" for row in message["rows"])

        assert [5_000_007] == sizes
        assert [] == list(tmp_path.iterdir())
        assert row[2] - row[1] == pytest.approx(row[3], abs=5e-6)
        assert (True, 0.0, 0.0) == (row[3] > 0.0, row[4], row[5])

    def test_a_killed_agents_file_goes_on(self, tmp_path: Path) -> None:
        """Its successor appends to it, and can erase it."""
        with bare(TONNAGE_DISK=str(tmp_path)) as worker:
            worker.hear("ready")
            worker.submit(1, ["write", 100])
            worker.hear("finished")
            worker.send({"do": "kill", "id": 2, "agent": "w/0"})
            worker.hear("killed")
            worker.submit(3, ["write", 20])
            worker.hear("finished")

        assert [120] == [path.stat().st_size for path in tmp_path.iterdir()]

    def test_a_full_disk_is_told_and_the_step_goes_on(self, tmp_path: Path) -> None:
        """Once for each write that was refused, at its time, before the step is done."""
        (tmp_path / file_name("w/0")).symlink_to("/dev/full")
        with bare(TONNAGE_DISK=str(tmp_path)) as worker:
            worker.hear("ready")
            worker.begin()
            worker.submit(1, ["sleep", 0.1], ["write", 10], ["write", 10], ["cpu", 0.001, 1])
            worker.hear("finished")
            said = worker.heard[1:]

        assert ["full", "full", "steps", "finished"] == [message["is"] for message in said]
        assert {"w/0"} == {message["agent"] for message in said}
        assert 0.1 <= said[0]["at"] <= said[1]["at"] <= said[3]["finish"]

    def test_without_a_disk_every_write_is_refused(self, worker: Bare) -> None:
        """And its samples say that nothing is on it."""
        worker.submit(1, ["write", 1], ["erase"])
        worker.hear("finished")
        worker.send({"do": "sample", "id": 5})

        assert worker.hear("sample")["disk"] == 0
        assert ["ready", "full", "steps", "finished", "sample"] == [message["is"] for message in worker.heard]

    @pytest.mark.parametrize("work", [["write", "much"], ["write"], ["write", None]])
    def test_a_bad_write_ends_its_program(self, tmp_path: Path, work: list[object]) -> None:
        """With an error that names the program."""
        with bare(TONNAGE_DISK=str(tmp_path)) as worker:
            worker.submit(1, work)

            assert worker.hear("error")["id"] == 1


def _wait_until_asleep(worker: Bare) -> None:
    """Until it has handlers of its own, as a PID 1 has that is past its interpreter's start."""
    bit = 1 << (signal.SIGTERM - 1)
    until_s = time.monotonic() + 15.0
    while not _caught(worker.process.pid) & bit:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def _caught(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("SigCgt")), 16)
