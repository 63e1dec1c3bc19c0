"""The ladder: the values of one path of a scenario that a search may try, from easy to hard for the story.

A path is searched in whole steps: sizes in steps of 16 MiB, CPUs of a tenth, anything else in ones, unless a step is
given. A rung is a number of steps; where the smallest value is asked for it is that number with a minus before it, so
that a higher rung is always the harder one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scenarios import ScenarioError, load, load_text, units
from scenarios.capacity_schema import is_size_path, quantity, value_at
from scenarios.errors import BadValueError
from scenarios.set_paths import apply_sets
from scenarios.yaml_tree import read_tree
from sim.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.load import Loaded
    from scenarios.story import Story

SIZE_STEP_BYTES = 16 * units.MIB
# Other steps than one, by the last word of the path.
STEPS = {"cpus": Fraction(1, 10)}
# Where nobody says how far to search: 1,024 of anything, 128 GiB of a size, and at least this often what is written.
HIGH_STEPS_COUNT, HIGH_SIZE_STEPS_COUNT, HIGH_FACTOR = 1024, 8192, 4

Sets = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """Which path to vary, and within what, as typed: a size or a number, or nothing where it is left open.

    Without a path it is the one that the scenario names.
    """

    path: str | None = None
    low: str | None = None
    high: str | None = None
    step: str | None = None
    smallest: bool = False


@dataclass(frozen=True, slots=True)
class Ladder:
    """The values to search, and the scenario they are set in, as it was read before the first.

    `swap_bytes` is what a container's memswap_limit lies above the mem_limit that is varied, so that it moves along;
    None where it is not varied or no swap limit is written.
    """

    loaded: Loaded
    sets: Sets
    path: str
    step: Fraction
    is_size: bool
    smallest: bool
    low_index: int
    high_index: int
    swap_bytes: int | None = None

    @property
    def rungs(self) -> range:
        """Every rung, from the easiest to the hardest."""
        if self.smallest:
            return range(-self.high_index, 1 - self.low_index)
        return range(self.low_index, 1 + self.high_index)

    @property
    def start(self) -> int:
        """The rung of the lowest value: where a search begins, because what is small is quickly run."""
        return -self.low_index if self.smallest else self.low_index

    def value(self, rung: int) -> Fraction:
        """The value of a rung; a size is in bytes."""
        return abs(rung) * self.step

    def story(self, rung: int) -> Story:
        """The story with the value of a rung; ScenarioError where the language does not allow it."""
        return self._story_at(abs(rung))

    def shown(self, value: Fraction) -> str:
        """A value as a user would write it."""
        return units.show_size(float(value)) if self.is_size else units.show_number(float(value))

    def allows(self, steps_count: int) -> bool:
        """Whether the language allows the value of so many steps."""
        try:
            self._story_at(steps_count)
        except ScenarioError:
            return False
        return True

    def _story_at(self, steps_count: int) -> Story:
        value = steps_count * self.step
        sets = [*self.sets, (self.path, _text(value))]
        if self.swap_bytes is not None:
            container = self.path.rpartition(".")[0]
            sets.append((f"{container}.memswap_limit", _text(value + self.swap_bytes)))
        try:
            # Not from the file, which may be another by now: one search is about one story.
            return load_text(self.loaded.text, self.loaded.story.name, source=str(self.loaded.path), sets=sets)
        except ScenarioError as error:
            raise self._as_typed(error) from None

    def _as_typed(self, error: ScenarioError) -> ScenarioError:
        """The same complaint with the option that the user typed in place of `--set`."""
        option = f"--set {self.path}="
        problems = [
            replace(problem, source=problem.source.replace("--set", "--vary", 1))
            if problem.source.startswith(option)
            else problem
            for problem in error.problems
        ]
        return type(error)(*problems)


def ladder(scenario: str, sets: Sets, wish: Wish) -> Ladder:
    """The ladder that is asked for, as far as the language allows its values; ScenarioError or RequestError."""
    loaded = load(scenario, sets=sets)
    path = _path(wish, loaded.story)
    tree = read_tree(loaded.text, scenario)
    apply_sets(tree, sets)
    is_size = is_size_path(path)
    step = _step(wish, path, is_size=is_size)
    found = value_at(tree.value, path)
    _refuse_words(path, found, is_size=is_size)
    written = quantity(found, is_size=is_size)
    low, high = _wished(wish, step, written, is_size=is_size)
    whole = Ladder(
        *(loaded, sets, path, step, is_size, wish.smallest, low, high),
        swap_bytes=_swap_bytes(loaded.story, tree.value, path),
    )
    return _allowed(whole, wish, None if written is None else round(written / step))


def _path(wish: Wish, story: Story) -> str:
    """What to vary: what is typed, or else what the scenario names."""
    path = story.vary if wish.path is None else wish.path
    if path is None:
        cure = "type for example --vary agents.worker.count, or write capacity: {vary: agents.worker.count} into it"
        raise RequestError(f"{story.name} names nothing to vary; {cure}")
    return path


def _text(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"


def _step(wish: Wish, path: str, *, is_size: bool) -> Fraction:
    """How far apart the values are."""
    if wish.step is None:
        return Fraction(SIZE_STEP_BYTES) if is_size else STEPS.get(path.rpartition(".")[2], Fraction(1))
    step = _typed("--step", wish.step, is_size=is_size)
    if step <= 0:
        raise RequestError(f"--step {wish.step} is not above zero; write for example --step {'16m' if is_size else 1}")
    return step


def _wished(wish: Wish, step: Fraction, written: Fraction | None, *, is_size: bool) -> tuple[int, int]:
    """The lowest and the highest number of steps, before the language is asked."""
    low = 1 if wish.low is None else math.ceil(_typed("--low", wish.low, is_size=is_size) / step)
    if wish.high is not None:
        high = math.floor(_typed("--high", wish.high, is_size=is_size) / step)
    else:
        usual = HIGH_SIZE_STEPS_COUNT if is_size else HIGH_STEPS_COUNT
        high = max(usual, low, math.ceil(HIGH_FACTOR * (written or 0) / step))
    if low < 0:
        raise RequestError(f"--low {wish.low} is below zero; no value to be searched is")
    if high < low:
        between = f"{wish.low or _text(low * step)} and {wish.high}"
        raise RequestError(f"between --low and --high, {between}, there is no whole step; widen them or lower --step")
    return low, high


def _allowed(whole: Ladder, wish: Wish, written_steps_count: int | None) -> Ladder:
    """The part of a ladder whose values the language allows; an end that the user asked for must be allowed."""
    low, high = whole.low_index, whole.high_index
    anchor = next((count for count in _anchors(low, high, written_steps_count) if whole.allows(count)), None)
    if anchor is None or wish.low is not None:
        whole.story(low)
    if wish.high is not None:
        whole.story(high)
    if anchor is None:
        return whole
    # From here on what is refused lies below or above what is allowed, never between.
    first = bisect_left(range(low, anchor), 1, key=whole.allows)
    after = bisect_left(range(anchor, high + 1), 1, key=lambda count: not whole.allows(count))
    return replace(whole, low_index=low + first, high_index=anchor + after - 1)


def _anchors(low: int, high: int, written: int | None) -> Sequence[int]:
    """Numbers of steps among which one is allowed if any is: what is written, and doubling from the lowest."""
    counts = [low]
    while counts[-1] < high:
        counts.append(min(high, max(1, 2 * counts[-1])))
    return counts if written is None else [max(low, min(high, written)), *counts]


def _typed(option: str, text: str, *, is_size: bool) -> Fraction:
    try:
        return Fraction(units.read_size(text)) if is_size else Fraction(str(units.read_number(text)))
    except BadValueError as error:
        raise RequestError(f"{option} {text} cannot be read: {error}") from None


def _refuse_words(path: str, written: object, *, is_size: bool) -> None:
    """Text would be searched as well as anything, only that no value of it changes the story."""
    if isinstance(written, str) and not written[:1].isdecimal():
        cure = "name what has a number or a size, such as agents.worker.count"
        raise RequestError(f"--vary {path} is words in this scenario ({written[:20]!r}); {cure}")
    if written is not None and quantity(written, is_size=is_size) is None:
        cure = "a number or a size can be searched, such as agents.worker.count or containers.agents.mem_limit"
        raise RequestError(f"--vary {path} is {str(written)[:20]!r} in this scenario; {cure}")


def _swap_bytes(story: Story, tree: Any, path: str) -> int | None:  # noqa: ANN401 - YAML holds anything.
    """How much swap a container's memswap_limit leaves it, where its mem_limit is varied and both are written."""
    section, _, rest = path.partition(".")
    name, _, key = rest.rpartition(".")
    if (section, key) != ("containers", "mem_limit") or value_at(tree, f"containers.{name}.memswap_limit") is None:
        return None
    container = story.container(name)
    if container.memory_bytes_limit is None or container.memory_swap_bytes_limit is None:
        return None
    return container.memory_swap_bytes_limit - container.memory_bytes_limit
