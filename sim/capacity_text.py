"""A capacity for people: the answer first, how sure it is and what breaks next, then what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.report_text import GAP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from sim.experiments.capacity import Capacity, Point

_WORLDS = {"sim": "simulated", "docker": "on Docker"}


def capacity_text(capacity: Capacity) -> str:
    """The whole answer, lines joined by newlines and none at the end."""
    lines = [_headline(capacity), *_next_line(capacity)]
    if capacity.curve:
        lines += ["", *_table(capacity), ""]
    return "\n".join([*lines, *_remarks(capacity)])


# The answer.


def _headline(capacity: Capacity) -> str:
    """The answer in one line."""
    if not capacity.curve:
        return "nothing is known yet"
    if capacity.answer is None:
        easiest = capacity.ladder.value(capacity.ladder.rungs[0])
        is_tried = any(point.value == easiest for point in capacity.curve)
        return f"{_nothing(capacity, easiest) if is_tried else 'nothing was found to fit yet'}; {_breaks(capacity)}"
    sure = _sureness(capacity)
    told = _found(capacity, capacity.answer) + (f" ({sure})" if sure else "")
    if capacity.is_end:
        return f"{told}; the search ended there"
    return f"{told}; {_breaks(capacity)}" if capacity.binding is not None else told


def _found(capacity: Capacity, answer: Fraction) -> str:
    verb = "suffice" if capacity.ladder.smallest else "fit"
    is_one = answer == 1 or capacity.noun is None
    return f"{_counted(capacity, answer)} {verb}{'s' if is_one else ''}"


def _counted(capacity: Capacity, value: Fraction) -> str:
    """A value with what it counts: "14 agents", or "containers.agents.mem_limit of 512m"."""
    shown = capacity.ladder.shown(value)
    if capacity.noun is None:
        return f"{capacity.ladder.path} of {shown}"
    return f"{shown} {capacity.noun.removesuffix('s') if value == 1 else capacity.noun}"


def _nothing(capacity: Capacity, easiest: Fraction) -> str:
    """What to say where no value fits."""
    return f"not even {_counted(capacity, easiest)} would {'suffice' if capacity.ladder.smallest else 'fit'}"


def _sureness(capacity: Capacity) -> str:
    """Between which values the answer lies."""
    shown, low, high = capacity.ladder.shown, capacity.low, capacity.high
    sure = f"with {100 * capacity.question.confidence_ratio:g} % confidence"
    if low is not None and high is not None:
        return sure if low == high else f"{shown(low)} to {shown(high)} {sure}"
    if low is not None:
        return f"at least {shown(low)} {sure}"
    if high is not None:
        return f"at most {shown(high)} {sure}, and at least what is not known"
    return "too few runs to be sure"


def _breaks(capacity: Capacity) -> str:
    if capacity.binding is None:
        return "nothing breaks"
    missed = capacity.binding.missed
    return f"{missed.words} breaks {'first' if capacity.answer is None else 'next'}"


def _next_line(capacity: Capacity) -> Iterator[str]:
    """What would break if the binding resource had no end."""
    if capacity.binding is None:
        return
    bound = capacity.binding.missed
    told = f"the goal missed is {bound.goal}, at {capacity.ladder.shown(capacity.binding.value)}"
    yield f"{told}: {bound.detail}" if bound.detail else told
    if capacity.next_binding is not None:
        following, at = capacity.next_binding.missed, capacity.ladder.shown(capacity.next_binding.value)
        yield f"after {bound.resource} comes {following.words}: {following.goal} is missed at {at}"


# What was tried.


def _table(capacity: Capacity) -> list[str]:
    last = capacity.ladder.path.rpartition(".")[2]
    heads = (capacity.noun or last, "runs", "missed", "risk", "verdict", "goals missed")
    cells = [heads, *(_cells(capacity, point) for point in capacity.curve)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return [_aligned(line, widths) for line in cells]


def _cells(capacity: Capacity, point: Point) -> tuple[str, ...]:
    return (
        capacity.ladder.shown(point.value),
        str(point.runs_count),
        str(point.misses_count),
        f"{_percent(point.risk_ratio_low)} to {_percent(point.risk_ratio_high)} %",
        point.verdict,
        ", ".join(f"{goal} {count}" for goal, count in point.missed_goals.items()),
    )


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f}" if 0 < ratio < 1 else f"{100 * ratio:.0f}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(line[:4], widths[:4], strict=True)]
    words = [cell.ljust(width) for cell, width in zip(line[4:], widths[4:], strict=True)]
    return GAP.join([*figures, *words]).rstrip()


def _too_few(capacity: Capacity, telling_runs_count: int) -> str:
    """Why one side of the answer is not known, and what it would take."""
    most = capacity.runs_count_max
    runs = "1 run of a value is" if most == 1 else f"{most} runs of a value are"
    return (
        f"{runs} too few to know that it fits at this risk, however they end: that takes {telling_runs_count}"
        f" (--runs-max {telling_runs_count})"
    )


def _remarks(capacity: Capacity) -> Iterator[str]:
    """How the answer came about, and what speaks against it."""
    question, shown = capacity.question, capacity.ladder.shown
    runs = "1 run" if capacity.runs_count == 1 else f"{capacity.runs_count} runs"
    yield (
        f"{capacity.story} {_WORLDS[capacity.world]}, {runs}; a value fits if at most"
        f" {100 * question.risk_ratio:g} % of runs miss a goal"
    )
    if capacity.telling_runs_count is not None:
        yield _too_few(capacity, capacity.telling_runs_count)
    if capacity.ladder.swap_bytes is not None:
        yield "memswap_limit was moved along with mem_limit"
    for first, second in capacity.contradictions:
        yield f"{shown(first)} does not fit and {shown(second)}, which is harder, does: there is more than one edge"
    if capacity.reasons:
        more = f" (and {len(capacity.reasons) - 1} more reasons)" if len(capacity.reasons) > 1 else ""
        yield f"this speaks against the runs: {capacity.reasons[0]}{more}"
    if capacity.interrupted:
        yield "interrupted: this is what was known until then"
