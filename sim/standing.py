"""Standings: how far a story's validation found model and reality apart, in a few figures; and all stories together.

A standing repeats what one `comparison.json` says. All stories together are their physics metrics pooled, so that a
story with many containers, which has more of them, weighs more; one that could not be judged adds nothing.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

AGREES, DIFFERS, NOT_COMPARABLE, FAILED = "agrees", "does not agree", "not comparable", "failed"
JUDGED = (AGREES, DIFFERS)

# The name of all stories together, where a table has one for each.
ALL = "all"


@dataclass(frozen=True, slots=True)
class Standing:
    """One story in figures, None for what is not known; the verdict is the validation's, or `failed`.

    `record` is where the validation is kept, `note` what is particular about it, `reasons` why it could not be judged.
    """

    scenario: str
    verdict: str
    comparable: bool = False
    median_error_ratio: float | None = None
    p90_error_ratio: float | None = None
    equivalent_count: int = 0
    physics_count: int = 0
    different_count: int = 0
    error_ratios: tuple[float, ...] = ()
    noise_ratios: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()
    record: str | None = None
    note: str = ""

    @property
    def equivalent_ratio(self) -> float | None:
        """The share of physics metrics that are equivalent; None where there are none."""
        return self.equivalent_count / self.physics_count if self.physics_count else None

    @property
    def noise_ratio(self) -> float | None:
        """What two real runs differ by: the median over the physics metrics of which it is known."""
        return statistics.median(self.noise_ratios) if self.noise_ratios else None


def standing(told: Mapping[str, Any], *, record: str | None = None, note: str = "") -> Standing:
    """The standing that a `comparison.json` tells; what an older one lacks is not known."""
    physics = [row for row in told.get("metrics") or () if row.get("kind") == "physics"]
    return Standing(
        scenario=str(told.get("scenario")),
        verdict=str(told.get("verdict", NOT_COMPARABLE)),
        comparable=bool(told.get("comparable", False)),
        median_error_ratio=told.get("median_error_ratio"),
        p90_error_ratio=told.get("p90_error_ratio"),
        equivalent_count=_verdicts_count(physics, "equivalent"),
        physics_count=len(physics),
        different_count=_verdicts_count(physics, "different"),
        error_ratios=_known(physics, "error_ratio"),
        noise_ratios=_known(physics, "noise_ratio"),
        reasons=tuple(str(reason) for reason in told.get("reasons") or ()),
        record=record,
        note=note,
    )


def together(standings: Sequence[Standing]) -> Standing:
    """All stories as one: they agree if each does, and they differ if one does."""
    judged = [one for one in standings if one.verdict in JUDGED]
    errors = tuple(ratio for one in judged for ratio in one.error_ratios)
    return Standing(
        scenario=ALL,
        verdict=_joint_verdict({one.verdict for one in standings}),
        comparable=bool(standings) and all(one.comparable for one in standings),
        median_error_ratio=statistics.median(errors) if errors else None,
        p90_error_ratio=_p90(errors) if errors else None,
        equivalent_count=sum(one.equivalent_count for one in judged),
        physics_count=sum(one.physics_count for one in judged),
        different_count=sum(one.different_count for one in judged),
        error_ratios=errors,
        noise_ratios=tuple(ratio for one in judged for ratio in one.noise_ratios),
    )


def agreeing_count(standings: Iterable[Standing]) -> int:
    """How many stories agree."""
    return sum(one.verdict == AGREES for one in standings)


def current(standings: Iterable[Standing]) -> list[Standing]:
    """What holds of each story, by name: its newest comparable standing, else its newest. Give the newest first."""
    chosen: dict[str, Standing] = {}
    for one in standings:
        known = chosen.get(one.scenario)
        if known is None or (one.comparable and not known.comparable):
            chosen[one.scenario] = one
    return [chosen[name] for name in sorted(chosen)]


def _verdicts_count(rows: Iterable[Mapping[str, Any]], verdict: str) -> int:
    return sum(row.get("verdict") == verdict for row in rows)


def _known(rows: Iterable[Mapping[str, Any]], key: str) -> tuple[float, ...]:
    return tuple(float(row[key]) for row in rows if row.get(key) is not None)


def _joint_verdict(verdicts: set[str]) -> str:
    if verdicts == {AGREES}:
        return AGREES
    return DIFFERS if DIFFERS in verdicts else NOT_COMPARABLE


def _p90(values: Sequence[float]) -> float:
    """The 90th percentile between neighbours by straight line, which Python 3.11 does not tell of a single value."""
    return statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
