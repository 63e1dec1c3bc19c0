"""What `tonnage check` warns of in a scenario that is sound."""

from __future__ import annotations

import pytest

from scenarios import load, load_text
from scenarios.advice import advise

CALM = """\
purpose: Nothing to warn of.
duration: 60s
hosts: {local: {cpus: 4, memory: 8g}}
containers:
  box: {cpus: 2, mem_limit: 1g}
agents:
  worker:
    container: box
    count: 4
    think: 300ms
    steps: [{hold: 10m}, {compute: 20ms}, {release: }]
"""
BUCKET = "rate_limits: {llm: {kind: token_bucket, rate: 10, capacity: 100, per: agent}}\n"
TAKE = "steps: [{take: {from: llm, tokens: 60}}, "

WARNED = [
    (
        "mem_limit: 1g}",
        "mem_limit: 1g}\n  big: {cpus: 4, mem_limit: 8g}",
        [
            "hosts.local: memory limits add up to 9g of 8g: over-committed, which holds only while not all use theirs.",
            (
                "hosts.local: CPU limits add up to 6 of 4 cores: over-committed, which holds only while not all use "
                "theirs."
            ),
            "containers.big: no agents live in it, so it only starts and idles.",
        ],
    ),
    (
        "box: {cpus: 2, mem_limit: 1g}",
        "box: {mem_limit: 1g}\nx-a: 1",
        [],
    ),
    (
        "count: 4",
        "count: 40",
        [
            (
                "containers.box: agents ask for 2.5 CPUs of 2 on average: the quota is the bottleneck, and steps take "
                "longer until the demand fits."
            ),
        ],
    ),
    (
        "  box: {cpus: 2, mem_limit: 1g}\nagents:\n  worker:\n    container: box\n    count: 4",
        "  box: {mem_limit: 4g}\nagents:\n  worker:\n    container: box\n    count: 80",
        [
            (
                "hosts.local: agents ask for 5 cores of 4 on average: cores are the bottleneck, and steps take "
                "longer until "
                "the demand fits."
            ),
        ],
    ),
    (
        "cpus: 2, mem_limit: 1g",
        "cpus: 0.3, mem_limit: 1g",
        [
            (
                "containers.box: 2 of 4 agents computing at once use up the quota of 30ms in each 100ms and are "
                "stopped, "
                "although agents ask for 83 % of the limit on average."
            ),
        ],
    ),
    (
        "box: {cpus: 2, mem_limit: 1g}\nagents:\n  worker:\n    container: box\n    count: 4\n    think: 300ms",
        "box: {cpus: 0.13, mem_limit: 1g}\nagents:\n  worker:\n    container: box\n    count: 1\n    think: 900ms",
        [
            (
                "containers.box: one step alone needs 20ms of CPU in one go and the quota of 13ms in each 100ms "
                "stops it, "
                "although agents ask for 17 % of the limit on average."
            ),
            "duration: 1m are enough for about 65 steps, too few for a steady 95th or 99th percentile.",
        ],
    ),
    (
        "{hold: 10m}, {compute: 20ms}",
        "{hold: {uniform: [10m, 500m]}}, {compute: 20ms}",
        [
            (
                "containers.box: agents hold about 71.38m on average but 1.961g when all are at their largest, and "
                "mem_limit is 1g: expect OOM kills now and then."
            ),
        ],
    ),
    (
        "{hold: 10m}, {compute: 20ms}",
        "{hold: {exponential: 10m}}, {compute: 20ms}",
        [
            (
                "containers.box: agents hold about 10.13m on average but without bound when all are at their "
                "largest, and "
                "mem_limit is 1g: expect OOM kills now and then."
            ),
        ],
    ),
    (
        "{hold: 10m}, {compute: 20ms}",
        "{hold: 400m}, {compute: 20ms}, {sleep: 10s}",
        [
            (
                "containers.box: agents hold about 1.525g on average and mem_limit is 1g: the kernel will kill all the "
                "time."
            ),
            "duration: 1m are enough for about 23 steps, too few for a steady 95th or 99th percentile.",
        ],
    ),
    (
        "{cpus: 4, memory: 8g}}\ncontainers:\n  box: {cpus: 2, mem_limit: 1g}",
        "{cpus: 4, memory: 16m, reserve: 8m}}\ncontainers:\n  box: {cpus: 2}",
        [
            "hosts.local: agents hold 10.13m of 8m on average: the host itself runs out of memory.",
        ],
    ),
    (
        "{compute: 20ms}",
        "{compute: 20ms}, {leak: 2m}",
        [
            "containers.box: leaks add 25m a second and reach mem_limit after about 41s.",
        ],
    ),
    (
        "memory: 8g",
        "memory: 8g, swap: 512m",
        [
            (
                "containers.box: beyond mem_limit it may use 512m of swap and crawl instead of being killed; set "
                "memswap_limit to 1g to forbid it."
            ),
        ],
    ),
    (
        "mem_limit: 1g}\nagents",
        "mem_limit: 1g, memswap_limit: -1}\nagents",
        [],
    ),
    (
        "mem_limit: 1g",
        "mem_limit: 1g, pids_limit: 4",
        ["containers.box: its agents need about 4 processes and pids_limit is 4: some cannot start."],
    ),
    (
        "    steps: [",
        f"    {TAKE}",
        [
            "agents.worker: rate_limits.llm holds them to 0.667 steps/s; without it 12.5 at most.",
            "duration: 1m are enough for about 40 steps, too few for a steady 95th or 99th percentile.",
        ],
    ),
    (
        "    steps: [",
        "    steps: [{take: {from: llm, tokens: 1}}, ",
        [
            (
                "rate_limits.llm: an agent takes at most 3.125 tokens/s and it grants 10, so it hardly ever "
                "makes anyone "
                "wait."
            ),
        ],
    ),
    (
        "    steps: [",
        "    steps: [{take: {from: llm, tokens: {exponential: 3.1}}}, ",
        [
            (
                "rate_limits.llm: agents.worker may want more than 100 tokens at once, more than it holds: "
                "such a take passes with the bucket full and leaves it in debt."
            ),
        ],
    ),
    (
        "    count: 4",
        "    process: main\n    count: 120",
        [
            (
                "containers.box: agents ask for 7.5 CPUs of 2 on average: the quota is the bottleneck, and steps take "
                "longer until the demand fits."
            ),
            (
                "containers.box: agents hold about 78.81m on average but 1.176g when all are at their largest, and "
                "mem_limit is 1g: expect OOM kills now and then."
            ),
            "agents.worker: they share the container's first process, so one OOM kill ends the whole container.",
        ],
    ),
    (
        "{hold: 10m}, ",
        "",
        ["agents.worker: release comes before any hold, so there is nothing to give back."],
    ),
    (
        "duration: 60s",
        "duration: 60s\nproviders: {llm: {latency: 1s}}",
        ["providers.llm: nobody calls it."],
    ),
    (
        "duration: 60s",
        "duration: 60s\ngoals:\n  cheap: {metric: cost_usd, max: 3}\n  patient: {metric: token_wait_s_mean, max: 3s}",
        [
            "goals.cheap: cost_usd is not measured here, because the story has no providers; the goal cannot be met.",
            (
                "goals.patient: token_wait_s_mean is not measured here, because the story has no rate limits; the goal "
                "cannot be met."
            ),
        ],
    ),
    (
        "box: {cpus: 2, mem_limit: 1g}",
        "box: {mem_limit: 1g}\ngoals:\n  free: {metric: throttled_s, max: 3s}",
        [
            (
                "goals.free: throttled_s is not measured here, because no container it covers has a CPU limit; "
                "the goal "
                "cannot be met."
            ),
        ],
    ),
]


