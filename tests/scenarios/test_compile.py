"""A scenario compiled: base units, defaults filled in, short forms written out."""

from __future__ import annotations

from scenarios import load_text
from scenarios import story as told
from scenarios.story import Law, Story

FULL = """\
purpose: >-
  Everything the language
  has.
source: A test.
seed: 3
duration: 1m
sample_interval: 1s
hosts:
  far: {cpus: 8, memory: 16g, swap: 2g, reserve: 1g, context: far-engine}
containers:
  box:
    cpus: 1.5
    mem_limit: 1g
    memswap_limit: 1.5g
    cpu_shares: 512
    cpuset: "0,2-3"
    pids_limit: 99
    stop_grace_period: 3s
agents:
  worker:
    count: 2
    container: box
    think: {uniform: [1s, 2s]}
    steps:
      - take: {from: bucket, tokens: 60}
      - call: {provider: llm, input_tokens: 1500, output_tokens: {exponential: 500}}
      - compute: {cpu: 40ms, threads: 2}
      - compute: 20ms
      - compute: {exponential: 20ms}
      - hold: 5m
      - leak: 1k
      - sleep: 1s
      - release: {}
      - release:
      - release
    process: main
    on_kill: stop
    restart_delay: 2s
rate_limits:
  bucket: {kind: token_bucket, rate: 10, capacity: 100, level: -5, per: agent, debt: true}
  window: {kind: rolling_window, limit: 600, window: 30s}
providers:
  llm:
    latency: {gamma: {mean: 4s, cv: 0.5}}
    requests_per_minute: 60
    tokens_per_minute: 90000
    retry_after: 2s
    jitter: 0.25
    retries: 3
    price: {input_usd_per_million_tokens: 3, output_usd_per_million_tokens: 15}
goals:
  quick: {metric: step_latency_s_p95, container: box, min: 1ms, max: 200ms}
headline: [steps_per_s]
live:
  scale: {memory: 1/2, time: 1/4, cpus: 1/2}
  possible: false
  reason: No machine is far enough.
"""

MIB = 1024**2
SMALL = """\
purpose: As little as possible.
duration: 5s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {box: {}}
"""


def test_everything_the_language_has_is_compiled_to_base_units() -> None:
    """Seconds, bytes, cores, tokens and dollars; every short form of a stage becomes its long one."""
    law = Law("constant", (0.02,))
    expected = Story(
        name="full",
        purpose="Everything the language has.",
        source="A test.",
        seed=3,
        duration_s=60.0,
        sample_interval_s=1.0,
        hosts=(told.Host("far", 8.0, 16 * 1024 * MIB, 2 * 1024 * MIB, 1024 * MIB, "far-engine"),),
        containers=(told.Container("box", "far", 1.5, 1024 * MIB, 1536 * MIB, 512, (0, 2, 3), 99, 3.0),),
        agents=(
            told.AgentGroup(
                "worker",
                2,
                "box",
                Law("uniform", (1.0, 2.0)),
                (
                    told.Take("bucket", Law("constant", (60.0,))),
                    told.Call("llm", Law("constant", (1500.0,)), Law("exponential", (500.0,))),
                    told.Compute(Law("constant", (0.04,)), 2),
                    told.Compute(law, 1),
                    told.Compute(Law("exponential", (0.02,)), 1),
                    told.Hold(Law("constant", (5.0 * MIB,))),
                    told.Leak(Law("constant", (1024.0,))),
                    told.Sleep(Law("constant", (1.0,))),
                    told.Release(),
                    told.Release(),
                    told.Release(),
                ),
                "main",
                "stop",
                2.0,
            ),
        ),
        rate_limits=(
            told.TokenBucket("bucket", 10.0, 100.0, -5.0, "agent", debt=True),
            told.RollingWindow("window", 600.0, 30.0, "shared"),
        ),
        providers=(told.Provider("llm", Law("gamma", (4.0, 0.5)), 60.0, 90000.0, 2.0, 0.25, 3, 3e-6, 15e-6),),
        goals=(told.Goal("quick", "step_latency_s_p95", "box", 0.001, 0.2),),
        headline=("steps_per_s",),
        live_scale=told.LiveScale(0.5, 0.25, 0.5),
        live_able=False,
    )

    assert expected == load_text(FULL, "full")


def test_a_host_s_probe_is_compiled_to_seconds() -> None:
    """A host has one where the scenario says so, and else none."""
    probed = SMALL.replace("memory: 4g}", "memory: 4g, probe: {every: 97ms, compute: 2ms}}")
    probes = [load_text(text, "t").hosts[0].probe for text in (SMALL, probed)]

    assert [None, told.HostProbe(0.097, 0.002)] == probes


def test_what_is_left_out_has_dockers_default() -> None:
    """No limits, weight 1024, ten seconds of grace, the only host, seed 1, a sample each half second."""
    story = load_text(SMALL, "small")

    assert (1, 0.5, "", (), ()) == (story.seed, story.sample_interval_s, story.source, story.agents, story.goals)
    assert (told.Container("box", "local", None, None, None, 1024, None, 256, 10.0),) == story.containers
    assert (told.LiveScale(1.0, 1.0, 1.0), True) == (story.live_scale, story.live_able)


def test_memory_alone_allows_as_much_swap_again() -> None:
    """Docker's default, which surprises: memory plus swap is twice mem_limit; -1 is no limit."""
    default = load_text(SMALL.replace("box: {}", "box: {mem_limit: 1g}"), "t")
    unlimited = load_text(SMALL.replace("box: {}", "box: {mem_limit: 1g, memswap_limit: -1}"), "t")

    assert 2 * 1024 * MIB == default.containers[0].memory_swap_bytes_limit
    assert unlimited.containers[0].memory_swap_bytes_limit is None


def test_a_container_without_a_pids_limit_has_room_for_its_agents() -> None:
    """A thousand agents of two threads each do not meet a limit nobody wrote."""
    text = SMALL + "agents: {many: {count: 1000, think: 1s, steps: [{compute: {cpu: 1ms, threads: 2}}]}}\n"

    assert 256 + 3000 == load_text(text, "t").containers[0].pids_count_limit


def test_goals_in_a_list_are_called_by_their_name_or_metric() -> None:
    """Both forms of goals compile to the same."""
    text = SMALL + "goals:\n- {metric: ready_s, max: 2m}\n- {name: nobody dies, metric: oom_kill_count, max: 0}\n"

    assert [("ready_s", 120.0), ("nobody dies", 0.0)] == [
        (goal.name, goal.value_max) for goal in load_text(text, "t").goals
    ]


def test_a_bucket_starts_full() -> None:
    """Without a level, the capacity lies in it."""
    text = SMALL + "rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 70}}\n"

    assert (told.TokenBucket("llm", 10.0, 70.0, 70.0, "shared", debt=False),) == load_text(text, "t").rate_limits


def test_a_story_is_hashable_and_equal_by_value() -> None:
    """Sweeps and caches key on stories."""
    assert 1 == len({load_text(FULL, "full"), load_text(FULL, "full")})
