"""The A/A baseline: the noise between real runs, pooled from groups and read from earlier validations."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.baseline import Baseline, Noise, key_of_story, load_baseline, pool, pool_groups
from sim.metrics import Metric

if TYPE_CHECKING:
    from pathlib import Path

STORY: dict[str, Any] = {"name": "bursts", "seed": 1, "duration_s": 30.0}
HOST = "quiet-box"


def runs_of(*values: float) -> list[list[Metric]]:
    """One run for each value of a container's throughput."""
    return [[Metric("steps_per_s", "api", "physics", "1/s", value)] for value in values]


def noise_of(baseline: Baseline) -> Noise:
    """The noise of that throughput."""
    noise = baseline.of("steps_per_s", "api")
    assert noise is not None
    return noise


def write_validation(
    home: Path,
    name: str,
    values: list[float],
    *,
    story: dict[str, Any] | None = None,
    host: str = HOST,
    comparable: bool = True,
    ended: bool = True,
    world: str = "docker",
) -> Path:
    """A validation's directory with one live record for each value."""
    validation = home / "validations" / name
    for number, run in enumerate(runs_of(*values), start=1):
        record = validation / f"live-{number}"
        record.mkdir(parents=True)
        summary = {"schema_version": 1, "ended": ended, "metrics": [asdict(metric) for metric in run]}
        provenance = {"world": world, "comparable": comparable, "host": {"name": host}}
        written = {"scenario": {"story": story or STORY}, "summary": summary, "provenance": provenance}
        for part, content in written.items():
            (record / f"{part}.json").write_text(json.dumps(content))
    return validation


def loaded(home: Path, *, excluding: Path | None = None) -> Baseline:
    """The baseline of the story on the host."""
    return load_baseline(home, key_of_story(STORY), HOST, excluding=(excluding,) if excluding else ())


def test_one_group_has_the_usual_deviation() -> None:
    """One group's noise is the plain standard deviation with one degree of freedom less than runs."""
    noise = noise_of(pool(runs_of(9.0, 10.0, 11.0)))

    assert noise == Noise(value_mean=10.0, value_sd=1.0, degrees_count=2, runs_count=3)


def test_noise_ratio_is_the_difference_of_two_runs() -> None:
    """Two runs differ by sqrt(2) deviations of one, relative to the value they stand beside."""
    noise = noise_of(pool(runs_of(9.0, 10.0, 11.0)))

    assert noise.ratio("steps_per_s", "1/s", 20.0) == pytest.approx(math.sqrt(2.0) / 20.0)


def test_the_noise_of_a_single_run_is_not_known() -> None:
    """One run says where it was, and nothing about how it varies."""
    noise = noise_of(pool(runs_of(9.0)))

    assert (noise.degrees_count, noise.ratio("steps_per_s", "1/s", 9.0)) == (0, None)


def test_drift_between_groups_is_no_noise() -> None:
    """A machine that got faster between two sittings is not a noisier one."""
    noise = noise_of(pool_groups([runs_of(9.0, 10.0, 11.0), runs_of(99.0, 100.0, 101.0)]))

    assert noise == Noise(value_mean=55.0, value_sd=1.0, degrees_count=4, runs_count=6)


def test_groups_weigh_by_their_degrees_of_freedom() -> None:
    """A group of many runs says more about the noise than a group of two."""
    noise = noise_of(pool_groups([runs_of(9.0, 11.0), runs_of(10.0, 10.0, 10.0, 10.0)]))

    assert noise.value_sd == pytest.approx(math.sqrt(2.0 / 4.0))


def test_what_is_no_number_is_no_run() -> None:
    """A run that could not measure a metric does not spoil the others' noise."""
    noise = noise_of(pool(runs_of(9.0, math.nan, 11.0)))

    assert (noise.runs_count, noise.value_mean) == (2, 10.0)


def test_validations_of_the_story_on_the_host_are_pooled(tmp_path: Path) -> None:
    """Each earlier validation is a group of its own."""
    write_validation(tmp_path, "a", [9.0, 10.0, 11.0])
    write_validation(tmp_path, "b", [19.0, 20.0, 21.0])

    assert noise_of(loaded(tmp_path)) == Noise(value_mean=15.0, value_sd=1.0, degrees_count=4, runs_count=6)


@pytest.mark.parametrize(
    "foreign",
    [
        {"story": {**STORY, "seed": 2}},
        {"host": "other-box"},
        {"comparable": False},
        {"ended": False},
        {"world": "sim"},
    ],
)
def test_foreign_and_unfit_runs_are_left_out(tmp_path: Path, foreign: dict[str, Any]) -> None:
    """Another story, another host, a disturbed run, one that was cut short and a simulated one say nothing here."""
    write_validation(tmp_path, "a", [9.0, 11.0], **foreign)

    assert loaded(tmp_path) == Baseline()


def test_the_validation_under_way_can_be_left_out(tmp_path: Path) -> None:
    """A comparison adds its own runs itself: they must not count twice."""
    write_validation(tmp_path, "a", [9.0, 11.0])
    under_way = write_validation(tmp_path, "b", [1.0, 100.0])

    assert noise_of(loaded(tmp_path, excluding=under_way)).runs_count == 2


def test_equal_stories_have_equal_keys() -> None:
    """The order in which a story was written does not matter, its content does."""
    turned = dict(reversed(STORY.items()))

    assert key_of_story(turned) == key_of_story(STORY)
    assert key_of_story({**STORY, "duration_s": 31.0}) != key_of_story(STORY)


def test_a_home_without_validations_has_an_empty_baseline(tmp_path: Path) -> None:
    """The first validation on a machine has nothing behind it."""
    assert loaded(tmp_path) == Baseline()


@pytest.mark.parametrize("part", ["summary.json", "scenario.json", "provenance.json"])
@pytest.mark.parametrize(
    "damage", ["", "[]", '{"metrics": [7]}', "\x00", '{"host": null, "comparable": true, "world": "docker"}']
)
def test_a_damaged_record_is_left_out(tmp_path: Path, part: str, damage: str) -> None:
    """A record that a crash or a disk spoiled does not stop today's comparison."""
    validation = write_validation(tmp_path, "a", [9.0, 10.0, 11.0])
    (validation / "live-2" / part).write_text(damage)

    assert noise_of(loaded(tmp_path)).runs_count == 2


values = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=6)


@given(first=values, second=values)
def test_the_order_of_groups_does_not_matter(first: list[float], second: list[float]) -> None:
    """Pooling is symmetric, and adds up runs and degrees of freedom."""
    one, other = (
        noise_of(pool_groups([runs_of(*left), runs_of(*right)])) for left, right in ((first, second), (second, first))
    )

    assert one.value_sd == pytest.approx(other.value_sd)
    assert (one.runs_count, one.degrees_count) == (len(first) + len(second), len(first) + len(second) - 2)
