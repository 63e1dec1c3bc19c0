"""One run: a story on a machine in an environment, from the first start to the last stop.

`perform` is the same for both worlds; `simulate` is the composition of the simulated one (its twin: `live/run.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import simpy

from scenarios.story import TokenBucket
from scenarios.story_json import story_to_json
from sim.agents import Agent, Shared
from sim.calibration_course import CALIBRATION
from sim.checks import Check, RecordTables, check_record
from sim.fault_course import FaultCourse
from sim.goals import GoalResult, judge_goals
from sim.grid import wait_for_grid_s
from sim.machine import Machine, Probed, Refused, Sample
from sim.metrics import Metric, measure
from sim.news import note_news
from sim.physics.simulated_machine import SimulatedMachine
from sim.policies.calibration import Calibration
from sim.policies.provider import LlmProvider
from sim.policies.rate_limit import Limiter
from sim.presence import Presence
from sim.provenance import provenance
from sim.record import Recorder, begin_record, write_json
from sim.start_order import StartOrder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from scenarios.story import Story
    from sim.compare import Harness
    from sim.machine import Observer
    from sim.physics.host_profile import HostProfile
    from sim.physics.variant import Variant

# Between the last container's readiness and the first step: starting costs CPU, and its debt against the quota is to
# be paid before anything is measured. Ten quota periods are plenty.
SETTLE_S = 1.0
# After the story's end, steps under way may finish and be reported for so long; then the containers are stopped.
DRAIN_S = 2.0
# A machine that does not answer a question within this time is taken not to answer at all: no run waits for ever.
ANSWER_S_MAX = 30.0
# The event of a host that could not be probed; its detail says which and why.
PROBE_REFUSED = "probe_refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `record` is its directory, or None where none was kept.

    `harness` is how well a real run could be driven, and `comparable` with `reasons` whether it may be judged by.
    `is_coarse` says that it was simulated in whole CPU periods, by which no model is judged.
    """

    world: str
    metrics: tuple[Metric, ...]
    goals: tuple[GoalResult, ...]
    checks: tuple[Check, ...]
    recorder: Recorder
    record: Path | None
    harness: Harness | None = None
    comparable: bool = True
    reasons: tuple[str, ...] = ()
    is_coarse: bool = False


