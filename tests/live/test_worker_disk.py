"""An agent's file on its container's disk."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.worker import disk
from live.worker.disk import AgentFile, file_name
from live.worker.wire import WireError

if TYPE_CHECKING:
    from pathlib import Path

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
    """Every write is refused, nothing is used, and there is nothing to erase."""
    monkeypatch.chdir(tmp_path)
    file = AgentFile("", "w/0")
    fits = file.append(1)
    file.erase()

    assert not fits
    assert disk.used_bytes("") == 0
    assert [] == list(tmp_path.iterdir())


def test_a_disk_that_cannot_be_used_is_a_mistake(tmp_path: Path) -> None:
    """Neither a missing directory nor a folder in the file's place is a full disk."""
    (tmp_path / file_name("w/0")).mkdir()

    with pytest.raises(WireError, match=r"cannot write to .*: No such file"):
        AgentFile(str(tmp_path / "gone"), "w/0").append(1)
    with pytest.raises(WireError, match=r"cannot write to .*: Is a directory"):
        AgentFile(str(tmp_path), "w/0").append(1)
    with pytest.raises(WireError, match="cannot erase "):
        AgentFile(str(tmp_path), "w/0").erase()


@given(st.lists(st.text(st.characters(), min_size=1, max_size=200), unique=True, max_size=5))
def test_any_name_is_a_file_name(agents: list[str]) -> None:
    """Short, of plain characters, and another for each agent."""
    names = [file_name(agent) for agent in agents]

    assert all(name.isascii() and name.replace("-", "").isalnum() and len(name) == 22 for name in names)
    assert len(agents) == len(set(names))


def test_a_file_name_is_the_same_everywhere() -> None:
    """It follows from the agent's name alone; the hash is FNV-1a, whose value for "foobar" its authors publish."""
    assert file_name("foobar") == "agent-85944171f73967e8"
