"""What a user reads about a scenario that is wrong: file, exact line, path, value, and what would have worked."""

from __future__ import annotations

import pytest

from scenarios import ScenarioError, load_text

# Every key stands on a line of its own, so that a line number can only be right for one reason.
SOUND = """\
purpose: A sound scenario.
duration: 30s
hosts:
  local:
    cpus: 2
    memory: 4g
containers:
  box:
    cpus: 1
    mem_limit: 256m
agents:
  worker:
    count: 2
    think: 100ms
    steps:
      - take:
          from: llm
          tokens: 60
      - call:
          provider: llm
          input_tokens: 1500
      - hold: {uniform: [30m, 90m]}
      - compute:
          cpu: {exponential: 20ms}
          threads: 2
      - release
rate_limits:
  llm:
    kind: token_bucket
    rate: 10
    capacity: 100
providers:
  llm:
    latency: 1s
    price:
      input_usd_per_million_tokens: 3
goals:
  quick:
    metric: step_latency_s_p95
    max: 200ms
live:
  scale:
    memory: 1/2
"""

LAWS = "constant, uniform, exponential, lognormal, gamma, empirical"
STAGES = "take, call, compute, hold, leak, release, sleep, write, read, erase"

# What is replaced by what, and the whole complaint about it.
WRONG = [
    # Keys.
    (
        "purpose: A sound scenario.\n",
        "",
        "s.yaml:1: purpose is missing; write for example purpose: Five agents share half a core.",
    ),
    ("duration: 30s\n", "", "s.yaml:1: duration is missing; write for example duration: 30s"),
    ("    cpus: 2\n", "", "s.yaml:4: hosts.local.cpus is missing; write for example cpus: 4"),
    ("    memory: 4g", "    memroy: 4g", "s.yaml:4: hosts.local.memory is missing; write for example memory: 16g"),
    (
        "    count: 2",
        "    cuont: 2",
        "s.yaml:13: agents.worker.cuont is not a key of the language; did you mean count?",
    ),
    (
        "    cpus: 1\n",
        "    zz: 1\n",
        (
            "s.yaml:9: containers.box.zz is not a key of the language; the keys here are host, cpus, mem_limit, "
            "memswap_limit, cpu_shares, cpuset, pids_limit, stop_grace_period, restart, healthcheck, depends_on, "
            "networks, tmpfs, image, command, environment, volumes, user, cap_add, privileged, read_only"
        ),
    ),
    (
        "      - release",
        "      - release:\n          all: 1",
        "s.yaml:27: agents.worker.steps.4.release.all is not a key of the language; remove it",
    ),
    (
        "live:\n",
        "pools: {}\nlive:\n",
        "s.yaml:41: pools is reserved for a coming version of Tonnage and cannot be used yet; remove it",
    ),
    (
        "    mem_limit: 256m",
        "    mem_limit: 256m\n    ports:\n      - 80:80",
        (
            "s.yaml:11: containers.box.ports is reserved for a coming version of Tonnage and cannot be used yet; "
            "remove it"
        ),
    ),
    (
        "      - release",
        "      - gpu: 5m",
        (
            "s.yaml:26: agents.worker.steps.4.gpu is reserved for a coming version of Tonnage and cannot be "
            "used yet; "
            "remove it"
        ),
    ),
    ("    cpus: 1\n", "    cpus:\n", "s.yaml:9: containers.box.cpus is empty; give it a value or remove it"),
    (
        "          cpu: {exponential: 20ms}\n",
        "",
        "s.yaml:23: agents.worker.steps.3.compute.cpu is missing; write for example cpu: 20ms",
    ),
    ("          from: llm\n", "", "s.yaml:16: agents.worker.steps.0.take.from is missing; write for example from: llm"),
    (
        "    metric: step_latency_s_p95\n",
        "",
        "s.yaml:38: goals.quick.metric is missing; write for example metric: oom_kill_count",
    ),
    # Names.
    (
        "  box:",
        "  my box:",
        (
            's.yaml:8: containers."my box" is no name; it must be up to 63 letters, digits, - and _, a letter or digit '
            "first; write for example coder-1"
        ),
    ),
    (
        "  box:",
        '  "a.\\n\\e[31m":',
        (
            's.yaml:8: containers."a.\\n\\u001b[31m" is no name; it must be up to 63 letters, digits, - and _, a '
            "letter or "
            "digit first; write for example coder-1"
        ),
    ),
    (
        "    count: 2",
        "    container: [box]",
        (
            "s.yaml:13: agents.worker.container is a list of 1; it must be a name: up to 63 letters, digits, - "
            "and _, a "
            "letter or digit first; write for example coder-1"
        ),
    ),
    # Values.
    (
        "    mem_limit: 256m",
        "    mem_limit: -1",
        (
            "s.yaml:10: containers.box.mem_limit is -1; it must be a size: a number with b, k, m, g or t behind "
            "it; write "
            "for example 512m"
        ),
    ),
    (
        "    mem_limit: 256m",
        "    mem_limit: 5m",
        's.yaml:10: containers.box.mem_limit is "5m"; it must be 6m or more, as Docker demands',
    ),
    (
        "    mem_limit: 256m",
        "    mem_limit: 256",
        (
            "s.yaml:10: containers.box.mem_limit is 256; it must be 6m or more, as Docker demands, and a plain "
            "number is "
            "bytes; write for example 256m"
        ),
    ),
    (
        "    mem_limit: 256m",
        "    mem_limit: 2000t",
        's.yaml:10: containers.box.mem_limit is "2000t"; it must be 1024t or less',
    ),
    ("    cpus: 1\n", "    cpus: 0\n", "s.yaml:9: containers.box.cpus is 0; it must be 0.01 or more"),
    (
        "    cpus: 1\n",
        "    cpus: .inf\n",
        's.yaml:9: containers.box.cpus is ".inf"; it must be a number from 0.01 to 4096; write for example 0.5',
    ),
    (
        "    cpus: 1\n",
        "    cpus: [1]\n",
        "s.yaml:9: containers.box.cpus is a list of 1; it must be a number from 0.01 to 4096; write for example 0.5",
    ),
    (
        "    count: 2",
        "    count: 1.5",
        "s.yaml:13: agents.worker.count is 1.5; it must be a whole number from 1 to 100,000; write for example 5",
    ),
    (
        "    count: 2",
        "    count: 0100",
        (
            's.yaml:13: agents.worker.count is "0100"; it must be a whole number from 1 to 100,000 without a '
            "leading zero, "
            "which some tools read as octal; write for example 100"
        ),
    ),
    ("    count: 2", "    count: 1000000", "s.yaml:13: agents.worker.count is 1000000; it must be 100,000 or less"),
    (
        "    cpus: 2\n",
        "    cpus: 2.5\n",
        "s.yaml:5: hosts.local.cpus is 2.5; it must be a whole number from 1 to 4096; write for example 4",
    ),
    ("duration: 30s", "duration: 31d", 's.yaml:2: duration is "31d"; it must be 30d or less'),
    (
        "duration: 30s",
        "duration: 30x",
        (
            's.yaml:2: duration is "30x"; it must be a duration: numbers with ms, s, m, h or d behind them; write for '
            "example 1m30s"
        ),
    ),
    (
        "duration: 30s",
        "duration: 30s\nsample_interval: 50ms",
        's.yaml:3: sample_interval is "50ms"; it must be 100ms or more',
    ),
    (
        "    think: 100ms",
        "    think: 1:30",
        (
            's.yaml:14: agents.worker.think is "1:30"; it must be a duration: numbers with ms, s, m, h or d '
            "behind them; "
            "write for example 1m30s"
        ),
    ),
    (
        "    think: 100ms",
        "    think:\n      exponental: 1s",
        (
            f's.yaml:15: agents.worker.think.exponental is "1s"; it must be one value, or one law out of {LAWS}; '
            f"write for "
            "example {exponential: 200ms}"
        ),
    ),
    (
        "{uniform: [30m, 90m]}",
        "\n          uniform:\n            - 30m\n            - 90q",
        (
            's.yaml:25: agents.worker.steps.2.hold.uniform.1 is "90q"; it must be a size: a number with b, k, m, '
            "g or t "
            "behind it; write for example 512m"
        ),
    ),
    (
        "          cpu: {exponential: 20ms}\n          threads: 2\n",
        "          exponential: -5\n",
        (
            "s.yaml:24: agents.worker.steps.3.compute.exponential is -5; it must be a duration: numbers with ms, "
            "s, m, h "
            "or d behind them; write for example 30s"
        ),
    ),
    (
        "      - release",
        "      - {release: , sleep: 1s}",
        (
            f"s.yaml:26: agents.worker.steps.4 is a mapping; it must be exactly one stage out of {STAGES}; write for "
            "example {compute: 20ms}"
        ),
    ),
    (
        "      - release",
        "      - rest",
        's.yaml:26: agents.worker.steps.4 is "rest"; it must be a mapping: keys with values, one a line',
    ),
    (
        "    count: 2",
        "    process: mine",
        's.yaml:13: agents.worker.process is "mine"; it must be own or main',
    ),
    (
        "    capacity: 100",
        "    capacity: 100\n    debt: yes",
        's.yaml:32: rate_limits.llm.debt is "yes"; it must be true or false; write for example true',
    ),
    (
        "    capacity: 100",
        "    capacity: 100\n    level: 200",
        "s.yaml:32: rate_limits.llm.level is 200; it must be at most the capacity, 100; write for example 100",
    ),
    (
        "    capacity: 100\n",
        "",
        (
            "s.yaml:28: rate_limits.llm.capacity is missing; it must be a number of tokens: a token_bucket needs "
            "it; write "
            "for example capacity: 100"
        ),
    ),
    (
        "    rate: 10\n",
        "    rate: 10\n    window: 1s\n",
        (
            's.yaml:31: rate_limits.llm.window is "1s"; it must be left out, because a token_bucket has rate, '
            "capacity, "
            "level, debt and per"
        ),
    ),
    (
        "    kind: token_bucket\n    rate: 10\n    capacity: 100\n",
        "    kind: rolling_window\n",
        (
            "s.yaml:28: rate_limits.llm.limit is missing; it must be a number of tokens: a rolling_window needs "
            "it; write "
            "for example limit: 600"
        ),
    ),
    (
        "    kind: token_bucket",
        "    kind: bucket",
        's.yaml:29: rate_limits.llm.kind is "bucket"; it must be token_bucket or rolling_window',
    ),
    (
        "      input_usd_per_million_tokens: 3",
        "      input_usd_per_million_tokens: $3",
        (
            's.yaml:36: providers.llm.price.input_usd_per_million_tokens is "$3"; it must be a number from 0 to '
            "1,000,000; "
            "write for example 3"
        ),
    ),
    (
        "    metric: step_latency_s_p95",
        "    metric: step_latency_p95",
        (
            's.yaml:39: goals.quick.metric is "step_latency_p95"; it must be the name of a metric; write for example '
            "step_latency_s_p95"
        ),
    ),
    (
        "    max: 200ms",
        "    max: fast",
        (
            's.yaml:40: goals.quick.max is "fast"; it must be a duration: numbers with ms, s, m, h or d behind '
            "them; write "
            "for example 1m30s"
        ),
    ),
    (
        "    metric: step_latency_s_p95\n    max: 200ms",
        "    metric: completion_ratio\n    max: 90%",
        (
            's.yaml:40: goals.quick.max is "90%"; it must be a number, because completion_ratio is in ratio; write for '
            "example 0.8"
        ),
    ),
    (
        "    max: 200ms\n",
        "",
        "s.yaml:38: goals.quick.max is missing; it must be given, or min, or both; write for example max: 0",
    ),
    ("    max: 200ms", "    max: 200ms\n    min: 1s", 's.yaml:40: goals.quick.max is "200ms"; it must be at least min'),
    (
        "live:\n",
        "headline: [steps_per_s, setps]\nlive:\n",
        's.yaml:41: headline.1 is "setps"; it must be the name of a metric; write for example steps_per_s',
    ),
    ("live:\n", "headline: []\nlive:\n", "s.yaml:41: headline is an empty list; it must be at least 1 long"),
    (
        "    memory: 1/2",
        "    memory: 2/1",
        's.yaml:43: live.scale.memory is "2/1"; it must be a fraction above 0 and up to 1; write for example 1/16',
    ),
    (
        "agents:\n",
        "agents:\n  7:\n  - 5\nx-rest:\n",
        "s.yaml:12: agents.7 is a list of 1; it must be a mapping: keys with values, one a line",
    ),
    (
        "    cpus: 1\n",
        "    cpus: 1\n    cpuset: 3-1\n",
        (
            's.yaml:10: containers.box.cpuset is "3-1"; it must be core numbers and ranges of them, with commas '
            "between; "
            "write for example 0-3,5"
        ),
    ),
    (
        "    mem_limit: 256m",
        "    mem_limit: 256m\n    cpu_shares: 1",
        "s.yaml:11: containers.box.cpu_shares is 1; it must be 2 or more",
    ),
    (
        "purpose: A sound scenario.",
        "purpose: []",
        "s.yaml:1: purpose is an empty list; it must be a sentence of 1 to 500 letters",
    ),
    (
        "hosts:\n",
        "hosts: here\nx-hosts:\n",
        's.yaml:3: hosts is "here"; it must be a mapping: keys with values, one a line',
    ),
]


