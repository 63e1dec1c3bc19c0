"""Values that are sound alone and do not go together."""

from __future__ import annotations

import pytest

from scenarios import ScenarioError, load_text

TWO = """\
purpose: Two of everything.
duration: 30s
hosts:
  left: {cpus: 2, memory: 4g}
  right: {cpus: 4, memory: 8g}
containers:
  one: {host: left, cpus: 1, mem_limit: 256m}
  two: {host: right, mem_limit: 64m}
agents:
  worker:
    container: one
    steps: [{take: {from: llm, tokens: 60}}, {call: {provider: big}}, {compute: 20ms}]
rate_limits:
  llm: {kind: token_bucket, rate: 10, capacity: 100}
  slow: {kind: rolling_window, limit: 600}
providers:
  big: {latency: 1s}
  small: {latency: 100ms}
goals:
  alive: {metric: containers_up_count, min: 2}
  quick: {metric: step_latency_s_p95, container: one, max: 1s}
"""

INCOHERENT = [
    (
        "{host: left, cpus: 1, mem_limit: 256m}",
        "{cpus: 1}",
        (
            "t:7: containers.one.host is missing; it must be a name out of hosts: left, right; write for example "
            "host: left"
        ),
    ),
    (
        "{host: left, cpus: 1",
        "{host: lift, cpus: 1",
        't:7: containers.one.host is "lift"; it must be a name out of hosts: left, right; write for example left',
    ),
    (
        "    container: one\n",
        "    container: three\n",
        (
            't:11: agents.worker.container is "three"; it must be a name out of containers: one, two; write for '
            "example "
            "one"
        ),
    ),
    (
        "    container: one\n",
        "",
        (
            "t:10: agents.worker.container is missing; it must be a name out of containers: one, two; write for "
            "example "
            "container: one"
        ),
    ),
    (
        "from: llm",
        "from: lmm",
        (
            't:12: agents.worker.steps.0.take.from is "lmm"; it must be a name out of rate_limits: llm, slow; '
            "write for "
            "example llm"
        ),
    ),
    (
        "provider: big",
        "provider: bigger",
        (
            't:12: agents.worker.steps.1.call.provider is "bigger"; it must be a name out of providers: big, '
            "small; write "
            "for example big"
        ),
    ),
    (
        "providers:\n  big: {latency: 1s}\n  small: {latency: 100ms}\n",
        "",
        (
            't:12: agents.worker.steps.1.call.provider is "big"; it must be a name out of providers, and this '
            "scenario has "
            "none"
        ),
    ),
    (
        "container: one, max: 1s",
        "container: on, max: 1s",
        't:21: goals.quick.container is "on"; it must be a name out of containers: one, two; write for example one',
    ),
    (
        "containers_up_count, min",
        "containers_up_count, container: one, min",
        't:20: goals.alive.container is "one"; it must be left out, because containers_up_count is of the whole story',
    ),
    (
        "cpus: 1, mem",
        "cpus: 3, mem",
        (
            "t:7: containers.one.cpus is 3; it must be at most the host's 2 cores, or Docker refuses it; write "
            "for example "
            "2"
        ),
    ),
    (
        "cpus: 1, mem",
        "cpuset: 1-2, mem",
        't:7: containers.one.cpuset is "1-2"; it must be cores of the host, 0 to 1; write for example 0-1',
    ),
    (
        "mem_limit: 256m",
        "mem_limit: 256m, memswap_limit: 128m",
        (
            't:7: containers.one.memswap_limit is "128m"; it must be at least mem_limit, 256m: it is memory plus swap; '
            "write for example 256m"
        ),
    ),
    (
        "mem_limit: 256m",
        "memswap_limit: 128m",
        't:7: containers.one.memswap_limit is "128m"; it must be left out, or come with a mem_limit, as Docker demands',
    ),
    (
        "memory: 4g",
        "memory: 4g, reserve: 4g",
        't:4: hosts.left.reserve is "4g"; it must be less than memory, 4g; write for example 1g',
    ),
    (
        "memory: 4g",
        "memory: 4g, probe: {every: 10ms, compute: 2ms}",
        (
            't:4: hosts.left.probe.every is "10ms"; it must be 20ms or more: one that comes more often is a load '
            "itself; write for example 100ms"
        ),
    ),
    (
        "memory: 4g",
        "memory: 4g, probe: {every: 50ms, compute: 50ms}",
        (
            't:4: hosts.left.probe.compute is "50ms"; it must be less than every, 50ms, or it never catches up; '
            "write for example 2ms"
        ),
    ),
    (
        "duration: 30s\nhosts:\n  left: {cpus: 2, memory: 4g",
        "duration: 1d\nhosts:\n  left: {cpus: 2, memory: 4g, probe: {every: 100ms, compute: 2ms}",
        (
            't:4: hosts.left.probe.every is "100ms"; it must be 900ms or more: in 1d it comes at most 100,000 times; '
            "write for example 900ms"
        ),
    ),
    (
        "duration: 30s",
        "duration: 1s\nsample_interval: 2s",
        't:3: sample_interval is "2s"; it must be at most the duration, 1s; write for example 100ms',
    ),
    (
        "{call: {provider: big}}, {compute: 20ms}",
        "{hold: 1m}",
        (
            "t:10: agents.worker.think is missing; it must be longer, because a whole step with its think time "
            "takes no "
            "time on average; write for example think: 100ms"
        ),
    ),
    (
        "goals:\n",
        "headline: [steps_per_s, steps_per_s]\ngoals:\n",
        't:19: headline.1 is "steps_per_s"; it must be another metric: it is in the list already',
    ),
    (
        "goals:\n",
        "live: {possible: false}\ngoals:\n",
        (
            "t:19: live.reason is missing; it must be given where live is not possible; write for example "
            "reason: it needs "
            "a GPU"
        ),
    ),
    (
        "goals:\n",
        "live: {scale: {time: 1/60}}\ngoals:\n",
        't:19: live.scale.time is "1/60"; it must be larger: it leaves a run of 500ms',
    ),
    (
        "goals:\n",
        "live: {scale: {memory: 1/16}}\ngoals:\n",
        't:19: live.scale.memory is "1/16"; it must be larger: it leaves two 4m, and Docker demands 6m',
    ),
    (
        "goals:\n",
        "live: {scale: {cpus: 1/4}}\ngoals:\n",
        't:19: live.scale.cpus is "1/4"; it must be a fraction that leaves whole cores; it leaves host left 0.5 of 2',
    ),
    (
        "{compute: 20ms}]",
        "{compute: 20ms}, {write: 1m}]",
        (
            't:12: agents.worker.steps.3.write is "1m"; it must be in a container with a disk, such as tmpfs: '
            "/scratch:size=50m or volumes: [data:/data]"
        ),
    ),
    (
        "{compute: 20ms}]",
        "{compute: 20ms}, {read: {uniform: [1m, 2m]}}]",
        (
            "t:12: agents.worker.steps.3.read is a mapping; it must be in a container with a disk, such as tmpfs: "
            "/scratch:size=50m or volumes: [data:/data]"
        ),
    ),
    (
        "mem_limit: 256m}\n  two: {host: right, mem_limit: 64m}\nagents:\n  worker:\n    container: one\n    steps: [",
        (
            "tmpfs: '/a:size=1m'}\n  two: {host: right}\nagents:\n  worker:\n    container: one\n"
            "    steps: [{write: {uniform: [2m, 3m]}}, "
        ),
        (
            "t:12: agents.worker.steps.0.write is a mapping; it must be at most the 1m of /a, or nothing ever fits; "
            "write for example 1m"
        ),
    ),
    (
        "one: {host: left, cpus: 1, mem_limit: 256m}",
        "one: {host: left, image: redis}",
        (
            't:11: agents.worker.container is "one"; it must be a container without an image: a program of your '
            "own runs "
            "no agents"
        ),
    ),
    (
        "two: {host: right, mem_limit: 64m}",
        "two: {host: right, tmpfs: '/a:size=4k'}\nlive: {scale: {memory: 1/2}}",
        't:9: live.scale.memory is "1/2"; it must be larger: it leaves two a tmpfs of less than one page, 4k',
    ),
    (
        "{cpus: 4, memory: 8g}\ncontainers:\n  one: {host: left, cpus: 1,",
        "{cpus: 400, memory: 8g}\nlive: {scale: {cpus: 1/2}}\ncontainers:\n  one: {host: left, cpus: 0.011,",
        't:6: live.scale.cpus is "1/2"; it must be larger: it leaves one less than 0.01 cpus',
    ),
]


