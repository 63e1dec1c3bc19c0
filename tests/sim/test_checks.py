"""The invariants of a record, on tables with one fault each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.story import (
    AgentGroup,
    Call,
    Compute,
    Container,
    Host,
    Law,
    LiveScale,
    RateLimit,
    RollingWindow,
    RudeNotices,
    Stage,
    Story,
    Take,
    TokenBucket,
)
from scenarios.story_json import story_to_json
from sim.checks import Check, RecordTables, check_record
from sim.work_invariants import law_max, law_moments

Columns = dict[str, list[Any]]

THINK = Law("constant", (0.9,))
WORK: tuple[Stage, ...] = (Compute(Law("constant", (0.1,)), 1),)


def story_of(
    *,
    cpus_limit: float | None = 0.5,
    think: Law = THINK,
    stages: tuple[Stage, ...] = WORK,
    limits: tuple[RateLimit, ...] = (),
    agents_count: int = 2,
) -> Story:
    """One container on two cores with 64 MiB and a group of agents."""
    return Story(
        name="made-up",
        purpose="",
        source="",
        seed=1,
        duration_s=20.0,
        sample_interval_s=0.5,
        hosts=(Host("here", 2.0, 2**32, 0, 0, None),),
        containers=(Container("api", "here", cpus_limit, 2**26, None, 1024, None, 64, 1.0),),
        agents=(AgentGroup("worker", agents_count, "api", think, stages, "own", "restart", 0.1),),
        rate_limits=limits,
        providers=(),
        goals=(),
        headline=(),
        live_scale=LiveScale(1.0, 1.0, 1.0),
        live_able=True,
    )


def steps_of(count: int = 20, *, agents_count: int = 2, think_s: float = 0.9) -> Columns:
    """Steps of agents that think, then work for a tenth of a second, from 0 s on."""
    rows = [
        (f"worker/{agent}", index, (index + 1) * think_s + index * 0.1)
        for index in range(count)
        for agent in range(agents_count)
    ]
    return {
        "container": ["api"] * len(rows),
        "agent": [agent for agent, _, _ in rows],
        "index": [index for _, index, _ in rows],
        "due_s": [due_s for _, _, due_s in rows],
        "finish_s": [due_s + 0.1 for _, _, due_s in rows],
        "latency_s": [0.1] * len(rows),
        "cpu_s": [0.1] * len(rows),
        "cpu_wait_s": [0.0] * len(rows),
    }


def samples_of(**changed: dict[int, float]) -> Columns:
    """Samples each half second of a container that uses a fifth of a core; `changed` puts values into rows."""
    count = 41
    columns: Columns = {
        "container": ["api"] * count,
        "at_s": [0.5 * row for row in range(count)],
        "cpu_s": [0.1 * row for row in range(count)],
        "periods_count": [5 * row for row in range(count)],
        "throttled_periods_count": list(range(count)),
        "throttled_s": [0.05 * row for row in range(count)],
        "memory_bytes": [2**20] * count,
        "memory_raw_bytes": [2**21] * count,
        "memory_peak_bytes": [2**22] * count,
        "oom_kills_count": [0] * count,
    }
    for name, values in changed.items():
        for row, value in values.items():
            columns[name][row] = value
    return columns


def events_of(*rows: tuple[float, str, str | None]) -> Columns:
    """Events of the container: time, what, agent."""
    return {
        "at_s": [at_s for at_s, _, _ in rows],
        "what": [what for _, what, _ in rows],
        "container": ["api"] * len(rows),
        "agent": [agent for _, _, agent in rows],
        "detail": [""] * len(rows),
    }


def gauges_of(**readings: list[tuple[float, float]]) -> Columns:
    """Gauges of the rate limit `llm`: what was read, when."""
    rows = [(at_s, f"bucket.llm.{name}", value) for name, read in readings.items() for at_s, value in read]
    return {
        "at_s": [at_s for at_s, _, _ in rows],
        "name": [name for _, name, _ in rows],
        "value": [value for _, _, value in rows],
    }


def tables_of(
    *,
    story: Story | None = None,
    samples: Columns | None = None,
    steps: Columns | None = None,
    events: Columns | None = None,
    gauges: Columns | None = None,
) -> RecordTables:
    """A record of twenty seconds without a fault, but for what is given."""
    return RecordTables(
        samples=samples_of() if samples is None else samples,
        steps=steps_of() if steps is None else steps,
        events=events or {},
        gauges=gauges or {},
        story=story_to_json(story or story_of()),
        window_start_s=0.0,
        window_end_s=20.0,
    )


def broken(tables: RecordTables) -> dict[str, str]:
    """The invariants that do not hold, with what is said of them."""
    return {check.name: check.detail for check in check_record(tables) if not check.ok}


def test_a_faultless_record_passes_every_check() -> None:
    """Every invariant is looked at and holds, in the same order each time."""
    assert check_record(tables_of()) == [
        Check("times never run backwards", ok=True, detail=""),
        Check("counters never fall", ok=True, detail=""),
        Check("memory stays within its limit", ok=True, detail=""),
        Check("CPU stays within its quota", ok=True, detail=""),
        Check("each step ends exactly once", ok=True, detail=""),
        Check("closed loops obey Little's law", ok=True, detail=""),
        Check("no token is minted", ok=True, detail=""),
    ]


def test_an_empty_record_breaks_nothing() -> None:
    """A run that was killed before its first row is readable."""
    tables = RecordTables({}, {}, {}, {}, story_to_json(story_of()), 0.0, 0.0)

    assert broken(tables) == {}


def test_samples_must_come_in_order() -> None:
    """A sample that lies seconds before the one above it shows a clock that was set back."""
    found = broken(tables_of(samples=samples_of(at_s={10: 1.0})))

    assert found["times never run backwards"] == "the samples of api go from 4.500 s back to 1.000 s"
    assert found["counters never fall"] == "cpu_s of api fell from 1 to 0.3 at 1.500 s (and 3 more)"


def test_answers_written_a_little_late_are_no_disorder() -> None:
    """A sample may stand behind one that was taken just after it: rows are written when messages are read."""
    samples = samples_of()
    for column in samples.values():
        column[10], column[11] = column[11], column[10]

    assert broken(tables_of(samples=samples)) == {}


def test_a_step_must_not_take_longer_than_its_span() -> None:
    """A latency beyond the time from due to finish was measured on two clocks."""
    steps = steps_of()
    steps["latency_s"][3] = 0.2

    assert broken(tables_of(steps=steps)) == {
        "times never run backwards": "step 1 of worker/1 took 0.200000 s, but finished 0.100000 s after it was due"
    }


def test_an_event_must_have_a_time() -> None:
    """An event whose time is no number happened never."""
    assert broken(tables_of(events=events_of((math.nan, "started", None)))) == {
        "times never run backwards": "an event `started` has no time"
    }


@pytest.mark.parametrize("counter", ["cpu_s", "periods_count", "throttled_s", "oom_kills_count", "memory_peak_bytes"])
def test_counters_must_not_fall(counter: str) -> None:
    """A kernel counter that falls in a living container was misread."""
    assert "counters never fall" in broken(tables_of(samples=samples_of(**{counter: {20: -1.0}})))


def test_counters_begin_anew_with_a_new_start() -> None:
    """A container that died and was started again counts from zero."""
    events = events_of((10.2, "died", None), (10.3, "started", None))
    tables = tables_of(samples=begun_anew(), events=events)

    assert broken(tables) == {}
    assert "counters never fall" in broken(replace(tables, events={}))


def begun_anew() -> Columns:
    """Samples of a container whose counters begin anew at 10.5 s."""
    samples = samples_of()
    for row in range(21, 41):
        samples["cpu_s"][row] -= 2.0
        samples["periods_count"][row] -= 100
        samples["throttled_periods_count"][row] -= 20
    return samples


def test_counters_begin_anew_with_a_restart() -> None:
    """A restart begins a new life, though the death before it was never told of."""
    tables = tables_of(samples=begun_anew(), events=events_of((10.3, "restarted", None)))

    assert broken(tables) == {}


@pytest.mark.parametrize(("lost_ratio", "ok"), [(0.1, True), (0.0, False)])
def test_a_new_life_goes_untold_only_where_notices_are_lost(lost_ratio: float, ok: bool) -> None:  # noqa: FBT001 - A parametrised expectation.
    """A fall without any event is a life nobody told of, if the story keeps notices back; else it was misread."""
    rude = RudeNotices(Law("constant", (0.0,)), 0.0, 0.0, 0.0, lost_ratio)
    story = replace(story_of(), faults=(rude,))

    assert ("counters never fall" not in broken(tables_of(story=story, samples=begun_anew()))) is ok


def test_each_life_has_its_own_quota() -> None:
    """A life that used more than its quota is seen, however little the one before used."""
    samples = begun_anew()
    for row in range(21, 41):
        samples["cpu_s"][row] = 0.5 * 0.5 * 1.1 * (row - 20)
    tables = tables_of(samples=samples, events=events_of((10.2, "died", None), (10.3, "restarted", None)))

    assert list(broken(tables)) == ["CPU stays within its quota"]


@pytest.mark.parametrize("what", ["fault", "limited", "restarted"])
def test_struck_loops_are_not_asked_for_littles_law(what: str) -> None:
    """A container that was struck, limited or started anew has loops that are not the law's."""
    steps = {name: column[::2] for name, column in steps_of().items()}

    assert broken(tables_of(steps=steps, events=events_of((5.0, what, None)))) == {}