LIFE = [
    (
        "mem_limit: 1g",
        "mem_limit: 1g, tmpfs: '/a:size=1020m'",
        [
            (
                "containers.box: its tmpfs may hold 1020m and its processes about 10.13m, both charged to "
                "mem_limit, 1g: "
                "the kernel kills before the disk is full."
            ),
        ],
    ),
    ("mem_limit: 1g", "mem_limit: 1g, tmpfs: '/a:size=900m'", []),
    (
        "mem_limit: 1g",
        "mem_limit: 1g, tmpfs: /a",
        [
            (
                "containers.box: its tmpfs may hold 4g and its processes about 10.13m, both charged to mem_limit, 1g: "
                "the kernel kills before the disk is full."
            ),
        ],
    ),
    (
        "box: {cpus: 2, mem_limit: 1g}",
        "box: {cpus: 2}\n  job: {image: x, mem_limit: 64m, tmpfs: '/a:size=64m'}",
        [],
    ),
    (
        "duration: 60s",
        "duration: 60s\nfaults: [{crash: box, at: 1s, every: 5s}, {crash: box, at: 1s, every: 20s}]",
        ["containers.box: it crashes again and again, and without a restart policy only the first crash strikes."],
    ),
    (
        "mem_limit: 1g}",
        "mem_limit: 1g, restart: on-failure:3}\nfaults: [{crash: box, at: 1s, every: 5s}]",
        [
            (
                "containers.box: it crashes every 5s or so: restart: on-failure starts it anew after 100ms, "
                "doubling to "
                "1m unless it was up for 10s, 3 times at most."
            ),
        ],
    ),
    ("mem_limit: 1g}", "mem_limit: 1g, restart: always}\nfaults: [{crash: box, at: 1s, every: 10s}]", []),
    ("mem_limit: 1g}", "mem_limit: 1g}\nfaults: [{crash: box, at: 1s}, {kill: box, at: 1s}]", []),
    (
        "mem_limit: 1g}",
        "mem_limit: 1g, restart: always}\nfaults: [{kill: box, at: 1s, every: 10s}, {kill: box, at: 2s, every: 10s}]",
        [
            (
                "containers.box: it is killed again and again, and no restart policy follows a docker kill: only the "
                "first strikes."
            ),
        ],
    ),
    (
        "mem_limit: 1g}",
        (
            "mem_limit: 1g, depends_on: {db: {condition: service_healthy}, c: {condition: service_healthy}}}\n"
            "  db: {image: x, healthcheck: {test: x}}\n  c: {image: x, healthcheck: {test: x, interval: 10s}}"
        ),
        ["containers.box: it waits for db to be healthy, whose first probe comes 30s after its start: 30s or more."],
    ),
    (
        "mem_limit: 1g}",
        (
            "mem_limit: 1g, depends_on: {db: {condition: service_healthy}}}\n"
            "  db: {image: x, healthcheck: {test: x, interval: 2s}}"
        ),
        [],
    ),
    (
        "    count: 4",
        "    process: main\n    count: 120",
        [
            (
                "containers.box: agents ask for 7.5 CPUs of 2 on average: the quota is the bottleneck, and steps take "
                "longer until the demand fits."
            ),
            (
                "containers.box: agents hold about 78.81m on average but 1.176g when all are at their largest, and "
                "mem_limit is 1g: expect OOM kills now and then."
            ),
            (
                "agents.worker: they share the container's first process, so one OOM kill ends the whole container; "
                "restart: always starts it anew after 100ms, doubling to 1m unless it was up for 10s."
            ),
        ],
    ),
    (
        "duration: 60s",
        (
            "duration: 60s\ngoals:\n  a: {metric: restart_count, max: 3}\n  b: {metric: disk_full_count, max: 3}\n"
            "  c: {metric: unhealthy_count, max: 3}"
        ),
        [
            (
                "goals.a: restart_count is not measured here, because no container it covers has a restart policy; the "
                "goal cannot be met."
            ),
            (
                "goals.b: disk_full_count is not measured here, because no container it covers has a tmpfs or a "
                "volume; the goal cannot be met."
            ),
            (
                "goals.c: unhealthy_count is not measured here, because no container it covers has a healthcheck; the "
                "goal cannot be met."
            ),
        ],
    ),
    (
        "mem_limit: 1g}",
        (
            "mem_limit: 1g, restart: on-failure, tmpfs: '/a:size=1m', healthcheck: {}}\ngoals:\n"
            "  a: {metric: recovery_s, max: 3s}\n  b: {metric: disk_bytes_max, max: 3m}\n"
            "  c: {metric: unhealthy_count, container: box, max: 3}"
        ),
        [],
    ),
    (
        "mem_limit: 1g}",
        (
            "mem_limit: 1g}\ngoals:\n  a: {metric: disk_bytes_max, max: 3m}\n"
            "  b: {metric: page_cache_bytes_mean, container: box, max: 3m}"
        ),
        [
            (
                "goals.a: disk_bytes_max is not measured here, because no container it covers has a tmpfs or a volume; "
                "the goal cannot be met."
            ),
            (
                "goals.b: page_cache_bytes_mean is not measured here, because no container it covers has a volume; the "
                "goal cannot be met."
            ),
        ],
    ),
    (
        "mem_limit: 1g}",
        "mem_limit: 1g, tmpfs: '/a:size=1m'}\ngoals: [{metric: page_cache_bytes_mean, max: 3m}]",
        [
            (
                "goals.page_cache_bytes_mean: page_cache_bytes_mean is not measured here, because no container it "
                "covers has a volume; the goal cannot be met."
            ),
        ],
    ),
    (
        "mem_limit: 1g}\nagents:\n  worker:\n    container: box\n    count: 4\n    think: 300ms\n    steps: [",
        (
            "mem_limit: 64m, volumes: ['data:/data']}\nagents:\n  worker:\n    container: box\n    count: 1\n"
            "    think: 300ms\n    steps: [{write: 1m}, {read: 100m}, "
        ),
        [
            (
                "containers.box: its agents read 100m of files again and again and mem_limit leaves about 58.61m for "
                "page cache: most of it comes from the disk each time."
            ),
        ],
    ),
    (
        "mem_limit: 1g}\nagents:\n  worker:\n    container: box\n    count: 4\n    think: 300ms\n    steps: [",
        (
            "mem_limit: 64m, volumes: ['data:/data']}\nagents:\n  worker:\n    container: box\n    count: 1\n"
            "    think: 300ms\n    steps: [{write: 1m}, {read: 100m}, erase, "
        ),
        [],
    ),
    (
        "mem_limit: 1g}",
        (
            "mem_limit: 1g, volumes: ['data:/data']}\ngoals:\n  a: {metric: disk_bytes_max, max: 3g}\n"
            "  b: {metric: disk_full_count, max: 0}\n  c: {metric: page_cache_bytes_mean, container: box, max: 3m}"
        ),
        [],
    ),
    (
        "duration: 60s",
        "duration: 60s\nfaults: [{lose_host: {for: 5s}, at: 1s}]\ngoals: [{metric: recovery_s, max: 3s}]",
        [
            (
                "goals.recovery_s: recovery_s is not measured here, because no container it covers has a restart "
                "policy; the goal cannot be met."
            ),
        ],
    ),
]