class Performance:
    """A story being performed: its agents, its limits, and what must be written down while it goes on."""

    def __init__(self, story: Story, machine: Machine, env: simpy.Environment, recorder: Recorder) -> None:
        """Be ready to start; nothing happens before `play`."""
        self._story = story
        self._machine = machine
        self._env = env
        self._recorder = recorder
        self._limiters = {spec.name: Limiter(env, spec) for spec in story.rate_limits}
        self._providers = {spec.name: LlmProvider(env, spec) for spec in story.providers}
        self._agents: list[Agent] = []
        self._presence = Presence(env, (container.name for container in story.containers))
        self._calibration = self._calibrating()
        self.up = {"agents": 0, "containers": 0}

    def play(self) -> Generator[simpy.Event, Any, None]:
        """Start everything, let the story happen, end everything."""
        self._env.process(self._listen())
        order = StartOrder(self._env, self._story, self._machine, self._presence, self._recorder)
        yield from order.bring_up()
        yield self._env.timeout(SETTLE_S)
        begin_s = self._env.now
        until_s = begin_s + self._story.duration_s
        self._recorder.begin_window(begin_s, until_s)
        yield from self._sample_all()
        shared = Shared(self._limiters, self._providers, self._presence, until_s)
        lives = self._let_live(shared)
        FaultCourse(self._env, self._story, self._machine, self._recorder).begin(begin_s, lambda: shared.until_s)
        over = self._env.event()
        probes = self._probe_hosts(over)
        yield from self._let_pass(begin_s, shared)
        over.succeed()
        yield from self._sample_all()
        self._note_shared()
        yield self._env.any_of([self._env.all_of(lives), self._env.timeout(DRAIN_S)])
        yield from self._note_probes(probes)
        grace_s = max((container.stop_grace_s for container in self._story.containers), default=0.0)
        yield from self._answers([self._machine.stop(name) for name in self._presence.started], grace_s)

    def _answers(
        self, asked: list[simpy.Event], extra_s: float = 0.0
    ) -> Generator[simpy.Event, Any, list[simpy.Event]]:
        """Wait for the answers of the machine, but not for ever; those that came are returned."""
        yield self._env.any_of([self._env.all_of(asked), self._env.timeout(ANSWER_S_MAX + extra_s)])
        # Not by `triggered`: a time-out has its value long before it is due.
        missing = sum(not event.processed for event in asked)
        if missing:
            self._recorder.event(self._env.now, "unanswered", None, None, f"{missing} of {len(asked)} questions")
        return [event for event in asked if event.processed]

    def _let_pass(self, begin_s: float, shared: Shared) -> Generator[simpy.Event, Any, None]:
        """Let the time of the story pass; one that calibrates ends as soon as its outcome is final."""
        if self._calibration is None:
            yield self._env.timeout(max(0.0, shared.until_s - self._env.now))
            return
        yield from self._calibration.run(begin_s)
        self._recorder.findings[CALIBRATION] = asdict(self._calibration.course())
        if self._env.now < shared.until_s:
            shared.until_s = self._env.now
            self._recorder.end_window(self._env.now)

    def _calibrating(self) -> Calibration | None:
        """The calibration that the story asks for, if it does."""
        terms = self._story.calibrate
        if terms is None:
            return None
        limiter = self._limiters[terms.rate_limit]

        def note(detail: str) -> None:
            self._recorder.event(self._env.now, "calibrated", terms.container, None, detail)
            self._note_rate(limiter)

        return Calibration(self._env, self._story, self._machine, limiter, note)

    def _let_live(self, shared: Shared) -> list[simpy.Event]:
        """Bring every agent to life, and with them the heartbeat that writes down what they share."""
        self._agents = [
            Agent(self._env, self._story, group, number, self._machine, shared)
            for group in self._story.agents
            for number in range(group.count)
        ]
        self._env.process(self._beat(shared))
        return [self._env.process(agent.live(self._recorder)) for agent in self._agents]

    def _listen(self) -> Generator[simpy.Event, Any, None]:
        """Write down what the machine says unasked."""
        while True:
            notice = yield self._machine.notices.get()
            if self._presence.hear(notice):
                note_news(self._recorder, notice)
                if self._calibration is not None:
                    self._calibration.hear(notice)

    def _sample_all(self) -> Generator[simpy.Event, Any, None]:
        asked = [self._machine.sample(name) for name in self._presence.up]
        for answer in (yield from self._answers(asked)):
            if isinstance(answer.value, Sample):
                self._recorder.sample(answer.value)

    def _probe_hosts(self, over: simpy.Event) -> list[simpy.Event]:
        """Have those hosts probed that the story says, until the event; each gives its answer after it."""
        return [
            self._machine.probe(host.name, host.probe.every_s, host.probe.compute_s, over)
            for host in self._story.hosts
            if host.probe is not None
        ]

    def _note_probes(self, asked: list[simpy.Event]) -> Generator[simpy.Event, Any, None]:
        """Write down what the probes found, or why there was none."""
        if not asked:
            return
        for answer in (yield from self._answers(asked)):
            if isinstance(answer.value, Probed):
                self._recorder.probed(answer.value)
            elif isinstance(answer.value, Refused):
                why = f"{answer.value.container}: {answer.value.reason}"
                self._recorder.event(self._env.now, PROBE_REFUSED, None, None, why)

    def _beat(self, shared: Shared) -> Generator[simpy.Event, Any, None]:
        """Note the shared levels once an interval, on the grid that containers sample on."""
        self._note_shared()
        interval_s = self._story.sample_interval_s
        while self._env.now + interval_s < shared.until_s:
            yield self._env.timeout(wait_for_grid_s(self._env.now, interval_s))
            # The end may have come meanwhile, and who is up after it does not count.
            if self._env.now < shared.until_s:
                self._note_shared()

    def _note_shared(self) -> None:
        containers_up = set(self._presence.up)
        agents_up_count = sum(agent.up and agent.container in containers_up for agent in self._agents)
        self.up = {"agents": agents_up_count, "containers": len(containers_up)}
        now = self._env.now
        note = self._recorder.gauge
        for name, limiter in self._limiters.items():
            tally = limiter.tally
            note(now, f"bucket.{name}.granted_tokens", tally.granted_tokens)
            note(now, f"bucket.{name}.level_tokens_min", limiter.level_tokens_min)
            note(now, f"bucket.{name}.debt_tokens_max", tally.debt_tokens_max)
            note(now, f"bucket.{name}.waiting_count", tally.waiting_count)
            note(now, f"bucket.{name}.waits_count", tally.waits_count)
            note(now, f"bucket.{name}.wait_s_sum", tally.wait_s_sum)
            self._note_rate(limiter)
        for name, provider in self._providers.items():
            note(now, f"provider.{name}.calls_count", provider.tally.calls_count)
            note(now, f"provider.{name}.refusals_count", provider.tally.refusals_count)
            note(now, f"provider.{name}.cost_usd", provider.tally.cost_usd)
        for what, count in self.up.items():
            note(now, f"{what}_up_count", count)

    def _note_rate(self, limiter: Limiter) -> None:
        if limiter.rate_tokens_per_s is not None:
            self._recorder.gauge(self._env.now, rate_gauge(limiter.name), limiter.rate_tokens_per_s)


