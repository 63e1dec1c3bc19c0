"""Where a container's agents write: its first tmpfs or its volume, and what writing, reading and erasing there cost.

Each agent has one file. On a tmpfs all of it is memory, and a full one refuses. On a volume what is in memory is page
cache, the disk is never full, and who wants what is not in memory, or memory that is still dirty, waits for the disk.
Formula: CPU is bytes times the constants of the host profile, docs/physics.md, Page cache; the disk is a queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sim.physics.files import AgentFiles
from sim.physics.memory import ContainerMemory
from sim.physics.page_cache import PIECE_BYTES, RECORD_RATIO, PageCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.story import Container
    from sim.physics.disk import SimulatedDisk
    from sim.physics.host_profile import HostProfile
    from sim.physics.page_cache import Key
    from sim.physics.surroundings import Surroundings
    from sim.physics.volume import SimulatedVolume


class TmpfsStorage:
    """Files in memory."""

    def __init__(self, bytes_limit: int | None, memory: ContainerMemory, profile: HostProfile) -> None:
        """Be empty, under a limit or (None) under none."""
        self._files = AgentFiles(bytes_limit)
        self._memory = memory
        self._profile = profile

    @property
    def used_bytes(self) -> int:
        """What lies there."""
        return self._files.used_bytes

    @property
    def room_s(self) -> float:
        """When the room that was made last is really there: always."""
        return 0.0

    def append_cpu_s(self, size_bytes: int) -> float:
        """What writing so much costs."""
        return size_bytes * self._profile.write_s_per_byte

    def append(self, agent: str, owner: str, size_bytes: int) -> tuple[int, list[str]]:
        """Let an agent's file grow, charged to the container for `owner`: what fitted, and who dies of it."""
        fitting_bytes = self._files.fitting_bytes(agent, size_bytes)
        victims = self._memory.write(owner, self._files.growth_bytes(agent, fitting_bytes))
        if self._memory.has(owner):
            self._files.append(agent, fitting_bytes)
        return fitting_bytes, victims

    def file_bytes(self, agent: str) -> int:
        """How long an agent's file is, in whole pages."""
        return self._files.file_bytes(agent)

    def read(self, _agent: str, start_bytes: int, end_bytes: int) -> tuple[float, float]:
        """Read a part of an agent's file: the CPU that costs, and when the disk has brought it, which is at once."""
        return (end_bytes - start_bytes) * self._profile.read_s_per_byte, 0.0

    def erase_cpu_s(self, agent: str) -> float:
        """What deleting an agent's file costs."""
        return self._files.file_bytes(agent) * self._profile.release_s_per_byte

    def erase(self, agent: str) -> float:
        """Delete an agent's file; when its place is free, which is at once."""
        self._memory.erase(self._files.erase(agent))
        return 0.0

    def abandon(self) -> None:
        """End with the container's life."""


