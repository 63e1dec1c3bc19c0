"""Where Tonnage keeps what it writes: one home directory, by the usual rules of the platform.

`TONNAGE_HOME` wins, then `$XDG_DATA_HOME/tonnage`, then `~/.local/share/tonnage`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import scenarios
from sim.errors import RecordError

# Runs of one story begun within one second; more is a mistake.
_SAME_SECOND_MAX = 1000

SHIPPED_RECORDS = Path(scenarios.__file__).with_name("recorded")


def home() -> Path:
    """The directory that holds records, validations, jobs and the host profile; not created here."""
    named = os.environ.get("TONNAGE_HOME")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "tonnage"


def runs() -> Path:
    """The directory of single runs, one record each."""
    return home() / "runs"


def validations() -> Path:
    """The directory of validations, each with its comparison and its records."""
    return home() / "validations"


def host_profile() -> Path:
    """The file that `tonnage measure-host` writes."""
    return home() / "host-profile.json"


def fresh(parent: Path, name: str) -> Path:
    """A directory in `parent` that does not exist yet, named after the time and the story; not created here."""
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"
    numbers = (f"-{number}" if number > 1 else "" for number in range(1, _SAME_SECOND_MAX))
    for number in numbers:
        directory = parent / f"{stamp}{number}"
        if not directory.exists():
            return directory
    raise RecordError(str(parent), f"holds {_SAME_SECOND_MAX} records of this second; wait a second")
