"""What agents ask for, against figures worked out by hand."""

from __future__ import annotations

import pytest

from scenarios import load, load_text
from scenarios.demand import group_demand

MIB = 1024**2
TEXT = """\
purpose: Two agents, all in round numbers.
duration: 60s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {box: {}}
agents:
  worker:
    count: 2
    think: 1s
    steps:
      - hold: 10m
      - sleep: 1s
      - hold: {uniform: [10m, 30m]}
      - compute: {cpu: 2s, threads: 2}
      - release
      - call: {provider: llm, input_tokens: 100, output_tokens: 50}
      - leak: 1m
providers: {llm: {latency: 2s}}
rate_limits:
  bucket: {kind: token_bucket, rate: 10, capacity: 100, debt: true, per: agent}
  window: {kind: rolling_window, limit: 180}
"""


def test_a_step_and_its_demand_by_hand() -> None:
    """1 s thinking, 1 s asleep, 1 s on two threads, 2 s of LLM: 5 s, so two agents do 0.4 steps a second."""
    story = load_text(TEXT, "t")
    demand = group_demand(story, story.agents[0])

    assert (5.0, 2 / 5, None) == (demand.step_s_mean, demand.steps_per_s, demand.bound_by)
    assert (2.0, 0.8, 2.0, 2) == (demand.cpu_s_mean, demand.cpus_mean, demand.burst_s_mean, demand.threads_max)
    # 10m for 1 s and 30m for 1 s in each 5 s, by two agents.
    assert demand.held_bytes_mean == pytest.approx(16 * MIB)
    assert (30 * MIB, 80 * MIB) == (demand.held_bytes_max_mean, demand.held_bytes_max)
    assert demand.leaked_bytes_per_s == pytest.approx(0.4 * MIB)


@pytest.mark.parametrize(
    ("before", "after", "steps_per_s", "bound_by"),
    [
        ("- hold: 10m", "- take: {from: bucket, tokens: 100}\n      - hold: 10m", 0.2, "rate_limits.bucket"),
        ("- hold: 10m", "- take: {from: window, tokens: 10}\n      - hold: 10m", 0.3, "rate_limits.window"),
        ("latency: 2s", "latency: 2s, requests_per_minute: 12", 0.2, "providers.llm"),
        ("latency: 2s", "latency: 2s, tokens_per_minute: 900", 0.1, "providers.llm"),
    ],
)
def test_limits_hold_the_group_back(before: str, after: str, steps_per_s: float, bound_by: str | None) -> None:
    """The tightest limit that the group meets decides, and is named."""
    story = load_text(TEXT.replace(before, after), "t")
    demand = group_demand(story, story.agents[0])

    assert bound_by == demand.bound_by
    assert demand.steps_per_s == pytest.approx(steps_per_s)


def test_the_ecologys_bucket_is_what_binds() -> None:
    """60 tokens at 10 a second are one step in 6 s for each of five agents: 0.83 steps/s and 0.75 cores."""
    story = load("agent-ecology").story
    demand = group_demand(story, story.agents[0])

    assert "rate_limits.llm" == demand.bound_by
    assert (demand.steps_per_s, demand.cpus_mean) == pytest.approx((5 / 6, 0.75))
