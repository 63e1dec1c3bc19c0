"""A container's lives: each from a start to the next end, and in each its counters begin at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Events after which a container's counters may begin anew.
RENEWALS = frozenset({"started", "ready", "died", "restarted", "stopped"})


def life_begins(at_s: Floats, renewals_s: Sequence[float]) -> list[int]:
    """The rows, in the order of their times, with which a life begins; the first row is always among them."""
    cuts = np.unique(np.searchsorted(at_s, np.sort(np.asarray(renewals_s, dtype=np.float64))))
    return [0, *(int(cut) for cut in cuts if 0 < cut < at_s.size)]


def falls(counters: Sequence[Floats]) -> list[int]:
    """The rows at which some counter is lower than in the row before: a life has begun that nobody told of."""
    fell = np.any([np.diff(counter) < 0 for counter in counters], axis=0)
    return [int(row) + 1 for row in np.flatnonzero(fell)]


def grown(counter: Floats, begins: Sequence[int]) -> Floats:
    """A counter over all lives together, as if it had never begun anew.

    What was counted between the last sample of a life and its end is not known, and missing.
    """
    rises = np.diff(counter)
    later = [row for row in begins if row > 0]
    rises[np.asarray(later, dtype=np.intp) - 1] = counter[later]
    return np.concatenate((counter[:1], counter[0] + np.cumsum(rises)))
