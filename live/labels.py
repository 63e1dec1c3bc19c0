"""The labels on everything a live run creates: which run, whose, and until when at the latest.

Labels cannot be changed once an object exists, so the lease is the latest moment the run can end,
known before it begins: its duration and a margin for start and clean-up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from live.owner import Owner, this_owner

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "io.tonnage."
RUN = PREFIX + "run"
CONTAINER = PREFIX + "container"
# Room for starting, stopping and removing around a run: far more than 100 containers take.
LEASE_MARGIN_S = 900.0


@dataclass(frozen=True, slots=True)
class RunLabels:
    """One run's identity. `lease_until_s` is Unix time."""

    run: str
    owner: Owner
    lease_until_s: float

    def as_labels(self) -> dict[str, str]:
        """The labels an object of this run carries."""
        return {
            RUN: self.run,
            PREFIX + "client-host": self.owner.client_host,
            PREFIX + "boot-id": self.owner.boot_id,
            PREFIX + "pid": str(self.owner.pid),
            PREFIX + "pid-start": self.owner.pid_start,
            PREFIX + "lease-until": f"{self.lease_until_s:.0f}",
        }

    def holder(self) -> str:
        """The run and its process in one phrase."""
        return f"run {self.run} of process {self.owner.pid} on {self.owner.client_host}"


def new_run_labels(run: str, duration_s: float) -> RunLabels:
    """Labels of a run of this process that begins now and takes `duration_s`."""
    return RunLabels(run, this_owner(), time.time() + duration_s + LEASE_MARGIN_S)


def read_labels(labels: Mapping[str, str]) -> RunLabels | None:
    """The run that an object's labels name, or None where they are not ours or not whole."""
    try:
        owner = Owner(
            labels[PREFIX + "client-host"],
            labels[PREFIX + "boot-id"],
            int(labels[PREFIX + "pid"]),
            labels[PREFIX + "pid-start"],
        )
        return RunLabels(labels[RUN], owner, float(labels[PREFIX + "lease-until"]))
    except (KeyError, ValueError):
        return None