def test_the_sound_scenario_is_sound() -> None:
    """All complaints below come from one change to a scenario that has none."""
    assert "s" == load_text(SOUND, "s", source="s.yaml").name


@pytest.mark.parametrize(("before", "after", "complaint"), WRONG, ids=range(len(WRONG)))
def test_one_mistake_is_answered_with_one_exact_line(before: str, after: str, complaint: str) -> None:
    """Among the problems found is the one at the changed place, with its line and its cure."""
    assert 1 == SOUND.count(before)
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace(before, after), "s", source="s.yaml")

    assert complaint in [str(problem) for problem in caught.value.problems]


def test_all_mistakes_are_found_at_once_in_the_order_of_the_file() -> None:
    """Nobody wants to learn of one mistake after the other."""
    text = SOUND.replace("4g", "4x").replace("count: 2", "count: two").replace("1/2", "5")
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "s", source="s.yaml")

    assert [6, 13, 43] == [problem.line for problem in caught.value.problems]
    assert ["hosts.local.memory", "agents.worker.count", "live.scale.memory"] == [
        problem.path for problem in caught.value.problems
    ]


def test_keys_that_start_with_x_are_the_authors_own() -> None:
    """As in Compose files, they hold notes and anchors, and nobody judges them."""
    assert "s" == load_text(SOUND + "x-note: Whatever.\nx-empty:\nx-limits: &limits {cpus: many}\n", "s").name


def test_a_file_that_is_wrong_everywhere_is_not_told_in_full() -> None:
    """A hundred problems say as much as a thousand."""
    text = SOUND + "".join(f"key{number}: 1\n" for number in range(1000))
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "s")

    assert 100 == len(caught.value.problems)
