"""A run's networks: made when they are needed, each once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

from live.labels import RUN, new_run_labels
from live.networks import Networks
from scenarios.story import Network

if TYPE_CHECKING:
    import docker


class Engine:
    """An engine that takes its time to make a network, and refuses the first `refusals_count`."""

    def __init__(self, refusals_count: int = 0) -> None:
        """Have made none."""
        self.made: list[tuple[str, bool, str]] = []
        self.api = self
        self._refusals_left = refusals_count
        self._counting = threading.Lock()

    def create_network(self, name: str, *, driver: str, internal: bool, labels: dict[str, str]) -> dict[str, Any]:
        """Make one, or refuse."""
        time.sleep(0.02)
        with self._counting:
            if self._refusals_left:
                self._refusals_left -= 1
                raise OSError("no address pool is left")
            self.made.append((name, internal, labels[RUN]))
            return {"Id": f"{driver}-{len(self.made)}"}


def networks(engine: Engine) -> Networks:
    """Two networks on this engine."""
    specs = (Network("front", internal=False), Network("back", internal=True))
    return Networks(cast("docker.DockerClient", engine), new_run_labels("run", 1.0), specs)


def test_containers_started_at_once_make_a_network_once() -> None:
    """All of them get the one that was made for the first."""
    engine = Engine()
    there = networks(engine)

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(there.ensure, ["back"] * 8))

    assert ids == {"bridge-1"}
    assert engine.made == [("tonnage-run-back", True, "run")]


def test_what_nobody_is_in_is_not_made() -> None:
    """Networks are scarce on an engine."""
    engine = Engine()

    networks(engine).ensure("front")

    assert engine.made == [("tonnage-run-front", False, "run")]


def test_a_refusal_is_not_kept() -> None:
    """The engine's own words reach the caller, and the next start asks anew."""
    engine = Engine(refusals_count=1)
    there = networks(engine)

    with pytest.raises(OSError, match="no address pool is left"):
        there.ensure("front")

    assert there.ensure("front") == "bridge-1"
