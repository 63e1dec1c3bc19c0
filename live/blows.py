"""What can strike a whole engine on purpose: only ever one that a run has to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sim.machine import Blow


class EngineBlows(Protocol):
    """Deals blows to one engine; `live/private_engine.py` fulfils it."""

    def strike(self, blow: Blow, down_s: float | None) -> None:
        """Stop, crash or lose the engine and have it up again after `down_s`, or never where that is None.

        It blocks until then, and raises a `live.errors.LiveError` where that cannot be done.
        """
