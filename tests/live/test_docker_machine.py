"""The Docker machine beyond the port's contract: hardening, labels, refusals, a lost engine, and a clean end."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import io
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import docker as sdk
import psutil
import pytest

from live import docker_machine
from live.container_life import ContainerLife
from live.docker_machine import DockerMachine
from live.engine_events import EngineClock
from live.errors import EngineRefused
from live.image import worker_image
from live.labels import new_run_labels, read_labels
from live.leftovers import labelled, remove_run
from live.line import Line
from live.live_container import LiveContainer
from live.networks import Networks
from live.owner import this_owner
from live.real_time import LiveEnvironment
from live.worker_probe import PROBE
from scenarios.story import (
    Container,
    Foreign,
    HealthCheck,
    Host,
    LiveScale,
    Mount,
    Network,
    RestartPolicy,
    Story,
    Tmpfs,
)
from sim.machine import (
    Compute,
    Died,
    EngineLost,
    Limited,
    Lost,
    Machine,
    Program,
    Refused,
    Restarted,
    Sample,
    Started,
    Step,
    StepDone,
    Stopped,
    Struck,
)
from sim.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    import simpy

    from live.blows import EngineBlows
    from sim.machine import Blow

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]

MIB = 1 << 20
PYTHON = "/usr/bin/python3"
ENGINE_SOCKET = "/var/run/docker.sock"


@dataclass
class Heard:
    """An observer that keeps what it hears."""

    steps: list[StepDone] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def step(self, done: StepDone) -> None:
        """Keep a step."""
        self.steps.append(done)

    def sample(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)


@dataclass
class Rig:
    """A machine, what it is made with, and the run's name on the engine."""

    client: sdk.DockerClient
    env: LiveEnvironment
    machine: DockerMachine
    run: str

    def play(self, script: Generator[simpy.Event, Any, None]) -> None:
        """Run a script to its end."""
        self.env.run(until=self.env.process(script))

    def only_container(self) -> dict[str, Any]:
        """What the engine says of the one container there is."""
        (thing,) = labelled(self.client, self.run)
        inspected: dict[str, Any] = self.client.api.inspect_container(thing.engine_id)
        return inspected


def story() -> Story:
    """A story with a host and nothing else: the tests act themselves."""
    return Story(
        name="rig",
        purpose="p",
        source="s",
        seed=1,
        duration_s=60.0,
        sample_interval_s=0.5,
        hosts=(Host("h", 2, 4096 * MIB, 0, 0, None),),
        containers=(),
        agents=(),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


def container(name: str = "a", memory_bytes_limit: int | None = 128 * MIB) -> Container:
    """A container with every limit there is."""
    return Container(name, "h", 0.75, memory_bytes_limit, memory_bytes_limit, 512, (0, 1), 50, 1.0)


@contextlib.contextmanager
def rigged(
    client: sdk.DockerClient,
    name: str,
    *,
    image: str | None = None,
    told: Story | None = None,
    blows: EngineBlows | None = None,
) -> Iterator[Rig]:
    """A machine that is closed at the end."""
    labels = new_run_labels(name, 60.0)
    with LiveEnvironment() as env:
        machine = DockerMachine(
            env, client, told or story(), labels, Heard(), image=image or worker_image(client), blows=blows
        )
        _is_a_machine: Machine = machine
        try:
            yield Rig(client, env, machine, name)
        finally:
            machine.close()


@pytest.fixture(name="rig")
def _rig(docker_engine: sdk.DockerClient, request: pytest.FixtureRequest) -> Iterator[Rig]:
    with rigged(docker_engine, "rig-test") as rig:
        yield rig


def test_a_container_is_hardened_and_limited(rig: Rig) -> None:
    """Nobody's user, no capability, no new privilege, no network, nothing writable; and the story's limits."""
    inspected: list[dict[str, Any]] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container())
        inspected.append(rig.only_container())

    rig.play(script())
    host = inspected[0]["HostConfig"]
    assert inspected[0]["Config"]["User"] == "65534:65534"
    assert {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "Privileged": False,
        "AutoRemove": False,
        "OomKillDisable": False,
    } == {key: host[key] or False for key in (
        "CapDrop", "SecurityOpt", "NetworkMode", "ReadonlyRootfs", "Privileged", "AutoRemove", "OomKillDisable",
    )}  # fmt: skip
    assert host["LogConfig"]["Type"] == "none"
    assert {
        "CpuPeriod": 100_000,
        "CpuQuota": 75_000,
        "CpuShares": 512,
        "CpusetCpus": "0,1",
        "Memory": 128 * MIB,
        "MemorySwap": 128 * MIB,
        "PidsLimit": 50,
    } == {key: host[key] for key in (
        "CpuPeriod", "CpuQuota", "CpuShares", "CpusetCpus", "Memory", "MemorySwap", "PidsLimit",
    )}  # fmt: skip


