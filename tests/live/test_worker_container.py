"""The worker in a real container: quotas, limits, OOM kills and ends."""

from __future__ import annotations

import os
import queue
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from live.attachment import Attachment, attach
from live.image import worker_image
from live.worker_probe import PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

    Message = dict[str, Any]

pytestmark = [pytest.mark.docker, pytest.mark.timeout(90)]

MIB = 1024 * 1024
ANSWER_S_MAX = 20.0
HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "network_mode": "none",
    "pids_limit": 64,
    "log_config": {"type": "none", "config": {}},
}


class Contained:
    """A worker in a container, and what it has said."""

    def __init__(self, client: docker.DockerClient, container_id: str) -> None:
        """Attach, start it, and begin a run once it is ready."""
        self.client = client
        self.container_id = container_id
        self.heard: list[Message] = []
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.attachment = self._attach()
        client.api.start(container_id)
        self.ready = self.hear("ready")
        self.epoch_s = 0.0

    def _attach(self) -> Attachment:
        return Attachment(
            attach(self.client, self.container_id), "worker", self._said.put, lambda: self._said.put({"is": "end"})
        )

    def attach_again(self) -> None:
        """Attach to the life that the engine has started since."""
        self.attachment.close()
        self.attachment = self._attach()

    def begin(self, interval_s: float = 1000.0) -> None:
        """Begin a run that is at zero now."""
        self.epoch_s = time.monotonic()
        self.attachment.send({"do": "begin", "epoch": self.epoch_s, "interval_s": interval_s})

    def submit(self, number: int, *steps: object, agent: str = "w/0", process: str = "own") -> None:
        """Give an agent a program."""
        head = {"do": "submit", "id": number, "agent": agent, "process": process, "until": 1e9}
        self.attachment.send(head | {"steps": list(steps)})

    def run(self, number: int, *work: object, agent: str = "w/0", process: str = "own") -> list[float]:
        """Run one step at once; returns its row."""
        self.submit(number, [number, None, 0.0, list(work)], agent=agent, process=process)
        self.hear("finished")
        return self.rows()[-1]

    def rows(self) -> list[list[float]]:
        """All finished steps heard of so far."""
        return [row for message in self.heard if message["is"] == "steps" for row in message["rows"]]

    def sample(self) -> Message:
        """Ask for the counters."""
        self.attachment.send({"do": "sample", "id": 1})
        return self.hear("sample")

    def hear(self, what: str) -> Message:
        """The next message of a kind; those before it are kept in `heard`."""
        until_s = time.monotonic() + ANSWER_S_MAX
        while True:
            message = self._said.get(timeout=max(0.01, until_s - time.monotonic()))
            self.heard.append(message)
            if message["is"] == what:
                return message

    def exit_code(self) -> int:
        """Wait for the container's end."""
        return int(self.client.api.wait(self.container_id, timeout=20)["StatusCode"])

    def state(self) -> dict[str, Any]:
        """What the engine says of it."""
        state: dict[str, Any] = self.client.api.inspect_container(self.container_id)["State"]
        return state


@contextmanager
def contained(
    client: docker.DockerClient,
    limits: dict[str, Any] | None = None,
    *,
    interval_s: float = 1000.0,
    environment: dict[str, str] | None = None,
    healthcheck: dict[str, Any] | None = None,
) -> Iterator[Contained]:
    """A worker in a hardened container, removed afterwards."""
    made = client.api.create_container(
        worker_image(client),
        stdin_open=True,
        environment=environment,
        healthcheck=healthcheck,
        labels={"io.tonnage.run": "test", "io.tonnage.pid": str(os.getpid())},
        host_config=client.api.create_host_config(**(HARDENED | (limits or {}))),
    )["Id"]
    worker = None
    try:
        worker = Contained(client, made)
        worker.begin(interval_s)
        yield worker
    finally:
        if worker is not None:
            worker.attachment.close()
        client.api.remove_container(made, force=True)


def memory_limit(size_bytes: int) -> dict[str, int]:
    """A limit without swap."""
    return {"mem_limit": size_bytes, "memswap_limit": size_bytes}


