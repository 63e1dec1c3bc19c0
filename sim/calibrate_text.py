"""A calibration for people and for programs: its course, what it came to, and the configuration that follows.

CPU is shown as a part of the container's limit and beside it on the scale of `docker stats`, where one core is 100 %.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scenarios.story import TokenBucket
from scenarios.units import show_size
from sim.metrics import measure
from sim.policies.calibration import VOID_COUNT_MAX, limits_of
from sim.policies.calibration_rules import Load
from sim.record import Recorder
from sim.report_text import UNKNOWN, ratio_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenarios.story import Calibrate, LiveScale, Story
    from sim.policies.calibration import Course, Round, Verdict
    from sim.run import Outcome

# Outcomes whose rate the rule was content with: only such a rate is worth trying on and writing down.
KEPT: frozenset[Verdict] = frozenset({"converged", "settled_outside_band"})
WORDS: dict[Verdict, str] = {
    "converged": "converged",
    "settled_outside_band": "settled outside the band",
    "oscillating": "oscillating",
    "not_rate_bound": "not bound by the rate",
    "over_limit": "over the limit",
    "out_of_rounds": "out of rounds",
}
GAP = "  "
WHERE = {"sim": "simulated", "docker": "on Docker"}
HEADINGS = ("round", "rate", "CPU of limit", "docker stats", "memory", "throttled", "waited", "then")
HEADCOUNT_HEADINGS = ("agents", "CPU of limit", "docker stats", "memory", "OOM kills", "verdict")


@dataclass(frozen=True, slots=True)
class Headcount:
    """How the rate that was found does with another number of agents; what was not measured is None.

    CPU is of the `measured_s` after the first `start_up_s` of the run, memory and kills are of all of it. `beyond` says
    in words what does not hold, nothing where all does. `reasons` speak against comparing the run, `broken` are the
    checks that it broke.
    """

    agents_count: int
    cpu_ratio: float | None
    memory_ratio: float | None
    oom_kills_count: int
    start_up_s: float
    measured_s: float
    beyond: tuple[str, ...]
    comparable: bool
    reasons: tuple[str, ...]
    broken: tuple[str, ...]


def headcount_of(story: Story, terms: Calibrate, agents_count: int, outcome: Outcome) -> Headcount:
    """Hold a run at the rate that was found against the band and the bounds of its calibration.

    The CPU of its first window does not count: agents start in it, and spend what lay in their buckets.
    """
    start_up_s = terms.window_s
    values = {one.name: one.value for one in outcome.metrics if one.container == terms.container}
    cores = _cores_after(start_up_s, story, terms, outcome.recorder)
    cpus_limit, memory_bytes_limit = limits_of(story, terms.container)
    cpu = None if cores is None else cores / cpus_limit
    memory = values["memory_bytes_max"] / memory_bytes_limit if "memory_bytes_max" in values else None
    kills_count = round(values.get("oom_kill_count", 0.0))
    return Headcount(
        agents_count=agents_count,
        cpu_ratio=cpu,
        memory_ratio=memory,
        oom_kills_count=kills_count,
        start_up_s=start_up_s,
        measured_s=story.duration_s - start_up_s,
        beyond=tuple(_beyond(terms, cpu, memory, kills_count)),
        comparable=outcome.comparable,
        reasons=outcome.reasons,
        broken=_broken(outcome),
    )


def _cores_after(start_up_s: float, story: Story, terms: Calibrate, recorder: Recorder) -> float | None:
    """The cores that the watched container used after the start of the run; None where that was not measured."""
    if recorder.window is None:
        return None
    begin_s, end_s = recorder.window
    later = Recorder(None)
    later.tables = recorder.tables
    later.begin_window(begin_s + start_up_s, end_s)
    wanted = ("cpu_cores_mean", terms.container)
    return next((one.value for one in measure(story, later, {}) if (one.name, one.container) == wanted), None)


def _broken(outcome: Outcome) -> tuple[str, ...]:
    return tuple(f"{check.name}: {check.detail}" for check in outcome.checks if not check.ok)


def _beyond(terms: Calibrate, cpu: float | None, memory: float | None, kills_count: int) -> Iterator[str]:
    if cpu is None or memory is None:
        yield "not measured"
        return
    if cpu > terms.cpu_ratio_high:
        yield "CPU above the band"
    if cpu < terms.cpu_ratio_low:
        yield "CPU below the band"
    if memory > terms.memory_ratio_max:
        yield f"memory above {_percent(terms.memory_ratio_max)}"
    if kills_count:
        yield "processes killed for memory"


def course_json(
    story: Story,
    scale: LiveScale | None,
    outcome: Outcome,
    course: Course,
    headcounts: Sequence[Headcount],
    *,
    interrupted: bool = False,
) -> dict[str, Any]:
    """The object that `tonnage calibrate --json` prints; `scale` is how the story was shrunk, if it was."""
    return {
        "kind": "calibrate",
        "scenario": story.name,
        "world": outcome.world,
        "outcome": course.outcome,
        "rate": course.rate_tokens_per_s,
        "rate_at_full_size": course.rate_tokens_per_s * (1.0 if scale is None else scale.time_ratio),
        "shrunk": scale is not None,
        "rule": course.rule,
        "iterations": [asdict(found) for found in course.rounds],
        "agents": [asdict(headcount) for headcount in headcounts],
        "interrupted": interrupted,
        "checks": [asdict(check) for check in outcome.checks],
        "comparable": outcome.comparable,
        "reasons": list(outcome.reasons),
        "record": None if outcome.record is None else str(outcome.record),
    }


def course_text(
    story: Story,
    scale: LiveScale | None,
    terms: Calibrate,
    outcome: Outcome,
    course: Course,
    *,
    interrupted: bool = False,
) -> str:
    """The course as plain aligned text, then in one sentence what it came to and what to do.

    `scale` is how the story was shrunk, if it was: the rates shown are those that were run. A course that was
    interrupted has come to nothing yet, unless its outcome was final by then.
    """
    is_open = interrupted and course.outcome == "out_of_rounds"
    cpus_limit, _ = limits_of(story, terms.container)
    thens = _thens(terms, course, is_open=is_open)
    cells = [_cells(found, then, cpus_limit) for found, then in zip(course.rounds, thens, strict=True)]
    lines = [_heading(story, terms, outcome), "", *_table([HEADINGS, *cells]), ""]
    if course.void_count:
        lines.append(f"windows that could not be judged: {course.void_count}")
    lines.append(_no_verdict(course) if is_open else verdict_sentence(terms, course))
    lines += _shrunk_lines(scale, course)
    lines += [f"law broken: {told}" for told in _broken(outcome)]
    if not outcome.comparable:
        lines.append(f"not comparable: {'; '.join(outcome.reasons)}")
    if outcome.record is not None:
        lines.append(f"record: {outcome.record}")
    if interrupted:
        lines.append("interrupted: this is what was known until then")
    return "\n".join(lines)


def headcounts_text(story: Story, terms: Calibrate, course: Course, headcounts: Sequence[Headcount]) -> str:
    """The rate that was found at other numbers of agents, a line each; then what speaks against any of the runs."""
    cpus_limit, _ = limits_of(story, terms.container)
    cells = [_headcount_cells(headcount, cpus_limit) for headcount in headcounts]
    lines = [f"at {_rate(course.rate_tokens_per_s)} with", *_table([HEADCOUNT_HEADINGS, *cells])]
    for start_up_s, measured_s in dict.fromkeys((one.start_up_s, one.measured_s) for one in headcounts):
        told = f"CPU is of the {measured_s:g} s after the first {start_up_s:g} s"
        lines.append(f"{told}, in which agents start and spend what is in store; memory and kills are of all the time")
    for one in headcounts:
        lines += [f"{one.agents_count} agents, law broken: {told}" for told in one.broken]
        if not one.comparable:
            lines.append(f"{one.agents_count} agents, not comparable: {'; '.join(one.reasons)}")
    return "\n".join(lines)


def verdict_sentence(terms: Calibrate, course: Course) -> str:
    """One sentence: what the calibration came to, and what to do about it."""
    return f"{WORDS[course.outcome]}: {_verdict_told(terms, course)}"


def _verdict_told(terms: Calibrate, course: Course) -> str:
    rate = _rate(course.rate_tokens_per_s)
    last = course.rounds[-1] if course.rounds else None
    match course.outcome:
        case "converged":
            return f"at {rate} CPU is at {_cpu(last)} of its limit, inside {_band(terms)}; write it down"
        case "settled_outside_band":
            return _settled(terms, course)
        case "oscillating":
            told = f"at {rate} the rule goes to and fro between rates that are too low and too high"
            return f"{told}; take smaller steps, or --rule damped"
        case "not_rate_bound":
            waited = _percent(last.waited_ratio) if last else UNKNOWN
            told = f"agents wait for tokens {waited} of their time, CPU is at {_cpu(last)}"
            return f"{told}, and no higher rate changes that; add agents"
        case "over_limit":
            return f"at {rate} {_over(terms, last)}; give the container more memory, or fewer agents"
        case "out_of_rounds":
            return _out_of_rounds(terms, course)


def _out_of_rounds(terms: Calibrate, course: Course) -> str:
    see = f"see why {terms.container} was not there or not read"
    if not course.rounds:
        return f"no window could be judged; {see}"
    told = f"no verdict after {_rounds(course)}"
    if _windows_count(course) - course.rounds[-1].index >= VOID_COUNT_MAX:
        return f"{told}, and the last windows could not be judged; {see}"
    more = f"raise calibrate.rounds and duration, or start nearer than {_rate(course.rate_tokens_per_s)}"
    if course.rule == "as_written" and {"raise", "reduce"} <= {found.action for found in course.rounds}:
        return f"{told}; take smaller steps or --rule damped, {more}"
    return f"{told}; {more}"


def _no_verdict(course: Course) -> str:
    return f"no verdict: {_rounds(course)} judged, and the rate is at {_rate(course.rate_tokens_per_s)}"


def _rounds(course: Course) -> str:
    count = len(course.rounds)
    return f"{count} round{'' if count == 1 else 's'}"


def _windows_count(course: Course) -> int:
    return len(course.rounds) + course.void_count


def _settled(terms: Calibrate, course: Course) -> str:
    last = course.rounds[-1] if course.rounds else None
    rate, band = _rate(course.rate_tokens_per_s), _band(terms)
    if course.rule == "damped":
        return f"around {rate} CPU jumps over {band}, to {_cpu(last)} now; widen calibrate.band"
    zone = f"{_percent(terms.raise_below_ratio)} and {_percent(terms.reduce_above_ratio)}"
    told = f"at {rate} CPU is at {_cpu(last)}, not inside {band}, and the rule changes nothing between {zone}"
    return f"{told}; --rule damped goes on"


def _over(terms: Calibrate, last: Round | None) -> str:
    if last is not None and last.memory_ratio > terms.memory_ratio_max:
        bound = _percent(terms.memory_ratio_max)
        return f"memory is at {ratio_text(last.memory_ratio)} of its limit, above {bound}"
    if last is not None and last.oom_kills_count:
        return f"processes were killed for memory ({last.oom_kills_count})"
    return "the container itself was killed for memory"


def configuration_text(story: Story, scale: LiveScale | None, terms: Calibrate, course: Course) -> str:
    """The configuration in the shape of the agent-ecology document; `scale` is how the story was shrunk, if it was."""
    cpus_limit, memory_bytes_limit = limits_of(story, terms.container)
    bucket = next(limit for limit in story.rate_limits if limit.name == terms.rate_limit)
    assert isinstance(bucket, TokenBucket), "only a bucket can be calibrated"
    per = "per agent" if bucket.scope == "agent" else "for all agents"
    limits = f"{show_size(memory_bytes_limit)} and {cpus_limit:g} CPUs"
    lines = [
        f"# Calibrated for a container of {limits} ({terms.container} of {story.name}, {_agents(story, terms)}).",
        f"# {_sentence_case(verdict_sentence(terms, course))}.",
        *(f"# {_sentence_case(line)}." for line in _shrunk_lines(scale, course)),
        "resources:",
        "  flow:",
        "    llm_rate:",
        f"      rate: {course.rate_tokens_per_s:.6g}  # tokens/sec {per}",
        f"      capacity: {bucket.capacity_tokens:.6g}  # max tokens storable",
    ]
    return "\n".join(lines) + "\n"


def _agents(story: Story, terms: Calibrate) -> str:
    count = sum(group.count for group in story.agents if group.container == terms.container)
    return f"{count} agent{'' if count == 1 else 's'}"


def _shrunk_lines(scale: LiveScale | None, course: Course) -> Iterator[str]:
    if scale is None:
        return
    parts = f"memory {scale.memory_ratio:.4g}, time {scale.time_ratio:.4g}, CPUs {scale.cpus_ratio:.4g}"
    full = course.rate_tokens_per_s * scale.time_ratio
    yield f"the story was shrunk ({parts}); at its full size this rate is {full:.6g} tokens/s, which was not tried"


# Words and columns.


def _heading(story: Story, terms: Calibrate, outcome: Outcome) -> str:
    aim = f"turning {terms.rate_limit} until {terms.container} uses {_band(terms)} of its CPU limit"
    return f"{story.name} {WHERE[outcome.world]}: {aim}, rule {terms.rule}"


def _cells(found: Round, then: str, cpus_limit: float) -> tuple[str, ...]:
    return (
        str(found.index),
        _rate(found.rate_tokens_per_s),
        ratio_text(found.cpu_ratio),
        _docker_stats(found.cpu_ratio, cpus_limit),
        ratio_text(found.memory_ratio),
        ratio_text(found.throttled_period_ratio),
        ratio_text(found.waited_ratio),
        then,
    )


def _headcount_cells(headcount: Headcount, cpus_limit: float) -> tuple[str, ...]:
    doubts = {"not comparable": not headcount.comparable, "law broken": bool(headcount.broken)}
    doubted = ", ".join(told for told, holds in doubts.items() if holds)
    return (
        str(headcount.agents_count),
        ratio_text(headcount.cpu_ratio),
        _docker_stats(headcount.cpu_ratio, cpus_limit),
        ratio_text(headcount.memory_ratio),
        str(headcount.oom_kills_count),
        (", ".join(headcount.beyond) or "within") + (f" ({doubted})" if doubted else ""),
    )


def _thens(terms: Calibrate, course: Course, *, is_open: bool) -> list[str]:
    """What followed each round; the last one, where it was the last window too, may have ended the course."""
    found = course.rounds
    following = [*(one.rate_tokens_per_s for one in found), course.rate_tokens_per_s][1:]
    told = [_then(terms, one, rate) for one, rate in zip(found, following, strict=True)]
    is_last = bool(found) and found[-1].index == _windows_count(course)
    if is_last and not is_open and course.outcome not in KEPT:
        told[-1] = f"stopped: {WORDS[course.outcome]}"
    return told


def _then(terms: Calibrate, found: Round, following_tokens_per_s: float) -> str:
    if found.action == "keep":
        is_hidden = Load(found.cpu_ratio, found.stock_ratio).side(terms) is None
        return "kept; stored tokens were spent" if is_hidden else "kept"
    return f"{'raised' if found.action == 'raise' else 'reduced'} to {_rate(following_tokens_per_s)}"


def _table(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of figures flush right, the last one, which is words, flush left."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    return [
        GAP.join([*(f"{cell:>{width}}" for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in cells
    ]


def _docker_stats(cpu_ratio: float | None, cpus_limit: float) -> str:
    return ratio_text(None if cpu_ratio is None else cpu_ratio * cpus_limit)


def _rate(rate_tokens_per_s: float) -> str:
    return f"{rate_tokens_per_s:.4g} tokens/s"


def _cpu(last: Round | None) -> str:
    return ratio_text(None if last is None else last.cpu_ratio)


def _band(terms: Calibrate) -> str:
    return f"{100 * terms.cpu_ratio_low:.4g}–{_percent(terms.cpu_ratio_high)}"


def _percent(ratio: float) -> str:
    """A bound as it was set, without needless digits."""
    return f"{100 * ratio:.4g} %"


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
