"""An agent's file on its container's disk."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.worker import disk
from live.worker.disk import AgentFile, file_name
from live.worker.wire import WireError

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024
MIB = 1024 * 1024


def test_writes_are_appended(tmp_path: Path) -> None:
    """Of any size, over several writes, also by another process of the same agent."""
    fits = [AgentFile(str(tmp_path), "w/0").append(size) for size in (1, 3 * MIB + 5, 0)]

    assert [True, True, True] == fits
    assert [bytes(3 * MIB + 6)] == [path.read_bytes() for path in tmp_path.iterdir()]


def test_agents_have_files_of_their_own(tmp_path: Path) -> None:
    """What one writes and erases is not the other's."""
    first, second = (AgentFile(str(tmp_path), name) for name in ("w/0", "w/1"))
    first.append(10)
    second.append(20)
    first.erase()

    assert [20] == [path.stat().st_size for path in tmp_path.iterdir()]


def test_what_is_erased_may_not_be_there(tmp_path: Path) -> None:
    """Erasing twice does no harm, and the next write begins anew."""
    file = AgentFile(str(tmp_path), "w/0")
    file.append(10)
    file.erase()
    file.erase()
    file.append(5)

    assert [5] == [path.stat().st_size for path in tmp_path.iterdir()]


def test_a_full_disk_refuses(tmp_path: Path) -> None:
    """The kernel's "no space left" is an answer; its number is Linux's own."""
    (tmp_path / file_name("w/0")).symlink_to("/dev/full")

    assert not AgentFile(str(tmp_path), "w/0").append(1)
    assert errno.ENOSPC == disk._ENOSPC


def test_without_a_disk_nothing_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write is refused, nothing is used, and there is nothing to read or to erase."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(disk.TMPFS, raising=False)
    monkeypatch.delenv(disk.VOLUME, raising=False)
    file = AgentFile("", "w/0")
    fits = file.append(1)
    file.read(1)
    file.erase()

    assert not fits
    assert ("", 0) == (disk.directory(), disk.used_bytes())
    assert [] == list(tmp_path.iterdir())


def test_a_disk_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    """Neither a missing directory nor a folder in the file's place is a full disk."""
    (tmp_path / file_name("w/0")).mkdir()

    with pytest.raises(WireError, match=r"cannot write to .*: No such file"):
        AgentFile(str(tmp_path / "gone"), "w/0").append(1)
    with pytest.raises(WireError, match=r"cannot write to .*: Is a directory"):
        AgentFile(str(tmp_path), "w/0").append(1)
    with pytest.raises(WireError, match=r"cannot read .*: Is a directory"):
        AgentFile(str(tmp_path), "w/0").read(1)
    with pytest.raises(WireError, match="cannot erase "):
        AgentFile(str(tmp_path), "w/0").erase()


@pytest.fixture(name="got_bytes")
def _got_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much each call to read was given by the kernel."""
    got_bytes: list[int] = []
    readv = os.readv

    def counting(fd: int, room: list[bytearray]) -> int:
        got_bytes.append(readv(fd, room))
        return got_bytes[-1]

    monkeypatch.setattr(os, "readv", counting)
    return got_bytes


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, []),
        (128 * KIB, [128 * KIB]),
        (256 * KIB, [128 * KIB, 128 * KIB]),
        # The file ends: what is left of it, and then nothing.
        (MIB, [128 * KIB, 128 * KIB, 44 * KIB, 0]),
    ],
)
def test_so_much_is_read_or_what_there_is(
    tmp_path: Path, got_bytes: list[int], size_bytes: int, expected: list[int]
) -> None:
    """From the file's beginning, in pieces of 128 KiB, whatever was read before."""
    file = AgentFile(str(tmp_path), "w/0")
    file.append(300 * KIB)
    for _ in range(2):
        file.read(size_bytes)

    assert [*expected, *expected] == got_bytes
    assert [300 * KIB] == [path.stat().st_size for path in tmp_path.iterdir()]


def test_a_file_that_is_not_there_is_read_as_nothing(tmp_path: Path, got_bytes: list[int]) -> None:
    """An agent that wrote nothing yet, or erased it, reads nothing and makes no file."""
    AgentFile(str(tmp_path), "w/0").read(MIB)

    assert [] == got_bytes
    assert [] == list(tmp_path.iterdir())


def test_on_a_volume_files_count_in_whole_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one by itself, because the file system is the whole host's; an empty file takes nothing."""
    monkeypatch.delenv(disk.TMPFS, raising=False)
    monkeypatch.setenv(disk.VOLUME, str(tmp_path))
    before = disk.used_bytes()
    for number, size_bytes in enumerate((0, 1, 4096, 4097)):
        AgentFile(disk.directory(), f"w/{number}").append(size_bytes)

    assert str(tmp_path) == disk.directory()
    assert [0, 4096 + 4096 + 8192] == [before, disk.used_bytes()]


def test_a_file_may_go_while_files_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents erase while the supervisor samples: what is gone between the listing and the look counts as nothing."""
    monkeypatch.delenv(disk.TMPFS, raising=False)
    monkeypatch.setenv(disk.VOLUME, str(tmp_path))
    files = [AgentFile(str(tmp_path), agent) for agent in ("w/0", "w/1")]
    for file in files:
        file.append(1)
    listdir = os.listdir

    def listed_and_erased(path: str) -> list[str]:
        names = listdir(path)
        files[0].erase()
        return names

    monkeypatch.setattr(os, "listdir", listed_and_erased)

    assert 4096 == disk.used_bytes()


def test_a_tmpfs_is_asked_how_full_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the container's own, so its file system's counters tell."""
    told = SimpleNamespace(f_blocks=100, f_bfree=70, f_frsize=4096)
    monkeypatch.setenv(disk.TMPFS, str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda path: {str(tmp_path): told}[path])

    assert (str(tmp_path), 30 * 4096) == (disk.directory(), disk.used_bytes())


@given(st.lists(st.text(st.characters(), min_size=1, max_size=200), unique=True, max_size=5))
def test_any_name_is_a_file_name(agents: list[str]) -> None:
    """Short, of plain characters, and another for each agent."""
    names = [file_name(agent) for agent in agents]

    assert all(name.isascii() and name.replace("-", "").isalnum() and len(name) == 22 for name in names)
    assert len(agents) == len(set(names))


def test_a_file_name_is_the_same_everywhere() -> None:
    """It follows from the agent's name alone; the hash is FNV-1a, whose value for "foobar" its authors publish."""
    assert file_name("foobar") == "agent-85944171f73967e8"