def scratch(size_bytes: int) -> dict[str, Any]:
    """A tmpfs of this size."""
    return {"tmpfs": {"/scratch": f"size={size_bytes},mode=1777"}}


def test_it_is_nobody_and_process_one(docker_engine: docker.DockerClient) -> None:
    """PID 1 in its container runs as user 65534 and takes a few megabytes."""
    with contained(docker_engine) as worker:
        host_pid = worker.state()["Pid"]
        sample = worker.sample()

        assert worker.ready["pid"] == 1
        assert Path(f"/proc/{host_pid}").stat().st_uid == 65534
        assert MIB < sample["memory"] < 16 * MIB


def test_a_quota_is_not_a_rate(docker_engine: docker.DockerClient) -> None:
    """100 ms of CPU at 0.2 CPU take four idle periods and a bit: about 420 ms, neither 100 nor 500."""
    with contained(docker_engine, {"cpu_period": 100_000, "cpu_quota": 20_000}) as worker:
        time.sleep(0.5)
        before = worker.sample()
        rows = []
        for number in range(4):
            rows.append(worker.run(number, ["cpu", 0.1, 1]))
            # The periods in which nothing is used let the next step begin with a full quota.
            time.sleep(0.35)
        after = worker.sample()
        latencies_s = [row[3] for row in rows]

        assert 0.3 < min(latencies_s) < 0.48
        assert all(0.1 <= row[4] < 0.101 for row in rows)
        assert all(row[5] == pytest.approx(row[3] - row[4], abs=5e-6) for row in rows)
        assert after["throttled_periods"] - before["throttled_periods"] >= 4 * 3
        assert after["throttled_s"] - before["throttled_s"] > 0.3
        assert after["cpu_s"] - before["cpu_s"] == pytest.approx(0.4, abs=0.05)


def test_memory_held_is_memory_counted(docker_engine: docker.DockerClient) -> None:
    """The container's usage follows what its agents hold; its peak stays."""
    with contained(docker_engine, memory_limit(256 * MIB)) as worker:
        worker.run(1)
        seen = [worker.sample()]
        for number, work in enumerate((["hold", 50 * MIB, False], ["hold", 20 * MIB, True], ["release"]), start=2):
            worker.run(number, work)
            seen.append(worker.sample())
        used = [sample["memory"] - seen[0]["memory"] for sample in seen[1:]]

        assert [50 * MIB, 70 * MIB, 20 * MIB] == pytest.approx(used, abs=2 * MIB)
        assert seen[-1]["memory_peak"] >= 70 * MIB
        assert all(sample["memory"] <= sample["memory_raw"] <= sample["memory_peak"] for sample in seen)


def test_an_oom_kill_takes_one_agent(docker_engine: docker.DockerClient) -> None:
    """The largest agent dies of it and its step is lost; the supervisor, the others and its successor go on."""
    with contained(docker_engine, memory_limit(64 * MIB)) as worker:
        worker.run(1, ["hold", 10 * MIB, False], agent="w/other")
        worker.submit(2, [5, None, 0.0, []], [6, None, 0.0, [["hold", 30 * MIB, False], ["hold", 60 * MIB, False]]])
        lost = worker.hear("lost")
        killed = worker.hear("killed")
        worker.run(3, ["hold", 10 * MIB, False])
        worker.run(4, ["release"], agent="w/other")
        sample = worker.sample()

        assert (2, "w/0", 6, "oom") == (lost["id"], lost["agent"], lost["step"], lost["cause"])
        assert ("w/0", "oom") == (killed["agent"], killed["cause"])
        assert [1, 5, 3, 4] == [row[0] for row in worker.rows()]
        assert sample["oom_kills"] == 1
        assert worker.state()["Running"]


def test_several_oom_kills_are_told_apart_from_a_kill(docker_engine: docker.DockerClient) -> None:
    """Each kill that the kernel counts explains one death, and a death it did not count is another's doing."""
    with contained(docker_engine, memory_limit(64 * MIB)) as worker:
        causes = []
        for number in range(3):
            worker.submit(number, [0, None, 0.0, [["hold", 100 * MIB, False]]])
            causes.append(worker.hear("killed")["cause"])
        worker.run(4)
        pids = [int(row[1]) for row in docker_engine.api.top(worker.container_id)["Processes"]]
        os.kill(next(pid for pid in pids if pid != worker.state()["Pid"]), 9)
        causes.append(worker.hear("killed")["cause"])

        assert ["oom", "oom", "oom", "killed"] == causes


