"""Which engine it is and where it runs, told from its own answer about itself (`docker info`).

An engine in a virtual machine (Docker Desktop) or on another machine has cores, memory, disk and other load of its
own, of which this client sees nothing: what it says of itself is all that is known.
"""

from __future__ import annotations

import platform
import socket
from typing import Any, Literal

import psutil

EnginePlace = Literal["here", "desktop", "elsewhere"]

DESKTOP = "Docker Desktop"


def product(info: dict[str, Any]) -> Literal["Docker", "Podman"]:
    """Whose engine answers. Podman speaks Docker's words, and says what it builds images with."""
    return "Podman" if info.get("BuildahVersion") else "Docker"


def place(info: dict[str, Any]) -> EnginePlace:
    """Whether the engine shares this client's kernel: "here"; else Docker Desktop's machine, or any other."""
    if info.get("OperatingSystem") == DESKTOP:
        # In WSL the kernel's version can be the client's own; the machine's parts are still hidden from it.
        return "desktop"
    return "here" if _is_this_machine(info) else "elsewhere"


def _is_this_machine(info: dict[str, Any]) -> bool:
    """Whether kernel, name and memory are this machine's: a fleet often has the same kernel everywhere."""
    if platform.system() != "Linux":
        return False
    told = (str(info["KernelVersion"]), info.get("Name"), info["MemTotal"])
    return told == (platform.release(), socket.gethostname(), psutil.virtual_memory().total)
