"""Constants of the scheduler: read where they can be, worked out elsewhere, never without saying how."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from live import kernel_constants as constants
from live.kernel_constants import kernel_constants

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {"tick_s", "slice_s", "period_s", "base_slice_s", "balance_interval_s"}


def test_this_kernel_is_asked() -> None:
    """A tick is between 1 and 10 ms on every kernel there is, and each constant says where it is from."""
    found = kernel_constants(2, is_this_kernel=True)

    assert set(found) == NAMES
    assert 0.001 <= found["tick_s"].value_s <= 0.010
    assert found["period_s"].value_s == 0.1
    assert all(constant.origin for constant in found.values())


def test_another_kernel_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine has a kernel of its own, nothing of this one is read, and the profile says so."""
    monkeypatch.setattr(time, "clock_getres", lambda _: pytest.fail("asked the wrong kernel"))

    found = kernel_constants(2, is_this_kernel=False)

    assert (found["tick_s"].value_s, found["slice_s"].value_s) == (0.004, 0.005)
    assert found["tick_s"].origin.startswith("assumed")
    assert found["slice_s"].origin.startswith("assumed")


def test_what_the_kernel_says_is_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slice that somebody has set is read as it is."""
    slice_file, base_file = tmp_path / "slice_us", tmp_path / "base_ns"
    slice_file.write_text("3000\n")
    base_file.write_text("2800000\n")
    monkeypatch.setattr(constants, "SLICE_FILE", slice_file)
    monkeypatch.setattr(constants, "BASE_SLICE_FILE", base_file)

    found = kernel_constants(2, is_this_kernel=True)

    assert (found["slice_s"].value_s, found["base_slice_s"].value_s) == (0.003, 0.0028)


@pytest.mark.parametrize(
    ("cpus_count", "base_slice_s"), [(1, 0.0007), (2, 0.0014), (4, 0.0021), (8, 0.0028), (64, 0.0028)]
)
def test_the_base_slice_grows_with_the_logarithm_of_the_cpus(
    cpus_count: int, base_slice_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """0.7 ms on one CPU, as much again for every doubling up to eight."""
    monkeypatch.setattr(constants, "BASE_SLICE_FILE", tmp_path / "missing")

    assert kernel_constants(cpus_count, is_this_kernel=True)["base_slice_s"].value_s == pytest.approx(base_slice_s)
