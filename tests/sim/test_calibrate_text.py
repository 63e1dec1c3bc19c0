"""A calibration in words, figures and YAML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from scenarios import load_text
from scenarios.story import LiveScale
from sim.calibrate_text import (
    Headcount,
    configuration_text,
    course_json,
    course_text,
    headcount_of,
    headcounts_text,
    verdict_sentence,
)
from sim.checks import Check
from sim.machine import Sample
from sim.metrics import Metric
from sim.policies.calibration import Course, Round
from sim.record import Recorder
from sim.run import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from sim.policies.calibration import Verdict

STORY = load_text(
    """\
purpose: Five agents whose rate is turned.
duration: 1h
hosts: {local: {cpus: 4, memory: 16g}}
containers: {agents: {cpus: 2, mem_limit: 4g}}
rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 100, per: agent}}
agents: {worker: {count: 5, steps: [{take: {from: llm, tokens: 60}}, {compute: 100ms}]}}
calibrate: {turn: llm, watch: agents}
""",
    "five",
)
assert STORY.calibrate is not None
TERMS = STORY.calibrate
FIRST = Round(1, 0.0, 300.0, 10.0, 0.93, 0.401, 0.125, 0.021, 0, "reduce")
SECOND = replace(FIRST, index=2, rate_tokens_per_s=8.0, cpu_ratio=0.744, action="keep")
THIRD = replace(SECOND, index=3, cpu_ratio=0.75)
CONVERGED = Course("converged", 8.0, "as_written", 0, (FIRST, SECOND, THIRD))


def outcome(record: Path | None = None, world: str = "sim", *reasons: str) -> Outcome:
    """A run that came to something."""
    return Outcome(world, (), (), (), Recorder(None), record, comparable=not reasons, reasons=tuple(reasons))


def ended(verdict: Verdict, **last: float | str) -> Course:
    """A course of another outcome, with other figures in its last round."""
    return replace(CONVERGED, outcome=verdict, rounds=(FIRST, SECOND, replace(THIRD, **last)))  # type: ignore[arg-type]


def test_the_course_is_a_line_for_each_round(tmp_path: Path) -> None:
    """Rate, CPU of the limit and on docker stats' scale, memory, throttling, waiting, and what followed."""
    lines = course_text(STORY, None, TERMS, outcome(tmp_path), CONVERGED).splitlines()

    assert "five simulated: turning llm until agents uses 70–80 % of its CPU limit, rule as_written" == lines[0]
    assert [
        ["round", "rate", "CPU of limit", "docker stats", "memory", "throttled", "waited", "then"],
        ["1", "10 tokens/s", "93.0 %", "186.0 %", "40.1 %", "12.5 %", "2.1 %", "reduced to 8 tokens/s"],
        ["2", "8 tokens/s", "74.4 %", "148.8 %", "40.1 %", "12.5 %", "2.1 %", "kept"],
        ["3", "8 tokens/s", "75.0 %", "150.0 %", "40.1 %", "12.5 %", "2.1 %", "kept"],
    ] == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[2:6]]
    assert "converged: at 8 tokens/s CPU is at 75.0 % of its limit, inside 70–80 %; write it down" == lines[7]
    assert f"record: {tmp_path}" == lines[8]
    assert 9 == len(lines)


def test_a_real_run_that_was_disturbed_is_told_so() -> None:
    """With where it was run, and why it may not be judged by."""
    course = replace(CONVERGED, outcome="out_of_rounds", rounds=(FIRST, replace(SECOND, action="raise")))
    lines = course_text(STORY, None, TERMS, outcome(None, "docker", "the machine was busy"), course).splitlines()

    assert lines[0].startswith("five on Docker: ")
    assert "not comparable: the machine was busy" == lines[-1]


def test_windows_that_were_not_judged_are_counted() -> None:
    """Also where there is not a single round to show."""
    course = Course("out_of_rounds", 10.0, "as_written", 3, ())
    text = course_text(STORY, None, TERMS, outcome(), course)

    assert "windows that could not be judged: 3" in text.splitlines()
    cure = "see why agents was not there or not read"
    assert f"out of rounds: no window could be judged; {cure}" == text.splitlines()[-1]


