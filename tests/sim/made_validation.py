"""Small made-up validations, in the shape that real ones are kept in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sim.compare import Circumstances, Comparison, Harness, NegativeControl, compare
from sim.metrics import Metric

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024.0**2
COMMIT = "e5823a2c8622ae6e6c3e255b5384abf77162aca4"
STARTED_AT = "2026-11-21T10:37:17+00:00"
HOST = {"name": "vm", "cpus_count": 2, "kernel": "6.18", "engine": "20.10", "cgroup_version": 1}
DISTURBED = "other load took 0.61 cores, bound 0.10"


def run_of(rate: float) -> list[Metric]:
    """One run: so many steps a second in 100 MiB, and a cost that both worlds take from the same code."""
    return [
        Metric("steps_per_s", "api", "physics", "1/s", rate),
        Metric("memory_bytes_mean", "api", "physics", "bytes", 100 * MIB),
        Metric("cost_usd", None, "shared", "usd", 1.5),
    ]


def compared(scenario: str, rate: float = 10.0, *, comparable: bool = True) -> Comparison:
    """Three real runs of 10 steps a second against four simulated ones of another rate, with what a caller knows.

    A rate of 10.2 agrees: errors of 2 and 0 %. One of 13 does not: 30 and 0 %.
    """
    bare = compare([run_of(live) for live in (9.9, 10.0, 10.1)], [run_of(rate)] * 4, baseline=None, headline=())
    told = Circumstances(
        kind="validation",
        scenario=scenario,
        comparable=comparable,
        reasons=() if comparable else (DISTURBED,),
        load_given=bare,
        harness=Harness(lag_s_p99=0.0033, other_load_cores=0.01, steal_ratio=0.0),
        live_runs=("live-1",),
        negative_controls=(NegativeControl("fluid_quota", caught=True, detail="the quota is a rate"),),
    )
    return replace(bare, circumstances=told)


def keep(directory: Path, comparison: Comparison, *, runs_count: int = 3, **provenance: object) -> Path:
    """Keep a validation in a directory, with as much of its real runs as says who made them."""
    _write(directory / "comparison.json", {**comparison.to_json(), "live_count": runs_count or comparison.live_count})
    told = {"version": "0.1.0", "commit": COMMIT, "world": "docker", "started_at": STARTED_AT, "host": HOST}
    for number in range(1, runs_count + 1):
        run = directory / f"live-{number}"
        _write(run / "provenance.json", {**told, **provenance})
        _write(run / "summary.json", {"ended": True})
    return directory


def _write(file: Path, data: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data), encoding="utf-8")
