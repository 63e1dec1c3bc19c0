"""Health: the engine asks in the container whether PID 1 is well, and PID 1 answers from its main loop.

The question is a connection to an abstract Unix socket, which needs no file and no network; the answer is one byte.
A supervisor that stands still accepts nobody, so the asker's patience runs out.
Both sides are in this one file, and it does without `os`, because the asker is an interpreter of its own that starts in
the container's quota: a fifth of what Python takes for it would be that module's.
Only containers with a health check import it: the module behind the socket takes some 70 KB.
"""

from __future__ import annotations

import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket
from posix import _exit, close, environ, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# The environment variable that makes the supervisor listen. Its value is part of the address, so that supervisors
# that share a network (those that run bare on a host) can have addresses of their own.
VARIABLE = "TONNAGE_HEALTH"

QUESTIONS_WAITING_MAX = 8
TIMEOUT_S = 30.0

_ANSWER = b"\1"


def address() -> bytes:
    """Where the supervisor listens: a name in the kernel's abstract namespace, which begins with a zero byte."""
    return b"\0tonnage-health-" + environ.get(VARIABLE.encode(), b"")


class Bedside:
    """The supervisor's side: a socket that those who ask connect to."""

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        self._socket = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        self._socket.bind(address())
        self._socket.listen(QUESTIONS_WAITING_MAX)

    @property
    def fd(self) -> int:
        """The descriptor that can be read when somebody asks."""
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer one question; whoever has asked and gone misses nothing."""
        try:
            # What `socket.socket.accept` calls: the C module has no other.
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - as said.
        except OSError:
            return
        try:
            write(fd, _ANSWER)
        except OSError:
            pass
        finally:
            close(fd)


def is_well(timeout_s: float) -> bool:
    """Whether the supervisor answers within so many seconds."""
    asking = socket(AF_UNIX, SOCK_STREAM)
    asking.settimeout(timeout_s)
    try:
        asking.connect(address())
        return asking.recv(1) == _ANSWER
    except OSError:
        return False
    finally:
        asking.close()


def main() -> NoReturn:
    """Be the engine's probe: exit code 0 where the supervisor answers in time, else 1; the time is the argument."""
    timeout_s = float(sys.argv[1]) if len(sys.argv) > 1 else TIMEOUT_S
    _exit(0 if is_well(timeout_s) else 1)
