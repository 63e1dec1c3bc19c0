"""Worlds: where a story can be run. Commands take a mapping of them, so that this layer never knows the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from sim.physics.host_profile import HostProfile, load_profile
from sim.places import host_profile
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.story import Story
    from sim.physics.variant import Variant

Say = Callable[[str], None]


class World(Protocol):
    """A place where stories happen: virtual time, or a real engine."""

    @property
    def name(self) -> str:
        """`sim` or `docker`, as in `--on`."""

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Run a story as it is (already shrunk, if it is to be) and keep its record in `directory`."""


Worlds = Mapping[str, Callable[[], World]]


class SimulatedWorld:
    """Virtual time, with the physics of one host profile."""

    name = "sim"

    def __init__(self, profile: HostProfile | None = None, variant: Variant = "kernel") -> None:
        """Use the given profile, or this host's measured one, or the reference profile."""
        self.profile = profile or load_profile(host_profile())
        self._variant = variant

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate the story once."""
        say(f"simulating {story.name}")
        return simulate(
            story, profile=self.profile, physics_seed=physics_seed, variant=self._variant, directory=directory
        )
