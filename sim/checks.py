"""Checks: invariants read off a record from outside, the same for both worlds.

A check that fails means a bug of ours or a world that does not work as described, never a bad prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.machine_invariants import backward_times, cpu_over_quota, fallen_counters, memory_over_limit
from sim.record_tables import RecordTables
from sim.work_invariants import broken_loops, minted_tokens, steps_not_ended_once

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Check", "RecordTables", "check_record"]

INVARIANTS = (
    ("times never run backwards", backward_times),
    ("counters never fall", fallen_counters),
    ("memory stays within its limit", memory_over_limit),
    ("CPU stays within its quota", cpu_over_quota),
    ("each step ends exactly once", steps_not_ended_once),
    ("closed loops obey Little's law", broken_loops),
    ("no token is minted", minted_tokens),
)


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant, whether it holds, and the first thing that broke it (empty where nothing did)."""

    name: str
    ok: bool
    detail: str


def check_record(tables: RecordTables) -> list[Check]:
    """All invariants, always the same ones in the same order."""
    return [_checked(name, list(violations(tables))) for name, violations in INVARIANTS]


def _checked(name: str, violations: Sequence[str]) -> Check:
    if not violations:
        return Check(name, ok=True, detail="")
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return Check(name, ok=False, detail=violations[0] + more)