def rate_gauge(rate_limit: str) -> str:
    """The name of the gauge that tells at which rate each bucket of a rate limit fills."""
    return f"bucket.{rate_limit}.rate_tokens_per_s"


def perform(story: Story, machine: Machine, env: simpy.Environment, recorder: Recorder) -> dict[str, int]:
    """Run a story to its end; how many agents and containers were alive then is returned."""
    performance = Performance(story, machine, env, recorder)
    env.run(until=env.process(performance.play()))
    return performance.up


def conclude(
    story: Story, recorder: Recorder, up: dict[str, int]
) -> tuple[list[Metric], list[GoalResult], list[Check]]:
    """Measure a run that ended, judge its goals, check its invariants, and close its record."""
    metrics = measure(story, recorder, up)
    goals = judge_goals(story, metrics)
    window = recorder.window or (0.0, 0.0)
    bounding = story_to_json(_with_highest_rates(story, recorder))
    checks = check_record(
        RecordTables(**recorder.tables, story=bounding, window_start_s=window[0], window_end_s=window[1])
    )
    recorder.finish(
        {
            "window_start_s": window[0],
            "window_end_s": window[1],
            "metrics": [asdict(metric) for metric in metrics],
            "goals": [asdict(goal) for goal in goals],
            "checks": [asdict(check) for check in checks],
        }
    )
    return metrics, goals, checks


def _with_highest_rates(story: Story, recorder: Recorder) -> Story:
    """The story with each bucket at the highest rate it had, which bounds what it may have granted."""
    if story.calibrate is None:
        return story
    highest: dict[str, float] = {}
    for name, value in zip(recorder.tables["gauges"]["name"], recorder.tables["gauges"]["value"], strict=True):
        highest[name] = max(value, highest.get(name, value))
    limits = tuple(
        replace(limit, rate_tokens_per_s=highest.get(rate_gauge(limit.name), limit.rate_tokens_per_s))
        if isinstance(limit, TokenBucket)
        else limit
        for limit in story.rate_limits
    )
    return replace(story, rate_limits=limits)


def simulate(  # The one composition of the simulated world.
    story: Story,
    *,
    profile: HostProfile,
    physics_seed: int = 0,
    variant: Variant = "kernel",
    other_load_cores: float | None = None,
    directory: Path | None = None,
) -> Outcome:
    """Run a story in virtual time; with `directory`, its record is kept there.

    `other_load_cores` is load on each host that is not the story's; None is what the host profile says of its own.
    """
    load_cores = profile.background_cores_mean if other_load_cores is None else other_load_cores
    if directory is not None:
        physics = {"profile": profile.to_json(), "variant": variant, "other_load_cores": load_cores}
        begin_record(directory, story, physics, {"workload": story.seed, "physics": physics_seed})
        write_json(directory / "provenance.json", provenance("sim", profile, datetime.now(UTC)))
    recorder = Recorder(directory)
    env = simpy.Environment()
    machine = SimulatedMachine(
        env,
        story,
        recorder,
        profile=profile,
        physics_seed=physics_seed,
        variant=variant,
        other_load_cores=load_cores,
    )
    try:
        up = perform(story, machine, env, recorder)
        metrics, goals, checks = conclude(story, recorder, up)
    finally:
        recorder.abandon()
    return Outcome(
        "sim", tuple(metrics), tuple(goals), tuple(checks), recorder, directory, is_coarse=variant == "periods"
    )


def simulated_bench(story: Story, observer: Observer, profile: HostProfile) -> tuple[simpy.Environment, Machine]:
    """A simulated machine without a story's course, for whoever drives one by hand; as `live.bench.docker_bench`."""
    env = simpy.Environment()
    return env, SimulatedMachine(env, story, observer, profile=profile, physics_seed=0)
