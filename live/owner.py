"""Who made a labelled object: a process on a client host, told apart from any later process with its number.

On one client host a process is the same only if boot, pid and start time agree, since pids are used again.
On another client host nobody can look, so a lease says when its run must have ended. Machines made from one image may
have the same name: the machine id tells them apart, and where there is none another boot may be another machine's.
Source: machine-id(5), which asks not to show the id itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
# What stands in the file of a machine that has not been given its id yet.
NO_MACHINE_ID = "uninitialized"
# Enough to tell machines apart by.
MACHINE_ID_CHARACTERS = 12
PID_NAMESPACE_FILE = Path("/proc/self/ns/pid")
# Place of `starttime` in /proc/<pid>/stat, counted after the command's closing parenthesis (proc(5)).
START_TICKS_FIELD = 19
# Dead, and only waiting for its parent to ask how it ended.
DEAD_STATES = frozenset({"Z", "X"})
# A boot time that is worked out from the uptime may come out a second earlier or later.
BOOT_TIME_S_MAX = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that owns a run. `pid_start` is text because its unit differs by platform; it is only compared."""

    client_host: str
    boot_id: str
    pid: int
    pid_start: str

    def is_here(self) -> bool:
        """Whether this process could see the owner: same host, and same pid namespace."""
        return self.client_host == client_host()

    def lives(self) -> bool:
        """Whether an owner on this client host still runs."""
        return self.booted_with_us() and _pid_start(self.pid) == self.pid_start

    def booted_with_us(self) -> bool:
        """Whether this machine has not booted since the owner began."""
        ours = boot_id()
        if self.boot_id.isdecimal() and ours.isdecimal():
            return abs(int(self.boot_id) - int(ours)) <= BOOT_TIME_S_MAX
        return self.boot_id == ours


def is_gone(owner: Owner, lease_until_s: float) -> bool:
    """Whether nobody will look after what `owner` made: its process ended, or, elsewhere, its lease is over."""
    if owner.is_here() and (owner.booted_with_us() or _machine_id()):
        return not owner.lives()
    return time.time() > lease_until_s


def this_owner() -> Owner:
    """The process that is running now."""
    pid = os.getpid()
    return Owner(client_host(), boot_id(), pid, _pid_start(pid) or "")


def client_host() -> str:
    """This machine as its processes see it; containers that share its kernel but not its pids are other hosts."""
    parts = [socket.gethostname(), _machine_id()]
    with contextlib.suppress(OSError):
        parts.append(PID_NAMESPACE_FILE.readlink().name)
    return "/".join(filter(None, parts))


def boot_id() -> str:
    """What changes whenever this machine boots."""
    try:
        return BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


def _machine_id() -> str:
    """What this machine's id stands for here; empty where it has none that can be read."""
    for file in MACHINE_ID_FILES:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            known = file.read_text(encoding="ascii").strip()
            if known and known != NO_MACHINE_ID:
                return hashlib.sha256(f"tonnage {known}".encode()).hexdigest()[:MACHINE_ID_CHARACTERS]
    return ""


def _pid_start(pid: int) -> str | None:
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _pid_start_without_proc(pid)
    try:
        after_name = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return None
    state, *fields = after_name.split()
    return None if state in DEAD_STATES else fields[START_TICKS_FIELD - 1]


def _pid_start_without_proc(pid: int) -> str | None:
    try:
        return f"{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return None