@pytest.mark.parametrize(
    ("verdict", "action", "told"),
    [
        ("oscillating", "raise", "stopped: oscillating"),
        ("not_rate_bound", "raise", "stopped: not bound by the rate"),
        ("over_limit", "reduce", "stopped: over the limit"),
        ("over_limit", "keep", "stopped: over the limit"),
        ("out_of_rounds", "keep", "stopped: out of rounds"),
        ("settled_outside_band", "keep", "kept"),
    ],
)
def test_the_last_round_says_what_ended_the_course(verdict: Verdict, action: str, told: str) -> None:
    """Whatever the rule would have done: nothing followed."""
    course = replace(CONVERGED, outcome=verdict, rounds=(FIRST, replace(SECOND, action=action)))  # type: ignore[arg-type]
    lines = course_text(STORY, None, TERMS, outcome(), course).splitlines()

    assert [
        "reduced to 8 tokens/s",
        told,
    ] == [line.rpartition("  ")[2] for line in lines[3:5]]


def test_a_round_before_windows_that_were_not_judged_did_not_end_the_course() -> None:
    """Its step was taken, and the container was killed at the rate that followed."""
    course = Course("over_limit", 12.5, "as_written", 1, (replace(FIRST, action="raise"),))
    lines = course_text(STORY, None, TERMS, outcome(), course).splitlines()

    assert lines[3].endswith("  raised to 12.5 tokens/s")


def test_a_rate_that_was_kept_because_of_a_stock_is_told_so() -> None:
    """The CPU alone would not explain it."""
    course = replace(CONVERGED, rounds=(replace(FIRST, action="keep", stock_ratio=0.5), SECOND, THIRD))
    lines = course_text(STORY, None, TERMS, outcome(), course).splitlines()

    assert lines[3].endswith("  kept; stored tokens were spent")
    assert lines[4].endswith("  kept")


def test_a_course_that_was_interrupted_claims_nothing() -> None:
    """Its rounds, its rate, and that there was no verdict."""
    course = Course("out_of_rounds", 8.0, "as_written", 0, (FIRST,))
    unended = outcome(None, "sim", "the run did not end")
    lines = course_text(STORY, None, TERMS, unended, course, interrupted=True).splitlines()

    assert lines[3].endswith("  reduced to 8 tokens/s")
    assert [
        "no verdict: 1 round judged, and the rate is at 8 tokens/s",
        "not comparable: the run did not end",
        "interrupted: this is what was known until then",
    ] == lines[5:]


def test_an_outcome_that_was_final_stands_after_an_interrupt() -> None:
    """Only the end of the run is missing."""
    lines = course_text(STORY, None, TERMS, outcome(), CONVERGED, interrupted=True).splitlines()

    assert lines[-2].startswith("converged: at 8 tokens/s")
    assert lines[-1].startswith("interrupted: ")


def test_broken_checks_are_told() -> None:
    """In the text, and with those that held in the JSON."""
    checks = (
        Check("no token is minted", ok=False, detail="llm granted 9"),
        Check("times never run", ok=True, detail=""),
    )
    broken = replace(outcome(), checks=checks)

    assert "law broken: no token is minted: llm granted 9" in course_text(STORY, None, TERMS, broken, CONVERGED)
    assert [False, True] == [one["ok"] for one in course_json(STORY, None, broken, CONVERGED, [])["checks"]]