def test_what_is_created_says_whose_it_is(rig: Rig) -> None:
    """Every container carries the run's labels and its name in the story."""
    labels: list[dict[str, str]] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container("worker"))
        labels.append(rig.only_container()["Config"]["Labels"])

    rig.play(script())
    read = read_labels(labels[0])
    assert read is not None
    assert (read.run, read.owner) == ("rig-test", this_owner())
    assert read.lease_until_s > time.time() + 60.0
    assert labels[0]["io.tonnage.container"] == "worker"


def test_what_the_engine_refuses_is_a_value_and_leaves_nothing(rig: Rig) -> None:
    """A limit below what the engine allows refuses the start, with its reason, and the name is free again."""
    outcomes: list[object] = []
    things: list[int] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield rig.machine.start(container(memory_bytes_limit=1 * MIB))))
        things.append(len(labelled(rig.client, rig.run)))
        outcomes.append((yield rig.machine.start(container())))

    rig.play(script())
    refused, started = outcomes
    assert isinstance(refused, Refused)
    assert "memory limit" in refused.reason
    assert "\n" not in refused.reason
    assert things == [0]
    assert isinstance(started, Started)


def test_a_worker_that_cannot_start_is_refused_with_its_reason(docker_engine: sdk.DockerClient) -> None:
    """Where there is no such image, the engine's own words are the reason."""
    outcomes: list[object] = []

    with rigged(docker_engine, "rig-test", image="tonnage-worker:no-such-tag") as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            outcomes.append((yield rig.machine.start(container())))

        rig.play(script())
    assert isinstance(outcomes[0], Refused)
    assert "No such image" in outcomes[0].reason


def test_a_kill_by_somebody_else_is_no_oom(rig: Rig) -> None:
    """A container killed through the engine is noticed as killed, with the time it happened; its work is lost."""
    outcomes: list[object] = []
    times_s: list[float] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container())
        program = Program("w/0", (Step(0, None, 0.0, (Compute(30.0, 1),)),), 60.0)
        work = rig.machine.submit("a", program)
        yield rig.env.timeout(0.2)
        times_s.append(rig.env.clock())
        rig.client.api.kill(rig.only_container()["Id"])
        times_s.append(rig.env.clock())
        outcomes.append((yield rig.machine.notices.get()))
        outcomes.append((yield work))

    rig.play(script())
    died, lost = outcomes
    assert isinstance(died, Died)
    assert isinstance(lost, Lost)
    assert (died.cause, died.exit_code, lost.cause) == ("killed", 137, "container")
    assert times_s[0] <= died.happened_s <= died.noticed_s
    assert died.happened_s <= times_s[1]


