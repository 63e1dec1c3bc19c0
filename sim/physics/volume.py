"""A volume on a host's disk: files, one per agent, that outlive the lives of the container that writes them.

Pages that a container's life leaves in memory stay there and are charged to no later one: who reads them again finds
them. Nothing takes them away but the deletion of their file, because the host's memory is not modelled as full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.physics.files import AgentFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sim.physics.page_cache import Key


class SimulatedVolume(AgentFiles):
    """What lies on one volume, and what of it earlier lives left in memory."""

    __slots__ = ("_stray",)

    def __init__(self) -> None:
        """Be empty, with room for anything."""
        super().__init__(None)
        # Of each piece what is in memory, and when that is clean.
        self._stray: dict[Key, tuple[int, float]] = {}

    def keep(self, pieces: Iterable[tuple[Key, int, float]]) -> None:
        """Take over what a life leaves in memory, beside what the lives before it left."""
        for key, size_bytes, clean_s in pieces:
            before_bytes, before_s = self._stray.get(key, (0, clean_s))
            self._stray[key] = (before_bytes + size_bytes, max(before_s, clean_s))

    def stray_piece_bytes(self, key: Key) -> int:
        """What of a piece is in memory without being charged to anyone."""
        return self._stray.get(key, (0, 0.0))[0]

    def stray_bytes(self, agent: str) -> int:
        """What of an agent's file is in memory without being charged to anyone."""
        return sum(size_bytes for key, (size_bytes, _) in self._stray.items() if key[0] == agent)

    def stray_dirty_bytes(self, agent: str, now_s: float) -> int:
        """What of that is still to be written back."""
        return sum(size for key, (size, clean_s) in self._stray.items() if key[0] == agent and clean_s > now_s)

    def erase(self, agent: str) -> int:
        """Delete the agent's file; what it took is returned."""
        for key in [key for key in self._stray if key[0] == agent]:
            del self._stray[key]
        return super().erase(agent)