@pytest.mark.parametrize(("before", "after", "warnings"), LIFE, ids=range(len(LIFE)))
def test_what_a_containers_life_will_run_into_is_said(before: str, after: str, warnings: list[str]) -> None:
    """As of demand, one sentence with its figures; what is well within its limits is not mentioned."""
    text = CALM.replace(before, after)
    if "always starts it" in str(warnings):
        text = text.replace("mem_limit: 1g", "mem_limit: 1g, restart: always")

    assert warnings == [str(advice) for advice in advise(load_text(text, "t"))]


@pytest.mark.parametrize(("count", "warned"), [(30, False), (31, True)])
def test_more_networks_than_addresses_are_warned_of(count: int, warned: bool) -> None:  # noqa: FBT001
    """A stock engine has addresses for thirty."""
    names = [f"n{number}" for number in range(count)]
    text = CALM.replace("mem_limit: 1g}", f"mem_limit: 1g, networks: [{', '.join(names)}]}}")
    story = load_text(f"{text}networks: {{{', '.join(f'{name}: {{}}' for name in names)}}}\n", "t")
    expected = (
        "hosts.local: its containers are in 31 networks and a stock engine has addresses for about 30: give it more "
        "(default-address-pools), or starts are refused."
    )

    assert ([expected] if warned else []) == [str(advice) for advice in advise(story)]


