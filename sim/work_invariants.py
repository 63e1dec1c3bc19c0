"""What agents and rate limits must keep to in either world: each step ends once, Little's law, no token minted.

Little's law (J. D. C. Little, Operations Research 9, 1961): agents that think for Z and then work for R finish
X = N / (R + Z) steps a second. Here N is what the story says, R and X are what the steps show, and Z is the mean of the
story's think law; so lost rows, agents that stood still, and think times that were not kept show. It is asked of groups
that were not disturbed and that share no decision: a wait for tokens is no part of a step's recorded span.

Rate limits are checked by the gauges `bucket.<name>.granted_tokens` (all tokens granted so far, by all its buckets),
`.level_tokens_min` and `.debt_tokens_max` (the greatest debt so far of any of them).
Each function yields one line per violation.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.record import STEPS_COUNT_MAX
from sim.record_tables import RecordTables, events_of, groups, in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sim.record_tables import Floats

CLOCK_SLACK_S = 1e-3

# Sums of tokens wander by less than this share of themselves, and by the grain that buckets compare with.
TOKEN_SLACK_RATIO = 1e-9
TOKEN_SLACK_TOKENS = 1e-6

LOSSES = frozenset({"lost"})

# Events after which an agent's loop is no longer the undisturbed one that the law speaks of.
DISTURBANCES = frozenset(
    {"died", "process_killed", "lost", "refused", "step_failed", "stopped", "restarted", "fault", "limited"}
)

# Fewer steps than this per agent are mostly edges of the window.
STEPS_PER_AGENT_MIN = 3

# How far the mean of the think times that were drawn may lie from the law's, in standard errors of that mean.
STANDARD_ERRORS_MAX = 5.0

STEP_TIMES = ("index", "due_s", "finish_s")
READINGS = ("granted_tokens", "level_tokens_min", "debt_tokens_max")


def steps_not_ended_once(tables: RecordTables) -> Iterator[str]:
    """No step finishes twice, and finished and lost steps together are no more than were begun."""
    losses: dict[str | None, list[float]] = {}
    for at_s, _, agent in events_of(tables, LOSSES):
        losses.setdefault(agent, []).append(at_s)
    for agent, steps in groups(tables.steps, "agent", STEP_TIMES):
        numbers, counts = np.unique(steps["index"], return_counts=True)
        if counts.max() > 1:
            yield f"step {numbers[counts.argmax()]:.0f} of {agent} finished {counts.max()} times"
        # Losses after an agent's last finish took steps of higher numbers; those before took lower ones.
        lost_count = sum(at_s < steps["finish_s"].max() for at_s in losses.get(agent, ()))
        begun_count = int(numbers.max()) + 1
        if numbers.size + lost_count > begun_count:
            yield f"{agent} finished {numbers.size} steps and lost {lost_count}, but began only {begun_count}"


def broken_loops(tables: RecordTables) -> Iterator[str]:
    """No agent works on two steps at once, and undisturbed groups obey Little's law."""
    loops = {agent: in_order(steps, "finish_s") for agent, steps in groups(tables.steps, "agent", STEP_TIMES)}
    for agent, steps in loops.items():
        early = steps["due_s"][1:] < steps["finish_s"][:-1] - CLOCK_SLACK_S
        if early.any():
            row = int(np.argmax(early))
            yield (
                f"step {steps['index'][row + 1]:.0f} of {agent} was due before step {steps['index'][row]:.0f} finished"
            )
    if len(tables.steps.get("agent", ())) >= STEPS_COUNT_MAX // 2:
        # The recorder may have thinned this table, and a thinned one shows fewer steps than there were.
        return
    disturbed = {container for _, container, _ in events_of(tables, DISTURBANCES)}
    for group in tables.story["agents"]:
        if group["container"] not in disturbed and not _decides_elsewhere(group):
            mine = [steps for agent, steps in loops.items() if agent.rpartition("/")[0] == group["name"]]
            yield from _little(tables, group, mine)


def minted_tokens(tables: RecordTables) -> Iterator[str]:
    """No more tokens are granted than lay in the buckets and dripped in, and no level passes its bounds."""
    gauges = dict(groups(tables.gauges, "name", ("at_s", "value")))
    for limit in tables.story["rate_limits"]:
        takes = _takes(tables.story, limit["name"])
        if not takes:
            continue
        name = limit["name"]
        read = {what: gauges[f"bucket.{name}.{what}"] for what in READINGS if f"bucket.{name}.{what}" in gauges}
        if "granted_tokens" not in read:
            yield f"the record does not say how many tokens {name} granted"
        elif "window_s" in limit:
            yield from _window_overfilled(limit, takes, read["granted_tokens"])
        else:
            yield from _bucket_overdrawn(limit, takes, read)