def test_a_name_is_free_once_its_container_died(rig: Rig) -> None:
    """A restart policy may start the same name anew as soon as it has been told of the death."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container())
        killed = rig.machine.kill("a")
        yield rig.machine.notices.get()
        outcomes.append((yield rig.machine.start(container())))
        outcomes.append((yield killed))

    rig.play(script())
    assert isinstance(outcomes[0], Started)
    assert outcomes[1] == Stopped("a", 137)


def test_the_end_removes_everything(docker_engine: sdk.DockerClient) -> None:
    """Containers that are up, dead or just being started are all gone after the close, and so are their threads."""
    threads_before = threading.active_count()

    with rigged(docker_engine, "rig-test") as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            yield rig.machine.start(container("up"))
            for number in range(4):
                rig.machine.start(container(f"coming-{number}"))
            yield rig.env.timeout(0.02)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            rig.play(script())

    assert labelled(docker_engine, "rig-test") == []
    assert threading.active_count() <= threads_before


def test_what_is_created_after_the_end_is_removed(docker_engine: sdk.DockerClient) -> None:
    """An engine that is slow to create does so when nobody looks any more; the container is discarded at once."""
    labels = new_run_labels("rig-test", 60.0)
    with LiveEnvironment() as env:
        life = ContainerLife(
            env,
            docker_engine,
            labels,
            image=worker_image(docker_engine),
            sample_interval_s=0.5,
            clock=EngineClock(0.0),
            networks=Networks(docker_engine, labels, ()),
        )
    coming = LiveContainer(container(), 1, lambda _: Line(lambda *_: None, lambda _: None))

    outcome = life.bring_up(coming, lambda: None)

    assert coming.container_id
    assert outcome == Refused("a", "the run is ending")
    assert labelled(docker_engine, "rig-test") == []


def test_the_end_does_not_wait_for_a_worker_that_never_answers(docker_engine: sdk.DockerClient) -> None:
    """A container whose first process says nothing is hung up on at the end, long before its start would time out."""
    began_s = time.monotonic()
    image = worker_image(docker_engine)
    mute = docker_engine.api.create_container(image, ["-S", "-c", "import time; time.sleep(60)"], entrypoint=PYTHON)
    silent = docker_engine.api.commit(mute["Id"], repository="tonnage-worker-test", tag="mute")["Id"]
    try:
        with rigged(docker_engine, "rig-test", image=silent) as rig:
            rig.machine.start(container())
            rig.env.run(until=2.0)
    finally:
        docker_engine.api.remove_container(mute["Id"], force=True)
        docker_engine.api.remove_image(silent, force=True)

    assert labelled(docker_engine, "rig-test") == []
    assert time.monotonic() - began_s < 20.0


class Relay:
    """A way to the engine that can be cut, as a network can."""

    def __init__(self, path: Path) -> None:
        """Listen on a socket file and pass everything on."""
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Let no more through."""
        self._cut.set()
        self._thread.join(5.0)

    def _serve(self) -> None:
        while not self._cut.is_set():
            sockets = [self._listener, *(end for pair in self._pairs for end in pair)]
            for readable in select.select(sockets, [], [], 0.05)[0]:
                if readable is self._listener:
                    self._accept()
                else:
                    self._pass_on(readable)
        for end in (self._listener, *(end for pair in self._pairs for end in pair)):
            end.close()

    def _accept(self) -> None:
        far = socket.socket(socket.AF_UNIX)
        far.connect(ENGINE_SOCKET)
        self._pairs.append((self._listener.accept()[0], far))

    def _pass_on(self, readable: socket.socket) -> None:
        pair = next(pair for pair in self._pairs if readable in pair)
        with contextlib.suppress(OSError):
            data = readable.recv(65536)
            if data:
                pair[1 - pair.index(readable)].sendall(data)
                return
        self._pairs.remove(pair)
        for end in pair:
            end.close()


# The SDK leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_engine_is_a_notice_for_every_container(docker_engine: sdk.DockerClient, tmp_path: Path) -> None:
    """When the event stream ends unasked, all containers are noticed as lost, work under way ends, all is refused."""
    relay = Relay(tmp_path / "engine.sock")
    client = sdk.DockerClient(base_url=f"unix://{tmp_path / 'engine.sock'}", timeout=5)
    outcomes: list[Any] = []
    try:
        with rigged(client, "rig-test", image=worker_image(docker_engine)) as rig:

            def script() -> Generator[simpy.Event, Any, None]:
                yield rig.env.all_of([rig.machine.start(container(name)) for name in ("a", "b")])
                program = Program("w/0", (Step(3, None, 0.0, (Compute(30.0, 1),)),), 60.0)
                work = rig.machine.submit("a", program)
                relay.cut()
                outcomes.append((yield rig.machine.notices.get()))
                outcomes.append((yield rig.machine.notices.get()))
                outcomes.append((yield rig.machine.notices.get()))
                outcomes.append((yield work))
                outcomes.append((yield rig.machine.start(container("c"))))
                outcomes.append((yield rig.machine.sample("a")))

            rig.play(script())
            assert rig.machine.engine_lost
    finally:
        client.close()
        remaining = remove_run(docker_engine, "rig-test")
        gc.collect()

    assert not [
        thread.name for thread in threading.enumerate() if thread.name in {"read-a", "write-a", "read-b", "write-b"}
    ]
    assert isinstance(outcomes[0], EngineLost)
    assert outcomes[0].host == "h"
    assert [(died.container, died.cause) for died in outcomes[1:3]] == [("a", "engine_lost"), ("b", "engine_lost")]
    assert (outcomes[3].step_index, outcomes[3].cause) == (3, "container")
    assert [Refused("c", "the engine is lost"), Refused("a", "the engine is lost")] == outcomes[4:]
    assert remaining == []