def test_no_more_periods_are_throttled_than_there_are() -> None:
    """Throttled periods are some of the periods."""
    assert broken(tables_of(samples=samples_of(throttled_periods_count={40: 201.0}))) == {
        "counters never fall": "api was throttled in more periods than there were by 20.000 s"
    }


@pytest.mark.parametrize(("over_bytes", "ok"), [(0, True), (2 * 64 * 4096, True), (2 * 64 * 4096 + 1, False)])
def test_memory_stays_within_its_limit(over_bytes: int, ok: bool) -> None:  # noqa: FBT001 - A parametrised expectation.
    """Raw usage may pass the limit by the kernel's charge batches, one per CPU, and by nothing more."""
    samples = samples_of(memory_raw_bytes={7: 2**26 + over_bytes})

    assert ("memory stays within its limit" not in broken(tables_of(samples=samples))) is ok


def test_usage_without_page_cache_is_part_of_raw_usage() -> None:
    """Memory less page cache cannot be more than all of it."""
    assert broken(tables_of(samples=samples_of(memory_bytes={7: 2**21 + 1}))) == {
        "memory stays within its limit": "api holds 2097153 bytes of 2097152 at 3.500 s"
    }


def test_limits_that_were_changed_are_not_judged_by_the_story() -> None:
    """After a re-limit the story does not say what holds."""
    tables = tables_of(samples=samples_of(memory_raw_bytes={7: 2**30}), events=events_of((1.0, "limited", None)))

    assert broken(tables) == {}


