"""A whole run on the engine: its record, and that nothing is left however it ends."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from live.doctor import mend
from live.errors import EngineMissing, EngineRefused, UnfitStory
from live.host_bench import HostBench
from live.host_probe import obstacle
from live.leftovers import find_leftovers, labelled
from live.run import DockerWorld, replay
from scenarios import load, load_text
from sim.record import read_record
from sim.worlds import Terms

if TYPE_CHECKING:
    from pathlib import Path

    import docker

    from live.leftovers import Labelled
    from scenarios import Story
    from sim.worlds import World

pytestmark = pytest.mark.timeout(90)

STORY_NAME = "cpu-quota-bursts"
UP_S_MAX = 30.0
END_S_MAX = 30.0

RUNNING = """
import pathlib, sys
from live.run import replay
from scenarios import load
story = load("cpu-quota-bursts", sets=[("duration", "60s")]).story
replay(story, directory=pathlib.Path(sys.argv[1]), say=lambda text: print(text, flush=True))
"""


ASKING = """
import contextlib
from live.engine import connect
from live.lock import live_lock
with contextlib.closing(connect()) as client, live_lock("theirs", client):
    pass
"""


def story(duration: str) -> Story:
    """A story of the library, as long as told, on a host as large as this one."""
    return load(STORY_NAME, sets=[("duration", duration)]).story


def containers_of(client: docker.DockerClient, pid: int) -> list[Labelled]:
    """What the run of this process has on the engine."""
    return [thing for thing in labelled(client) if thing.owner_labels and thing.owner_labels.owner.pid == pid]


def wait_until_up(client: docker.DockerClient, child: subprocess.Popen[str], record: Path) -> None:
    """Wait until the child's story is under way and its journal has begun."""
    deadline_s = time.monotonic() + UP_S_MAX
    journal = record / "journal.jsonl"
    while not (containers_of(client, child.pid) and journal.exists() and "window" in journal.read_text()):
        assert child.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


@pytest.mark.docker
def test_a_run_leaves_a_whole_record(docker_engine: docker.DockerClient, tmp_path: Path) -> None:
    """Metrics, steps and samples as in the simulated world, and beside them what disturbed the run."""
    told: list[str] = []
    world: World = DockerWorld()
    began_s = time.monotonic()

    outcome = world.run(story("3s"), directory=tmp_path / "run", physics_seed=7, say=told.append)

    took_s = time.monotonic() - began_s
    record = read_record(tmp_path / "run")
    assert (outcome.world, world.name) == ("docker", "docker")
    assert record.ended
    assert record.scenario["seeds"] == {"workload": outcome_seed(), "physics": 7}
    assert len(record.steps["index"]) > 10
    assert set(record.samples["container"]) == {"agents"}
    assert {metric.name for metric in outcome.metrics} >= {"steps_per_s", "cpu_cores_mean", "throttled_s"}
    assert [check for check in outcome.checks if not check.ok] == []
    assert 3.0 < took_s < 30.0
    assert told
    # The run's clock ticks from before its machine was made; readiness is counted from the first thing asked of it.
    up_at_s = record.events["at_s"][record.events["what"].index("started")]
    assert record.gauges["value"][record.gauges["name"].index("ready_s")] < up_at_s

    known = record.provenance
    assert known["world"] == "docker"
    assert known["engine"] == docker_engine.info()["ServerVersion"]
    assert known["worker_image"].startswith("tonnage-worker:")
    assert known["harness"]["timers_count"] > 0
    assert 0.0 < known["harness"]["lag_s_p50"] <= known["harness"]["lag_s_p99"] <= known["harness"]["lag_s_max"]
    assert 0.0 < known["harness"]["driver_cpu_cores"] < 0.5
    assert 0.0 <= known["other_load"]["steal_ratio"] <= 1.0
    assert known["other_load"]["cores_mean"] >= 0.0
    assert (known["comparable"], tuple(known["reasons"])) == (outcome.comparable, outcome.reasons)


