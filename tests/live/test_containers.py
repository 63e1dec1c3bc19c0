"""Limits as the engine wants them."""

from __future__ import annotations

import pytest

from live.containers import limits, quota_us, swap_limit
from scenarios.story import Container

MIB = 1 << 20


def container(memory: int | None, swap: int | None, cpus: float | None = None) -> Container:
    """A container with these limits."""
    return Container("a", "h", cpus, memory, swap, 1024, None, 64, 1.0)


def test_what_has_no_limit_is_not_mentioned() -> None:
    """The engine's own defaults hold wherever the story names no limit."""
    assert limits(container(None, None)) == {"cpu_shares": 1024, "pids_limit": 64}


@pytest.mark.parametrize(("cpus", "expected"), [(0.01, 1000), (0.5, 50_000), (1.0, 100_000), (0.333, 33_300)])
def test_cores_are_microseconds_in_each_period(cpus: float, expected: int) -> None:
    """Half a core is 50 ms of every 100."""
    assert quota_us(cpus) == expected


@pytest.mark.parametrize(
    ("memory", "swap", "wanted", "expected"),
    [
        # No swap allowance named: Docker's own default, as much again.
        (64 * MIB, None, 128 * MIB, 256 * MIB),
        (None, None, 128 * MIB, 256 * MIB),
        # No swap at all stays no swap.
        (64 * MIB, 64 * MIB, 128 * MIB, 128 * MIB),
        # An allowance of 32 MiB stays 32 MiB, up and down.
        (64 * MIB, 96 * MIB, 128 * MIB, 160 * MIB),
        (64 * MIB, 96 * MIB, 32 * MIB, 64 * MIB),
        # Unlimited swap stays unlimited.
        (64 * MIB, -1, 128 * MIB, -1),
    ],
)
def test_swap_moves_with_memory(memory: int | None, swap: int | None, wanted: int, expected: int) -> None:
    """A changed memory limit keeps the swap allowance what it was."""
    assert swap_limit(container(memory, swap), wanted) == expected