def test_cpu_stays_within_its_quota_over_the_whole_life() -> None:
    """Seven percent above the quota, all the time, is seen over twenty seconds though not within any half."""
    samples = samples_of()
    samples["cpu_s"] = [0.5 * 0.5 * 1.07 * row for row in range(41)]

    assert broken(tables_of(samples=samples)) == {
        "CPU stays within its quota": (
            "api used 10.700 s of CPU between 0.000 s and 20.000 s, where 10.180 s were allowed"
        )
    }


def test_a_burst_above_the_quota_is_seen_where_it_is() -> None:
    """Half a second at one core is more than half a core's quota and its debts allow."""
    samples = samples_of()
    samples["cpu_s"] = [0.1 * row + (0.4 if row > 9 else 0.0) for row in range(41)]

    assert "between 4.500 s and 5.000 s" in broken(tables_of(samples=samples))["CPU stays within its quota"]


def test_the_quota_itself_may_be_used_up() -> None:
    """A container that runs into its quota in every period breaks nothing."""
    samples = samples_of()
    samples["cpu_s"] = [0.25 * row for row in range(41)]

    assert broken(tables_of(samples=samples)) == {}


def test_without_a_quota_the_cores_are_the_limit() -> None:
    """Three cores' worth of CPU on two cores cannot be."""
    samples = samples_of()
    samples["cpu_s"] = [1.5 * row for row in range(41)]
    tables = tables_of(story=story_of(cpus_limit=None), samples=samples)

    assert list(broken(tables)) == ["CPU stays within its quota"]


