"""What else uses the machine, told apart from our containers and from the harness."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from live import cpu_meters, other_load
from live.cpu_meters import EngineMeter, HostTimes, container_cpu_s, host_times
from live.image import worker_image
from live.other_load import READINGS_MAX, LoadWatch

if TYPE_CHECKING:
    from pathlib import Path

    import docker

BURNING = "while True: pass"


class TestSums:
    """The arithmetic, on counters that are told and not read."""

    @pytest.fixture(autouse=True)
    def _told_counters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host of two cores: ours take half a core, the harness 0.1, others a quarter; 2 % are stolen."""
        self.now_s = 0.0
        monkeypatch.setattr(other_load, "INTERVAL_S", 3600.0)
        monkeypatch.setattr(other_load, "driver_cpu_s", lambda: 0.04 * self.now_s)
        monkeypatch.setattr(other_load, "container_cpu_s", lambda _: 0.25 * self.now_s)
        monkeypatch.setattr(other_load, "host_times", self.host_times)
        monkeypatch.setattr(EngineMeter, "cpu_s", lambda _: 0.06 * self.now_s)

    def host_times(self) -> HostTimes:
        """The host's counters at the told time."""
        return HostTimes(busy_s=0.85 * self.now_s, steal_s=0.04 * self.now_s, total_s=2 * self.now_s)

    def watch(self, readings_count: int, step_s: float, probes_cores: float = 0.0) -> LoadWatch:
        """A watch that has read so many times, with two containers up."""
        watch = LoadWatch(lambda: self.now_s, lambda: ["a", "b"], lambda: probes_cores * self.now_s)
        watch.close()
        watch._readings.clear()
        watch._readings_count = 0
        for number in range(readings_count):
            self.now_s = number * step_s
            watch._read()
        return watch

    def test_others_are_what_remains(self) -> None:
        """The host's use, less the containers', less the driver's and the engine's, over the span asked for."""
        load = self.watch(21, 0.5).between(2.0, 7.0)

        assert load is not None
        assert load.span_s == 5.0
        assert load.cores_mean == pytest.approx(0.85 - 0.5 - 0.04 - 0.06)
        assert load.containers_cores_mean == pytest.approx(0.5)
        assert [load.driver_cores_mean, load.engine_cores_mean] == pytest.approx([0.04, 0.06])
        assert load.steal_ratio == pytest.approx(0.02)

    def test_probes_of_the_host_are_none_of_the_others(self) -> None:
        """What the story's own probes use is neither other load nor the driver's."""
        before = self.watch(21, 0.5).between(2.0, 7.0)
        probing = self.watch(21, 0.5, probes_cores=0.05).between(2.0, 7.0)

        assert before is not None
        assert probing is not None
        assert [before.probes_cores_mean, probing.probes_cores_mean] == pytest.approx([0.0, 0.05])
        assert probing.cores_mean == pytest.approx(before.cores_mean - 0.05)
        assert probing.driver_cores_mean == before.driver_cores_mean

    def test_a_container_that_went_keeps_what_it_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The counter of a dead container cannot be read any more; what it had used is not other load."""
        watch = self.watch(3, 1.0)
        monkeypatch.setattr(watch, "_containers", list)
        self.now_s = 3.0
        watch._read()

        assert watch._readings[-1].containers_s == watch._readings[-2].containers_s == 1.0

    def test_a_container_that_is_started_anew_keeps_what_it_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its cgroup counts from zero again; what the life before had used up is still its own."""
        monkeypatch.setattr(other_load, "container_cpu_s", lambda _: 0.25 * (self.now_s % 5.0))
        load = self.watch(21, 0.5).between(2.0, 7.0)

        assert load is not None
        # What was used between the last reading of the old life and its end is not known: half a second of each of two.
        assert load.containers_cores_mean == pytest.approx(0.5 - 2 * 0.25 * 0.5 / 5.0)

    def test_the_busiest_span_counts(self) -> None:
        """Of several spans the one with the most other load; none where none is known."""
        watch = self.watch(21, 0.5)

        assert watch.between(2.0, 7.0) == watch.busiest([(2.0, 7.0), (90.0, 95.0)])
        assert watch.busiest([(90.0, 95.0)]) is None
        assert watch.busiest([]) is None

    def test_a_thread_that_fails_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever goes wrong with reading, the load is unknown and not silently an old one."""
        monkeypatch.setattr(other_load, "driver_cpu_s", lambda: 1 / 0)
        watch = LoadWatch(lambda: self.now_s, list)
        watch.close()

        assert watch.unreadable == "reading it failed (ZeroDivisionError: division by zero)"
        assert watch.between(0.0, 1.0) is None

    def test_a_stale_reading_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where reading stopped long before the span's end, nothing is known of the span."""
        watch = self.watch(21, 0.5)
        monkeypatch.setattr(other_load, "INTERVAL_S", 0.5)

        assert watch.between(2.0, 12.0) is not None
        assert watch.between(2.0, 14.0) is None

    def test_a_long_run_is_read_more_coarsely(self) -> None:
        """The series never outgrows its bound, and its span stays whole."""
        watch = self.watch(READINGS_MAX * 3, 0.5)

        assert READINGS_MAX / 2 <= len(watch._readings) <= READINGS_MAX
        for start_s, end_s in ((0.0, self.now_s), (100.0, 130.0), (self.now_s - 30.0, self.now_s)):
            load = watch.between(start_s, end_s)
            assert load is not None
            assert load.span_s == pytest.approx(end_s - start_s, abs=2.0)
            assert load.containers_cores_mean == pytest.approx(0.5)

    def test_a_span_without_two_readings_is_not_known(self) -> None:
        """Too short a run says nothing of its load."""
        assert self.watch(1, 0.5).between(0.0, 1.0) is None
        assert self.watch(4, 0.5).between(0.9, 1.1) is None

    def test_hidden_containers_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the engine's cgroups cannot be read, all of its containers would look like other load."""
        monkeypatch.setattr(other_load, "container_cpu_s", lambda _: None)
        watch = self.watch(3, 0.5)

        assert watch.between(0.0, 1.0) is None
        assert watch.unreadable == "the containers' cgroups cannot be read from this client"


