"""A calibration's course in a record: what `summary.json` and the story in `scenario.json` say of it, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.story import Calibrate
from sim.policies.calibration import Course, Round

if TYPE_CHECKING:
    from collections.abc import Mapping

# The key in a summary, in a comparison, and among a recorder's findings.
CALIBRATION = "calibration"


def course_of(summary: Mapping[str, Any]) -> Course | None:
    """The course that a summary tells of; None where the run calibrated nothing.

    KeyError and TypeError mean that it was changed by hand.
    """
    told = summary.get(CALIBRATION)
    if told is None:
        return None
    return Course(
        outcome=told["outcome"],
        rate_tokens_per_s=float(told["rate_tokens_per_s"]),
        rule=told["rule"],
        void_count=int(told["void_count"]),
        rounds=tuple(Round(**one) for one in told["rounds"]),
    )


def terms_of(story: Mapping[str, Any]) -> Calibrate | None:
    """What a recorded story says is to be calibrated; None where that is nothing. TypeError as above."""
    told = story.get("calibrate")
    return None if told is None else Calibrate(**told)