@pytest.mark.parametrize(
    ("course", "told"),
    [
        (
            ended("settled_outside_band", cpu_ratio=0.56),
            (
                "settled outside the band: at 8 tokens/s CPU is at 56.0 %, not inside 70–80 %, and the rule changes "
                "nothing between 50 % and 85 %; --rule damped goes on"
            ),
        ),
        (
            replace(ended("settled_outside_band", cpu_ratio=0.95), rule="damped"),
            "settled outside the band: around 8 tokens/s CPU jumps over 70–80 %, to 95.0 % now; widen calibrate.band",
        ),
        (
            ended("oscillating"),
            (
                "oscillating: at 8 tokens/s the rule goes to and fro between rates that are too low and too high; take "
                "smaller steps, or --rule damped"
            ),
        ),
        (
            ended("not_rate_bound", cpu_ratio=0.12, waited_ratio=0.004),
            (
                "not bound by the rate: agents wait for tokens 0.4 % of their time, CPU is at 12.0 %, and no higher "
                "rate changes that; add agents"
            ),
        ),
        (
            ended("over_limit", memory_ratio=0.955),
            (
                "over the limit: at 8 tokens/s memory is at 95.5 % of its limit, above 90 %; give the container more "
                "memory, or fewer agents"
            ),
        ),
        (
            ended("over_limit", oom_kills_count=3),
            (
                "over the limit: at 8 tokens/s processes were killed for memory (3); give the container more memory, "
                "or fewer agents"
            ),
        ),
        (
            replace(CONVERGED, outcome="over_limit", rounds=()),
            (
                "over the limit: at 8 tokens/s the container itself was killed for memory; give the container more "
                "memory, or fewer agents"
            ),
        ),
        (
            ended("out_of_rounds", action="raise"),
            (
                "out of rounds: no verdict after 3 rounds; take smaller steps or --rule damped, raise calibrate.rounds "
                "and duration, or start nearer than 8 tokens/s"
            ),
        ),
        (
            Course("out_of_rounds", 8.0, "as_written", 3, (FIRST,)),
            (
                "out of rounds: no verdict after 1 round, and the last windows could not be judged; see why agents was "
                "not there or not read"
            ),
        ),
        (
            ended("out_of_rounds"),
            (
                "out of rounds: no verdict after 3 rounds; raise calibrate.rounds and duration, or start nearer than "
                "8 tokens/s"
            ),
        ),
    ],
    ids=lambda value: value.outcome if isinstance(value, Course) else "",
)
def test_each_outcome_is_one_sentence(course: Course, told: str) -> None:
    """What it came to, why, and what to do about it."""
    assert told == verdict_sentence(TERMS, course)


def test_the_json_has_every_round(tmp_path: Path) -> None:
    """Programs get the figures as they are."""
    told = course_json(STORY, None, outcome(tmp_path), CONVERGED, [counted(8, 0.9, 0.5, 0, "CPU above the band")])

    assert ("calibrate", "five", "sim", "converged", 8.0) == tuple(
        told[key] for key in ("kind", "scenario", "world", "outcome", "rate")
    )
    assert [0.93, 0.744, 0.75] == [one["cpu_ratio"] for one in told["iterations"]]
    assert [(8, True, [])] == [(one["agents_count"], one["comparable"], [*one["reasons"]]) for one in told["agents"]]
    assert (False, str(tmp_path)) == (told["interrupted"], told["record"])
    assert course_json(STORY, None, outcome(), CONVERGED, [], interrupted=True)["interrupted"]


# The rate with other numbers of agents.


def counted(agents: int, cpu: float, memory: float, kills: int, *beyond: str) -> Headcount:
    """A run with so many agents that nothing speaks against."""
    return Headcount(agents, cpu, memory, kills, 300.0, 600.0, beyond, comparable=True, reasons=(), broken=())


def sampled(start_cores: float, cores: float) -> Recorder:
    """What is left of a run of an hour whose agents use so many cores in its first five minutes, and so many then."""
    recorder = Recorder(None)
    recorder.begin_window(10.0, 3610.0)
    for at_s, cpu_s in ((10.0, 0.0), (310.0, 300 * start_cores), (3610.0, 300 * start_cores + 3300 * cores)):
        recorder.sample(Sample("agents", at_s, cpu_s, 0, 0, 0.0, 0, 0, 0, 0))
    return recorder


@pytest.mark.parametrize(
    ("cores", "gib", "kills", "beyond"),
    [
        (1.5, 3.5, 0, ()),
        (1.7, 3.5, 0, ("CPU above the band",)),
        (1.3, 3.7, 2, ("CPU below the band", "memory above 90 %", "processes killed for memory")),
    ],
)
def test_a_headcount_is_held_against_band_and_bounds(
    cores: float, gib: float, kills: float, beyond: tuple[str, ...]
) -> None:
    """Cores and bytes become parts of the limits, and what does not hold is named; CPU at the start does not count."""
    values = {"cpu_cores_mean": 1.9, "memory_bytes_max": gib * 1024**3, "oom_kill_count": kills}
    metrics = tuple(Metric(name, "agents", "physics", "", value) for name, value in values.items())
    found = headcount_of(STORY, TERMS, 14, replace(outcome(), metrics=metrics, recorder=sampled(2.0, cores)))

    assert (14, gib / 4, int(kills), beyond) == (
        found.agents_count,
        found.memory_ratio,
        found.oom_kills_count,
        found.beyond,
    )
    assert cores / 2 == pytest.approx(found.cpu_ratio)
    assert (300.0, 3300.0) == (found.start_up_s, found.measured_s)


