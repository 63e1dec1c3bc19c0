"""The colours keep the promises of their file: they stand out, and apart, for everybody."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dashboard import palette

LIGHT_PAGE, DARK_PAGE = "#ffffff", "#0e1117"
COLOURS = ("REAL", "SIMULATED", "LIMIT", "EQUIVALENT", "DIFFERENT", "UNDECIDED")

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
VISIONS = {
    "full": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> np.ndarray:
    """A colour's linear RGB."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    """A colour's relative luminance, as WCAG defines it."""
    return float(linear(colour) @ SRGB_TO_XYZ[1])


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, from 1 to 21."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def lab(colour: str, vision: str) -> np.ndarray:
    """A colour in CIELAB as a kind of vision sees it."""
    ratio = SRGB_TO_XYZ @ np.clip(VISIONS[vision] @ linear(colour), 0.0, 1.0) / WHITE
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def distance(first: str, second: str) -> float:
    """The least distance of two colours over all kinds of vision; 2.3 is just noticed, 20 is plain."""
    return min(float(np.linalg.norm(lab(first, vision) - lab(second, vision))) for vision in VISIONS)


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("page", [LIGHT_PAGE, DARK_PAGE])
def test_a_colour_stands_out_on_light_and_dark_pages(name: str, page: str) -> None:
    """Lines and marks reach the contrast that WCAG asks of graphics."""
    assert contrast(getattr(palette, name), page) >= 3.0


def test_the_two_worlds_are_told_apart_by_everybody() -> None:
    """Real and simulated are far apart whatever the kind of vision."""
    assert distance(palette.REAL, palette.SIMULATED) >= 60


def test_limits_are_told_apart_from_both_worlds() -> None:
    """A grey line is not taken for a curve."""
    assert min(distance(palette.LIMIT, palette.REAL), distance(palette.LIMIT, palette.SIMULATED)) >= 20


def test_verdicts_are_told_apart_without_colour_vision() -> None:
    """The colours of verdicts differ even so; their marks differ in shape besides."""
    colours = palette.VERDICT_COLOURS.values()

    assert min(distance(first, second) for first, second in combinations(colours, 2)) >= 10


def test_a_faint_colour_is_the_same_hue() -> None:
    """Bands are the line's colour, seen through."""
    assert palette.faint("#2E7EBB", 0.25) == "rgba(46,126,187,0.25)"


def test_an_unknown_world_is_grey() -> None:
    """No world gets the colour of another."""
    assert palette.world_colour("moon") == palette.UNDECIDED