def test_a_step_finishes_once() -> None:
    """The same step of the same agent in two rows was counted twice."""
    steps = steps_of()
    steps["index"][2] = 0

    assert broken(tables_of(steps=steps)) == {"each step ends exactly once": "step 0 of worker/0 finished 2 times"}


def test_a_lost_step_does_not_finish_as_well() -> None:
    """An agent that finished all it began cannot have lost one in between."""
    tables = tables_of(events=events_of((5.0, "lost", "worker/0")))

    assert broken(tables) == {"each step ends exactly once": "worker/0 finished 20 steps and lost 1, but began only 20"}


def test_a_lost_step_leaves_a_gap() -> None:
    """A lost step's number is missing among the finished ones, and a last one's is not known."""
    steps = steps_of()
    for column in steps.values():
        del column[8]
    events = events_of((4.5, "lost", "worker/0"), (20.1, "lost", "worker/0"))

    assert broken(tables_of(steps=steps, events=events)) == {}


def test_an_agent_does_one_thing_at_a_time() -> None:
    """In a closed loop no step is due before the one before it finished."""
    steps = steps_of()
    steps["due_s"][4] = 1.5

    assert broken(tables_of(steps=steps)) == {
        "closed loops obey Little's law": "step 2 of worker/0 was due before step 1 finished"
    }


def test_missing_rows_break_littles_law() -> None:
    """Every second row gone, the steps of two agents show as one agent's."""
    steps = {name: column[::2] for name, column in steps_of().items()}

    assert broken(tables_of(steps=steps)) == {
        "closed loops obey Little's law": "worker has 2 agents, but its steps show 1.00 at work or thinking"
    }


def test_a_think_time_that_was_not_kept_breaks_littles_law() -> None:
    """Agents that think a third of what their law says go round too often."""
    tables = tables_of(steps=steps_of(50, think_s=0.3))

    assert list(broken(tables)) == ["closed loops obey Little's law"]


def test_disturbed_loops_are_not_asked_for_littles_law() -> None:
    """A killed agent stands still for a while, and that is no fault of the record."""
    steps = {name: column[::2] for name, column in steps_of().items()}

    assert broken(tables_of(steps=steps, events=events_of((5.0, "process_killed", "worker/1")))) == {}


@pytest.mark.parametrize("stage", [Call("claude", THINK, THINK), Take("llm", THINK)])
def test_loops_with_shared_decisions_are_not_asked_for_littles_law(stage: Stage) -> None:
    """A wait for tokens or a provider is no part of a step's recorded span."""
    steps = {name: column[::2] for name, column in steps_of().items()}

    assert broken(tables_of(story=story_of(stages=(stage, *WORK)), steps=steps)) == {}


@given(
    agents_count=st.integers(min_value=1, max_value=5),
    think_s=st.floats(min_value=0.05, max_value=1.5),
    count=st.integers(min_value=1, max_value=12),
)
def test_littles_law_holds_for_any_faultless_loop(agents_count: int, think_s: float, count: int) -> None:
    """However many agents and however long they think, rows that are all there show all agents."""
    story = story_of(think=Law("constant", (think_s,)), agents_count=agents_count)
    tables = tables_of(story=story, steps=steps_of(count, agents_count=agents_count, think_s=think_s))
    end_s = max(tables.steps["finish_s"])

    assert broken(replace(tables, window_end_s=end_s)) == {}


def bucket(*, debt: bool = False, capacity_tokens: float = 100.0, scope: Any = "shared") -> TokenBucket:  # noqa: ANN401
    """Ten tokens a second into a bucket that begins with fifty."""
    return TokenBucket("llm", 10.0, capacity_tokens, 50.0, scope, debt)


def tokens_tables(limit: RateLimit, tokens: Law = THINK, /, **readings: list[tuple[float, float]]) -> RecordTables:
    """A record whose agents take tokens of a limit, with these gauges."""
    story = story_of(stages=(Take("llm", tokens), *WORK), limits=(limit,))
    return tables_of(story=story, gauges=gauges_of(**readings))


def test_tokens_that_lay_there_and_dripped_in_may_be_granted() -> None:
    """Fifty at the start and ten a second are 150 after ten seconds."""
    tables = tokens_tables(bucket(), granted_tokens=[(0.0, 50.0), (10.0, 150.0)], level_tokens_min=[(10.0, 0.0)])

    assert broken(tables) == {}


