"""Who owns a labelled object, and whether that process still lives."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from live.labels import LEASE_MARGIN_S, RunLabels, new_run_labels, read_labels
from live.owner import Owner, is_gone, this_owner

if TYPE_CHECKING:
    from pathlib import Path

LEASE_OVER_S = 1.0
ELSEWHERE = "another-host/pid:[4026531836]"


def known_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine_id: str) -> None:
    """Have this machine known by an id."""
    file = tmp_path / "machine-id"
    file.write_text(f"{machine_id}\n", encoding="ascii")
    monkeypatch.setattr("live.owner.MACHINE_ID_FILES", (tmp_path / "none", file))


def test_this_process_lives() -> None:
    """Whoever asks is alive, so what it made is no leftover, even with its lease over."""
    owner = this_owner()

    assert os.getpid() == owner.pid
    assert owner.is_here()
    assert not is_gone(owner, LEASE_OVER_S)


def test_a_process_that_ended_is_gone() -> None:
    """Its number alone does not make a process: here nobody has it."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()

    assert is_gone(dataclasses.replace(this_owner(), pid=child.pid), time.time() + 1000)


def test_a_process_nobody_has_reaped_is_gone() -> None:
    """It keeps its number and its start time until its parent asks, but it does nothing any more."""
    telling = "from live.owner import this_owner; print(this_owner().pid_start, flush=True); input()"
    command = [sys.executable, "-c", telling]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        owner = dataclasses.replace(this_owner(), pid=child.pid, pid_start=child.stdout.readline().strip())
        lived = owner.lives()
        child.stdin.write("\n")
        child.stdin.flush()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert lived
        assert not owner.lives()


def test_a_number_used_again_is_another_process() -> None:
    """The same number with another start time is somebody else."""
    assert is_gone(dataclasses.replace(this_owner(), pid_start="1"), time.time() + 1000)


def test_another_boot_of_this_machine_ended_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that is known by its id and has booted since runs nothing of what was before, whatever its lease."""
    known_by(monkeypatch, tmp_path, "0123456789abcdef")

    before_it = dataclasses.replace(this_owner(), boot_id="1")

    assert before_it.is_here()
    assert is_gone(before_it, time.time() + 1000)


def test_without_an_id_another_boot_may_be_another_machine_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Machines made from one image have one name and one pid namespace: what another of them runs has its lease."""
    known_by(monkeypatch, tmp_path, "uninitialized")

    twin = dataclasses.replace(this_owner(), boot_id="1")

    assert twin.is_here()
    assert not is_gone(twin, time.time() + 1000)
    assert is_gone(twin, time.time() - 1)
    assert is_gone(dataclasses.replace(this_owner(), pid_start="1"), time.time() + 1000)


def test_machines_are_told_apart_by_their_ids(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another id is another client host, where nobody can look; the id itself is not shown."""
    known_by(monkeypatch, tmp_path, "0123456789abcdef")
    owner = this_owner()
    known_by(monkeypatch, tmp_path, "fedcba9876543210")

    assert "0123456789abcdef" not in owner.client_host
    assert not owner.is_here()
    assert not is_gone(owner, time.time() + 1000)


def test_a_boot_time_may_move_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a boot has no id, its time is worked out anew each time: this process goes on living."""
    monkeypatch.setattr("live.owner.BOOT_ID_FILE", tmp_path / "none")
    owner = this_owner()

    for moved_s, same in ((-1, True), (1, True), (60, False)):
        moved = dataclasses.replace(owner, boot_id=str(int(owner.boot_id) + moved_s))
        assert same == moved.lives()


def test_elsewhere_the_lease_decides() -> None:
    """Nobody can look into another host, so its objects are left alone until their run must have ended."""
    owner = Owner(ELSEWHERE, "boot", os.getpid(), "1")

    assert not owner.is_here()
    assert not is_gone(owner, time.time() + 1000)
    assert is_gone(owner, time.time() - 1)


def test_labels_are_read_back() -> None:
    """What a run writes on its containers names the run, its process and its lease."""
    before_s = time.time()
    made = new_run_labels("ab12", duration_s=60.0)
    read = read_labels(made.as_labels())

    assert read is not None
    assert read == RunLabels("ab12", this_owner(), read.lease_until_s)
    assert read.lease_until_s == pytest.approx(made.lease_until_s, abs=1.0)
    assert before_s + 60.0 + LEASE_MARGIN_S <= made.lease_until_s


@pytest.mark.parametrize("missing", ["run", "client-host", "boot-id", "pid", "pid-start", "lease-until"])
def test_labels_that_are_not_whole_name_nobody(missing: str) -> None:
    """An object whose owner cannot be asked is nobody's to remove."""
    labels = new_run_labels("ab12", 60.0).as_labels()
    del labels[f"io.tonnage.{missing}"]

    assert read_labels(labels) is None


def test_labels_of_others_name_nobody() -> None:
    """Labels that only look like ours are not ours."""
    assert read_labels({"io.tonnage.pid": "x", "io.tonnage.run": "y", "com.docker.compose.project": "z"}) is None
