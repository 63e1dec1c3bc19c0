"""The coarse resolution: what it costs is measured on the story itself, and told with each answer."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scenarios import load
from scenarios.story import TokenBucket
from sim import resolution
from sim.physics.host_profile import load_profile
from sim.recorded import COARSE, compare_recorded, recall
from sim.resolution import COMPARED_S, RUNS_COUNT, Difference, difference_text, resolution_difference
from sim.run import simulate
from sim.worlds import SimulatedWorld
from tonnage import run

if TYPE_CHECKING:
    from scenarios import Story
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Variant
    from sim.run import Outcome
    from sim.worlds import Say

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
    assert difference_text(Difference(60.0, 0.008, 0.071, "throttled_s", "agents", -0.122)) == (
        "resolution: whole CPU periods; over its first 60 s they differ from slices and ticks by "
        "0.8 % (median) and 7.1 % (90th percentile), most in throttled time of agents (-12.2 %)"
    )
    assert difference_text(Difference(60.0, 0.008, 0.071, "step_latency_s_mean", None, None)).endswith(
        "most in step latency, mean (only one of them has it)"
    )
    assert difference_text(Difference(5.0, None, None, None, None, None)) == (
        "resolution: whole CPU periods; its first 5 s have nothing to compare them by"
    )
    assert difference_text(None) == "resolution: whole CPU periods; nobody waited for how far they are off"


def test_only_the_beginning_is_run_and_no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs in each resolution, of a minute at most, in which nobody turns a rate."""
    asked: list[tuple[float, object, str]] = []

    def watched(story: Story, *, profile: HostProfile, physics_seed: int, variant: Variant) -> Outcome:
        asked.append((story.duration_s, story.calibrate, variant))
        return simulate(replace(story, duration_s=1.0), profile=profile, physics_seed=physics_seed, variant=variant)

    monkeypatch.setattr(resolution, "simulate", watched)
    resolution_difference(load("agent-ecology-calibration").story, PROFILE)

    assert asked == [(60.0, None, variant) for variant in ("kernel", "periods") for _ in range(RUNS_COUNT)]


@pytest.mark.parametrize("variant", ["periods", "kernel"])
def test_a_coarse_run_is_known_as_one(tmp_path: Path, variant: Variant) -> None:
    """By what simulated it, and by whoever reads its record."""
    outcome = simulate(
        replace(BURSTS, duration_s=1.0), profile=PROFILE, physics_seed=1, variant=variant, directory=tmp_path / "r"
    )

    is_coarse = variant == "periods"
    assert (is_coarse, is_coarse) == (outcome.is_coarse, recall(tmp_path / "r").is_coarse)


def test_a_run_says_its_resolution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel's needs no words; the coarse one is told with its difference, for people and for programs."""
    assert run(["run", "cpu-quota-bursts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resolution"] == {"name": "kernel", "difference": None}

    assert run(["run", "cpu-quota-bursts", "--resolution", "periods", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    difference = resolution_difference(BURSTS, PROFILE)
    assert told["resolution"] == {"name": "periods", "difference": asdict(difference)}
    record = Path(told["record"])
    circumstances = compare_recorded(record, record, tmp_path).circumstances
    assert (False, (COARSE,)) == (circumstances.comparable, circumstances.reasons)

    assert run(["run", "cpu-quota-bursts", "--resolution", "periods"]) == 0
    assert capsys.readouterr().out.rstrip("\n").endswith(difference_text(difference))


def test_a_capacity_says_its_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    """The difference is that of the story at its answer."""
    few = ("--vary", "agents.worker.count", "--low", "2", "--high", "2", "--jobs", "1", "--json")
    assert run(["capacity", "cpu-quota-bursts", *few, "--resolution", "periods"]) == 0

    told = json.loads(capsys.readouterr().out)
    two = load("cpu-quota-bursts", sets=[("agents.worker.count", "2")]).story
    assert (2, asdict(resolution_difference(two, PROFILE))) == (told["answer"], told["resolution"]["difference"])


@pytest.mark.parametrize(
    ("name", "path", "value"),
    # As a user would read the first it is no value of the language; a swap limit goes with the second.
    [("agent-ecology", "rate_limits.llm.capacity", "20000"), ("memory-oom", "containers.agents.mem_limit", "2g")],
)
def test_a_capacity_compares_the_very_story_it_found(
    name: str, path: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large numbers, and what moves along with a limit, are those of the search."""
    compared: list[Story] = []

    def kept(story: Story, _profile: HostProfile) -> Difference:
        compared.append(story)
        return Difference(1.0, None, None, None, None, None)

    monkeypatch.setattr(resolution, "resolution_difference", kept)
    few = ("--low", value, "--high", value, "--runs", "1", "--runs-max", "1", "--jobs", "1", "--set", "duration=60s")
    assert run(["capacity", name, "--vary", path, *few, "--seed", "3", "--resolution", "periods"]) == 0

    (story,) = compared
    assert 3 == story.seed
    limit = story.rate_limits[0] if story.rate_limits else None
    if isinstance(limit, TokenBucket):
        assert 20_000 == limit.capacity_tokens
    else:
        container = story.containers[0]
        assert 2 << 30 == container.memory_bytes_limit == container.memory_swap_bytes_limit


def test_an_interrupted_comparison_loses_no_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who does not wait for the comparison has the run all the same, and is told what is missing."""

    def interrupted(*_: object) -> Difference:
        raise KeyboardInterrupt

    monkeypatch.setattr(resolution, "resolution_difference", interrupted)
    assert run(["run", "cpu-quota-bursts", "--resolution", "periods"]) == 0
    assert capsys.readouterr().out.rstrip("\n").endswith(difference_text(None))

    assert run(["run", "cpu-quota-bursts", "--resolution", "periods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resolution"] == {"name": "periods", "difference": None}


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


def test_an_interrupted_search_has_its_resolution_and_no_comparison(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who interrupts the search is told what it found so far, and in which resolution."""
    played: list[int] = []
    run_whole = SimulatedWorld.run

    def interrupted(
        self: SimulatedWorld, story: Story, *, directory: Path | None, physics_seed: int, say: Say
    ) -> Outcome:
        played.append(physics_seed)
        if len(played) > 1:
            raise KeyboardInterrupt
        return run_whole(self, story, directory=directory, physics_seed=physics_seed, say=say)

    monkeypatch.setattr(SimulatedWorld, "run", interrupted)
    few = ("--vary", "agents.worker.count", "--runs", "1", "--jobs", "1", "--json")
    assert run(["capacity", "cpu-quota-bursts", *few, "--resolution", "periods"]) == 130

    told = json.loads(capsys.readouterr().out)
    assert (True, {"name": "periods", "difference": None}) == (told["interrupted"], told["resolution"])