# Blows to an engine.


@dataclass
class Harmless:
    """Blows that are never dealt."""

    asked: list[tuple[str, float | None]] = field(default_factory=list)
    problem: Exception = field(default_factory=lambda: EngineRefused("be struck", "it is made of rubber"))

    def strike(self, blow: Blow, down_s: float | None) -> None:
        """Refuse."""
        self.asked.append((blow, down_s))
        raise self.problem


@pytest.mark.parametrize(
    ("hosts", "struck", "blows", "why"),
    [
        (("h",), "h", None, "this engine is not the run's own; --private-engine starts one that may be struck"),
        (("h",), "x", Harmless(), "it is no host of this story"),
        (
            ("h", "i"),
            "h",
            Harmless(),
            "2 hosts of this story share one engine, which cannot be struck for one of them",
        ),
    ],
)
def test_an_engine_that_is_not_the_hosts_own_is_not_struck(
    docker_engine: sdk.DockerClient, hosts: tuple[str, ...], struck: str, blows: Harmless | None, why: str
) -> None:
    """A blow is refused where it would hit somebody else, and nothing happens."""
    outcomes: list[object] = []
    told = dataclasses.replace(story(), hosts=tuple(Host(name, 2, 4096 * MIB, 0, 0, None) for name in hosts))

    with rigged(docker_engine, "rig-test", told=told, blows=blows) as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            outcomes.append((yield rig.machine.strike_host(struck, "crash", 1.0)))

        rig.play(script())
    assert [Refused(struck, why)] == outcomes
    assert [] == (blows.asked if blows else [])


@pytest.mark.parametrize("problem", [EngineRefused("be struck", "it is made of rubber"), KeyError("made of rubber")])
def test_a_blow_that_fails_is_refused_and_deaths_are_deaths_again(
    docker_engine: sdk.DockerClient, problem: Exception
) -> None:
    """An engine that was to be struck and was not goes on as before: who dies then dies of something else."""
    outcomes: list[object] = []
    blows = Harmless(problem=problem)

    with rigged(docker_engine, "rig-test", blows=blows) as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            yield rig.machine.start(container())
            outcomes.append((yield rig.machine.strike_host("h", "stop", 2.0)))
            yield rig.machine.crash("a", 3)
            outcomes.append((yield rig.machine.notices.get()))

        rig.play(script())
        assert not rig.machine.engine_lost
    refused, died = outcomes
    assert [("stop", 2.0)] == blows.asked
    assert isinstance(refused, Refused)
    assert "made of rubber" in refused.reason
    assert "" == rig.machine.blow_failure
    assert isinstance(died, Died)
    assert ("exited", 3) == (died.cause, died.exit_code)


class Fatal:
    """Blows that cut the way to the engine, and then cannot have it back."""

    def __init__(self, relay: Relay) -> None:
        """Cut this way."""
        self.lost = threading.Event()
        self._relay = relay

    def strike(self, blow: Blow, down_s: float | None) -> None:
        """Cut it, and fail once that was noticed."""
        self._relay.cut()
        assert self.lost.wait(20.0)
        raise OSError("it stays down")


