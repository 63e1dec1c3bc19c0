"""A host's disk: one queue, in which every read and every write-back waits for those before it.

Formula: a request of n bytes takes n times the measured seconds per byte, after whatever is under way. What a request
costs beside its bytes is in the constants, which were measured with files of 96 MiB.
Known to be wrong: a real disk serves several requests at once and prefers reads; it has a rate limit of its own where
a provider sets one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.physics.host_profile import HostProfile


class SimulatedDisk:
    """One disk; `now` is the run's clock, in seconds."""

    __slots__ = ("_free_s", "_now", "_profile")

    def __init__(self, profile: HostProfile, now: Callable[[], float]) -> None:
        """Be at rest."""
        self._profile = profile
        self._now = now
        self._free_s = 0.0

    @property
    def now(self) -> float:
        """The run's clock."""
        return self._now()

    def read(self, size_bytes: int) -> float:
        """When so much will have been read."""
        return self._serve(size_bytes * self._profile.disk_read_s_per_byte)

    def write(self, size_bytes: int) -> float:
        """When so much will have been written back."""
        return self._serve(size_bytes * self._profile.disk_write_s_per_byte)

    def free(self, size_bytes: int) -> float:
        """When the place of so much will have been given back."""
        return self._serve(size_bytes * self._profile.disk_free_s_per_byte)

    def _serve(self, work_s: float) -> float:
        if work_s > 0:
            self._free_s = max(self._free_s, self._now()) + work_s
            return self._free_s
        return self._now()
