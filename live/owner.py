"""Who made a labelled object: a process on a client host, told apart from any later process with its number.

On one client host a process is the same only if boot, pid and start time agree, since pids are used again.
On another client host nobody can look, so a lease says when its run must have ended.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE_FILE = Path("/proc/self/ns/pid")
# Place of `starttime` in /proc/<pid>/stat, counted after the command's closing parenthesis (proc(5)).
START_TICKS_FIELD = 19
# Dead, and only waiting for its parent to ask how it ended.
DEAD_STATES = frozenset({"Z", "X"})


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
        return self.boot_id == boot_id() and _pid_start(self.pid) == self.pid_start


def is_gone(owner: Owner, lease_until_s: float) -> bool:
    """Whether nobody will look after what `owner` made: its process ended, or, elsewhere, its lease is over."""
    if owner.is_here():
        return not owner.lives()
    return time.time() > lease_until_s


def this_owner() -> Owner:
    """The process that is running now."""
    pid = os.getpid()
    return Owner(client_host(), boot_id(), pid, _pid_start(pid) or "")


def client_host() -> str:
    """This machine as its processes see it; containers that share its kernel but not its pids are other hosts."""
    try:
        namespace = PID_NAMESPACE_FILE.readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}"


def boot_id() -> str:
    """What changes whenever this machine boots."""
    try:
        return BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except OSError:
        return str(int(psutil.boot_time()))


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