# The SDK leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_return_that_fails_is_remembered(docker_engine: sdk.DockerClient, tmp_path: Path) -> None:
    """The blow was dealt and answered when the engine's return failed: the machine can be asked about that."""
    relay = Relay(tmp_path / "engine.sock")
    client = sdk.DockerClient(base_url=f"unix://{tmp_path / 'engine.sock'}", timeout=5)
    blows = Fatal(relay)
    outcomes: list[object] = []
    failures: list[str] = []
    try:
        with rigged(client, "rig-test", image=worker_image(docker_engine), blows=blows) as rig:

            def script() -> Generator[simpy.Event, Any, None]:
                outcomes.append((yield rig.machine.strike_host("h", "crash", 1.0)))
                failures.append(rig.machine.blow_failure)
                blows.lost.set()
                for _ in range(100):
                    if rig.machine.blow_failure:
                        break
                    yield rig.env.timeout(0.1)
                failures.append(rig.machine.blow_failure)

            rig.play(script())
    finally:
        client.close()
        remove_run(docker_engine, "rig-test")
        gc.collect()

    assert [Struck("h")] == outcomes
    assert ["", "it stays down"] == failures


# Lives and networks.


def test_what_a_container_asks_for_the_engine_is_told(rig: Rig) -> None:
    """Restart policy, health check and disk are the engine's own; the rest stays as hardened as ever."""
    inspected: list[dict[str, Any]] = []
    asking = dataclasses.replace(
        container(),
        restart=RestartPolicy("on-failure", 3),
        health=HealthCheck(1.5, 0.5, 2, 4.0),
        tmpfs=(Tmpfs("/scratch", 8 * MIB), Tmpfs("/more", None)),
        start_delay_s=0.1,
    )

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(asking)
        inspected.append(rig.only_container())

    rig.play(script())
    config, host = inspected[0]["Config"], inspected[0]["HostConfig"]
    assert {"Name": "on-failure", "MaximumRetryCount": 3} == host["RestartPolicy"]
    assert {
        "Test": ["CMD", *PROBE, "0.5"],
        "Interval": 1_500_000_000,
        "Timeout": 500_000_000,
        "Retries": 2,
        "StartPeriod": 4_000_000_000,
    } == config["Healthcheck"]
    assert {
        "/scratch": f"size={8 * MIB},mode=1777,uid=65534",
        "/more": "mode=1777,uid=65534",
    } == host["Tmpfs"]
    assert {"TONNAGE_DISK=/scratch", "TONNAGE_START_DELAY_S=0.1", "TONNAGE_HEALTH=1"} <= set(config["Env"])
    assert (True, ["ALL"], "none") == (host["ReadonlyRootfs"], host["CapDrop"], host["NetworkMode"])


def test_a_network_is_made_once_and_removed_at_the_end(docker_engine: sdk.DockerClient) -> None:
    """Containers started at once share their network; the second one's other network is made too, and is internal."""
    found: dict[str, Any] = {}
    told = dataclasses.replace(
        story(),
        networks=(Network("front", internal=False), Network("back", internal=True), Network("idle", internal=True)),
    )

    with rigged(docker_engine, "rig-test", told=told) as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            names = {"a": ("front",), "b": ("front", "back"), "c": ("front",)}
            coming = [dataclasses.replace(container(name), networks=nets) for name, nets in names.items()]
            yield rig.env.all_of([rig.machine.start(spec) for spec in coming])
            for network in rig.client.api.networks(filters={"label": "io.tonnage.run=rig-test"}):
                found[network["Name"]] = rig.client.api.inspect_network(network["Id"])

        rig.play(script())
    assert {"tonnage-rig-test-front", "tonnage-rig-test-back"} == set(found)
    assert [3, 1] == [len(found[f"tonnage-rig-test-{name}"]["Containers"]) for name in ("front", "back")]
    assert [False, True] == [found[f"tonnage-rig-test-{name}"]["Internal"] for name in ("front", "back")]
    assert labelled(docker_engine, "rig-test") == []