def test_what_was_not_measured_is_told_so() -> None:
    """A container that never came up has no figures, and is not within anything."""
    found = headcount_of(STORY, TERMS, 20, outcome())

    assert (None, None, ("not measured",)) == (found.cpu_ratio, found.memory_ratio, found.beyond)
    assert "–" in headcounts_text(STORY, TERMS, CONVERGED, [found])


def test_what_speaks_against_a_headcount_is_told() -> None:
    """That its run was disturbed, and which laws it broke: in the line, and below with why."""
    check = Check("no token is minted", ok=False, detail="llm granted 9")
    disturbed = replace(outcome(None, "docker", "other load", "steal"), checks=(check,), recorder=sampled(2.0, 1.5))
    found = headcount_of(STORY, TERMS, 8, disturbed)
    lines = headcounts_text(STORY, TERMS, CONVERGED, [found]).splitlines()

    assert (False, ("other load", "steal")) == (found.comparable, found.reasons)
    assert lines[2].endswith(" (not comparable, law broken)")
    assert [
        "8 agents, law broken: no token is minted: llm granted 9",
        "8 agents, not comparable: other load; steal",
    ] == lines[-2:]


def test_headcounts_are_a_line_each() -> None:
    """With the scale of docker stats beside the part of the limit, a verdict in words, and of which time it is."""
    counts = [counted(8, 0.75, 0.5, 0), counted(20, 1.0, 0.99, 4, "CPU above the band", "memory above 90 %")]
    lines = headcounts_text(STORY, TERMS, CONVERGED, counts).splitlines()

    assert "at 8 tokens/s with" == lines[0]
    assert [
        ["8", "75.0 %", "150.0 %", "50.0 %", "0", "within"],
        ["20", "100.0 %", "200.0 %", "99.0 %", "4", "CPU above the band, memory above 90 %"],
    ] == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[2:4]]
    of_what = "in which agents start and spend what is in store; memory and kills are of all the time"
    assert [f"CPU is of the 600 s after the first 300 s, {of_what}"] == lines[4:]


# The configuration.


def test_the_configuration_has_the_document_s_shape() -> None:
    """It is YAML with rate and capacity, and remarks that name limits and outcome."""
    text = configuration_text(STORY, None, TERMS, CONVERGED)

    assert {"resources": {"flow": {"llm_rate": {"rate": 8, "capacity": 100}}}} == yaml.safe_load(text)
    assert "# Calibrated for a container of 4g and 2 CPUs (agents of five, 5 agents)." == text.splitlines()[0]
    assert text.splitlines()[1].startswith("# Converged: at 8 tokens/s")
    assert "rate: 8  # tokens/sec per agent" in text
    assert "shrunk" not in text


def test_a_shrunk_rate_is_told_at_full_size_too() -> None:
    """At a tenth of the time the rate is ten times as high."""
    course = replace(CONVERGED, rate_tokens_per_s=80.0)
    text = configuration_text(STORY, LiveScale(1 / 16, 1 / 10, 1 / 2), TERMS, course)
    shrunk = "memory 0.0625, time 0.1, CPUs 0.5"

    expected = f"# The story was shrunk ({shrunk}); at its full size this rate is 8 tokens/s, which was not tried."
    assert expected == text.splitlines()[2]
    assert 80 == yaml.safe_load(text)["resources"]["flow"]["llm_rate"]["rate"]


def test_a_rate_of_a_shrunk_run_is_no_rate_of_the_story(tmp_path: Path) -> None:
    """Text and JSON tell the rate as it was run, and what it would be at full size."""
    scale = LiveScale(1 / 16, 1 / 10, 1 / 2)
    course = replace(CONVERGED, rate_tokens_per_s=80.0)
    text = course_text(STORY, scale, TERMS, outcome(tmp_path), course)
    told = course_json(STORY, scale, outcome(tmp_path), course, [])

    assert "at its full size this rate is 8 tokens/s, which was not tried" in text
    assert (80.0, 8.0, True) == (told["rate"], told["rate_at_full_size"], told["shrunk"])
