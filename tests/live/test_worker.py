"""The worker's protocol, spoken with a worker that runs bare on the host."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Message = dict[str, Any]

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
ANSWER_S_MAX = 15.0


class Bare:
    """A worker that runs as a plain child process, and what it has said."""

    def __init__(self) -> None:
        """Start it, hear that it is ready, and begin a run at zero without samples."""
        command = [sys.executable, "-m", "live.worker"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.heard: list[Message] = []
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.ready = self.hear("ready")
        self.epoch_s = time.monotonic()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))

    @property
    def now_s(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self.epoch_s

    def begin(self, interval_s: float = 1000.0) -> None:
        """Begin a run that is at zero now."""
        self.epoch_s = time.monotonic()
        self.send({"do": "begin", "epoch": self.epoch_s, "interval_s": interval_s})

    def send(self, message: Message | bytes) -> None:
        """Say something to the worker."""
        assert self.process.stdin is not None
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def submit(self, number: int, *steps: object, agent: str = "w/0", **more: object) -> None:
        """Give an agent a program."""
        head = {"do": "submit", "id": number, "agent": agent, "process": "own", "until": 1e9} | more
        self.send(head | {"steps": list(steps)})

    def hear(self, what: str) -> Message:
        """The next message of a kind; those before it are kept in `heard`."""
        until_s = time.monotonic() + ANSWER_S_MAX
        while True:
            message = self._said.get(timeout=max(0.01, until_s - time.monotonic()))
            self.heard.append(message)
            if message["is"] == what:
                return message

    def rows(self) -> list[list[float]]:
        """All finished steps heard of so far."""
        return [row for message in self.heard if message["is"] == "steps" for row in message["rows"]]

    def children(self) -> list[psutil.Process]:
        """The agents' processes."""
        return psutil.Process(self.process.pid).children()

    def close(self) -> int:
        """Close the worker's stdin and wait for its end; returns the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(timeout=10)
        self._reader.join(timeout=10)
        self.process.stdout.close()
        return code


@pytest.fixture(name="worker")
def _worker() -> Iterator[Bare]:
    """A worker in a run that has begun."""
    bare = Bare()
    bare.begin()
    yield bare
    bare.close()


class TestClocks:
    """The first words."""

    def test_it_says_that_it_is_ready(self, worker: Bare) -> None:
        """With its clock, its process id and the version of its cgroup."""
        assert worker.process.pid == worker.ready["pid"]
        assert worker.ready["cgroup"] in {1, 2}
        assert 0.0 <= worker.epoch_s - worker.ready["mono"] < 5.0

    def test_it_tells_its_clock(self, worker: Bare) -> None:
        """The monotonic clock, at a moment between the question and the answer."""
        before_s = time.monotonic()
        worker.send({"do": "clock", "id": 9})
        answer = worker.hear("clock")

        assert answer["id"] == 9
        assert before_s - 1e-5 <= answer["mono"] <= time.monotonic() + 1e-5


class TestPrograms:
    """Steps in time."""

    def test_steps_follow_one_another(self, worker: Bare) -> None:
        """A step without a due time is due its think time after the step before it finished."""
        burn = [["cpu", 0.005, 1]]
        worker.submit(1, [4, 0.2, 0.0, burn], [5, None, 0.05, burn], [6, None, 0.0, burn])
        end = worker.hear("finished")
        first, second, third = worker.rows()

        assert (1, "w/0", 3) == (end["id"], end["agent"], end["count"])
        assert [4, 5, 6] == [first[0], second[0], third[0]]
        assert first[1] == 0.2
        assert second[1] == pytest.approx(first[2] + 0.05, abs=2e-6)
        assert third[1] == pytest.approx(second[2], abs=2e-6)
        assert end["finish"] == third[2]

    def test_latency_leaves_out_the_sleep_that_was_asked_for(self, worker: Bare) -> None:
        """It is due time to finish, less requested sleep, so lateness of waking and waiting for CPU count."""
        worker.submit(1, [0, 0.1, 0.0, [["sleep", 0.2], ["cpu", 0.02, 1], ["sleep", 0.1], ["cpu", 0.01, 1]]])
        worker.hear("finished")
        ((_, due_s, finish_s, latency_s, cpu_s, cpu_wait_s),) = worker.rows()

        assert latency_s == pytest.approx(finish_s - due_s - 0.3, abs=5e-6)
        assert 0.03 <= cpu_s < 0.0305
        assert cpu_wait_s == pytest.approx(latency_s - cpu_s, abs=5e-6)

    def test_one_step_is_one_write(self, worker: Bare) -> None:
        """The report of a program of one step says steps, then finished."""
        worker.submit(1, [0, None, 0.0, []])
        worker.hear("finished")

        assert ["ready", "steps", "finished"] == [message["is"] for message in worker.heard]

    def test_no_step_begins_at_the_end(self, worker: Bare) -> None:
        """A step due at `until` is not begun and not waited for; one that began before it is finished."""
        began_s = worker.now_s
        worker.submit(1, [0, 0.0, 0.0, [["sleep", 0.2]]], [1, 30.0, 0.0, []], until=0.1)
        end = worker.hear("finished")

        assert end["count"] == 1
        assert end["finish"] >= 0.2
        assert worker.now_s - began_s < 10.0

    def test_nothing_to_do_is_done(self, worker: Bare) -> None:
        """An empty program, and one that is over before its first step, have finished with no step."""
        worker.submit(1)
        first = worker.hear("finished")
        worker.submit(2, [0, 5.0, 0.0, []], until=5.0)
        second = worker.hear("finished")

        assert [(1, 0), (2, 0)] == [(end["id"], end["count"]) for end in (first, second)]
        assert worker.rows() == []

    def test_long_programs_report_once_a_second(self, worker: Bare) -> None:
        """Rows come in a few batches while the program runs, in order and each once."""
        worker.submit(1, *([index, None, 0.01, []] for index in range(150)))
        worker.hear("finished")
        batches = [message for message in worker.heard if message["is"] == "steps"]

        assert list(range(150)) == [row[0] for row in worker.rows()]
        assert 2 <= len(batches) <= 6

    def test_a_megabyte_is_a_program_like_any_other(self, worker: Bare) -> None:
        """It comes in many pieces and goes on in many; no step is lost."""
        count = 20_000
        worker.submit(1, *([index, None, 0.0, [["sleep", 0.0], ["cpu", 0.0, 1]]] for index in range(count)))
        end = worker.hear("finished")

        assert end["count"] == count
        assert list(range(count)) == [row[0] for row in worker.rows()]

    def test_agents_run_side_by_side(self, worker: Bare) -> None:
        """Each agent has a process of its own and does not wait for the others."""
        for number in range(4):
            worker.submit(number, [0, 0.3, 0.0, [["sleep", 0.3]]], agent=f"w/{number}")
        ends = [worker.hear("finished") for _ in range(4)]

        assert {0, 1, 2, 3} == {end["id"] for end in ends}
        assert all(0.6 <= end["finish"] < 0.85 for end in ends)
        assert len(worker.children()) == 4

    def test_threads_share_the_work(self, worker: Bare) -> None:
        """Three threads are the agent and two processes of its crew, and burn the demand together."""
        worker.submit(1, [0, None, 0.0, [["cpu", 0.06, 3]]])
        worker.hear("finished")
        (row,) = worker.rows()
        (agent,) = worker.children()

        assert 0.06 <= row[4] < 0.0605
        assert len(agent.children()) == 2


class TestMemory:
    """Held memory."""

    def test_it_is_held_until_released(self, worker: Bare) -> None:
        """Over programs, until a release; what leaks stays."""
        worker.submit(1, [0, None, 0.0, []])
        worker.hear("finished")
        (agent,) = worker.children()
        held = [agent.memory_info().rss]
        for number, work in enumerate((["hold", 20 * MIB, False], ["hold", 10 * MIB, True], ["release"]), start=2):
            worker.submit(number, [0, None, 0.0, [work]])
            worker.hear("finished")
            held.append(agent.memory_info().rss)
        base = held[0]

        assert [20 * MIB, 30 * MIB, 10 * MIB] == pytest.approx([size - base for size in held[1:]], abs=MIB)

    def test_a_main_agents_memory_is_the_supervisors(self, worker: Bare) -> None:
        """It is touched by the supervisor, held until a release, and not in the agent's process."""
        supervisor = psutil.Process(worker.process.pid)
        base = supervisor.memory_info().rss
        worker.submit(1, [0, None, 0.0, [["hold", 30 * MIB, False], ["hold", 10 * MIB, True]]], process="main")
        worker.hear("finished")
        (agent,) = worker.children()
        held = supervisor.memory_info().rss - base
        worker.submit(2, [1, None, 0.0, [["release"]]], process="main")
        worker.hear("finished")

        assert held == pytest.approx(40 * MIB, abs=2 * MIB)
        assert agent.memory_info().rss < 20 * MIB
        assert supervisor.memory_info().rss - base == pytest.approx(10 * MIB, abs=2 * MIB)

    def test_agents_are_likelier_to_be_killed_than_the_supervisor(self, worker: Bare) -> None:
        """Their OOM score is raised, but not where the supervisor holds memory for main agents."""
        worker.submit(1, [0, None, 0.0, []])
        worker.hear("finished")
        scores = [_oom_scores(worker)]
        worker.submit(2, [0, None, 0.0, []], agent="w/1", process="main")
        worker.hear("finished")
        scores.append(_oom_scores(worker))

        assert [[500], [0, 0]] == scores


