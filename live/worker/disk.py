"""The disk: the container's first tmpfs or its volume, on which each agent has one file that grows until it is erased.

The file is opened anew for each write and only ever appended to, so that an agent that was killed and forked again
goes on where it was.
"""

from __future__ import annotations

import os

from .wire import WireError

# The environment variables that name the directory, of a tmpfs or of a volume; without one the container has no disk.
TMPFS = "TONNAGE_DISK"
VOLUME = "TONNAGE_VOLUME"

_PIECE_BYTES = 1024 * 1024
# What is read lies in the container's memory, so less at a time.
_READ_BYTES = 128 * 1024
_PAGE_BYTES = 4096
# Linux's number for "no space left on device": the module `errno` would cost every container 20 KB.
_ENOSPC = 28

# FNV-1a of 64 bits (Fowler, Noll, Vo): a name of any length and any characters becomes a short one, without `hashlib`.
_FNV_START = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_FNV_MASK = 0xFFFFFFFFFFFFFFFF


def directory() -> str:
    """Where the disk is; empty where there is none."""
    return os.environ.get(TMPFS, "") or os.environ.get(VOLUME, "")


def used_bytes() -> int:
    """What lies on the disk, in whole pages; 0 where there is none."""
    path = os.environ.get(TMPFS, "")
    if not path:
        return _files_bytes(os.environ.get(VOLUME, ""))
    told = os.statvfs(path)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def _files_bytes(path: str) -> int:
    """The sizes of all files at `path`: a volume shares its file system with the whole host."""
    if not path:
        return 0
    total_bytes = 0
    for name in os.listdir(path):  # noqa: PTH208 - pathlib is too heavy for the container.
        try:
            size_bytes = os.stat(f"{path}/{name}").st_size  # noqa: PTH116 - pathlib is too heavy for the container.
        except OSError:
            # Its agent has just erased it; whatever else is wrong with it, its agent will say.
            continue
        total_bytes += -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES
    return total_bytes


def file_name(agent: str) -> str:
    """The name of an agent's file, whatever characters the agent's name has."""
    digest = _FNV_START
    for byte in agent.encode(errors="surrogatepass"):
        digest = (digest ^ byte) * _FNV_PRIME & _FNV_MASK
    return f"agent-{digest:016x}"


class AgentFile:
    """One agent's file in a directory; without a directory there is no room for anything."""

    __slots__ = ("_path", "_room", "_zeros")

    def __init__(self, path: str, agent: str) -> None:
        self._path = f"{path}/{file_name(agent)}" if path else ""
        self._zeros = b""
        self._room = memoryview(b"")

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

    def read(self, size_bytes: int) -> None:
        """Read so much of the file from its beginning, or as much as there is."""
        try:
            self._read(size_bytes)
        except FileNotFoundError:
            pass
        except OSError as error:
            msg = f"cannot read {self._path}: {error.strerror}"
            raise WireError(msg) from None

    def erase(self) -> None:
        """Delete the file, if there is one."""
        try:
            os.unlink(self._path)  # noqa: PTH108 - pathlib is too heavy for the container.
        except FileNotFoundError:
            pass
        except OSError as error:
            msg = f"cannot erase {self._path}: {error.strerror}"
            raise WireError(msg) from None

    def _read(self, size_bytes: int) -> None:
        self._room = self._room or memoryview(bytearray(_READ_BYTES))
        fd = os.open(self._path, os.O_RDONLY)
        try:
            while size_bytes > 0:
                got_bytes = os.readv(fd, [self._room[:size_bytes]])
                if not got_bytes:
                    break
                size_bytes -= got_bytes
        finally:
            os.close(fd)

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
