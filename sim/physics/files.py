"""The files on one file system, one per agent, in whole pages under a limit of their own.

On a tmpfs a file outlives the process that wrote it, but not the container's life. Its pages are charged to the
container's memory (`sim/physics/memory.py`), which may end in an OOM kill long before the file system is full.
Source: mm/shmem.c (`shmem_inode_acct_blocks`), Documentation/filesystems/tmpfs.rst.
Known to be wrong: without a limit of its own a tmpfs still ends at half of the host's memory.
"""

from __future__ import annotations

import math

from sim.physics.memory import PAGE_BYTES


class AgentFiles:
    """What lies on one file system; None is no limit."""

    __slots__ = ("_bytes_limit", "_sizes", "used_bytes")

    def __init__(self, bytes_limit: int | None) -> None:
        """Be empty."""
        self._bytes_limit = None if bytes_limit is None else whole_pages(bytes_limit)
        self._sizes: dict[str, int] = {}
        self.used_bytes = 0

    def fitting_bytes(self, agent: str, size_bytes: int) -> int:
        """How much of `size_bytes` could still be appended to the agent's file."""
        if self._bytes_limit is None:
            return size_bytes
        size = self._sizes.get(agent, 0)
        return min(size_bytes, self._bytes_limit - self.used_bytes + whole_pages(size) - size)

    def growth_bytes(self, agent: str, size_bytes: int) -> int:
        """What appending so much would take in whole pages."""
        size = self._sizes.get(agent, 0)
        return whole_pages(size + size_bytes) - whole_pages(size)

    def append(self, agent: str, size_bytes: int) -> None:
        """Let the agent's file be longer by so much, which must fit."""
        self.used_bytes += self.growth_bytes(agent, size_bytes)
        self._sizes[agent] = self._sizes.get(agent, 0) + size_bytes

    def file_bytes(self, agent: str) -> int:
        """What the agent's file takes in whole pages; 0 where there is none."""
        return whole_pages(self._sizes.get(agent, 0))

    def erase(self, agent: str) -> int:
        """Delete the agent's file; what it took is returned."""
        freed = self.file_bytes(agent)
        self._sizes.pop(agent, None)
        self.used_bytes -= freed
        return freed


def whole_pages(size_bytes: int) -> int:
    """A size rounded up to whole pages."""
    return math.ceil(size_bytes / PAGE_BYTES) * PAGE_BYTES
