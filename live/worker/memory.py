"""Memory that is really resident: private anonymous pages, each of them written to.

Huge pages are refused, so that the pages counted are the pages asked for, and a forked process does not
inherit the memory, so that it counts once.
"""

from __future__ import annotations

import mmap

_PAGE_BYTES = mmap.PAGESIZE
_CHUNK_BYTES = 1024 * 1024
_MARKS = b"\1" * (_CHUNK_BYTES // _PAGE_BYTES)


def touched(size_bytes: int) -> mmap.mmap:
    """`size_bytes` (1 or more) of new memory, rounded up to whole pages, all of it resident."""
    size_bytes = -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES
    block = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_NOHUGEPAGE)
    block.madvise(mmap.MADV_DONTFORK)
    for start in range(0, size_bytes, _CHUNK_BYTES):
        end = min(start + _CHUNK_BYTES, size_bytes)
        # One byte a page is enough to make it resident, and copying whole pages would cost CPU.
        block[start:end:_PAGE_BYTES] = _MARKS[: (end - start) // _PAGE_BYTES]
    return block


class Memory:
    """The memory of one agent: what it holds until it is told to release, and what it has leaked."""

    __slots__ = ("_held", "_leaked")

    def __init__(self) -> None:
        self._held: list[mmap.mmap] = []
        self._leaked: list[mmap.mmap] = []

    def hold(self, size_bytes: int) -> None:
        """Touch memory and keep it until `release`."""
        if size_bytes > 0:
            self._held.append(touched(size_bytes))

    def leak(self, size_bytes: int) -> None:
        """Touch memory and keep it for good."""
        if size_bytes > 0:
            self._leaked.append(touched(size_bytes))

    def release(self) -> None:
        """Give back all that is held, but not what has leaked."""
        for block in self._held:
            block.close()
        self._held.clear()