def test_the_host_is_read() -> None:
    """A process that burns a core for half a second shows as at least most of it, on any host."""
    before = host_times()
    began_s = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", BURNING]) as burner:
        time.sleep(0.6)
        burner.kill()
    after = host_times()

    assert after.busy_s - before.busy_s >= 0.3
    assert after.total_s - before.total_s >= 0.5 * (time.monotonic() - began_s)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cpuacct/docker/ab12/cpuacct.usage", "1500000000\n"),
        ("cpuacct/libpod_parent/libpod-ab12/cpuacct.usage", "1500000000\n"),
        ("cpu,cpuacct/system.slice/docker-ab12.scope/cpuacct.usage", "1500000000\n"),
        ("docker/ab12/cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
        ("machine.slice/libpod-ab12.scope/cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
    ],
)
def test_a_container_is_found_where_its_engine_puts_it(
    file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker and Podman, without systemd and with it, on either version of cgroups."""
    monkeypatch.setattr(cpu_meters, "CGROUPS", tmp_path)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)

    assert 1.5 == container_cpu_s("ab12")
    assert container_cpu_s("ab") is None


class Process:
    """A process that a meter finds, until it has ended."""

    def __init__(self, pid: int, name: str, cpu_s: float) -> None:
        """Have used so much CPU."""
        self.pid = pid
        self.info = {"name": name}
        self.cpu_s = cpu_s
        self.ended = False

    def cpu_times(self) -> SimpleNamespace:
        """What it used up, half of it in the kernel."""
        if self.ended:
            raise psutil.NoSuchProcess(self.pid)
        return SimpleNamespace(user=self.cpu_s / 2, system=self.cpu_s / 2)


@pytest.mark.parametrize(
    ("ending", "new", "found_at_once"),
    [("dockerd", "dockerd", True), ("containerd", "containerd", True), ("containerd-shim", "containerd-shim", False)],
)
def test_the_next_engine_is_found_at_once(
    monkeypatch: pytest.MonkeyPatch, ending: str, new: str, *, found_at_once: bool
) -> None:
    """Where the engine itself ended, its successor is looked for at each reading; not where a helper of it did."""
    there = [Process(1, ending, 2.0), Process(2, "python3", 4.0)]
    monkeypatch.setattr(psutil, "process_iter", lambda _: [process for process in there if not process.ended])
    monkeypatch.setattr(cpu_meters, "DISCOVERY_S", 3600.0)
    meter = EngineMeter()
    before_s = meter.cpu_s()
    there[0].ended = True
    without_s = meter.cpu_s()
    there.append(Process(3, new, 1.0))

    after_s = meter.cpu_s()

    assert [2.0, 2.0] == [before_s, without_s]
    assert after_s == (3.0 if found_at_once else 2.0)


@pytest.mark.docker
def test_a_container_is_read_by_its_id(docker_engine: docker.DockerClient) -> None:
    """A container's CPU is read from the host's cgroups, and is not the engine's."""
    image = worker_image(docker_engine)
    made = docker_engine.api.create_container(
        image, ["-S", "-c", BURNING], entrypoint="/usr/bin/python3", network_disabled=True
    )["Id"]
    engine = EngineMeter()
    try:
        docker_engine.api.start(made)
        engine_before_s, before_s = engine.cpu_s(), container_cpu_s(made)
        time.sleep(1.0)
        after_s, engine_after_s = container_cpu_s(made), engine.cpu_s()
    finally:
        docker_engine.api.remove_container(made, force=True)

    assert before_s is not None
    assert after_s is not None
    assert 0.2 <= after_s - before_s <= 1.1
    assert 0.0 <= engine_after_s - engine_before_s < 0.5
    assert container_cpu_s(made) is None