def test_memory_of_main_agents_takes_the_container_with_it(docker_engine: docker.DockerClient) -> None:
    """Held by PID 1, it makes PID 1 the one that is killed: exit code 137, and the engine calls it an OOM kill."""
    with contained(docker_engine, memory_limit(64 * MIB)) as worker:
        worker.run(1, ["hold", 20 * MIB, False], agent="w/own")
        worker.run(2, ["hold", 30 * MIB, False], agent="w/main", process="main")
        worker.submit(3, [0, None, 0.0, [["hold", 60 * MIB, False]]], agent="w/main", process="main")
        worker.hear("end")

        assert worker.exit_code() == 137
        assert worker.state()["OOMKilled"]
        assert "lost" not in {message["is"] for message in worker.heard}


def test_a_process_too_many_is_refused(docker_engine: docker.DockerClient) -> None:
    """An agent that cannot be started, because of the pids limit, is an error of its program; the others go on."""
    with contained(docker_engine, {"pids_limit": 2}) as worker:
        worker.run(1, agent="w/0")
        worker.submit(2, [0, None, 0.0, []], agent="w/1")
        error = worker.hear("error")
        worker.run(3, agent="w/0")

        assert error["id"] == 2
        assert "Resource temporarily unavailable" in error["text"]


def test_samples_come_on_the_grid(docker_engine: docker.DockerClient) -> None:
    """At each multiple of the interval, counted from the run's zero, with counters of this container alone."""
    with contained(docker_engine, interval_s=0.2) as worker:
        worker.submit(1, [0, None, 0.0, [["cpu", 0.3, 1]]])
        samples = [worker.hear("sample") for _ in range(5)]
        numbers = [int(sample["at"] / 0.2) for sample in samples]

        assert list(range(numbers[0], numbers[0] + 5)) == numbers
        assert 0.3 <= samples[-1]["cpu_s"] < 0.6


def test_it_ends_with_its_driver(docker_engine: docker.DockerClient) -> None:
    """When the driver's connection closes, the container ends, although an agent is burning CPU."""
    with contained(docker_engine) as worker:
        worker.submit(1, [0, None, 0.0, [["cpu", 60.0, 1]]])
        time.sleep(0.2)
        worker.attachment.close()

        assert worker.exit_code() == 0


def test_it_ends_at_docker_stop(docker_engine: docker.DockerClient) -> None:
    """Within the grace, with exit code 0, although PID 1 has no default signal handlers."""
    with contained(docker_engine) as worker:
        began_s = time.monotonic()
        docker_engine.api.stop(worker.container_id, timeout=15)

        assert time.monotonic() - began_s < 10.0
        assert worker.exit_code() == 0


def test_a_disk_fills_up(docker_engine: docker.DockerClient) -> None:
    """What is written lies on the disk and in the container's memory, also after its writer's death, until erased."""
    limits = memory_limit(64 * MIB) | scratch(8 * MIB)
    with contained(docker_engine, limits, environment={"TONNAGE_DISK": "/scratch"}) as worker:
        worker.run(1)
        seen = [worker.sample()]
        worker.run(2, ["write", 5 * MIB])
        seen.append(worker.sample())
        worker.run(3, ["write", 5 * MIB])
        seen.append(worker.sample())
        worker.attachment.send({"do": "kill", "id": 9, "agent": "w/0"})
        worker.hear("killed")
        seen.append(worker.sample())
        worker.run(4, ["erase"])
        seen.append(worker.sample())
        used = [sample["memory_raw"] - seen[0]["memory_raw"] for sample in seen]

        assert [0, 5 * MIB, 8 * MIB, 8 * MIB, 0] == [sample["disk"] for sample in seen]
        # The dead writer's own process, of about 1 MiB, is missing until the next one comes.
        assert [sample["disk"] for sample in seen] == pytest.approx([*used[:3], used[3] + MIB, used[4]], abs=MIB)
        assert ["w/0"] == [message["agent"] for message in worker.heard if message["is"] == "full"]
        assert [1, 2, 3, 4] == [row[0] for row in worker.rows()]


