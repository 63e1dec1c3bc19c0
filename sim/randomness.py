"""Keyed draws: every random quantity is a pure function of (seed, who, what, index).

So one retry shifts nothing else, and a live run and its simulation see the same think times and demands.
A stream's key is a 64-bit BLAKE2b hash of (seed, who, what); draw `index` is SplitMix64 of key + index.
Only scalar arithmetic and `math` are used, which gives the same bits on every CPU.
Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64);
Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000).
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.story import Law

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_NORMAL = NormalDist()
# The largest draws would round to 1, where a logarithm is 0 and a normal draw has no end.
_BELOW_ONE = 1 - 2**-53
# Marsaglia and Tsang accept more than 95 % of candidates, so this bound is never met in practice.
_GAMMA_TRIES_MAX = 128


class Stream:
    """An endless row of uniform numbers in the open interval (0, 1), each reached by its index."""

    __slots__ = ("_key",)

    def __init__(self, seed: int, who: str, what: str) -> None:
        """Key the stream by seed, by whose quantity it is and by what it is used for."""
        digest = hashlib.blake2b(f"{seed}\x1f{who}\x1f{what}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, "little")

    def uniform(self, index: int) -> float:
        """The number at `index`, in (0, 1)."""
        z = (self._key + (index + 1) * _GOLDEN) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        z ^= z >> 31
        return min(((z >> 11) + 0.5) / (1 << 53), _BELOW_ONE)


class LawStream:
    """A law's draws by index, in the law's own unit."""

    __slots__ = ("_law", "_stream")

    def __init__(self, law: Law, seed: int, who: str, what: str) -> None:
        """Draw from `law` with a stream of its own."""
        self._law = law
        self._stream = Stream(seed, who, what)

    def value(self, index: int) -> float:
        """The draw at `index`: a non-negative number."""
        law = self._law
        numbers = law.numbers
        if law.kind == "constant":
            return numbers[0]
        if law.kind == "gamma":
            return _gamma(numbers[0], numbers[1], self._stream, index)
        u = self._stream.uniform(index)
        if law.kind == "exponential":
            return -numbers[0] * math.log(u)
        if law.kind == "uniform":
            return numbers[0] + (numbers[1] - numbers[0]) * u
        if law.kind == "lognormal":
            return _lognormal(numbers[0], numbers[1], u)
        return numbers[min(int(u * len(numbers)), len(numbers) - 1)]


def _lognormal(mean: float, cv: float, u: float) -> float:
    if mean == 0 or cv == 0:
        return mean
    variance = math.log1p(cv * cv)
    return math.exp(math.log(mean) - variance / 2 + math.sqrt(variance) * _NORMAL.inv_cdf(u))


def _gamma(mean: float, cv: float, stream: Stream, index: int) -> float:
    """One gamma draw by rejection; each try has numbers of its own, so neighbours stay independent."""
    if mean == 0 or cv == 0:
        return mean
    shape = 1 / (cv * cv)
    raised = shape if shape >= 1 else shape + 1
    d = raised - 1 / 3
    c = 1 / math.sqrt(9 * d)
    base = index * 2 * (_GAMMA_TRIES_MAX + 1)
    for attempt in range(_GAMMA_TRIES_MAX):
        x = _NORMAL.inv_cdf(stream.uniform(base + 2 * attempt))
        v = (1 + c * x) ** 3
        u = stream.uniform(base + 2 * attempt + 1)
        if v > 0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
            break
    boost = 1.0 if shape >= 1 else stream.uniform(base + 2 * _GAMMA_TRIES_MAX) ** (1 / shape)
    return mean / shape * d * max(v, 0.0) * boost