class TestDeath:
    """An agent's process is killed."""

    def test_finished_steps_are_told_and_the_one_under_way_is_lost(self, worker: Bare) -> None:
        """Steps that were finished but not yet reported come first, then the loss, then the death."""
        worker.submit(7, *([index, None, 0.0, [["cpu", 0.001, 1]]] for index in range(3)), [3, None, 60.0, []])
        _wait_until(lambda: len(worker.children()) == 1)
        time.sleep(0.3)
        worker.children()[0].kill()
        worker.hear("killed")
        steps, lost, killed = worker.heard[1:]

        assert [0, 1, 2] == [row[0] for row in steps["rows"]]
        assert ("lost", 7, "w/0", 3, "killed") == (*(lost[key] for key in ("is", "id", "agent", "step", "cause")),)
        assert ("killed", "w/0", "killed") == (killed["is"], killed["agent"], killed["cause"])
        assert 0.3 <= lost["at"] <= worker.now_s

    def test_a_program_that_was_not_begun_is_lost_at_its_first_step(self, worker: Bare) -> None:
        """A stopped process has not read it."""
        worker.submit(1, [0, None, 0.0, []])
        worker.hear("finished")
        (agent,) = worker.children()
        agent.suspend()
        worker.submit(2, [12, None, 0.0, []], [13, None, 0.0, []])
        time.sleep(0.1)
        agent.kill()

        assert worker.hear("lost")["step"] == 12

    def test_an_idle_agent_loses_nothing(self, worker: Bare) -> None:
        """Its death is told, and the next program finds a new process."""
        worker.submit(1, [0, None, 0.0, []])
        worker.hear("finished")
        (first,) = worker.children()
        first.kill()
        worker.hear("killed")
        worker.submit(2, [1, None, 0.0, []])
        worker.hear("finished")
        (second,) = worker.children()

        assert "lost" not in {message["is"] for message in worker.heard}
        assert first.pid != second.pid

    def test_an_agent_dies_with_a_thread_of_it(self, worker: Bare) -> None:
        """And its other threads die with it, in the middle of their work."""
        worker.submit(1, [0, None, 0.0, [["cpu", 60.0, 3]]])
        _wait_until(lambda: len(_grandchildren(worker)) == 2)
        _grandchildren(worker)[0].kill()
        worker.hear("killed")

        _wait_until(lambda: not psutil.Process(worker.process.pid).children(recursive=True))

    def test_an_agent_that_fails_says_why(self, worker: Bare) -> None:
        """More memory than the kernel will ever promise ends the process, not the worker."""
        worker.submit(1, [0, None, 0.0, [["hold", 2**60, False]]])
        lost = worker.hear("lost")

        assert lost["cause"] == "killed"
        assert "ended by itself with exit code 1" in worker.heard[1]["text"]