def test_a_network_that_is_made_after_the_end_is_removed(
    docker_engine: sdk.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is slow to make it does so when nobody looks any more: no container follows, and it goes too."""
    told = dataclasses.replace(story(), networks=(Network("slow", internal=True),))
    removed = threading.Event()
    ensure = Networks.ensure
    made: list[str] = []
    asked_for: list[object] = []

    def ensure_late(networks: Networks, name: str) -> str:
        removed.wait(20.0)
        made.append(ensure(networks, name))
        return made[-1]

    def remove_and_say(client: sdk.DockerClient, run: str) -> list[str]:
        left = remove_run(client, run)
        removed.set()
        return left

    monkeypatch.setattr(Networks, "ensure", ensure_late)
    monkeypatch.setattr(docker_machine, "remove_run", remove_and_say)
    with rigged(docker_engine, "rig-test", told=told) as rig:
        create = rig.client.api.create_container

        def create_and_say(**asked: Any) -> object:  # noqa: ANN401
            asked_for.append(asked)
            return create(**asked)

        monkeypatch.setattr(rig.client.api, "create_container", create_and_say)
        rig.machine.start(dataclasses.replace(container(), networks=("slow",)))
        rig.env.run(until=rig.env.clock() + 0.2)

    assert 1 == len(made)
    assert [] == asked_for
    assert labelled(docker_engine, "rig-test") == []


def test_a_start_that_could_not_be_undone_is_undone_later(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that refuses the start, and then the removal of what it created, is asked again for that."""
    remove = rig.client.api.remove_container
    refusals: list[str] = []

    def refuse(container_id: str, **_: object) -> None:
        refusals.append(container_id)
        raise ConnectionError("it is busy")

    def refuse_once(container_id: str, **asked: Any) -> None:  # noqa: ANN401
        if len(refusals) < 2:
            refuse(container_id)
        remove(container_id, **asked)

    monkeypatch.setattr(rig.client.api, "start", refuse)
    monkeypatch.setattr(rig.client.api, "remove_container", refuse_once)
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield rig.machine.start(container())))
        for _ in range(50):
            if not labelled(rig.client, rig.run):
                break
            yield rig.env.timeout(0.1)
        outcomes.append(labelled(rig.client, rig.run))

    rig.play(script())
    assert [Refused("a", "it is busy"), []] == outcomes
    assert 2 == len(refusals)


