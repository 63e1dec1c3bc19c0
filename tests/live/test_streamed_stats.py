"""Streamed stats: frames that engines sent become samples, and the stream ends with its container."""

from __future__ import annotations

import itertools
import json
import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker.errors
import pytest
import requests

from live.engine_events import EngineClock, unix_s
from live.image import worker_image
from live.streamed_stats import StatsStream, has_ended, sample_of
from sim.machine import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDED = Path(__file__).parent / "recorded"
MIB = 1 << 20
CLOCK = EngineClock(0.0)
# Burns until it is ended; the worker image has an interpreter and nothing else.
BURNING = "while True: pass"


def frames(engine: str) -> list[dict[str, Any]]:
    """What an engine sent."""
    lines = (RECORDED / "stats" / f"{engine}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def samples(engine: str) -> list[Sample]:
    """The samples made of what an engine sent."""
    made: list[Sample] = []
    for frame in frames(engine):
        sample = sample_of(frame, "a", CLOCK, made[-1] if made else None)
        made += [] if sample is None else [sample]
    return made


class TestRecorded:
    """Frames as engines sent them."""

    def test_counters_of_docker(self) -> None:
        """Counters are taken as they are, in seconds and bytes; cache that is taken back first is left out."""
        (last,) = samples("docker_v1")[-1:]

        assert (
            Sample(
                container="a",
                at_s=unix_s("2026-11-21T12:05:31.734797632Z"),
                cpu_s=646_581_414 * 1e-9,
                periods_count=34,
                throttled_periods_count=31,
                throttled_s=2_405_939_915 * 1e-9,
                memory_bytes=35_954_688 - 3_108_864,
                memory_raw_bytes=35_954_688,
                memory_peak_bytes=41_201_664,
                oom_kills_count=0,
            )
            == last
        )

    def test_docker_samples_each_second(self) -> None:
        """Six frames of a living container are six samples, about a second apart, whose counters never fall."""
        made = samples("docker_v1")

        gaps_s = [later.at_s - earlier.at_s for earlier, later in itertools.pairwise(made)]
        assert 6 == len(made)
        assert pytest.approx([1.0] * 5, abs=0.01) == gaps_s
        assert sorted(sample.cpu_s for sample in made) == [sample.cpu_s for sample in made]

    def test_frames_of_a_dead_container_are_its_end(self) -> None:
        """Docker goes on with frames of no time when a container has ended: they are no samples."""
        told = [has_ended(frame) for frame in frames("docker_v1")]

        assert [False] * 6 + [True] * 2 == told
        assert sample_of(frames("docker_v1")[-1], "a", CLOCK, None) is None

    def test_podman_tells_less(self) -> None:
        """Podman's frames have neither throttling nor page cache nor a peak; the highest seen is the peak."""
        made = samples("podman_v1")

        assert 4 == len(made)
        assert {0} == {sample.periods_count for sample in made}
        assert [sample.memory_raw_bytes for sample in made] == [sample.memory_bytes for sample in made]
        assert [4_837_376, 31_895_552, 31_895_552, 31_895_552] == [sample.memory_peak_bytes for sample in made]
        assert pytest.approx(0.653853791) == made[-1].cpu_s

    def test_the_engines_clock_becomes_the_runs(self) -> None:
        """Times are those of the frame, on the run's clock."""
        frame = frames("docker_v1")[0]
        plain = sample_of(frame, "a", CLOCK, None)
        shifted = sample_of(frame, "a", EngineClock(1_795_262_700.0), None)

        assert plain is not None
        assert shifted is not None
        assert pytest.approx(plain.at_s - 1_795_262_700.0) == shifted.at_s

    def test_a_frame_sent_twice_is_taken_once(self) -> None:
        """A frame that is no later than the sample before tells nothing new."""
        frame = frames("docker_v1")[0]
        once = sample_of(frame, "a", CLOCK, None)

        assert sample_of(frame, "a", CLOCK, once) is None

    def test_version_2_leaves_its_inactive_file_pages_out(self) -> None:
        """With v2 the cache has no `total_`, and there is no peak; the values are those of a recorded v2 cgroup."""
        group = RECORDED / "cgroup_v2"
        stat = {key: int(value) for key, value in map(str.split, (group / "memory.stat").read_text().splitlines())}
        current = int((group / "memory.current").read_text())
        frame = frames("docker_v1")[0] | {"memory_stats": {"usage": current, "stats": stat}}

        sample = sample_of(frame, "a", CLOCK, None)

        assert sample is not None
        assert current - stat["inactive_file"] == sample.memory_bytes
        assert stat["inactive_file"] > 0
        assert current == sample.memory_peak_bytes


class Heard:
    """What a stream called."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.samples: queue.Queue[Sample] = queue.Queue()
        self.ended = threading.Event()
        self.ends_count = 0

    def end(self) -> None:
        """Note an end."""
        self.ends_count += 1
        self.ended.set()


@pytest.fixture(name="burner")
def _burner(docker_engine: docker.DockerClient) -> Iterator[str]:
    """A container that burns a tenth of a core."""
    client = docker_engine.api
    limits = client.create_host_config(network_mode="none", cpu_period=100_000, cpu_quota=10_000, mem_limit=64 * MIB)
    image = worker_image(docker_engine)
    made = client.create_container(image, ["-S", "-c", BURNING], entrypoint="/usr/bin/python3", host_config=limits)[
        "Id"
    ]
    client.start(made)
    yield made
    client.remove_container(made, force=True)


@pytest.fixture(name="follow")
def _follow(docker_engine: docker.DockerClient) -> Iterator[Callable[[str], tuple[StatsStream, Heard]]]:
    """A maker of streams that are closed at the end."""
    streams: list[StatsStream] = []

    def follow(container_id: str) -> tuple[StatsStream, Heard]:
        heard = Heard()
        clock = EngineClock.measured(docker_engine, time.monotonic)
        streams.append(StatsStream(docker_engine, container_id, "a", clock, heard.samples.put, heard.end))
        return streams[-1], heard

    yield follow
    for stream in streams:
        stream.close()


@pytest.mark.docker
@pytest.mark.timeout(60)
class TestWithEngine:
    """Streams of real containers."""

    def test_samples_come_and_end(
        self, docker_engine: docker.DockerClient, burner: str, follow: Callable[[str], tuple[StatsStream, Heard]]
    ) -> None:
        """A container's use is told on the run's clock while it lives, and its end once, before it is removed."""
        began_s = time.monotonic()
        _, heard = follow(burner)
        first, second, third = (heard.samples.get(timeout=20) for _ in range(3))
        docker_engine.api.kill(burner)

        assert heard.ended.wait(20)
        assert began_s - 5.0 < first.at_s < second.at_s < third.at_s <= time.monotonic() + 1.0
        assert 0.05 < (third.cpu_s - first.cpu_s) / (third.at_s - first.at_s) < 0.15
        assert third.throttled_periods_count > first.throttled_periods_count
        assert 0 < third.memory_bytes <= third.memory_raw_bytes <= third.memory_peak_bytes <= 64 * MIB
        assert 1 == heard.ends_count

    def test_nothing_is_called_after_closing(
        self, burner: str, follow: Callable[[str], tuple[StatsStream, Heard]]
    ) -> None:
        """A stream that is closed on purpose tells no end, and its thread goes."""
        stream, heard = follow(burner)
        heard.samples.get(timeout=20)
        stream.close()

        assert not stream._thread.is_alive()
        assert 0 == heard.ends_count

    def test_a_container_that_is_not_there(
        self, docker_engine: docker.DockerClient, follow: Callable[[str], tuple[StatsStream, Heard]]
    ) -> None:
        """The engine's refusal is raised at once, as an error the caller knows."""
        with pytest.raises((requests.RequestException, docker.errors.DockerException), match="404"):
            follow("no-such-container")
