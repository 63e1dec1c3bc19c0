"""The signals the worker needs, taken from where the module `signal` takes them, which would also load `enum`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_DFL, SIGCHLD, SIGKILL, SIGTERM, set_wakeup_fd, signal
else:
    from _signal import SIG_DFL, SIGCHLD, SIGKILL, SIGTERM, set_wakeup_fd, signal

__all__ = ["SIGCHLD", "SIGKILL", "SIGTERM", "SIG_DFL", "set_wakeup_fd", "signal"]