def test_what_is_written_counts_against_the_memory_limit(docker_engine: docker.DockerClient) -> None:
    """More than the limit on a larger disk is an OOM kill, and what the writer had written stays."""
    limits = memory_limit(32 * MIB) | scratch(100 * MIB)
    with contained(docker_engine, limits, environment={"TONNAGE_DISK": "/scratch"}) as worker:
        worker.submit(1, [0, None, 0.0, [["write", 60 * MIB]]])
        lost = worker.hear("lost")
        after = worker.sample()
        # There may be no room left for a process that could erase it.
        docker_engine.api.update_container(worker.container_id, mem_limit=64 * MIB, memswap_limit=64 * MIB)
        worker.run(2, ["erase"])

        assert ("w/0", "oom") == (lost["agent"], lost["cause"])
        assert 20 * MIB < after["disk"] < 32 * MIB
        assert worker.sample()["disk"] == 0


def test_the_engine_asks_for_its_health(docker_engine: docker.DockerClient) -> None:
    """Healthy when it answers, unhealthy while it stands still, and healthy again."""
    second_ns = 1_000_000_000
    check = {"test": ["CMD", *PROBE, "0.4"], "interval": second_ns // 2, "timeout": 5 * second_ns, "retries": 1}
    with contained(docker_engine, environment={"TONNAGE_HEALTH": "1"}, healthcheck=check) as worker:
        wait_for_health(worker, "healthy")
        worker.attachment.send({"do": "hang", "for_s": 4.0})
        wait_for_health(worker, "unhealthy")
        wait_for_health(worker, "healthy")


def test_it_starts_anew_as_its_policy_says(docker_engine: docker.DockerClient) -> None:
    """Ended by itself with an exit code, the engine starts it again, and it begins a new run with whoever attaches."""
    policy = {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    with contained(docker_engine, policy) as worker:
        worker.run(1)
        worker.attachment.send({"do": "exit", "code": 7})
        worker.hear("end")
        wait_for(lambda: restarts_count(worker) == 1 and is_up(worker))
        worker.attach_again()
        worker.attachment.send({"do": "clock", "id": 2})
        worker.hear("clock")
        worker.begin()
        worker.run(2)
        worker.attachment.send({"do": "exit", "code": 8})

        assert worker.exit_code() == 8
        assert [1, 2] == [row[0] for row in worker.rows()]


def test_docker_stop_kills_it_while_it_hangs(docker_engine: docker.DockerClient) -> None:
    """Deaf to SIGTERM, it lives until the grace is over."""
    with contained(docker_engine) as worker:
        worker.attachment.send({"do": "hang", "for_s": 60.0})
        docker_engine.api.stop(worker.container_id, timeout=1)

        assert worker.exit_code() == 137


def test_docker_stop_ends_it_while_it_starts_slowly(docker_engine: docker.DockerClient) -> None:
    """Asleep before it is ready it hears SIGTERM, although PID 1 has no default signal handlers."""
    with contained(docker_engine, environment={"TONNAGE_START_DELAY_S": "1"}) as worker:
        docker_engine.api.stop(worker.container_id, timeout=15)
        docker_engine.api.start(worker.container_id)
        time.sleep(0.5)
        docker_engine.api.stop(worker.container_id, timeout=15)

        assert worker.exit_code() == 0


def restarts_count(worker: Contained) -> int:
    """How often the engine has started it anew."""
    return int(worker.client.api.inspect_container(worker.container_id)["RestartCount"])


def is_up(worker: Contained) -> bool:
    """Whether it runs; during a back-off the engine says that it is running and restarting at once."""
    state = worker.state()
    return bool(state["Running"] and not state["Restarting"])


def wait_for_health(worker: Contained, health: str) -> None:
    """Wait until the engine says that it is in this state."""
    wait_for(lambda: worker.state()["Health"]["Status"] == health)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    until_s = time.monotonic() + ANSWER_S_MAX
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.05)
