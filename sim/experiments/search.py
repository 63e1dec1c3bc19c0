"""The search: the highest rung of a ladder on which a story still fits, found by trials that may come out either way.

Rungs are whole numbers, and a higher one is harder. Assumed is that the risk never falls from one rung to a higher one;
where two rungs that are decided contradict it, `contradictions` says so.
The search grows by doubling until the edge is passed, then halves, with few trials a rung; only the two rungs at the
edge are looked at until they are decided. What a rung seems to be may change with more trials, and then the edge moves
and the search goes on there. A rung that stays undecided leaves the edge uncertain: rungs further away on its side are
decided instead, and the interval of the answer grows by them. At last whatever seems to lie on the wrong side of the
edge is decided too, and one rung far beyond it is tried: that is how a second edge is noticed, though not every one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sim.experiments.binding import Missed
    from sim.experiments.risk import RiskRule, Verdict

    # What some replications of one rung missed, in their order; each has the same seeds on every rung.
    Trials = Callable[[int, range], Iterable[tuple[Missed, ...]]]
    Progress = Callable[[int, "Tally"], None]

# A search that is not done after so many looks says what it knows.
LOOKS_COUNT_MAX = 1000


@dataclass(slots=True)
class Tally:
    """What the trials of one rung came to so far."""

    runs_count: int = 0
    misses_count: int = 0
    missed: Counter[Missed] = field(default_factory=Counter)
    verdict: Verdict = "undecided"

    def add(self, missed: tuple[Missed, ...]) -> None:
        """Take one more trial."""
        self.runs_count += 1
        self.misses_count += bool(missed)
        self.missed.update(missed)


class Search:
    """One search; `tallies` holds what is known at any time, so that it may be interrupted."""

    def __init__(
        self,
        trials: Trials,
        rule: RiskRule,
        rungs: range,
        *,
        start: int,
        sure: bool = True,
        told: Progress | None = None,
    ) -> None:
        """Search `rungs` from `start`, one of its ends; unless `sure`, nothing is decided, only the edge found."""
        self.tallies: dict[int, Tally] = {}
        self._trials = trials
        self._rule = rule
        self._bottom, self._top = rungs[0], rungs[-1]
        self._start = start
        self._sure = sure
        self._told = told
        self._is_probed = False

    def run(self) -> None:
        """Try rungs until there is nothing left that would tell more."""
        for _ in range(LOOKS_COUNT_MAX):
            rung = self._next()
            if rung is None:
                return
            self._look(rung)

    # What is known.

    def edge(self) -> tuple[int | None, int | None]:
        """The highest rung that seems to fit, and the lowest above it that seems not to; None where there is none."""
        floor = max(self.decided("fits"), default=None)
        trusted = floor if floor is not None and not self.contradictions() else self._bottom - 1
        breaking = min((rung for rung in self.tallies if rung > trusted and not self._seems(rung)), default=None)
        fitting = (rung for rung in self.tallies if self._seems(rung) and (breaking is None or rung < breaking))
        return max(fitting, default=None), breaking

    def known(self) -> tuple[int | None, int | None]:
        """The highest rung known to fit, and the lowest known not to; where they contradict, the safe side of each."""
        ceiling = min(self.decided("does not fit"), default=None)
        fitting = list(self.decided("fits"))
        floor = max((rung for rung in fitting if ceiling is None or rung < ceiling), default=None)
        if self.contradictions():
            above = max(fitting)
            ceiling = min((rung for rung in self.decided("does not fit") if rung > above), default=None)
        return floor, ceiling

    def contradictions(self) -> list[tuple[int, int]]:
        """Pairs of a rung known not to fit and a higher one that is known to fit."""
        fitting = sorted(self.decided("fits"))
        return [(low, high) for low in sorted(self.decided("does not fit")) for high in fitting if low < high]

    def decided(self, verdict: Verdict) -> Iterator[int]:
        """The rungs of one verdict."""
        return (rung for rung, tally in self.tallies.items() if tally.verdict == verdict)

    # What comes next.

    def _next(self) -> int | None:
        """The rung to look at next; None when the search is done."""
        fitting, breaking = self.edge()
        if fitting is None and breaking is None:
            return self._start
        if breaking is None and fitting is not None and fitting < self._top:
            return min(self._top, 2 * fitting - self._bottom + 1)
        if fitting is None and breaking is not None and breaking > self._bottom:
            return max(self._bottom, 2 * breaking - self._top - 1)
        if fitting is not None and breaking is not None and breaking - fitting > 1:
            return (fitting + breaking) // 2
        if not self._sure:
            return None
        doubtful = self._doubtful(fitting, breaking)
        return self._suspect(fitting, breaking) if doubtful is None else doubtful

    def _doubtful(self, fitting: int | None, breaking: int | None) -> int | None:
        """The rung at the edge, or beyond an edge that stays open, that is not decided yet."""
        edge = [rung for rung in (breaking, fitting) if rung is not None and self._is_open(rung)]
        if edge:
            return min(edge, key=lambda rung: self.tallies[rung].runs_count)
        if self.contradictions():
            return None
        known_to_fit, known_not_to = self.known()
        beyond: list[int] = []
        if fitting is not None and known_to_fit is None and self._rule.can_show("fits"):
            beyond += self._beyond(fitting, -1)
        if breaking is not None and known_not_to is None and self._rule.can_show("does not fit"):
            beyond += self._beyond(breaking, 1)
        return next((rung for rung in beyond if self._is_open(rung)), None)

    def _beyond(self, rung: int, direction: int) -> list[int]:
        """Rungs one, two, four and so on away, the last of them the end of the ladder."""
        end = self._top if direction > 0 else self._bottom
        found, away = [], 1
        while away < abs(end - rung):
            found.append(rung + direction * away)
            away *= 2
        return [*found, end] if rung != end else found

    def _suspect(self, fitting: int | None, breaking: int | None) -> int | None:
        """A rung that would contradict the edge if it were decided as it seems; at last one far beyond the edge."""
        for rung in sorted(filter(self._is_open, self.tallies)):
            is_below = fitting is not None and rung < fitting
            is_above = breaking is not None and rung > breaking
            if (is_below and not self._seems(rung)) or (is_above and self._seems(rung)):
                return rung
        highest = max(self.tallies)
        if self._is_probed or breaking is None or highest == self._top or not self._rule.can_show("fits"):
            return None
        self._is_probed = True
        return min(self._top, 2 * highest - self._bottom + 1)

    def _is_open(self, rung: int) -> bool:
        tally = self.tallies.get(rung)
        return tally is None or (tally.verdict == "undecided" and self._rule.next_look(tally.runs_count) is not None)

    def _seems(self, rung: int) -> bool:
        tally = self.tallies[rung]
        return self._rule.seems_to_fit(tally.misses_count, tally.runs_count)

    def _look(self, rung: int) -> None:
        """Run the trials that are missing to the next look, and judge there."""
        tally = self.tallies.get(rung, Tally())
        until = self._rule.next_look(tally.runs_count)
        assert until is not None, "a rung without a look left is never chosen"
        for missed in self._trials(rung, range(tally.runs_count, until)):
            tally.add(missed)
            # Not before: an interrupted first trial says nothing about its rung.
            self.tallies[rung] = tally
        tally.verdict = self._rule.verdict(tally.misses_count, tally.runs_count)
        if self._told is not None:
            self._told(rung, tally)