class VolumeStorage:
    """Files on a disk, of which some pages are in memory."""

    def __init__(
        self, volume: SimulatedVolume, cache: PageCache, memory: ContainerMemory, around: Surroundings
    ) -> None:
        """Be as earlier lives left the volume."""
        self._volume = volume
        self._cache = cache
        self._memory = memory
        self._disk: SimulatedDisk = around.disk
        self._profile = around.profile
        self._through_s = 0.0

    @property
    def used_bytes(self) -> int:
        """What lies there."""
        return self._volume.used_bytes

    @property
    def room_s(self) -> float:
        """When the room that was made last is really there, and what found none has gone through to the disk."""
        return max(self._cache.room_s, self._through_s)

    def append_cpu_s(self, size_bytes: int) -> float:
        """What writing so much costs."""
        return size_bytes * self._profile.append_s_per_byte

    def append(self, agent: str, owner: str, size_bytes: int) -> tuple[int, list[str]]:
        """Let an agent's file grow by all of it, as page cache where there is room; nobody dies of it."""
        if not self._memory.has(owner):
            return 0, []
        # A page that is begun is in memory whole.
        start_bytes = self._volume.file_bytes(agent)
        self._volume.append(agent, size_bytes)
        for key, part_bytes in _pieces(agent, start_bytes, self._volume.file_bytes(agent)):
            charged_bytes = part_bytes + int(part_bytes * RECORD_RATIO)
            fitting_bytes = self._memory.admit(charged_bytes)
            is_whole = fitting_bytes == charged_bytes
            kept_bytes = part_bytes if is_whole else int(fitting_bytes / (1 + RECORD_RATIO))
            self._cache.write(key, kept_bytes)
            if kept_bytes < part_bytes:
                self._through_s = self._disk.write(part_bytes - kept_bytes)
        return size_bytes, []

    def file_bytes(self, agent: str) -> int:
        """How long an agent's file is, in whole pages."""
        return self._volume.file_bytes(agent)

    def read(self, agent: str, start_bytes: int, end_bytes: int) -> tuple[float, float]:
        """Read a part of an agent's file: the CPU that costs, and when the disk has brought what was not in memory."""
        fetched_bytes = 0
        for key, part_bytes in _pieces(agent, start_bytes, end_bytes):
            missing_bytes = self._cache.missing_bytes(key, part_bytes)
            kept_bytes = self._memory.admit(missing_bytes)
            # The oldest page may be another of the same piece, which is then to be fetched as well.
            while (more_bytes := self._cache.missing_bytes(key, part_bytes)) > missing_bytes:
                missing_bytes, kept_bytes = more_bytes, self._memory.admit(more_bytes)
            self._cache.read(key, kept_bytes)
            fetched_bytes += missing_bytes
        cpu_s = (end_bytes - start_bytes) * self._profile.read_s_per_byte
        ready_s = max(self._disk.read(fetched_bytes), self._cache.room_s) if fetched_bytes else 0.0
        return cpu_s + fetched_bytes * self._profile.fetch_s_per_byte, ready_s

    def erase_cpu_s(self, agent: str) -> float:
        """What deleting an agent's file costs, by what of it is in memory."""
        return self._cache.file_bytes(agent) * self._profile.drop_s_per_byte

    def erase(self, agent: str) -> float:
        """Delete an agent's file; when the disk has given its place back, of what was ever written there."""
        written_bytes = self._volume.file_bytes(agent) - self._cache.dirty_bytes(agent)
        self._cache.drop(agent)
        self._volume.erase(agent)
        return self._disk.free(written_bytes)

    def abandon(self) -> None:
        """End with the container's life: what is in memory stays there, charged to nobody."""
        self._volume.keep(self._cache.abandon())


Storage: TypeAlias = TmpfsStorage | VolumeStorage


def storage_of(
    spec: Container, memory_bytes_limit: int | None, around: Surroundings
) -> tuple[ContainerMemory, Storage | None]:
    """A container's memory, under a limit or (None) under none, and where its agents write; None where they cannot."""
    volume = around.volume(spec)
    if volume is not None:
        cache = PageCache(volume, around.disk)
        memory = ContainerMemory(memory_bytes_limit, cache, gives_way=around.variant != "no_reclaim")
        return memory, VolumeStorage(volume, cache, memory, around)
    memory = ContainerMemory(memory_bytes_limit)
    return memory, TmpfsStorage(spec.tmpfs[0].bytes_limit, memory, around.profile) if spec.tmpfs else None


def _pieces(agent: str, start_bytes: int, end_bytes: int) -> Iterator[tuple[Key, int]]:
    """The pieces of an agent's file between two places, and how much of each."""
    at_bytes = start_bytes
    while at_bytes < end_bytes:
        number = at_bytes // PIECE_BYTES
        next_bytes = min(end_bytes, (number + 1) * PIECE_BYTES)
        yield (agent, number), next_bytes - at_bytes
        at_bytes = next_bytes