@pytest.mark.parametrize("ahead_s", [0.3, -0.3])
def test_a_clock_that_is_a_little_off_kills_nobody(
    docker_engine: sdk.DockerClient, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """Comparing clocks may go wrong by the time that a question takes; a life is the same life all the same."""
    measured = EngineClock.measured

    def mismeasured(client: sdk.DockerClient, run_clock: Callable[[], float]) -> EngineClock:
        return EngineClock(measured(client, run_clock).zero_unix_s - ahead_s)

    monkeypatch.setattr(EngineClock, "measured", mismeasured)
    outcomes: list[object] = []

    with rigged(docker_engine, "rig-test") as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            yield rig.machine.start(dataclasses.replace(container(), restart=RestartPolicy("always")))
            yield rig.env.timeout(1.0)
            outcomes.extend((list(rig.machine.notices.items), (yield rig.machine.sample("a"))))
            yield rig.machine.crash("a", 3)
            outcomes.extend(((yield rig.machine.notices.get()), (yield rig.machine.notices.get())))
            yield rig.env.timeout(1.0)
            outcomes.extend((list(rig.machine.notices.items), (yield rig.machine.sample("a"))))

        rig.play(script())
    quiet, sample, died, restarted, quiet_again, sample_again = outcomes
    assert ([], []) == (quiet, quiet_again)
    assert [Sample, Died, Restarted, Sample] == [type(seen) for seen in (sample, died, restarted, sample_again)]


def test_memory_is_limited_again_and_again(rig: Rig) -> None:
    """Swap moves along with each change, so that the engine takes the next one too."""
    outcomes: list[object] = []
    seen: list[tuple[int, int]] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container())
        for memory in (192, 256, 128):
            outcomes.append((yield rig.machine.limit("a", cpus_limit=None, memory_bytes_limit=memory * MIB)))
            host = rig.only_container()["HostConfig"]
            seen.append((host["Memory"] // MIB, host["MemorySwap"] // MIB))

    rig.play(script())
    assert [Limited("a")] * 3 == outcomes
    assert [(192, 192), (256, 256), (128, 128)] == seen


def test_a_crash_loop_leaks_nothing(rig: Rig) -> None:
    """After several lives there are no more threads and sockets than after the first."""
    counts: list[tuple[int, int]] = []

    def count() -> tuple[int, int]:
        gc.collect()
        own = [thread for thread in threading.enumerate() if not thread.name.startswith("live-")]
        return len(own), psutil.Process().num_fds()

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(dataclasses.replace(container(), restart=RestartPolicy("always")))
        for life in range(4):
            yield rig.machine.crash("a", 1)
            died = yield rig.machine.notices.get()
            restarted = yield rig.machine.notices.get()
            assert isinstance(died, Died)
            assert isinstance(restarted, Restarted)
            assert life + 1 == restarted.restarts_count
            yield rig.env.timeout(0.3)
            counts.append(count())

    rig.play(script())
    assert len(rig.machine._register.lines) == 1
    assert counts[-1][0] <= counts[0][0]
    assert counts[-1][1] <= counts[0][1] + 2


def test_a_worker_that_cannot_be_talked_to_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line ends while it hangs and so does not: after a while of looking it is killed, and told as killed."""
    outcomes: list[object] = []
    monkeypatch.setattr("live.fates.SILENT_LOOKS_MAX", 5)

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(container())
        yield rig.machine.hang("a", 30.0)
        yield rig.env.timeout(0.2)
        (line,) = rig.machine._register.lines
        assert line.attachment is not None
        line.attachment._stream.shutdown(socket.SHUT_RDWR)
        outcomes.append((yield rig.machine.notices.get()))
        outcomes.append((yield rig.machine.start(container())))

    rig.play(script())
    died, started = outcomes
    assert isinstance(died, Died)
    assert ("killed", 137) == (died.cause, died.exit_code)
    assert isinstance(started, Started)


def test_the_end_does_not_wait_for_a_grace(docker_engine: sdk.DockerClient) -> None:
    """A run that is over while a hung container is being stopped takes it away at once."""
    slow = dataclasses.replace(container(), stop_grace_s=50.0)

    with rigged(docker_engine, "rig-test") as rig:

        def script() -> Generator[simpy.Event, Any, None]:
            yield rig.machine.start(slow)
            yield rig.machine.hang("a", 55.0)
            rig.machine.stop("a")
            yield rig.env.timeout(0.3)

        rig.play(script())
        closed_s = time.monotonic()

    assert time.monotonic() - closed_s < 20.0
    assert labelled(docker_engine, "rig-test") == []


# Programs of the user's own.


def foreign(image: str, *command: str, **options: Any) -> Container:  # noqa: ANN401
    """A container that runs a command of an image."""
    return dataclasses.replace(container(), foreign=Foreign(image, command, **options))


@pytest.fixture(name="bare_image")
def _bare_image(docker_engine: sdk.DockerClient) -> Iterator[str]:
    """Our worker's image without its entry point, which runs any Python command line."""
    recipe = f"FROM {worker_image(docker_engine)}\nENTRYPOINT []\n".encode()
    built, _ = docker_engine.images.build(fileobj=io.BytesIO(recipe), tag="tonnage-bare:test", rm=True, pull=False)
    yield "tonnage-bare:test"
    docker_engine.api.remove_image(str(built.id), force=True, noprune=True)


def test_a_foreign_container_is_hardened_too(bare_image: str, rig: Rig, tmp_path: Path) -> None:
    """It has what it asks for (user, mounts, environment, a capability) and nothing else."""
    inspected: list[dict[str, Any]] = []
    asking = foreign(
        bare_image,
        *(PYTHON, "-S", "-c", "import time; time.sleep(60)"),
        environment=(("ANSWER", "42"),),
        mounts=(Mount(str(tmp_path), "/given", read_only=True), Mount("rig-test-kept", "/kept", read_only=False)),
        user="1000:1000",
        capabilities=("NET_ADMIN",),
    )

    def script() -> Generator[simpy.Event, Any, None]:
        started = yield rig.machine.start(asking)
        assert isinstance(started, Started), started
        inspected.append(
            next(rig.client.api.inspect_container(live.container_id) for live in rig.machine.containers_up)
        )

    rig.play(script())
    config, host = inspected[0]["Config"], inspected[0]["HostConfig"]
    assert ("1000:1000", False) == (config["User"], config["OpenStdin"])
    assert "ANSWER=42" in config["Env"]
    assert (["ALL"], ["NET_ADMIN"], ["no-new-privileges:true"]) == (
        host["CapDrop"],
        host["CapAdd"],
        host["SecurityOpt"],
    )
    assert (True, "none", False, "none") == (
        host["ReadonlyRootfs"],
        host["NetworkMode"],
        host["Privileged"],
        host["LogConfig"]["Type"],
    )
    assert {("/given", False), ("/kept", True)} == {
        (mount["Destination"], mount["RW"]) for mount in inspected[0]["Mounts"]
    }
    assert read_labels(config["Labels"]) is not None


def test_volumes_go_with_the_run_only_where_it_made_them(docker_engine: sdk.DockerClient, bare_image: str) -> None:
    """A named volume that was there stays; one that the engine made for the run does not."""
    docker_engine.api.create_volume("rig-test-mine")
    mounts = (Mount("rig-test-mine", "/mine", read_only=False), Mount("rig-test-made", "/made", read_only=False))
    try:
        with rigged(docker_engine, "rig-test") as rig:

            def script() -> Generator[simpy.Event, Any, None]:
                command = (PYTHON, "-S", "-c", "import time; time.sleep(60)")
                assert isinstance((yield rig.machine.start(foreign(bare_image, *command, mounts=mounts))), Started)

            rig.play(script())
        names = {volume["Name"] for volume in docker_engine.api.volumes()["Volumes"] or ()}
    finally:
        docker_engine.api.remove_volume("rig-test-mine", force=True)
    assert {"rig-test-mine"} == names & {"rig-test-mine", "rig-test-made"}


def test_a_program_that_ends_at_once_has_ended(bare_image: str, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is over before the engine has said that it runs; its end is news all the same, with its exit code."""
    start = rig.client.api.start
    presence = Presence(rig.env, ["a"])

    def start_slowly(container_id: str) -> None:
        start(container_id)
        time.sleep(1.0)

    monkeypatch.setattr(rig.client.api, "start", start_slowly)

    def script() -> Generator[simpy.Event, Any, None]:
        started = yield rig.machine.start(foreign(bare_image, PYTHON, "-S", "-c", "raise SystemExit(4)"))
        presence.came_up("a", started.ready_s)
        died = yield rig.machine.notices.get()
        assert presence.hear(died)

    rig.play(script())
    assert (False, 4) == (presence["a"].up, presence["a"].exit_code)


def test_counters_that_are_fresh_are_not_waited_for(bare_image: str, rig: Rig) -> None:
    """The engine sends a frame a second, which answers all who ask until the next one is there."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        yield rig.machine.start(foreign(bare_image, PYTHON, "-S", "-c", "import time; time.sleep(60)"))
        outcomes.append((yield rig.machine.sample("a")))
        outcomes.append((yield rig.machine.sample("a")))

    rig.play(script())
    assert isinstance(outcomes[0], Sample)
    assert outcomes[0] == outcomes[1]


def test_an_image_that_is_not_there_can_be_had(rig: Rig) -> None:
    """The refusal says how; nothing is pulled unasked."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield rig.machine.start(foreign("tonnage-test:nowhere"))))

    rig.play(script())
    (refused,) = outcomes
    assert isinstance(refused, Refused)
    assert "No such image" in refused.reason
    assert refused.reason.endswith("; `docker pull tonnage-test:nowhere` brings it")


def test_a_foreign_container_ends_by_itself(bare_image: str, rig: Rig) -> None:
    """Its end is noticed with its exit code, however soon it came, and it takes no orders of ours."""
    outcomes: list[object] = []

    def script() -> Generator[simpy.Event, Any, None]:
        outcomes.append((yield rig.machine.start(foreign(bare_image, PYTHON, "-S", "-c", "raise SystemExit(4)"))))
        outcomes.append((yield rig.machine.notices.get()))
        outcomes.append(
            (yield rig.machine.start(foreign(bare_image, PYTHON, "-S", "-c", "import time; time.sleep(9)")))
        )
        outcomes.append((yield rig.machine.crash("a", 1)))
        outcomes.append((yield rig.machine.sample("a")))
        outcomes.append((yield rig.machine.stop("a")))

    rig.play(script())
    started, died, again, refused, sample, stopped = outcomes
    assert isinstance(started, Started)
    assert isinstance(died, Died)
    assert ("exited", 4) == (died.cause, died.exit_code)
    assert isinstance(again, Started)
    assert Refused("a", "it runs a program of its own") == refused
    assert isinstance(sample, Sample)
    assert sample.memory_bytes > MIB
    # A program without a handler for it is deaf to SIGTERM as PID 1, so that its grace runs out.
    assert Stopped("a", 137) == stopped
