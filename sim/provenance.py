"""Provenance: what a record needs so that somebody else can judge it, and that differs from run to run."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from sim.physics.host_profile import HostProfile

_ROOT = Path(__file__).parent.parent


def provenance(world: str, profile: HostProfile, started_at: datetime) -> dict[str, Any]:
    """The provenance known before a run; a live run adds its harness, its other load and its judgement."""
    return {
        "version": tonnage_version(),
        "commit": commit(),
        "world": world,
        "started_at": started_at.isoformat(timespec="seconds"),
        "host": profile.to_json(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "engine": "",
        "worker_image": "",
        "harness": {},
        "other_load": {},
        "comparable": True,
        "reasons": [],
    }


def tonnage_version() -> str:
    """The installed version, or `unknown` when run from a tree that is not installed."""
    try:
        return version("tonnage")
    except PackageNotFoundError:
        return "unknown"


def commit() -> str:
    """The commit of the source tree, `-dirty` behind it if files differ; empty in an installed wheel or without git."""
    if not (_ROOT / ".git").exists():
        return ""
    try:
        told = subprocess.run(  # A fixed command on our own tree.
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()