def law_moments(law: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation of a `scenarios.story.Law` given as a mapping."""
    kind, numbers = law["kind"], [float(number) for number in law["numbers"]]
    if kind == "constant":
        return numbers[0], 0.0
    if kind == "uniform":
        return (numbers[0] + numbers[1]) / 2.0, (numbers[1] - numbers[0]) / math.sqrt(12.0)
    if kind == "exponential":
        return numbers[0], numbers[0]
    if kind == "empirical":
        return statistics.fmean(numbers), statistics.pstdev(numbers)
    # The lognormal and the gamma law are both given by their mean and their coefficient of variation.
    return numbers[0], numbers[0] * numbers[1]


def law_max(law: Mapping[str, Any]) -> float:
    """The greatest value a law can give; infinite where it has a tail."""
    bounded = law["kind"] in {"constant", "uniform", "empirical"}
    return float(max(law["numbers"])) if bounded else math.inf


def _decides_elsewhere(group: Mapping[str, Any]) -> bool:
    return any("rate_limit" in stage or "provider" in stage for stage in group["stages"])


def _little(tables: RecordTables, group: Mapping[str, Any], loops: Sequence[dict[str, Floats]]) -> Iterator[str]:
    window_s = tables.window_end_s - tables.window_start_s
    spans = [_spans_inside(tables, steps) for steps in loops]
    count = sum(span.size for span in spans)
    if window_s <= 0.0 or count < STEPS_PER_AGENT_MIN * group["count"]:
        return
    steps_per_s = count / window_s
    think_s, think_s_sd = law_moments(group["think_s"])
    span_s = float(np.concatenate(spans).mean())
    at_it_count = steps_per_s * (span_s + think_s)
    # At each end of the window every agent may have one cycle that is not wholly inside.
    cycle_s_max = max((float(np.diff(steps["finish_s"]).max(initial=0.0)) for steps in loops), default=0.0)
    edges_count = group["count"] * 2.0 * cycle_s_max / window_s
    chance_count = STANDARD_ERRORS_MAX * steps_per_s * think_s_sd / math.sqrt(count)
    if abs(at_it_count - group["count"]) > edges_count + chance_count:
        yield f"{group['name']} has {group['count']} agents, but its steps show {at_it_count:.2f} at work or thinking"


def _spans_inside(tables: RecordTables, steps: dict[str, Floats]) -> Floats:
    inside = (steps["finish_s"] >= tables.window_start_s) & (steps["finish_s"] <= tables.window_end_s)
    return (steps["finish_s"] - steps["due_s"])[inside]


def _takes(story: Mapping[str, Any], name: str) -> list[tuple[int, float]]:
    """For each stage that takes of a limit: how many agents have it, and the most it can take at once."""
    return [
        (group["count"], law_max(stage["tokens"]))
        for group in story["agents"]
        for stage in group["stages"]
        if stage.get("rate_limit") == name
    ]


def _buckets_count(story_limit: Mapping[str, Any], takes: Sequence[tuple[int, float]]) -> int:
    # A group with two such stages counts twice: a bound that is too generous is still a bound.
    return 1 if story_limit["scope"] == "shared" else sum(count for count, _ in takes)


def _bucket_overdrawn(
    limit: Mapping[str, Any], takes: Sequence[tuple[int, float]], read: Mapping[str, dict[str, Floats]]
) -> Iterator[str]:
    granted, debts = read["granted_tokens"], read.get("debt_tokens_max")
    owed = np.maximum.accumulate(debts["value"]) if debts is not None else np.zeros(1)
    debt_at = np.interp(granted["at_s"], debts["at_s"], owed) if debts is not None else owed
    inflow = limit["level_tokens"] + limit["rate_tokens_per_s"] * granted["at_s"]
    allowed = _buckets_count(limit, takes) * (inflow + debt_at)
    yield from _excess(limit["name"], granted, allowed)
    lowest = read.get("level_tokens_min")
    oversize = max(most for _, most in takes) > limit["capacity_tokens"]
    if lowest is None or limit["debt"] or oversize:
        # What is larger than the whole bucket passes when it is full, and is owed.
        return
    below = lowest["value"] < -TOKEN_SLACK_TOKENS
    if below.any():
        row = int(np.argmax(below))
        yield f"{limit['name']} fell to {lowest['value'][row]:g} tokens at {lowest['at_s'][row]:.3f} s without debt"


def _window_overfilled(
    limit: Mapping[str, Any], takes: Sequence[tuple[int, float]], granted: dict[str, Floats]
) -> Iterator[str]:
    # What is larger than the whole window passes alone when it is empty.
    most = max(limit["limit_tokens"], *(most for _, most in takes))
    # The earliest reading that lies less than a window before each: between the two no more than a window is granted.
    since = np.searchsorted(granted["at_s"], granted["at_s"] - limit["window_s"], side="right")
    within = {"at_s": granted["at_s"], "value": granted["value"] - granted["value"][since]}
    yield from _excess(limit["name"], within, np.full(since.size, _buckets_count(limit, takes) * most))


def _excess(name: str, granted: Mapping[str, Floats], allowed: Floats) -> Iterator[str]:
    over = granted["value"] > allowed * (1.0 + TOKEN_SLACK_RATIO) + TOKEN_SLACK_TOKENS
    if over.any():
        row = int(np.argmax(over))
        value, at_s = granted["value"][row], granted["at_s"][row]
        yield f"{name} granted {value:g} tokens by {at_s:.3f} s, where no more than {allowed[row]:g} were due"