def test_two_of_everything_go_together() -> None:
    """All findings below come from one change to a scenario that has none."""
    assert 2 == len(load_text(TWO, "t").hosts)


@pytest.mark.parametrize(("before", "after", "complaint"), INCOHERENT, ids=range(len(INCOHERENT)))
def test_what_does_not_go_together_is_named(before: str, after: str, complaint: str) -> None:
    """The finding is the only one, with its line, its value and what would go."""
    assert 1 == TWO.count(before)
    with pytest.raises(ScenarioError) as caught:
        load_text(TWO.replace(before, after), "t")

    assert [complaint] == [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("disk", ["volumes: ['data:/data']", "tmpfs: '/a:size=1m'"])
def test_any_amount_can_be_read(disk: str) -> None:
    """What is not there is not read, so it need not fit; a volume is never too small for a write either."""
    write = ", {write: 100g}" if "volumes" in disk else ""
    text = TWO.replace("cpus: 1, mem_limit: 256m", disk).replace("20ms}]", f"20ms}}, {{read: 100g}}{write}]")

    assert 1 == len(load_text(text, "t").agents)


def test_debt_lets_any_amount_pass() -> None:
    """A bucket that lends can be asked for more than it holds."""
    text = TWO.replace("tokens: 60", "tokens: 600").replace("capacity: 100", "capacity: 100, debt: true")

    assert 1 == len(load_text(text, "t").agents)


def test_limits_may_be_over_committed() -> None:
    """More memory and CPU in limits than the host has is usual, and no mistake."""
    text = TWO.replace("mem_limit: 64m", "mem_limit: 32g, cpus: 4").replace("mem_limit: 256m", "mem_limit: 32g")

    assert 32 * 1024**3 == load_text(text, "t").container("one").memory_bytes_limit


@pytest.mark.parametrize("take", ["from: llm, tokens: {uniform: [60, 200]}", "from: slow, tokens: 601"])
def test_a_take_above_its_limit_is_no_mistake(take: str) -> None:
    """It passes with the bucket full or the window empty, so it is warned of and not refused."""
    load_text(TWO.replace("from: llm, tokens: 60", take), "t")


def test_a_retry_takes_time() -> None:
    """Asking again in the same instant would never let the clock move on."""
    with pytest.raises(ScenarioError, match=r"retry_after is .*1ms or more"):
        load_text(TWO.replace("big: {latency: 1s}", "big: {latency: 1s, retry_after: 0s}"), "t")
