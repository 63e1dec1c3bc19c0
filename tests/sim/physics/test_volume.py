"""A volume: files that outlive their container, and what of them is in memory without being anybody's."""

from __future__ import annotations

from sim.physics.volume import SimulatedVolume
from tests.sim.physics.bench import MIB

PAGE = 4096
CLEAN = 0.0
FIRST, SECOND, OTHER = ("w/0", 0), ("w/0", 1), ("w/1", 0)


def test_a_volume_is_never_full() -> None:
    """The host's disk has room for anything; what is written counts in whole pages."""
    volume = SimulatedVolume()
    assert 1 << 50 == volume.fitting_bytes("w/0", 1 << 50)

    volume.append("w/0", PAGE + 1)
    assert (2 * PAGE, 2 * PAGE) == (volume.used_bytes, volume.file_bytes("w/0"))


def test_at_first_nothing_is_in_memory() -> None:
    """Writing makes no page that is nobody's: the writer is charged for it."""
    volume = SimulatedVolume()
    volume.append("w/0", MIB)

    assert (0, 0) == (volume.stray_piece_bytes(FIRST), volume.stray_bytes("w/0"))


def test_what_a_life_leaves_in_memory_is_kept() -> None:
    """Piece by piece, of several lives, each agent's by itself."""
    volume = SimulatedVolume()
    volume.keep([(FIRST, MIB, CLEAN), (OTHER, PAGE, CLEAN)])
    volume.keep(iter([(SECOND, 2 * PAGE, CLEAN)]))

    pieces = (FIRST, SECOND, OTHER, ("w/1", 1))
    assert [MIB, 2 * PAGE, PAGE, 0] == [volume.stray_piece_bytes(key) for key in pieces]
    assert [MIB + 2 * PAGE, PAGE, 0] == [volume.stray_bytes(agent) for agent in ("w/0", "w/1", "w/2")]


def test_lives_may_leave_parts_of_the_same_piece() -> None:
    """They add up, and what one of them left dirty is dirty until it is written back."""
    volume = SimulatedVolume()
    volume.keep([(FIRST, 3 * PAGE, CLEAN)])
    assert 0 == volume.stray_dirty_bytes("w/0", 5.0)

    volume.keep([(FIRST, 2 * PAGE, 9.0), (OTHER, PAGE, 9.0)])
    assert 5 * PAGE == volume.stray_piece_bytes(FIRST)
    assert [5 * PAGE, 0] == [volume.stray_dirty_bytes("w/0", now_s) for now_s in (5.0, 9.0)]


def test_what_is_in_memory_goes_with_its_file() -> None:
    """With that of one agent only; what the file took is told, and a second time there is nothing."""
    volume = SimulatedVolume()
    volume.append("w/0", MIB + 1)
    volume.append("w/1", MIB)
    volume.keep([(FIRST, MIB, CLEAN), (SECOND, PAGE, CLEAN), (OTHER, MIB, CLEAN)])

    assert [MIB + PAGE, 0] == [volume.erase("w/0"), volume.erase("w/0")]
    assert [0, 0, MIB] == [volume.stray_piece_bytes(key) for key in (FIRST, SECOND, OTHER)]
    assert (MIB, 0, MIB) == (volume.used_bytes, volume.stray_bytes("w/0"), volume.stray_bytes("w/1"))
