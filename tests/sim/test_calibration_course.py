"""A story that calibrates, simulated: when it ends, what its record holds, and that it reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from scenarios import Story, load_text
from sim.calibration_course import CALIBRATION, course_of, terms_of
from sim.physics.host_profile import load_profile
from sim.record import Recorder, read_record
from sim.recorded import recall, story_of
from sim.run import rate_gauge, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from sim.policies.calibration import Course
    from sim.run import Outcome

PROFILE = load_profile(None)
# 5 agents x 10 tokens/s x 36 ms for 5 tokens are 36 % of one CPU; 45 % at 12.5 tokens/s, 56 % at 15.6.
RAISED = """\
purpose: Raised twice, then kept.
duration: 48s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {agents: {cpus: 1, mem_limit: 256m, memswap_limit: 256m}}
rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 5, level: 0, per: agent, debt: true}}
agents: {worker: {count: 5, steps: [{take: {from: llm, tokens: {uniform: [4.5, 5.5]}}}, {compute: 36ms}]}}
calibrate: {turn: llm, watch: agents, window: 8s, settle: 2s, rounds: 6}
"""
# 93 %, which is reduced once.
REDUCED = RAISED.replace("compute: 36ms", "compute: 93ms")
WINDOW_S = 8.0


def played(text: str, directory: Path | None = None, **terms: Any) -> Outcome:  # noqa: ANN401  # Terms are of many types.
    """A story simulated, with other terms of its calibration."""
    told = load_text(text, "t")
    assert told.calibrate is not None
    return simulate(replace(told, calibrate=replace(told.calibrate, **terms)), profile=PROFILE, directory=directory)


def course(outcome: Outcome) -> Course:
    """Its course."""
    found = course_of(outcome.recorder.findings)
    assert found is not None
    return found


def metric(outcome: Outcome, name: str, container: str | None = "agents") -> float:
    """One metric's value."""
    return {(one.name, one.container): one.value for one in outcome.metrics}[name, container]


def test_the_course_is_what_arithmetic_says() -> None:
    """From below the rate is raised until the rule falls silent; from above it is reduced into the band."""
    raised, reduced = course(played(RAISED)), course(played(REDUCED))

    assert ("settled_outside_band", ["raise", "raise", "keep", "keep"]) == (
        raised.outcome,
        [one.action for one in raised.rounds],
    )
    assert [10.0, 12.5, 15.625, 15.625] == [one.rate_tokens_per_s for one in raised.rounds]
    assert [0.36, 0.45, 0.5625, 0.5625] == [pytest.approx(one.cpu_ratio, rel=0.08) for one in raised.rounds]
    assert ("converged", 8.0) == (reduced.outcome, reduced.rate_tokens_per_s)


def test_damped_goes_on_to_the_band() -> None:
    """Where the written rule is silent, the damped one is not."""
    found = course(played(RAISED, rule="damped"))

    assert "converged" == found.outcome
    assert 0.7 <= found.rounds[-1].cpu_ratio <= 0.8


def test_a_run_ends_with_its_outcome() -> None:
    """The window closes when the verdict is in, so that metrics are of the time that was played."""
    outcome = played(REDUCED)
    assert outcome.recorder.window is not None
    begin_s, end_s = outcome.recorder.window
    rounds = course(outcome).rounds
    steps = outcome.recorder.tables["steps"]

    assert end_s - begin_s == pytest.approx(3 * WINDOW_S, abs=0.5)
    assert rounds[-1].ended_s <= end_s
    assert 3 == len(rounds)
    in_time = sum(begin_s <= finish_s <= end_s for finish_s in steps["finish_s"])
    assert in_time / (end_s - begin_s) == pytest.approx(metric(outcome, "steps_per_s"))
    assert 5 == metric(outcome, "agents_up_count", None)


def test_a_course_without_a_verdict_takes_all_of_its_time() -> None:
    """The last window ends with the story, and is judged."""
    text = RAISED.replace("rounds: 6", "rounds: 2").replace("48s", "16s")
    outcome = played(text)
    assert outcome.recorder.window is not None

    assert ("out_of_rounds", 2) == (course(outcome).outcome, len(course(outcome).rounds))
    assert 16.0 == pytest.approx(outcome.recorder.window[1] - outcome.recorder.window[0])


