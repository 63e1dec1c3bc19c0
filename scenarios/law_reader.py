"""Reads a law: a bare value, or one of the kinds with its parameters in the unit of the field.

`20ms` · `{uniform: [a, b]}` · `{exponential: mean}` · `{lognormal: {mean, cv}}` · `{gamma: {mean, cv}}` ·
`{empirical: [a, b, ...]}` · `{constant: 20ms}`. `cv` is standard deviation over mean.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from scenarios import units
from scenarios.errors import BadValueError
from scenarios.story import Law, LawKind
from scenarios.wording import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS: tuple[LawKind, ...] = get_args(LawKind)
# Below, the draw is a constant but for rounding; above, one draw in a million is all that counts.
CV_MIN, CV_MAX = 0.001, 20.0
EMPIRICAL_COUNT_MAX = 10_000


@contextmanager
def _inside(step: str | int) -> Iterator[None]:
    """Put `step` in front of the place that a refused value reports."""
    try:
        yield
    except BadValueError as error:
        raise BadValueError(error.must, error.example, (step, *error.at)) from None


@dataclass(frozen=True, slots=True)
class LawReader:
    """Reads laws of one quantity: `read_item` reads one value of it, `example` is one that works."""

    read_item: Callable[[object], float]
    example: str

    def __call__(self, value: object) -> Law:
        """Read a law, or raise BadValueError."""
        if isinstance(value, dict):
            return self._read_kind(value)
        if isinstance(value, list):
            raise BadValueError("one value or a law", f"{{empirical: {self._sample('empirical')}}}")
        return Law("constant", (float(self.read_item(value)),))

    def _read_kind(self, value: dict[str, object]) -> Law:
        if "trace" in value:
            must = "another law, because trace is reserved for a coming version of Tonnage"
            raise BadValueError(must, f"{{exponential: {self.example}}}")
        found = [kind for kind in KINDS if kind in value]
        if len(value) != 1 or not found:
            nearest = closest(next(iter(value), ""), KINDS) or "exponential"
            must = f"one value, or one law out of {', '.join(KINDS)}"
            raise BadValueError(
                must, f"{{{nearest}: {self._sample(nearest)}}}", tuple(value) if len(value) == 1 else ()
            )
        kind = found[0]
        with _inside(kind):
            return Law(kind, self._numbers(kind, value[kind]))

    def _numbers(self, kind: LawKind, body: object) -> tuple[float, ...]:
        if kind in {"uniform", "empirical"}:
            return self._list(kind, body)
        if kind in {"lognormal", "gamma"}:
            return self._mean_and_cv(kind, body)
        return (self._mean(body) if kind == "exponential" else float(self.read_item(body)),)

    def _list(self, kind: LawKind, body: object) -> tuple[float, ...]:
        counts = range(2, 3) if kind == "uniform" else range(1, EMPIRICAL_COUNT_MAX + 1)
        must = "two values, the lower first" if kind == "uniform" else f"a list of 1 to {counts[-1]:,} values"
        if not isinstance(body, list) or len(body) not in counts:
            raise BadValueError(must, self._sample(kind))
        values = []
        for index, item in enumerate(body):
            with _inside(index):
                values.append(float(self.read_item(item)))
        if kind == "uniform" and values[0] > values[1]:
            raise BadValueError(must, f"[{body[1]}, {body[0]}]")
        return tuple(values)

    def _mean_and_cv(self, kind: LawKind, body: object) -> tuple[float, ...]:
        if not isinstance(body, dict) or set(body) != {"mean", "cv"}:
            raise BadValueError("a mapping of mean and cv (standard deviation over mean)", self._sample(kind))
        with _inside("mean"):
            mean = self._mean(body["mean"])
        with _inside("cv"):
            cv = units.read_number(body["cv"], "a number", "0.5")
            if not CV_MIN <= cv <= CV_MAX:
                raise BadValueError(f"a number from {CV_MIN} to {CV_MAX:g}", "0.5")
        return mean, cv

    def _mean(self, body: object) -> float:
        mean = float(self.read_item(body))
        if mean <= 0:
            raise BadValueError("above 0", self.example)
        return mean

    def _sample(self, kind: str) -> str:
        if kind in {"uniform", "empirical"}:
            return f"[{self.example}, {self.example}]"
        return f"{{mean: {self.example}, cv: 0.5}}" if kind in {"lognormal", "gamma"} else self.example
