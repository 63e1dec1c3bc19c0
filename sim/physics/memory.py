"""A container's memory as its cgroup counts it: what is charged, the limit, and who dies over it.

Rule: a charge that would pass the limit makes the OOM killer take the process with the most resident memory, weighted
by its `oom_score_adj`, again and again until the charge fits or the process that asked is itself dead. PID 1 dying is
the container's death. Pages of a tmpfs are charged as well, but belong to no process: no kill frees them. Page cache of
a volume gives way before anybody dies (`sim/physics/page_cache.py`).
Source: mm/oom_kill.c (`oom_badness`), Documentation/admin-guide/cgroup-v1/memory.rst.
Known to be wrong: page cache of the programs themselves is taken as part of the processes' base, and swap is not
modelled: with a `memswap_limit` above `mem_limit` on a host with swap, the kernel would swap first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.physics.page_cache import PageCache

PAGE_BYTES = 4096
# A process's page tables: 8 bytes for each page of 4,096.
PAGE_TABLE_RATIO = 8 / PAGE_BYTES
INIT = "init"
# A health probe that runs; no scenario can name an agent so.
PROBE = "!probe"


class ContainerMemory:
    """The memory of one container, by process; `INIT` is PID 1."""

    __slots__ = ("_adjustments", "_cache", "_gives_way", "_limit", "_peak", "_resident", "files_bytes", "kills_count")

    def __init__(
        self, memory_bytes_limit: int | None, cache: PageCache | None = None, *, gives_way: bool = True
    ) -> None:
        """Be empty, under a limit or (None) under none; `cache` is there where there is a volume.

        Page cache that never `gives_way` is broken physics, a negative control.
        """
        self._limit = memory_bytes_limit
        self._cache = cache
        self._gives_way = gives_way
        self._resident: dict[str, int] = {}
        self._adjustments: dict[str, float] = {}
        self._peak = 0
        self.files_bytes = 0
        self.kills_count = 0

    @property
    def used_bytes(self) -> int:
        """What is charged now."""
        return self.kept_bytes + (0 if self._cache is None else self._cache.used_bytes)

    @property
    def working_set_bytes(self) -> int:
        """What is charged, less what the kernel takes back first: inactive page cache."""
        return self.used_bytes - (0 if self._cache is None else self._cache.inactive_bytes)

    @property
    def kept_bytes(self) -> int:
        """What no reclaim frees."""
        return sum(self._resident.values()) + self.files_bytes

    @property
    def peak_bytes(self) -> int:
        """The most that was ever charged."""
        return self._peak

    def set_limit(self, memory_bytes_limit: int | None) -> list[str]:
        """Change the limit; the processes that die of it are returned, in the order they die."""
        self._limit = memory_bytes_limit
        return self._make_room(0, None)

    def enter(self, process: str, memory_bytes: int, adjustment_ratio: float) -> list[str]:
        """Let a process begin with this much; `adjustment_ratio` is `oom_score_adj` / 1000. Victims are returned."""
        self._resident[process] = 0
        self._adjustments[process] = adjustment_ratio
        return self.charge(process, memory_bytes)

    def has(self, process: str) -> bool:
        """Whether a process is there: it entered, and did not leave or die."""
        return process in self._resident

    def leave(self, process: str) -> None:
        """Forget a process and give back what it had."""
        self._resident.pop(process, None)
        self._adjustments.pop(process, None)

    def charge(self, process: str, memory_bytes: int) -> list[str]:
        """Give a process more; the processes that die of it are returned, the asking one perhaps among them."""
        victims = self._make_room(memory_bytes, process)
        if process in self._resident:
            self._resident[process] += memory_bytes
            self._peak = max(self._peak, self.used_bytes)
        return victims

    def give_back(self, process: str, memory_bytes: int) -> None:
        """Take memory back from a process."""
        if process in self._resident:
            self._resident[process] -= memory_bytes

    def write(self, process: str, memory_bytes: int) -> list[str]:
        """Charge a process's pages in a file; the processes that die of it are returned, the writer perhaps too."""
        victims = self._make_room(memory_bytes, process)
        if process in self._resident:
            self.files_bytes += memory_bytes
            self._peak = max(self._peak, self.used_bytes)
        return victims

    def admit(self, cache_bytes: int) -> int:
        """Make room for more page cache; how much of it fits is returned, and nobody dies of the rest."""
        self._reclaim(cache_bytes)
        room_bytes = cache_bytes if self._limit is None else max(0, self._limit - self.used_bytes)
        fitting_bytes = min(cache_bytes, room_bytes)
        self._peak = max(self._peak, self.used_bytes + fitting_bytes)
        return fitting_bytes

    def erase(self, memory_bytes: int) -> None:
        """Free the pages of a file."""
        self.files_bytes -= memory_bytes

    def _reclaim(self, memory_bytes: int) -> None:
        """Have page cache give way to so much."""
        if self._limit is None or self._cache is None or self.used_bytes + memory_bytes <= self._limit:
            return
        self._peak = max(self._peak, self._limit)
        if self._gives_way:
            self._cache.shrink(self.used_bytes + memory_bytes - self._limit)

    def _make_room(self, memory_bytes: int, asking: str | None) -> list[str]:
        self._reclaim(memory_bytes)
        victims: list[str] = []
        while self._limit is not None and self._resident and self.used_bytes + memory_bytes > self._limit:
            self._peak = max(self._peak, self._limit)
            victim = max(self._resident, key=self._badness)
            victims.append(victim)
            self.kills_count += 1
            if victim == INIT:
                self._resident.clear()
                break
            self.leave(victim)
            if victim == asking:
                # A dying process's charge is void, so nobody else has to make room for it.
                break
        return victims

    def _badness(self, process: str) -> tuple[float, str]:
        limit = self._limit or 0
        return (self._resident[process] + self._adjustments[process] * limit, process)
