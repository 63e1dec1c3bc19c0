"""Host profiles: read, written, interpolated, refused."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from sim.errors import ProfileError
from sim.physics.host_profile import ESTIMATES, REFERENCE, STARTS, TOUCHES, Pace, load_profile, profile_from_json

if TYPE_CHECKING:
    from pathlib import Path


def test_profile_survives_writing_and_reading(tmp_path: Path) -> None:
    """What is written reads back equal, the numbers of starts as numbers again."""
    profile = load_profile(None)
    (tmp_path / "p.json").write_text(json.dumps(profile.to_json()), encoding="utf-8")

    assert profile == load_profile(tmp_path / "p.json")


def test_every_constant_of_the_reference_names_its_origin() -> None:
    """No number ships without the way it was measured."""
    profile = load_profile(None)
    constants = {
        name for name in profile.to_json() if name.endswith(("_s", "_s_mean", "_bytes", "_per_byte", "_by_concurrency"))
    }

    assert set() == constants - set(profile.origin) - {"memory_bytes"}


def test_missing_profile_falls_back_to_the_reference(tmp_path: Path) -> None:
    """A host that was never measured is simulated with the reference constants."""
    assert load_profile(REFERENCE) == load_profile(tmp_path / "none.json")


@pytest.mark.parametrize(("concurrency", "start_s"), [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (8, 0.8)])
def test_starts_slow_each_other(concurrency: int, start_s: float) -> None:
    """Between measured points the time is on the straight line, beyond the last it grows in proportion."""
    profile = dataclasses.replace(load_profile(None), start_s_by_concurrency={1: 0.1, 4: 0.4})

    assert start_s == pytest.approx(profile.start_s(concurrency))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a JSON object"),
        ("{}", "lacks name"),
    ],
)
def test_damaged_profile_is_named(tmp_path: Path, text: str, what: str) -> None:
    """A profile that cannot be used is one line with the file and what to do."""
    path = tmp_path / "p.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ProfileError) as problem:
        load_profile(path)
    assert str(problem.value).startswith(f"{path} {what}")
    assert str(problem.value).endswith("measure this host anew with `tonnage measure-host`")


def test_unknown_constant_is_refused() -> None:
    """A key from another version is named, not ignored."""
    with pytest.raises(ProfileError, match="has the unknown key tock_s"):
        profile_from_json({**load_profile(None).to_json(), "tock_s": 1}, "p.json")


def test_a_retired_constant_is_read_over() -> None:
    """A profile that was measured when the model had one more constant is still a profile."""
    now = load_profile(None)

    assert now == profile_from_json({**now.to_json(), "idle_pull_s_mean": 0.032}, "before.json")


def test_a_profile_from_before_takes_estimates_and_says_so() -> None:
    """Constants that came later may be missing: a value stands in for each, and the origin names it as such."""
    data = load_profile(None).to_json()
    origin = dict(load_profile(None).origin)
    for name in ESTIMATES:
        del data[name]
        del origin[name]
    profile = profile_from_json({**data, "origin": origin}, "p.json")

    of_volumes = (2.1e-10, 1.3e-10, 5e-11, 6.3e-11, 4.6e-10, 7e-10, 1.4e-10)
    stand_ins = (None, 0.02, 6e-10, *of_volumes, 0.7, 0.022, 786_432, 0, 3_000_000)
    assert stand_ins == tuple(getattr(profile, name) for name in ESTIMATES)
    assert ESTIMATES == {name: profile.origin[name] for name in ESTIMATES}


@pytest.mark.parametrize(("restart_s", "anew_s"), [(None, 0.4), (0.3, 1.2)])
def test_a_restart_slows_beside_others_as_a_start_does(restart_s: float | None, anew_s: float) -> None:
    """Not measured, it takes what a first start takes; measured alone, it grows as that does."""
    profile = dataclasses.replace(load_profile(None), start_s_by_concurrency={1: 0.1, 4: 0.4}, restart_s_mean=restart_s)

    assert anew_s == pytest.approx(profile.start_anew_s(4))


def test_the_pace_scales_all_starts_and_replaces_what_memory_costs() -> None:
    """A lone start that takes twice the profile's makes each of them twice as long; writing goes as touching does."""
    profile = dataclasses.replace(
        load_profile(None),
        create_s_mean=0.25,
        start_s_by_concurrency={1: 0.75, 4: 2.0},
        restart_s_mean=0.5,
        touch_s_per_byte=4e-10,
        write_s_per_byte=3e-10,
    )
    slow = profile.at_pace(Pace(2.0, 5e-10, 1e-10))

    assert (0.5, {1: 1.5, 4: 4.0}, 1.0) == (slow.create_s_mean, slow.start_s_by_concurrency, slow.restart_s_mean)
    assert (5e-10, 1e-10) == (slow.touch_s_per_byte, slow.release_s_per_byte)
    assert pytest.approx(3.75e-10) == slow.write_s_per_byte
    assert slow.origin["create_s_mean"].endswith("times 2.00, the pace of starts beside the real runs")
    changed = {name for name, value in slow.to_json().items() if value != profile.to_json()[name]}
    assert {*STARTS, *TOUCHES, "origin"} == changed


def test_without_a_pace_the_profile_stays_as_it_is() -> None:
    """Where nobody measured beside the runs, the profile's own figures are all that is known."""
    profile = load_profile(None)

    assert profile.at_pace(None) is profile
