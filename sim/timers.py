"""A timer without a process: one bare SimPy time-out that calls a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import simpy


def after(env: simpy.Environment, delay_s: float, act: Callable[[], object]) -> None:
    """Call `act` when `delay_s` seconds of the environment's clock have passed."""

    def fire(_event: simpy.Event) -> None:
        act()

    callbacks = env.timeout(delay_s).callbacks
    if callbacks is not None:  # A fresh event always has its list; SimPy clears it once processed.
        callbacks.append(fire)
