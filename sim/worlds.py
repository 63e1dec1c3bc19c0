"""Worlds: where a story can be run. Commands take a mapping of them, so that this layer never knows the real one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sim.physics.host_profile import HostProfile, load_profile
from sim.places import host_profile
from sim.run import Outcome, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.story import Story
    from sim.physics.variant import Resolution, Variant

Say = Callable[[str], None]

# What a story may be allowed to use beyond our own hardened worker.
ALLOWABLE = frozenset({"images", "mounts", "privileges"})


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a story may use a real engine, and how closely a simulated one is looked at.

    `allowed` is what of `ALLOWABLE` it may ask for; `private_engine` starts an engine for it alone, which its faults
    may strike. `paced` has the host's pace measured before each of several runs, for predicting them. `resolution` is
    that of a simulated host's CPUs.
    """

    allowed: frozenset[str] = frozenset()
    private_engine: bool = False
    paced: bool = False
    resolution: Resolution = "kernel"


class World(Protocol):
    """A place where stories happen: virtual time, or a real engine."""

    @property
    def name(self) -> str:
        """`sim` or `docker`, as in `--on`."""

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:
        """Keep the place for several runs of a story."""

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Run a story as it is (already shrunk, if it is to be) and keep its record in `directory`."""


Worlds = Mapping[str, Callable[[Terms], World]]


class SimulatedWorld:
    """Virtual time, with the physics of one host profile."""

    name = "sim"

    def __init__(self, profile: HostProfile | None = None, variant: Variant = "kernel") -> None:
        """Use the given profile, or this host's measured one, or the reference profile."""
        self.profile = profile or load_profile(host_profile())
        self.variant = variant

    def hold(self, story: Story, say: Say) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Virtual time is everybody's."""
        return contextlib.nullcontext()

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Simulate the story once."""
        say(f"simulating {story.name}")
        return simulate(
            story, profile=self.profile, physics_seed=physics_seed, variant=self.variant, directory=directory
        )