class TestMistakes:
    """A driver that gets it wrong."""

    @pytest.mark.parametrize(
        "line",
        [
            b"{",
            b"\xff",
            b"[]",
            b'{"do":"dance"}',
            b'{"do":"clock"}',
            b'{"do":"clock","id":"one"}',
            b'{"do":"begin","epoch":0,"interval_s":0}',
            b'{"do":"begin","epoch":0}',
            b'{"do":"submit","id":1}',
            b'{"do":"submit","steps":[]}',
            b'"' + b"x" * (4 * MIB) + b'"',
        ],
    )
    def test_a_bad_line_is_an_error_and_no_more(self, worker: Bare, line: bytes) -> None:
        """It is answered with an error, and what follows is served."""
        worker.send(line)
        worker.send({"do": "clock", "id": 2})
        worker.hear("clock")

        assert ["ready", "error", "clock"] == [message["is"] for message in worker.heard]

    @pytest.mark.parametrize(
        "step", [[0, None, 0.0, [["jump"]]], [0, None], [0, "soon", 0.0, []], [0, None, 0.0, [["cpu", "x", 1]]], "step"]
    )
    def test_a_bad_step_ends_its_program(self, worker: Bare, step: object) -> None:
        """Steps before it count as done, the error names the program, and the agent takes the next one."""
        worker.submit(1, [7, None, 0.0, []], step)
        error = worker.hear("error")
        worker.submit(2, [8, None, 0.0, []])
        worker.hear("finished")

        assert error["id"] == 1
        assert [7, 8] == [row[0] for row in worker.rows()]

    def test_an_agent_has_one_program_at_a_time(self, worker: Bare) -> None:
        """A second one is refused by its number, and the first goes on."""
        worker.submit(1, [0, 0.5, 0.0, []])
        worker.submit(2, [0, None, 0.0, []])
        error = worker.hear("error")

        assert (2, 1) == (error["id"], worker.hear("finished")["id"])

    def test_a_run_begins_before_its_agents(self) -> None:
        """An agent that is there already would keep the zero it was forked with."""
        unbegun = Bare()
        unbegun.submit(1, [0, None, 0.0, []])
        unbegun.hear("finished")
        unbegun.begin()
        error = unbegun.hear("error")
        unbegun.close()

        assert "cannot begin" in error["text"]


