"""The colours of the dashboard: few, and told apart without colour vision, on paper and on a dark screen.

The real world is always the one blue and the simulated world the one orange, in every figure of every page.
Tests hold the claims: contrast of at least 3:1 against a light and a dark page (WCAG 2.2, 1.4.11), and distance
in CIELAB under the three kinds of colour blindness as modelled by Machado, Oliveira and Fernandes (2009).
"""

from __future__ import annotations

REAL = "#2E7EBB"
SIMULATED = "#D9690A"
LIMIT = "#85888F"
EQUIVALENT = "#2E9E7A"
DIFFERENT = "#B8324A"
UNDECIDED = "#7C7F88"

WORLD_COLOURS = {"docker": REAL, "sim": SIMULATED}
VERDICT_COLOURS = {"equivalent": EQUIVALENT, "different": DIFFERENT, "undecided": UNDECIDED}


def world_colour(world: str) -> str:
    """The colour of a world, "sim" or "docker"; an unknown one is grey."""
    return WORLD_COLOURS.get(world, UNDECIDED)


def faint(colour: str, opacity_ratio: float) -> str:
    """The same colour, seen through: an `rgba(…)` text that Plotly and browsers read."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity_ratio:g})"