def test_a_token_more_was_minted() -> None:
    """One token above what lay there and dripped in came from nowhere."""
    tables = tokens_tables(bucket(), granted_tokens=[(0.0, 50.0), (10.0, 151.0)])

    assert broken(tables) == {
        "no token is minted": "llm granted 151 tokens by 10.000 s, where no more than 150 were due"
    }


def test_debt_is_owed_and_not_minted() -> None:
    """A bucket with debt may grant what it owes, and not more."""
    readings = {"debt_tokens_max": [(0.0, 0.0), (10.0, 40.0)], "level_tokens_min": [(10.0, -40.0)]}
    owed = tokens_tables(bucket(debt=True), granted_tokens=[(0.0, 0.0), (10.0, 190.0)], **readings)
    minted = tokens_tables(bucket(debt=True), granted_tokens=[(0.0, 0.0), (10.0, 191.0)], **readings)

    assert broken(owed) == {}
    assert list(broken(minted)) == ["no token is minted"]


def test_a_bucket_without_debt_does_not_fall_below_zero() -> None:
    """Where no debt is allowed the level stays at zero or above."""
    tables = tokens_tables(bucket(), granted_tokens=[(10.0, 150.0)], level_tokens_min=[(10.0, -1.0)])

    assert broken(tables) == {"no token is minted": "llm fell to -1 tokens at 10.000 s without debt"}


def test_what_is_larger_than_the_bucket_may_be_owed() -> None:
    """An amount above the capacity passes at the full bucket and leaves it below zero."""
    tables = tokens_tables(
        bucket(capacity_tokens=20.0),
        Law("uniform", (10.0, 30.0)),
        granted_tokens=[(10.0, 150.0)],
        level_tokens_min=[(10.0, -5.0)],
    )

    assert broken(tables) == {}


def test_each_agent_has_a_bucket_of_its_own() -> None:
    """Two agents' buckets grant twice as much as one."""
    tables = tokens_tables(bucket(scope="agent"), granted_tokens=[(10.0, 300.0)])

    assert broken(tables) == {}


def test_a_limit_that_is_used_must_be_recorded() -> None:
    """A record that does not say what was granted proves nothing."""
    assert broken(tokens_tables(bucket())) == {
        "no token is minted": "the record does not say how many tokens llm granted"
    }


def test_a_limit_that_nobody_uses_need_not_be_recorded() -> None:
    """A bucket without takers grants nothing."""
    assert broken(tables_of(story=story_of(limits=(bucket(),)))) == {}


def test_a_window_grants_no_more_than_its_limit() -> None:
    """A hundred tokens in any ten seconds: 101 within nine are one too many, over ten they are not."""
    limit = RollingWindow("llm", 100.0, 10.0, "shared")
    within = tokens_tables(limit, granted_tokens=[(0.0, 0.0), (9.0, 100.0), (12.0, 101.0)])
    over = tokens_tables(limit, granted_tokens=[(0.0, 0.0), (3.0, 0.0), (9.0, 100.0), (12.0, 101.0)])

    assert broken(within) == {}
    assert broken(over) == {"no token is minted": "llm granted 101 tokens by 12.000 s, where no more than 100 were due"}


@pytest.mark.parametrize(
    ("law", "moments", "most"),
    [
        (Law("constant", (2.0,)), (2.0, 0.0), 2.0),
        (Law("uniform", (1.0, 4.0)), (2.5, 3.0 / math.sqrt(12.0)), 4.0),
        (Law("exponential", (2.0,)), (2.0, 2.0), math.inf),
        (Law("lognormal", (2.0, 0.5)), (2.0, 1.0), math.inf),
        (Law("gamma", (2.0, 0.5)), (2.0, 1.0), math.inf),
        (Law("empirical", (1.0, 2.0, 3.0)), (2.0, math.sqrt(2.0 / 3.0)), 3.0),
    ],
)
def test_laws_have_their_textbook_moments(law: Law, moments: tuple[float, float], most: float) -> None:
    """Mean, standard deviation and greatest value follow from a law's numbers."""
    told = {"kind": law.kind, "numbers": law.numbers}

    assert law_moments(told) == pytest.approx(moments)
    assert law_max(told) == most