class TestSamples:
    """The container's counters; here those of whatever cgroup the test runs in."""

    def test_they_come_on_the_grid(self) -> None:
        """At each multiple of the interval, a little late, never early; none is left out."""
        worker = Bare()
        worker.begin(interval_s=0.2)
        ats = [worker.hear("sample")["at"] for _ in range(5)]
        worker.close()
        first = round(ats[0] / 0.2)

        assert [first + count for count in range(5)] == [int(at / 0.2) for at in ats]

    def test_one_can_be_asked_for(self, worker: Bare) -> None:
        """It carries the number of the question and counters that only rise."""
        worker.send({"do": "sample", "id": 31})
        first = worker.hear("sample")
        worker.submit(1, [0, None, 0.0, [["cpu", 0.05, 1]]])
        worker.hear("finished")
        worker.send({"do": "sample", "id": 32})
        second = worker.hear("sample")

        assert (31, 32) == (first["id"], second["id"])
        assert second["cpu_s"] >= first["cpu_s"]
        assert second["memory_peak"] >= second["memory_raw"] >= second["memory"]

    def test_a_driver_that_does_not_read_loses_samples_only(self) -> None:
        """The outcome is there when it reads again, and the samples dropped are counted."""
        command = [sys.executable, "-m", "live.worker"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        begin = {"do": "begin", "epoch": time.monotonic(), "interval_s": 0.0005}
        submit = {"do": "submit", "id": 1, "agent": "w", "process": "own", "until": 1e9}
        step = [0, 1.0, 0.0, []]
        for message in (begin, submit | {"steps": [step]}):
            process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
        time.sleep(2.0)
        heard: list[Message] = []
        while not any(message.get("dropped") for message in heard):
            heard.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        heard += map(json.loads, process.stdout)
        process.stdout.close()

        assert process.wait(timeout=10) == 0
        assert "finished" in {message["is"] for message in heard}


class TestEnds:
    """How it all ends."""

    @pytest.mark.parametrize("way", ["stdin closed", "SIGTERM"])
    def test_its_agents_end_with_it(self, worker: Bare, way: str) -> None:
        """When the driver goes, or `docker stop` comes, burning agents and their threads die; the exit code is 0."""
        worker.submit(1, [0, None, 0.0, [["cpu", 60.0, 2]]])
        _wait_until(lambda: len(_grandchildren(worker)) == 1)
        everyone = psutil.Process(worker.process.pid).children(recursive=True)
        if way == "SIGTERM":
            os.kill(worker.process.pid, signal.SIGTERM)
            assert worker.process.wait(timeout=10) == 0
        else:
            assert worker.close() == 0

        _wait_until(lambda: not any(_burns(process) for process in everyone))


def _grandchildren(worker: Bare) -> list[psutil.Process]:
    return [member for agent in worker.children() for member in agent.children()]


def _burns(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _oom_scores(worker: Bare) -> list[int]:
    return [int(Path(f"/proc/{agent.pid}/oom_score_adj").read_text(encoding="ascii")) for agent in worker.children()]


def _wait_until(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + ANSWER_S_MAX
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)
