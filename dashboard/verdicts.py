"""Verdicts in whole sentences: what a validation found, how far off the model was, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard import wording
from sim.compare import EQUIVALENT_RATIO_MIN, MEDIAN_ERROR_RATIO_MAX, P90_ERROR_RATIO_MAX
from sim.course_comparison import courses_of
from sim.report_text import courses_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNS = {"agrees": "✓", "does not agree": "✗", "not comparable": "⊘"}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A verdict as a page shows it: its sign, the sentence, and what explains it."""

    verdict: str
    sign: str
    headline: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Bound:
    """One of the figures that a verdict rests on: its name, its key in the JSON, and what is asked of it."""

    name: str
    key: str
    limit_ratio: float
    is_least: bool

    def holds(self, ratio: float) -> bool:
        """Whether a figure is on the good side."""
        return ratio >= self.limit_ratio if self.is_least else ratio <= self.limit_ratio

    def words(self, ratio: float) -> str:
        """What is asked, with a sign for whether it holds."""
        side = "at least" if self.is_least else "at most"
        return f"{'✓' if self.holds(ratio) else '✗'} wanted: {side} {wording.percent(self.limit_ratio)}"


BOUNDS = (
    Bound("Median error", "median_error_ratio", MEDIAN_ERROR_RATIO_MAX, is_least=False),
    Bound("Error, 90th percentile", "p90_error_ratio", P90_ERROR_RATIO_MAX, is_least=False),
    Bound("Equivalent metrics", "equivalent_ratio", EQUIVALENT_RATIO_MIN, is_least=True),
)


def sentence(comparison: Mapping[str, Any]) -> Sentence:
    """The verdict of a validation in one sentence, with the figures or the reasons behind it."""
    verdict = str(comparison.get("verdict", "not comparable"))
    story = comparison.get("scenario", "this story")
    headline = {
        "agrees": f"The model agrees with reality on {story}.",
        "does not agree": f"The model does not agree with reality on {story}.",
    }.get(verdict, f"These runs of {story} cannot be compared.")
    why = (_reason_words(comparison), _courses_words(comparison))
    parts = [*why, figure_words(comparison), furthest_words(comparison)]
    return Sentence(verdict, SIGNS.get(verdict, "?"), headline, " ".join(filter(None, parts)))


def figure_words(comparison: Mapping[str, Any]) -> str:
    """How far off the physics metrics were, in a sentence."""
    median, tail, equivalent = (
        comparison.get(key) for key in ("median_error_ratio", "p90_error_ratio", "equivalent_ratio")
    )
    if median is None:
        return ""
    return (
        f"Half of the physics metrics are off by less than {wording.percent(median)}, nine in ten by less than "
        f"{wording.percent(tail)}; {wording.percent(equivalent)} of them are equivalent."
    )


def furthest_words(comparison: Mapping[str, Any]) -> str:
    """The metric that is furthest off and the likely reason, in a sentence."""
    furthest = comparison.get("furthest")
    if not furthest:
        return ""
    where = f" of {furthest['container']}" if furthest.get("container") else ""
    error = furthest.get("error_ratio")
    by = "which only one world has" if error is None else f"by {wording.percent(error)}"
    reason = f"; {furthest['reason'].rstrip('.')}" if furthest.get("reason") else ""
    return f"Furthest off is {_within_sentence(wording.metric_words(furthest['name']))}{where}, {by}{reason}."


def _within_sentence(words: str) -> str:
    """A name as it stands inside of a sentence: its first letter small, unless it is an acronym."""
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def _reason_words(comparison: Mapping[str, Any]) -> str:
    """Why the runs cannot be compared, in a sentence."""
    reasons = [str(reason).rstrip(".") for reason in comparison.get("reasons") or ()]
    if not reasons:
        return ""
    joined = "; ".join(reasons)
    return f"{joined[:1].upper() + joined[1:]}."


def _courses_words(comparison: Mapping[str, Any]) -> str:
    """In what the calibrations of both worlds do not agree, where they do not."""
    courses = courses_of(comparison)
    apart = courses_apart(courses) if courses is not None else ""
    return f"{apart[:1].upper()}{apart[1:]}." if apart else ""


def effort_words(comparison: Mapping[str, Any]) -> str:
    """How many runs were made and how long they took, and how quiet the machine was."""
    harness = comparison.get("harness") or {}
    parts = [
        _effort("simulated", comparison.get("simulated_count"), comparison.get("seconds_simulated")),
        _effort("real", comparison.get("live_count"), comparison.get("seconds_live")),
    ]
    if harness.get("other_load_cores") is not None:
        parts.append(f"other load {wording.cores(harness['other_load_cores'])}")
    if harness.get("lag_s_p99") is not None:
        parts.append(f"harness lag {wording.seconds(harness['lag_s_p99'])} at the 99th percentile")
    return " · ".join(filter(None, parts))


def _effort(what: str, count: int | None, seconds: float | None) -> str:
    """One world's effort: simulated 20 times in 0.6 s."""
    if not count:
        return ""
    times = "once" if count == 1 else f"{count} times"
    return f"{what} {times}" + ("" if seconds is None else f" in {wording.seconds(seconds)}")


def load_given_words(comparison: Mapping[str, Any]) -> str:
    """The prediction that was told the measured other load, in a sentence; empty where none was made."""
    given = comparison.get("load_given")
    if not given or given.get("median_error_ratio") is None:
        return ""
    cores = given.get("other_load_cores")
    load = "unknown" if cores is None else wording.cores(cores)
    return (
        f"Told of the other load that was measured ({load}), the model is off by "
        f"{wording.percent(given['median_error_ratio'])} in the middle and {wording.percent(given['p90_error_ratio'])} "
        f"at the 90th percentile, "
        f"and {wording.percent(given['equivalent_ratio'])} of the physics metrics are equivalent."
    )
