"""What a job shall do, and the command line that does it.

A request comes from a web page, so it names a story that ships and values, and nothing else:
never a path, an image or a command. Live work is accepted only where the server was started for it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from dashboard.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALLOW_LIVE = "TONNAGE_DASHBOARD_ALLOW_LIVE"
"""The environment variable by which `tonnage dashboard --allow-live` lets jobs use the Docker engine."""

JobKind = Literal["simulate", "run_live", "validate"]

KIND_WORDS = {"simulate": "Simulate", "run_live": "Run on Docker", "validate": "Validate: both worlds, compared"}

SETTING_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+){0,9}")
SETTINGS_MAX = 50
NAME_SHOWN_MAX = 100
VALUE_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A story to run, in which world, with which seed (None: the story's own) and which values changed."""

    kind: JobKind
    story: str
    seed: int | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobRequest:
        """The request in a job's `request.json`."""
        return cls(data["kind"], data["story"], data["seed"], dict(data["settings"]))

    def to_json(self) -> dict[str, Any]:
        """The request as JSON-ready data."""
        return asdict(self)


def is_live_allowed() -> bool:
    """Whether this server was started with leave to use the Docker engine."""
    return os.environ.get(ALLOW_LIVE) == "1"


def command_line(request: JobRequest, record: Path) -> list[str]:
    """The command that carries a request out; a single run is kept in `record`. `JobError` as `check` says."""
    check(request)
    seed = [] if request.seed is None else ["--seed", str(request.seed)]
    settings = [word for path, value in request.settings.items() for word in ("--set", f"{path}={value}")]
    tonnage = [sys.executable, "-P", "-m", "tonnage"]
    if request.kind == "validate":
        return [*tonnage, "validate", request.story, *seed, *settings, "--json"]
    world = "sim" if request.kind == "simulate" else "docker"
    return [*tonnage, "run", request.story, "--on", world, *seed, *settings, "--record", str(record), "--json"]


def check(request: JobRequest) -> None:
    """Refuse, by `JobError`, whatever is not a shipped story's name with plain values, and live work unasked."""
    from scenarios.load import library_names  # `tonnage --help` must not wait for the scenarios.

    if request.kind not in get_args(JobKind):
        raise JobError(f"{request.kind!r} is not a kind of job; there are {', '.join(get_args(JobKind))}")
    if request.kind != "simulate" and not is_live_allowed():
        raise JobError("live runs are off; start the dashboard with `tonnage dashboard --allow-live`")
    if request.story not in library_names():
        raise JobError(f"{request.story[:NAME_SHOWN_MAX]!r} is not a story that ships; `tonnage library` lists them")
    if len(request.settings) > SETTINGS_MAX:
        raise JobError(f"{len(request.settings)} values are changed; at most {SETTINGS_MAX} can be")
    for path, value in request.settings.items():
        if not SETTING_PATH.fullmatch(path) or len(value) > VALUE_LENGTH_MAX or not value.isprintable():
            raise JobError(f"{path}={value} cannot be set; a path is dotted, such as agents.worker.count=5")
