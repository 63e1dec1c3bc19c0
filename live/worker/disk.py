"""The disk: the container's first tmpfs, on which each agent has one file that grows until it is erased.

The file is opened anew for each write and only ever appended to, so that an agent that was killed and forked again
goes on where it was.
"""

from __future__ import annotations

import os

from .wire import WireError

# The environment variable that names the directory; without it the container has no disk.
VARIABLE = "TONNAGE_DISK"

_PIECE_BYTES = 1024 * 1024
# Linux's number for "no space left on device": the module `errno` would cost every container 20 KB.
_ENOSPC = 28

# FNV-1a of 64 bits (Fowler, Noll, Vo): a name of any length and any characters becomes a short one, without `hashlib`.
_FNV_START = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_FNV_MASK = 0xFFFFFFFFFFFFFFFF


def directory() -> str:
    """Where the disk is; empty where there is none."""
    return os.environ.get(VARIABLE, "")


def used_bytes(path: str) -> int:
    """What lies on the file system at `path`, in whole pages; 0 where `path` is empty."""
    if not path:
        return 0
    told = os.statvfs(path)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def file_name(agent: str) -> str:
    """The name of an agent's file, whatever characters the agent's name has."""
    digest = _FNV_START
    for byte in agent.encode(errors="surrogatepass"):
        digest = (digest ^ byte) * _FNV_PRIME & _FNV_MASK
    return f"agent-{digest:016x}"


class AgentFile:
    """One agent's file in a directory; without a directory there is no room for anything."""

    __slots__ = ("_path", "_zeros")

    def __init__(self, path: str, agent: str) -> None:
        self._path = f"{path}/{file_name(agent)}" if path else ""
        self._zeros = b""

    def append(self, size_bytes: int) -> bool:
        """Append so many zeros; False if not all of them fit, and then what fits is there."""
        if not self._path:
            return False
        try:
            self._append(size_bytes)
        except OSError as error:
            if error.errno == _ENOSPC:
                return False
            msg = f"cannot write to {self._path}: {error.strerror}"
            raise WireError(msg) from None
        return True

    def erase(self) -> None:
        """Delete the file, if there is one."""
        try:
            os.unlink(self._path)  # noqa: PTH108 - pathlib is too heavy for the container.
        except FileNotFoundError:
            pass
        except OSError as error:
            msg = f"cannot erase {self._path}: {error.strerror}"
            raise WireError(msg) from None

    def _append(self, size_bytes: int) -> None:
        # Made at the first write, and never written to, so that it takes hardly any memory of the container.
        self._zeros = self._zeros or bytes(_PIECE_BYTES)
        zeros = memoryview(self._zeros)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            while size_bytes > 0:
                size_bytes -= os.write(fd, zeros[:size_bytes])
        finally:
            os.close(fd)