def test_no_token_is_minted_by_a_rate_that_rises() -> None:
    """All invariants hold, those of buckets too, whose rate is another one than the story says."""
    for text in (RAISED, REDUCED):
        outcome = played(text)

        assert [] == [check for check in outcome.checks if not check.ok]


def test_who_does_not_take_part_is_ended_too() -> None:
    """A container whose agents work on their own stops with the rest, and its steps count up to there."""
    told = REDUCED.replace("containers: {", "containers: {db: {cpus: 0.2, mem_limit: 64m}, ")
    query = "query: {container: db, think: 100ms, steps: [{compute: 1ms}]}"
    told = told.replace("agents: {worker: {", f"agents: {{{query}, worker: {{container: agents, ")
    outcome = played(told)
    assert outcome.recorder.window is not None
    begin_s, end_s = outcome.recorder.window

    assert end_s - begin_s < 4 * WINDOW_S
    assert 8 < metric(outcome, "steps_per_s", "db") < 10
    assert 6 == metric(outcome, "agents_up_count", None)
    assert [] == [check for check in outcome.checks if not check.ok]


# The record.


def test_the_record_tells_the_course(tmp_path: Path) -> None:
    """The summary has outcome, rate, rule and rounds; events tell each round, a gauge the rate."""
    outcome = played(RAISED, tmp_path / "r")
    record = read_record(tmp_path / "r")
    told = record.summary[CALIBRATION]
    details = [
        detail
        for what, detail in zip(record.events["what"], record.events["detail"], strict=True)
        if what == "calibrated"
    ]
    gauges = zip(record.gauges["name"], record.gauges["value"], strict=True)

    assert ("settled_outside_band", "as_written", 15.625, 4) == (
        told["outcome"],
        told["rule"],
        told["rate_tokens_per_s"],
        len(told["rounds"]),
    )
    assert course(outcome) == course_of(record.summary)
    assert load_text(RAISED, "t").calibrate == terms_of(record.story)
    assert 5 == len(details)
    assert details[0].startswith("round 1: 10 tokens/s, CPU 3")
    assert "settled_outside_band at 15.625 tokens/s" == details[-1]
    assert {10.0, 12.5, 15.625} == {value for name, value in gauges if name == rate_gauge("llm")}


def test_the_same_seeds_give_the_same_bytes(tmp_path: Path) -> None:
    """The deterministic part of two records is one and the same."""
    for name in "ab":
        played(REDUCED, tmp_path / name)
    parts = [path.name for path in (tmp_path / "a").iterdir() if path.name != "provenance.json"]

    assert {"scenario.json", "summary.json"} < set(parts)
    first, second = (tmp_path / "a", tmp_path / "b")
    assert [] == [name for name in parts if (first / name).read_bytes() != (second / name).read_bytes()]


def test_a_record_is_recalled_with_its_short_window(tmp_path: Path) -> None:
    """Metrics and story read back as they were."""
    outcome = played(REDUCED, tmp_path / "r")
    again = recall(tmp_path / "r")

    assert outcome.metrics == again.metrics
    assert outcome.recorder.window == again.recorder.window
    assert "llm" == _calibrated(story_of(tmp_path / "r"))


def test_a_story_that_calibrates_nothing_has_no_course(tmp_path: Path) -> None:
    """Neither its summary nor its scenario speaks of one."""
    simulate(load_text(RAISED.partition("calibrate:")[0], "t"), profile=PROFILE, directory=tmp_path / "r")
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))

    assert course_of(summary) is None
    assert terms_of(read_record(tmp_path / "r").story) is None
    assert CALIBRATION not in summary


def test_a_window_ends_earlier_but_not_later() -> None:
    """An end before the planned one counts, one after it does not."""
    recorder = Recorder(None)
    recorder.end_window(5.0)
    unbegun = recorder.window
    recorder.begin_window(1.0, 10.0)
    recorder.end_window(20.0)
    later = recorder.window
    recorder.end_window(5.0)

    assert (None, (1.0, 10.0), (1.0, 5.0)) == (unbegun, later, recorder.window)


def _calibrated(story: Story) -> str:
    assert story.calibrate is not None
    return story.calibrate.rate_limit