def test_a_calm_story_has_no_warnings() -> None:
    """All warnings below come from one change to a story that has none."""
    assert () == advise(load_text(CALM, "t"))


@pytest.mark.parametrize(("before", "after", "warnings"), WARNED, ids=range(len(WARNED)))
def test_what_a_story_will_run_into_is_said_with_its_figures(before: str, after: str, warnings: list[str]) -> None:
    """Each warning is one sentence that begins with the path it is about."""
    assert 1 == CALM.count(before)
    text = CALM.replace(before, after)
    story = load_text(text + BUCKET if "from: llm" in text else text, "t")

    assert warnings == [str(advice) for advice in advise(story)]


def test_a_rate_limit_that_nobody_uses_is_pointed_out() -> None:
    """It limits nothing."""
    story = load_text(CALM + BUCKET, "t")

    assert ["rate_limits.llm: nobody takes tokens from it, so it limits nothing."] == [
        str(one) for one in advise(story)
    ]


def test_a_shared_limit_is_held_against_all_agents_together() -> None:
    """Four agents of 3.1 tokens a second are more than a shared bucket of 10 grants."""
    text = CALM.replace("    steps: [", "    steps: [{take: {from: llm, tokens: 1}}, ") + BUCKET.replace(
        "agent", "shared"
    )

    assert ["agents.worker: rate_limits.llm holds them to 10 steps/s; without it 12.5 at most."] == [
        str(one) for one in advise(load_text(text, "t"))
    ]


def test_the_library_is_warned_of_what_it_is_there_to_show() -> None:
    """Bursts, kills and contention are these stories' subjects."""
    paths = {name: [one.path for one in advise(load(name).story)] for name in ("cpu-quota-bursts", "memory-oom")}

    assert {"cpu-quota-bursts": ["containers.agents"], "memory-oom": ["containers.agents"]} == paths


@pytest.mark.parametrize(("swap", "shown"), [("512m", "512m"), ("6g", "6g")])
def test_swap_without_end_is_all_of_the_host_s(swap: str, shown: str) -> None:
    """`memswap_limit: -1` lets a container have whatever swap there is, more than Docker's default would."""
    limit = "mem_limit: 1g"
    text = CALM.replace("memory: 8g", f"memory: 8g, swap: {swap}").replace(limit, f"{limit}, memswap_limit: -1")
    expected = (
        f"containers.box: beyond mem_limit it may use {shown} of swap and crawl instead of being killed; set "
        "memswap_limit to 1g to forbid it."
    )

    assert [expected] == [str(advice) for advice in advise(load_text(text, "t"))]
