"""A container's page cache: what of its files is in memory, charged to it, and taken back when room is needed.

Rule: pages are on two lists, oldest first. What is written or read for the first time is inactive; what is read once
more is active. Where the memory limit is met, the oldest inactive pages go. Meanwhile the oldest active ones become
inactive, in the proportion of the lists, where there are too many of these or where pages just came back soon. Too many
are more than the inactive ones, and from a gibibyte on more than the root of ten times the gibibytes as many. A page
that is fetched again came back soon if since it went no more bytes went, or became active, than are active now; it is
made active at once.
A clean page goes at once. A dirty one must be written back, and then all dirty ones are, in the order in which they
would go, with those that become dirty until that is done; who asked for room waits until those that go are clean. No
reclaim kills: only what is no page cache can be too much (`sim/physics/memory.py`). Each written page has a record of
its block (`struct buffer_head`, 104 bytes) until it goes, charged too, but as kernel memory.
Pages are kept in pieces of a megabyte of one file, of which a part may be gone.
Source: mm/swap.c (`folio_mark_accessed`), mm/vmscan.c (`prepare_scan_control`, `inactive_is_low`, `shrink_folio_list`),
mm/workingset.c, fs/buffer.c, admin-guide/sysctl/vm.rst; looked at with `benchmarks/reality/page_cache.py`.
Known to be wrong: docs/physics.md, Page cache.
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
        """When it is clean: when the disk has it, or by its age where nobody asked the disk yet."""
        return self.dirty_s + WRITE_BACK_AGE_S if self.clean_s == math.inf else self.clean_s

    @property
    def record_bytes(self) -> int:
        """What the records of its written pages take."""
        return int(self.written_bytes * RECORD_RATIO)


class _PageList:
    """Pieces in the order in which they came, and how much they are."""

    __slots__ = ("pieces", "size_bytes")

    def __init__(self) -> None:
        self.pieces: dict[Key, _Piece] = {}
        self.size_bytes = 0

    def put(self, key: Key, piece: _Piece) -> None:
        """Let a piece be the youngest."""
        self.pieces[key] = piece
        self.size_bytes += piece.size_bytes

    def pull(self, key: Key) -> _Piece | None:
        """Take a piece from the list, if it is there."""
        piece = self.pieces.pop(key, None)
        self.size_bytes -= 0 if piece is None else piece.size_bytes
        return piece

    def oldest(self) -> Key:
        """The piece that came first."""
        return next(iter(self.pieces))


class PageCache:
    """The page cache of one life of a container, in bytes. `room_s` is when the room that was made last is there."""

    def __init__(self, volume: SimulatedVolume, disk: SimulatedDisk) -> None:
        """Be empty."""
        self._volume = volume
        self._disk = disk
        self._inactive = _PageList()
        self._active = _PageList()
        # The age of the cache in bytes that went or became active, and what it was when a piece went.
        self._age_bytes = 0
        self._gone_at_bytes: dict[Key, int] = {}
        # Whether a piece came back soon since room was made last, and how many active pages are still to give way.
        self._is_renewed = False
        self._owed_bytes = 0.0
        # When all is written back that the disk was asked for.
        self._written_back_s = 0.0
        self.record_bytes = 0
        self.room_s = 0.0

    @property
    def inactive_bytes(self) -> int:
        """What the kernel takes back first."""
        return self._inactive.size_bytes

    @property
    def active_bytes(self) -> int:
        """What was read more than once, and lately."""
        return self._active.size_bytes

    @property
    def used_bytes(self) -> int:
        """What is charged for it."""
        return self.inactive_bytes + self.active_bytes + self.record_bytes

    def file_bytes(self, agent: str) -> int:
        """What of an agent's file is in memory, whoever is charged for it."""
        return sum(piece.size_bytes for piece in self._of(agent)) + self._volume.stray_bytes(agent)

    def dirty_bytes(self, agent: str) -> int:
        """What of an agent's file is in memory only, whoever is charged for it."""
        now_s = self._disk.now
        dirty_bytes = sum(piece.size_bytes for piece in self._of(agent) if piece.clean_from_s() > now_s)
        return dirty_bytes + self._volume.stray_dirty_bytes(agent, now_s)

    def missing_bytes(self, key: Key, size_bytes: int) -> int:
        """How much of a piece is not in memory, of so much that is wanted."""
        piece = self._piece(key)
        here_bytes = self._volume.stray_piece_bytes(key) + (0 if piece is None else piece.size_bytes)
        return max(0, size_bytes - here_bytes)

    def write(self, key: Key, size_bytes: int) -> None:
        """Have so much more of a piece in memory, and dirty; there must be room for it."""
        if not size_bytes:
            return
        piece = self._grown(key, size_bytes, size_bytes)
        if piece.clean_from_s() <= self._disk.now:
            piece.dirty_s = self._disk.now
        if self._written_back_s > self._disk.now:
            # Whoever writes back goes on with what has become dirty meanwhile.
            piece.clean_s = self._written_back_s = self._disk.write(size_bytes)
        else:
            piece.clean_s = math.inf

    def read(self, key: Key, size_bytes: int) -> None:
        """Read a piece, of which so much was not in memory and is now; there must be room for it."""
        if size_bytes:
            self._grown(key, size_bytes, 0).is_referenced = True
            if self._age_bytes - self._gone_at_bytes.pop(key, -math.inf) <= self.active_bytes:
                self._activate(key)
                self._is_renewed = True
            return
        piece = self._piece(key)
        if piece is None:
            # An earlier life left all of it in memory, or there was no room for a page of it.
            return
        if piece.is_referenced and key in self._inactive.pieces:
            self._activate(key)
            piece.is_referenced = False
        else:
            piece.is_referenced = True

    def shrink(self, size_bytes: int) -> None:
        """Give up so much of what is charged, or all there is; `room_s` says when that is really free."""
        if size_bytes <= 0:
            return
        until_bytes = max(0, self.used_bytes - size_bytes)
        is_renewed, self._is_renewed = self._is_renewed, False
        while self.used_bytes > until_bytes:
            if not self._inactive.pieces:
                self._deactivate()
            key = self._inactive.oldest()
            piece = self._inactive.pieces[key]
            if piece.clean_from_s() > self._disk.now:
                if piece.clean_s == math.inf:
                    self._write_back()
                self.room_s = max(self.room_s, piece.clean_s)
            gone_bytes = min(piece.size_bytes, self.used_bytes - until_bytes)
            gives_active = is_renewed or self._has_few_inactive()
            if gives_active:
                self._owed_bytes += gone_bytes * self.active_bytes / self.inactive_bytes
            self._take(self._inactive, key, gone_bytes)
            self._remember(key, gone_bytes)
            if gives_active:
                self._pay_owed()

    def drop(self, agent: str) -> None:
        """Forget an agent's file, which is no more."""
        for pages in (self._inactive, self._active):
            for key in [key for key in pages.pieces if key[0] == agent]:
                self._take(pages, key, pages.pieces[key].size_bytes)
        for key in [key for key in self._gone_at_bytes if key[0] == agent]:
            del self._gone_at_bytes[key]

    def abandon(self) -> Iterator[tuple[Key, int, float]]:
        """What is in memory when the container's life ends, and when it is clean: it stays, charged to nobody."""
        for pages in (self._inactive, self._active):
            for key, piece in pages.pieces.items():
                yield key, piece.size_bytes, piece.clean_from_s()

    def _of(self, agent: str) -> Iterator[_Piece]:
        """The pieces of an agent's file."""
        for pages in (self._inactive, self._active):
            yield from (piece for key, piece in pages.pieces.items() if key[0] == agent)

    def _piece(self, key: Key) -> _Piece | None:
        return self._inactive.pieces.get(key) or self._active.pieces.get(key)

    def _grown(self, key: Key, size_bytes: int, written_bytes: int) -> _Piece:
        """The piece with so much more of it in memory, the youngest of its list."""
        pages = self._active if key in self._active.pieces else self._inactive
        piece = pages.pull(key) or _Piece()
        self.record_bytes -= piece.record_bytes
        piece.size_bytes += size_bytes
        piece.written_bytes += written_bytes
        self.record_bytes += piece.record_bytes
        pages.put(key, piece)
        return piece

    def _activate(self, key: Key) -> None:
        """Let a piece be the youngest active one."""
        piece = self._inactive.pull(key)
        if piece is not None:
            self._active.put(key, piece)
            self._age_bytes += piece.size_bytes

    def _deactivate(self) -> None:
        """Let the oldest active piece be the youngest inactive one."""
        key = self._active.oldest()
        piece = self._active.pull(key)
        assert piece is not None, "the oldest piece is there"
        self._inactive.put(key, piece)

    def _has_few_inactive(self) -> bool:
        """Whether there are too few inactive pages beside the active ones."""
        gib = (self.inactive_bytes + self.active_bytes) >> 30
        return self.inactive_bytes * (math.isqrt(10 * gib) or 1) < self.active_bytes

    def _remember(self, key: Key, gone_bytes: int) -> None:
        """Note when a piece, or its first part, went; those that went too long ago to come back soon are forgotten."""
        self._gone_at_bytes.setdefault(key, self._age_bytes)
        self._age_bytes += gone_bytes
        # No more can be active than there is, unless what processes hold gives way to page cache again.
        while self._gone_at_bytes:
            first = next(iter(self._gone_at_bytes))
            if self._age_bytes - self._gone_at_bytes[first] <= self.used_bytes + gone_bytes:
                return
            del self._gone_at_bytes[first]

    def _pay_owed(self) -> None:
        """Make as many of the oldest active pieces inactive as was owed."""
        while self._active.pieces:
            size_bytes = self._active.pieces[self._active.oldest()].size_bytes
            if self._owed_bytes < size_bytes:
                return
            self._owed_bytes -= size_bytes
            self._deactivate()

    def _write_back(self) -> None:
        """Have every dirty piece written back that nobody has asked the disk for yet, the oldest first."""
        now_s = self._disk.now
        for pages in (self._inactive, self._active):
            for piece in pages.pieces.values():
                if piece.clean_s == math.inf and piece.clean_from_s() > now_s:
                    piece.clean_s = self._written_back_s = self._disk.write(piece.size_bytes)

    def _take(self, pages: _PageList, key: Key, size_bytes: int) -> None:
        """Take so much of a piece out of memory."""
        piece = pages.pieces[key]
        self.record_bytes -= piece.record_bytes
        piece.size_bytes -= size_bytes
        piece.written_bytes = min(piece.written_bytes, piece.size_bytes)
        self.record_bytes += piece.record_bytes
        pages.size_bytes -= size_bytes
        if not piece.size_bytes:
            del pages.pieces[key]