@pytest.mark.docker
def test_a_run_probes_its_host_or_says_why_not(docker_engine: docker.DockerClient, tmp_path: Path) -> None:
    """Where the host is all of this machine its latency is measured and its CPU is nobody else's; else it is missed."""
    text = load(STORY_NAME, sets=[("duration", "3s")]).text
    probing = load_text(text.replace("memory: 4g}", "memory: 4g, probe: {every: 37.3ms, compute: 2ms}}"), "probing")
    outcome = replay(dataclasses.replace(probing, duration_s=3.0), directory=tmp_path / "run", say=lambda _: None)
    record = read_record(tmp_path / "run")
    found = {metric.name for metric in outcome.metrics if metric.name.startswith("host_probe_latency_s")}
    missed = [reason for reason in outcome.reasons if "could not be probed" in reason]
    why = obstacle(probing, docker_engine.info())

    assert probing.hosts[0].probe is not None
    assert ([f"a host could not be probed: local: {why}"] if why else []) == missed
    assert (set() if why else {f"host_probe_latency_s_{what}" for what in ("mean", "p50", "p99")}) == found
    assert (len(record.tables["probes"]["due_s"]) > 10) == (not why)
    assert (record.provenance["harness"]["probes_cpu_cores"] > 0.0) == (not why)


@pytest.mark.docker
def test_a_run_whose_containers_were_all_refused_is_none(
    docker_engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what the engine said, and its record is one of a run that did not end."""

    def refuse(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("live.containers.create", refuse)

    with pytest.raises(EngineRefused, match="could not start the story's containers: no space left on device"):
        replay(story("3s"), directory=tmp_path / "run", say=lambda _: None)

    record = read_record(tmp_path / "run")
    assert containers_of(docker_engine, os.getpid()) == []
    assert not record.ended
    assert record.provenance["reasons"] == ["the run did not end"]


def outcome_seed() -> int:
    """The workload seed the story was written with."""
    return story("3s").seed


@pytest.mark.docker
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_cleans_up(
    docker_engine: docker.DockerClient, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, SIGTERM and a hang-up end a run in seconds: nothing is left, and the record so far is readable."""
    command = [sys.executable, "-c", RUNNING, str(tmp_path / "run")]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as child:
        wait_until_up(docker_engine, child, tmp_path / "run")
        time.sleep(1.5)
        child.send_signal(number)
        _, said = child.communicate(timeout=END_S_MAX)

    record = read_record(tmp_path / "run")
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert containers_of(docker_engine, child.pid) == []
    assert not record.ended
    assert record.window is not None
    assert record.provenance["reasons"] == ["the run did not end"]


@pytest.mark.docker
def test_a_killed_run_is_mended(docker_engine: docker.DockerClient, tmp_path: Path) -> None:
    """After a `kill -9` the containers end by themselves, the doctor removes them, and the record is readable."""
    command = [sys.executable, "-c", RUNNING, str(tmp_path / "run")]
    with subprocess.Popen(command, text=True) as child:
        wait_until_up(docker_engine, child, tmp_path / "run")
        time.sleep(2.5)
        child.kill()
        child.wait()
    deadline_s = time.monotonic() + END_S_MAX
    while any(thing.running for thing in containers_of(docker_engine, child.pid)):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)

    left = containers_of(docker_engine, child.pid)
    found = {thing.engine_id for thing in find_leftovers(docker_engine)}
    done = mend(docker_engine)

    record = read_record(tmp_path / "run")
    # The volume is the sign that the engine is held.
    assert [thing.kind for thing in left] == ["container", "volume"]
    assert {thing.engine_id for thing in left} <= found
    assert {f"removed {thing.kind} {thing.name}" for thing in left} <= set(done)
    assert containers_of(docker_engine, child.pid) == []
    assert len(record.samples["at_s"]) >= 1


def test_a_story_that_is_not_for_engines_is_refused(tmp_path: Path) -> None:
    """It is refused before anything is written."""
    import dataclasses

    unfit = dataclasses.replace(story("3s"), live_able=False)

    with pytest.raises(UnfitStory, match="cpu-quota-bursts cannot run on a Docker engine"):
        replay(unfit, directory=tmp_path / "run", say=lambda _: None)

    assert not (tmp_path / "run").exists()


FOREIGN = """
purpose: A program of the user's own.
duration: 3s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {own: {image: redis, mem_limit: 64m, volumes: ["/tmp:/data"]}}
"""


