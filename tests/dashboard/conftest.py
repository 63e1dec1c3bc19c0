"""What tests of the dashboard share: a home with simulated runs and a validation in it, made once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from scenarios.scale import shrink
from sim.compare import Harness
from sim.physics.host_profile import REFERENCE, load_profile
from sim.record import Record, read_record
from sim.run import simulate
from sim.validation import Plan, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenarios import Story
    from sim.run import Outcome

# Five seconds hold fifty quota periods and a hundred steps: enough to draw, and quick to simulate.
SHORT = ("duration", "5s")
HARNESS = Harness(lag_s_p99=0.0004, other_load_cores=0.02, steal_ratio=0.0)


@pytest.fixture(name="recorded_home", scope="session")
def _recorded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs, one that did not end, and a validation, whose real side is simulated with other seeds."""
    home = tmp_path_factory.mktemp("recorded")
    _simulated(load("cpu-quota-bursts", sets=[SHORT]).story, home / "runs" / "20261101-100000-cpu-quota-bursts")
    _simulated(load("memory-oom", sets=[("duration", "20s")]).story, home / "runs" / "20261101-100100-memory-oom")
    _unended(home / "runs" / "20261101-100200-cpu-weights")
    _validation(home / "validations" / "20261101-110000-cpu-quota-bursts")
    return home


@pytest.fixture(name="shelf")
def _shelf(recorded_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home with records in it, as this test's home; tests only look at it."""
    monkeypatch.setenv("TONNAGE_HOME", str(recorded_home))
    return recorded_home


@pytest.fixture(name="read_run")
def _read_run(recorded_home: Path) -> Callable[[str], Record]:
    """A function that reads the run of a story."""

    def read(story: str) -> Record:
        return read_record(next((recorded_home / "runs").glob(f"*-{story}")))

    return read


def _simulated(story: Story, directory: Path, physics_seed: int = 1) -> Outcome:
    """Simulate a story and keep its record."""
    return simulate(story, profile=load_profile(REFERENCE), physics_seed=physics_seed, directory=directory)


def _unended(directory: Path) -> None:
    """Keep a record as a killed run leaves it: a journal, and no summary."""
    _simulated(load("cpu-weights", sets=[SHORT]).story, directory)
    (directory / "summary.json").unlink()
    for table in directory.glob("*.parquet"):
        table.unlink()
    row = {"row": "gauge", "at_s": 0.5, "name": "agents_up_count", "value": 8.0}
    (directory / "journal.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")


def _validation(directory: Path) -> None:
    """Judge simulations with other physics seeds as if they had been real."""
    story = load("cpu-quota-bursts", sets=[SHORT]).story
    small = shrink(story)
    real = [_as_real(_simulated(small, directory / f"live-{number}", 100 + number)) for number in (1, 2, 3)]
    plan = Plan(story, 3, 3, directory, None, load_profile(REFERENCE))
    judge(plan, small, real, 15.0, lambda _text: None)


def _as_real(outcome: Outcome) -> Outcome:
    """The same run, told as one on a Docker engine."""
    assert outcome.record is not None
    file = outcome.record / "provenance.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told |= {
        "world": "docker",
        "engine": "20.10.24",
        "started_at": "2026-11-01T11:00:00+00:00",
        "harness": {"lag_s_p50": 0.0001, "lag_s_p99": 0.0004, "lag_s_max": 0.002, "driver_cpu_cores": 0.02},
        "other_load": {"cores_mean": 0.02, "steal_ratio": 0.0},
    }
    file.write_text(json.dumps(told), encoding="utf-8")
    return replace(outcome, world="docker", harness=HARNESS)
