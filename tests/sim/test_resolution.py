"""The coarse resolution: what it costs is measured on the story itself, and told with each answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from sim.physics.host_profile import load_profile
from sim.resolution import COMPARED_S, Difference, resolution_difference
from sim.run import simulate
from tonnage import run

if TYPE_CHECKING:
    from sim.physics.variant import Variant

PROFILE = load_profile(None)
BURSTS = load("cpu-quota-bursts").story


def test_whole_periods_are_near_and_a_rate_is_not() -> None:
    """Near its quota a story's mean latency is within 10 % in whole periods, and 40 % off with the quota as a rate."""

    def latency_s(variant: Variant) -> float:
        outcome = simulate(BURSTS, profile=PROFILE, physics_seed=1, variant=variant)
        return next(metric.value for metric in outcome.metrics if metric.name == "step_latency_s_mean")

    kernel_s = latency_s("kernel")
    assert latency_s("periods") == pytest.approx(kernel_s, rel=0.1)
    assert latency_s("fluid_quota") != pytest.approx(kernel_s, rel=0.4)


def test_the_beginning_of_a_long_story_is_compared() -> None:
    """An hour is compared by its first minute, and half a minute by all of it."""
    long = resolution_difference(replace(BURSTS, duration_s=3600.0), PROFILE)

    assert (COMPARED_S, BURSTS.duration_s) == (long.compared_s, resolution_difference(BURSTS, PROFILE).compared_s)
    assert 0 < (long.median_ratio or 0) < 0.05
    assert (long.median_ratio or 0) <= (long.p90_ratio or 0) <= abs(long.furthest_ratio or 0)


def test_a_difference_names_what_differs_most() -> None:
    """One line: how long, how far, and where."""
    assert Difference(60.0, 0.008, 0.071, "throttled_s", "agents", -0.122).text() == (
        "resolution: whole CPU periods; over its first 60 s they differ from slices and ticks by "
        "0.8 % (median) and 7.1 % (90th percentile), most in throttled time of agents (-12.2 %)"
    )
    assert Difference(5.0, None, None, None, None, None).text() == (
        "resolution: whole CPU periods; its first 5 s have nothing to compare them by"
    )


def test_a_run_says_its_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel's needs no words; the coarse one is told with its difference, for people and for programs."""
    assert run(["run", "cpu-quota-bursts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resolution"] == {"name": "kernel", "difference": None}

    assert run(["run", "cpu-quota-bursts", "--resolution", "periods", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["resolution"]
    assert told == resolution_difference(BURSTS, PROFILE).to_json()

    assert run(["run", "cpu-quota-bursts", "--resolution", "periods"]) == 0
    assert capsys.readouterr().out.rstrip("\n").endswith(resolution_difference(BURSTS, PROFILE).text())


def test_a_capacity_says_its_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    """The difference is that of the story at its answer."""
    few = ("--vary", "agents.worker.count", "--low", "2", "--high", "2", "--jobs", "1", "--json")
    assert run(["capacity", "cpu-quota-bursts", *few, "--resolution", "periods"]) == 0

    told = json.loads(capsys.readouterr().out)
    two = load("cpu-quota-bursts", sets=[("agents.worker.count", "2")]).story
    assert (2, resolution_difference(two, PROFILE).to_json()) == (told["answer"], told["resolution"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--resolution", "fine"), "--resolution fine is not known; choose kernel or periods"),
        (
            ("--resolution", "periods", "--on", "docker"),
            "--resolution periods is for simulated CPUs; leave it out with --on docker",
        ),
    ],
)
def test_a_resolution_that_is_none_is_refused(
    options: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and nothing is run."""
    assert run(["run", "cpu-quota-bursts", *options]) == 2
    assert capsys.readouterr().err.strip().endswith(problem)