@pytest.mark.parametrize("allowed", [(), ("images",), ("mounts",)])
def test_what_is_not_allowed_never_comes_to_an_engine(
    allowed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A story that wants an image and a mount is refused unless both are allowed, before any engine is asked."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("asked")

    monkeypatch.setattr("live.run.connect", refuse)
    own = load_text(FOREIGN, "own")

    with pytest.raises(UnfitStory, match=r"own cannot run on a Docker engine: .*--allow"):
        replay(own, directory=tmp_path / "run", say=lambda _: None, terms=Terms(frozenset(allowed)))
    with pytest.raises(AssertionError, match="asked"):
        replay(own, directory=tmp_path / "run", say=lambda _: None, terms=Terms(frozenset({"images", "mounts"})))

    assert not (tmp_path / "run").exists()


def test_an_engine_that_others_use_is_not_struck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A story whose faults strike an engine names the flag that gives it one, before any engine is asked."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")

    with pytest.raises(UnfitStory, match=r"engine-crash cannot run on a Docker engine: .*--private-engine"):
        replay(load("engine-crash").story, directory=tmp_path / "run", say=lambda _: None)

    assert not (tmp_path / "run").exists()


@pytest.mark.docker
@pytest.mark.usefixtures("private_engines")
@pytest.mark.timeout(180)
def test_a_private_engine_is_struck_in_each_run_of_a_hold(tmp_path: Path) -> None:
    """Two runs of one story on one engine that is lost for good in each: the second finds it there again."""
    lost_for_good = load(
        "engine-crash", sets=[("duration", "6s"), ("faults.0.at", "2s"), ("faults.0.crash_engine", "{host: local}")]
    ).story
    world = DockerWorld(Terms(private_engine=True))

    with world.hold(lost_for_good, lambda _: None):
        runs = [
            world.run(lost_for_good, directory=tmp_path / f"{number}", physics_seed=number, say=lambda _: None)
            for number in (1, 2)
        ]

    for number, run in enumerate(runs, 1):
        events = read_record(tmp_path / f"{number}").events
        assert ["fault"] == [what for what in events["what"] if what.startswith("fault")]
        assert "engine_lost" in events["what"]
        assert 4 == events["what"].count("started")
        assert not any("was lost" in reason or "blow" in reason for reason in run.reasons)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.timeout(60)
def test_the_host_s_pace_is_measured_for_each_run_of_a_hold_on_paced_terms(tmp_path: Path) -> None:
    """Each record has what a container of its own told; a lone run's has none, nor has one on other terms."""
    one = story("1s")
    paced, other = DockerWorld(Terms(paced=True)), DockerWorld()

    with paced.hold(one, lambda _: None):
        held = [
            paced.run(one, directory=tmp_path / f"{seed}", physics_seed=seed, say=lambda _: None) for seed in (1, 2)
        ]
    with other.hold(one, lambda _: None):
        unpaced = other.run(one, directory=None, physics_seed=1, say=lambda _: None)
    alone = paced.run(one, directory=None, physics_seed=1, say=lambda _: None)

    paces = [run.harness.pace for run in held if run.harness is not None and run.harness.pace is not None]
    assert 2 == len(set(paces))
    assert all(value > 0 for pace in paces for value in dataclasses.astuple(pace))
    told = [read_record(tmp_path / f"{seed}").provenance["harness"]["pace"] for seed in (1, 2)]
    assert told == [dataclasses.asdict(pace) for pace in paces]
    assert [None, None] == [run.harness and run.harness.pace for run in (unpaced, alone)]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_an_engine_that_does_not_tell_its_pace_still_runs_the_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pace that cannot be measured costs a line and no run."""
    said: list[str] = []

    def refused(_bench: HostBench, _sample_cpu_s: float) -> NoReturn:
        raise EngineRefused("start a container", "no")

    monkeypatch.setattr(HostBench, "pace", refused)
    world, one = DockerWorld(Terms(paced=True)), story("1s")
    with world.hold(one, lambda _: None):
        run = world.run(one, directory=None, physics_seed=1, say=said.append)

    assert run.harness is not None
    assert run.harness.pace is None
    assert any(line.startswith("the pace of this host is not known") for line in said)


@pytest.mark.docker
def test_an_engine_is_held_between_the_runs_of_a_hold(
    docker_engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user, with a home of their own, is refused although no container is up; and let in afterwards."""
    world = DockerWorld()

    with world.hold(story("1s"), lambda _: None):
        monkeypatch.setenv("TONNAGE_HOME", str(tmp_path / "elsewhere"))
        said = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=False).stderr
        assert [] == docker_engine.api.containers(filters={"label": "io.tonnage.run"})
    after = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=False)

    assert "EngineBusy: another live run has the engine" in said
    assert (0, "") == (after.returncode, after.stderr)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_an_engine_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine, no record: the error says how to get one."""
    import gc

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")

    with pytest.raises(EngineMissing):
        replay(story("3s"), directory=tmp_path / "run", say=lambda _: None)

    gc.collect()
    assert not (tmp_path / "run").exists()
