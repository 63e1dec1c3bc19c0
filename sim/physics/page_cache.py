"""A container's page cache: what of its files is in memory, charged to it, and taken back when room is needed.

Rule: pages are on two lists, oldest first. What is written or read for the first time is inactive; what is read twice
is active. Where the memory limit is met, the oldest inactive pages go first, and the oldest active ones become inactive
as long as there are more of these. A clean page goes at once. A dirty one must be written back, and then all dirty ones
are, in the order in which they would go; who asked for room waits until those that go are clean. No reclaim kills: only
what is no page cache can be too much (`sim/physics/memory.py`).
Each written page has a record of its block (`struct buffer_head`, 104 bytes) until it goes, charged too, but as kernel
memory. Pages are kept in pieces of a megabyte of one file, of which a part may be gone.
Source: mm/swap.c (`folio_mark_accessed`), mm/vmscan.c (`inactive_is_low`, `shrink_folio_list`), fs/buffer.c,
admin-guide/sysctl/vm.rst; measured with `benchmarks/reality/page_cache.py` (docs/physics.md, Page cache).
Known to be wrong: which dirty pages the real kernel moves to the active list, read-ahead of what is then not used, a
page that comes back soon after it went (`mm/workingset.c`), kernels with multi-generational LRU, and the limits on
dirty pages of the whole host; what one container writes back is no one else's dirty pages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sim.physics.disk import SimulatedDisk
    from sim.physics.volume import SimulatedVolume

PIECE_BYTES = 1 << 20
# What a written page's block record takes: 104 bytes for each page of 4,096.
RECORD_RATIO = 104 / 4096
# Dirty pages are written back when they are 30 s old, by a thread that looks every 5 s.
WRITE_BACK_AGE_S = 32.5

Key: TypeAlias = tuple[str, int]


class _Piece:
    """What is in memory of one megabyte of a file; `clean_s` is when it is written back, infinite while nobody does."""

    __slots__ = ("clean_s", "dirty_s", "is_referenced", "size_bytes", "written_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        self.written_bytes = 0
        self.is_referenced = False
        self.dirty_s = -math.inf
        self.clean_s = -math.inf

    def clean_from_s(self) -> float:
        """When it is clean at the latest, by its age if by nothing else."""
        return min(self.clean_s, self.dirty_s + WRITE_BACK_AGE_S)

    @property
    def record_bytes(self) -> int:
        """What the records of its written pages take."""
        return int(self.written_bytes * RECORD_RATIO)


class PageCache:
    """The page cache of one life of a container, in bytes. `room_s` is when the room that was made last is there."""

    def __init__(self, volume: SimulatedVolume, disk: SimulatedDisk) -> None:
        """Be empty."""
        self._volume = volume
        self._disk = disk
        self._inactive: dict[Key, _Piece] = {}
        self._active: dict[Key, _Piece] = {}
        self.inactive_bytes = 0
        self.active_bytes = 0
        self.record_bytes = 0
        self.room_s = 0.0

    @property
    def used_bytes(self) -> int:
        """What is charged for it."""
        return self.inactive_bytes + self.active_bytes + self.record_bytes

    def file_bytes(self, agent: str) -> int:
        """What of an agent's file is in memory, whoever is charged for it."""
        mine = (one for pieces in (self._inactive, self._active) for key, one in pieces.items() if key[0] == agent)
        return sum(piece.size_bytes for piece in mine) + self._volume.stray_bytes(agent)

    def dirty_bytes(self, agent: str) -> int:
        """What of an agent's file is in memory only, whoever is charged for it."""
        now_s = self._disk.now
        mine = (one for pieces in (self._inactive, self._active) for key, one in pieces.items() if key[0] == agent)
        dirty_bytes = sum(piece.size_bytes for piece in mine if piece.clean_from_s() > now_s)
        return dirty_bytes + self._volume.stray_dirty_bytes(agent, now_s)

    def missing_bytes(self, key: Key, size_bytes: int) -> int:
        """How much of a piece is not in memory, of so much that is wanted."""
        piece = self._inactive.get(key) or self._active.get(key)
        here_bytes = self._volume.stray_piece_bytes(key) + (0 if piece is None else piece.size_bytes)
        return max(0, size_bytes - here_bytes)

    def write(self, key: Key, size_bytes: int) -> None:
        """Have so much more of a piece in memory, and dirty; there must be room for it."""
        piece = self._grown(key, size_bytes, size_bytes)
        if piece.clean_from_s() <= self._disk.now:
            piece.dirty_s = self._disk.now
        piece.clean_s = math.inf

    def read(self, key: Key, size_bytes: int) -> None:
        """Read a piece, of which so much was not in memory and is now; there must be room for it."""
        if not size_bytes and key not in self._inactive and key not in self._active:
            # An earlier life left all of it in memory.
            return
        piece = self._grown(key, size_bytes, 0)
        if piece.is_referenced and key in self._inactive:
            del self._inactive[key]
            self._active[key] = piece
            self.inactive_bytes -= piece.size_bytes
            self.active_bytes += piece.size_bytes
        piece.is_referenced = True

    def shrink(self, size_bytes: int) -> None:
        """Give up so much of what is charged, or all there is; `room_s` says when that is really free."""
        until_bytes = max(0, self.used_bytes - size_bytes)
        while self.used_bytes > until_bytes:
            self._balance()
            key, piece = next(iter(self._inactive.items()))
            if piece.clean_from_s() > self._disk.now:
                self._write_back()
                self.room_s = max(self.room_s, piece.clean_from_s())
            left_bytes = self.used_bytes - until_bytes
            self._take(key, piece, min(piece.size_bytes, left_bytes))

    def drop(self, agent: str) -> None:
        """Forget an agent's file, which is no more."""
        for key in [key for pieces in (self._inactive, self._active) for key in pieces if key[0] == agent]:
            piece = self._inactive.get(key) or self._active[key]
            self._take(key, piece, piece.size_bytes)

    def abandon(self) -> Iterator[tuple[Key, int, float]]:
        """What is in memory when the container's life ends, and when it is clean: it stays, charged to nobody."""
        for pieces in (self._inactive, self._active):
            for key, piece in pieces.items():
                yield key, piece.size_bytes, piece.clean_from_s()

    def _grown(self, key: Key, size_bytes: int, written_bytes: int) -> _Piece:
        """The piece with so much more of it in memory; new pages stand at the young end of its list."""
        is_active = key in self._active
        pieces = self._active if is_active else self._inactive
        piece = pieces.get(key) or _Piece()
        if size_bytes:
            pieces.pop(key, None)
            pieces[key] = piece
        self.record_bytes -= piece.record_bytes
        piece.size_bytes += size_bytes
        piece.written_bytes += written_bytes
        self.record_bytes += piece.record_bytes
        if is_active:
            self.active_bytes += size_bytes
        else:
            self.inactive_bytes += size_bytes
        return piece

    def _balance(self) -> None:
        """Make the oldest active pieces inactive while there are more active pages than inactive ones."""
        while self._active and (self.inactive_bytes < self.active_bytes or not self._inactive):
            key = next(iter(self._active))
            piece = self._active.pop(key)
            self._inactive[key] = piece
            self.active_bytes -= piece.size_bytes
            self.inactive_bytes += piece.size_bytes

    def _write_back(self) -> None:
        """Have every dirty piece written back, the oldest first."""
        now_s = self._disk.now
        for pieces in (self._inactive, self._active):
            for piece in pieces.values():
                if piece.clean_s == math.inf and piece.clean_from_s() > now_s:
                    piece.clean_s = self._disk.write(piece.size_bytes)

    def _take(self, key: Key, piece: _Piece, size_bytes: int) -> None:
        """Take so much of a piece out of memory."""
        self.record_bytes -= piece.record_bytes
        piece.size_bytes -= size_bytes
        piece.written_bytes = min(piece.written_bytes, piece.size_bytes)
        self.record_bytes += piece.record_bytes
        if key in self._active:
            self.active_bytes -= size_bytes
        else:
            self.inactive_bytes -= size_bytes
        if not piece.size_bytes:
            self._active.pop(key, None)
            self._inactive.pop(key, None)
