"""What to calibrate: the language of the key, its defaults, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scenarios import ScenarioError, Story, load_text
from scenarios.calibrate_schema import read_band, read_part
from scenarios.errors import BadValueError
from scenarios.scale import shrink
from scenarios.story import Calibrate
from scenarios.story_json import story_from_json, story_to_json

# Each change below breaks one thing.
SOUND = """\
purpose: Turned until it fits.
duration: 20m
hosts: {local: {cpus: 4, memory: 4g}}
containers:
  agents: {cpus: 2, mem_limit: 1g}
  idle: {mem_limit: 64m}
  db: {image: redis:7}
agents:
  worker: {count: 5, container: agents, steps: [{take: {from: llm, tokens: 60}}, {compute: 100ms}]}
  rester: {container: idle, think: 1s, steps: [{compute: 1ms}]}
rate_limits:
  llm: {kind: token_bucket, rate: 10, capacity: 100, per: agent}
  slow: {kind: rolling_window, limit: 600}
calibrate:
  turn: llm
  watch: agents
  window: 5m
  settle: 1m
  band: [70%, 0.8]
  reduce: {above: 85%, by: 0.8}
  raise: {below: 50%, by: 1.25}
  rounds: 4
"""

REFUSED = [
    ("turn: llm", "turn: lmm", 't:15: calibrate.turn is "lmm"; it must be a name out of the token buckets of'),
    ("turn: llm", "turn: slow", 't:15: calibrate.turn is "slow"; it must be a name out of the token buckets of'),
    ("  turn: llm\n", "", "t:14: calibrate.turn is missing; write for example turn: llm"),
    ("watch: agents", "watch: box", 't:16: calibrate.watch is "box"; it must be a name out of containers: agents,'),
    ("watch: agents", "watch: db", 't:16: calibrate.watch is "db"; it must be a container without an image'),
    (
        "watch: agents",
        "watch: idle",
        't:16: calibrate.watch is "idle"; it must be a container whose agents take from llm; write for example agents',
    ),
    ("window: 5m", "window: 0.5s", 't:17: calibrate.window is "0.5s"; it must be 1s or more'),
    (
        "settle: 1m",
        "settle: 5m",
        't:18: calibrate.settle is "5m"; it must be at least 1s shorter than the window, 5m; write for example 0s',
    ),
    (
        "[70%, 0.8]",
        "[80%, 70%]",
        (
            "t:19: calibrate.band is a list of 2; it must be a list of two parts of the limit, the lower one first; "
            "write for example [70%, 80%]"
        ),
    ),
    ("[70%, 0.8]", "70%", 't:19: calibrate.band is "70%"; it must be a list of two parts of the limit'),
    (
        "[70%, 0.8]",
        "[70%, 80]",
        (
            "t:19: calibrate.band.1 is 80; it must be a part of the limit, above 0% and up to 100%; "
            "write for example 70%"
        ),
    ),
    (
        "above: 85%",
        "above: 75%",
        't:20: calibrate.reduce.above is "75%"; it must be at least the upper edge of the band, 80%; write for',
    ),
    (
        "below: 50%",
        "below: 72%",
        't:21: calibrate.raise.below is "72%"; it must be at most the lower edge of the band, 70%; write for',
    ),
    ("by: 0.8}", "by: 1.2}", "t:20: calibrate.reduce.by is 1.2; it must be 0.99 or less"),
    ("by: 1.25", "by: 0.8", "t:21: calibrate.raise.by is 0.8; it must be 1.01 or more"),
    ("by: 1.25", "with: 1.25", "t:21: calibrate.raise.with is not a key of the language"),
    ("rounds: 4", "rounds: 0", "t:22: calibrate.rounds is 0; it must be 1 or more"),
    ("rounds: 4", "rounds: 4\n  rule: wild", 't:23: calibrate.rule is "wild"; it must be as_written or damped'),
    ("rounds: 4", "rounds: 4\n  confirm: 0", "t:23: calibrate.confirm is 0; it must be 1 or more"),
    (
        "rounds: 4",
        "rounds: 5",
        (
            't:2: duration is "20m"; it must be at least 25m, for the 5 rounds of calibrate with 5m each; '
            "write for example 25m"
        ),
    ),
    (
        "rounds: 4",
        "rounds: 4\nlive: {scale: {time: 1/300}}",
        (
            't:23: live.scale.time is "1/300"; it must be larger: it leaves 800ms of a calibrate window to be judged, '
            "and CPU counters need 1s"
        ),
    ),
]


@pytest.fixture(name="story")
def _story() -> Story:
    """The sound story, compiled."""
    return load_text(SOUND, "t")


def test_what_is_written_is_compiled(story: Story) -> None:
    """Shares may be written as percent or as numbers; both become parts of one."""
    expected = Calibrate(
        rate_limit="llm",
        container="agents",
        window_s=300.0,
        settle_s=60.0,
        cpu_ratio_low=0.7,
        cpu_ratio_high=0.8,
        reduce_above_ratio=0.85,
        reduce_by_ratio=0.8,
        raise_below_ratio=0.5,
        raise_by_ratio=1.25,
        memory_ratio_max=0.9,
        rule="as_written",
        rounds_count_max=4,
        confirm_count=2,
    )

    assert expected == story.calibrate


def test_the_document_s_figures_are_the_defaults(story: Story) -> None:
    """Naming what is turned and what is watched is enough."""
    head = SOUND.partition("  window: 5m")[0].replace("20m", "1h")
    bare = load_text(head, "t").calibrate
    assert bare is not None
    assert story.calibrate is not None

    assert (300.0, 0.0, 12, "as_written") == (bare.window_s, bare.settle_s, bare.rounds_count_max, bare.rule)
    steps = ("reduce_above_ratio", "reduce_by_ratio", "raise_below_ratio", "raise_by_ratio")
    for name in ("cpu_ratio_low", "cpu_ratio_high", *steps, "memory_ratio_max", "confirm_count"):
        assert getattr(story.calibrate, name) == getattr(bare, name)


@pytest.mark.parametrize(("before", "after", "complaint"), REFUSED, ids=[after for _, after, _ in REFUSED])
def test_what_cannot_be_calibrated_is_named(before: str, after: str, complaint: str) -> None:
    """The complaint is the only one, with its line, its value and what would go."""
    assert 1 == SOUND.count(before)
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace(before, after), "t")
    problems = [str(problem) for problem in caught.value.problems]

    assert 1 == len(problems)
    assert problems[0].startswith(complaint)


def test_a_container_that_is_left_out_is_the_only_one() -> None:
    """Agents of a story with one container need not say where they live, and are watched there."""
    text = SOUND.replace("  idle: {mem_limit: 64m}\n  db: {image: redis:7}\n", "").replace("container: agents, ", "")
    told = load_text(text.replace("  rester: {container: idle, think: 1s, steps: [{compute: 1ms}]}\n", ""), "t")

    assert told.calibrate is not None


@pytest.mark.parametrize(("text", "part"), [("70%", 0.7), (" 12.5 % ", 0.125), ("0.7", 0.7), (1, 1.0), ("100%", 1.0)])
def test_parts_are_read(text: object, part: float) -> None:
    """Percent and numbers alike."""
    assert part == read_part(text)


@pytest.mark.parametrize("value", [0, "0%", "101%", 70, "-5%", "%", "many%", True, None, [0.7], "7 0%"])
def test_what_is_no_part_is_refused(value: object) -> None:
    """Above nothing, up to all of it."""
    with pytest.raises(BadValueError, match=r"a part of the limit, above 0% and up to 100%.*write for example 70%"):
        read_part(value)


def test_a_bad_edge_is_pointed_at() -> None:
    """Of a band with one bad edge, that one is named."""
    with pytest.raises(BadValueError) as caught:
        read_band(["70%", "x"])

    assert (1,) == caught.value.at


def test_a_shrunk_story_tries_each_rate_for_less_time() -> None:
    """Windows shrink with time, and the rate of the bucket grows by as much; bounds are parts and stay."""
    whole = load_text(f"{SOUND}live: {{scale: {{time: 1/20, cpus: 1/2, memory: 1/2}}}}\n", "t")
    shrunk = shrink(whole)
    assert whole.calibrate is not None
    assert shrunk.calibrate is not None

    assert (15.0, 3.0) == (shrunk.calibrate.window_s, shrunk.calibrate.settle_s)
    assert 60.0 == shrunk.duration_s
    assert 200.0 == pytest.approx(story_to_json(shrunk)["rate_limits"][0]["rate_tokens_per_s"])
    assert whole.calibrate.cpu_ratio_low == shrunk.calibrate.cpu_ratio_low
    assert shrunk == shrink(shrunk)


def test_it_survives_the_record(story: Story) -> None:
    """What JSON makes of the story is the story; one that calibrates nothing does not speak of it."""
    data: dict[str, Any] = story_to_json(story)
    plain = load_text(SOUND.partition("calibrate:")[0], "t")

    assert story == story_from_json(json.loads(json.dumps(data)))
    assert "calibrate" not in story_to_json(plain)
    assert plain == story_from_json(json.loads(json.dumps(story_to_json(plain))))
