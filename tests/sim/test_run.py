"""A story performed in virtual time, from the first start to the last stop."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import pytest
import simpy

from scenarios import Story, load, load_text
from scenarios import story as told
from scenarios.scale import shrink
from sim.machine import (
    Died,
    Finished,
    HealthChanged,
    Machine,
    Notice,
    Probed,
    Program,
    Refused,
    Restarted,
    Sample,
    Started,
    Stopped,
    Struck,
)
from sim.physics.host_profile import load_profile
from sim.record import Recorder
from sim.run import ANSWER_S_MAX, SETTLE_S, Outcome, perform, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILE = load_profile(None)


def story(name: str, **sets: str) -> Story:
    """A library story, shrunk, with values set."""
    return shrink(load(name, sets=[(path.replace("__", "."), value) for path, value in sets.items()]).story)


def metric(outcome: Outcome, name: str, container: str | None = "agents") -> float:
    """One metric's value."""
    return {(one.name, one.container): one.value for one in outcome.metrics}[name, container]


@pytest.mark.parametrize("name", ["agent-ecology", "cpu-quota-bursts", "memory-oom", "cpu-weights"])
def test_library_stories_break_no_law(name: str) -> None:
    """Every library story runs to its end, in full and shrunk, and every invariant holds."""
    for one in (load(name).story, story(name)):
        outcome = simulate(one, profile=PROFILE)

        assert [] == [check for check in outcome.checks if not check.ok]
        assert all(goal.value is not None for goal in outcome.goals)


def test_bucket_sets_the_pace_of_agent_ecology() -> None:
    """Sixty tokens a step at ten a second is a step each six seconds and agent, once the first hundred are spent."""
    outcome = simulate(load("agent-ecology").story, profile=PROFILE)

    assert 5 / 6 == pytest.approx(metric(outcome, "steps_per_s"), rel=0.06)
    assert 0 < metric(outcome, "debt_tokens_max", None) <= 60 + 1e-6
    assert metric(outcome, "token_wait_s_mean", None) > 0


def test_memory_kills_are_survived() -> None:
    """In the memory story processes die, their steps are lost, all agents and the container live on."""
    outcome = simulate(story("memory-oom"), profile=PROFILE)
    events = outcome.recorder.tables["events"]

    assert 5 <= metric(outcome, "oom_kill_count") <= 30
    assert 0.8 < metric(outcome, "completion_ratio") < 1
    assert events["what"].count("lost") == events["what"].count("process_killed")
    assert 4 == metric(outcome, "agents_up_count", None)


def test_agents_that_stop_on_a_kill_are_gone() -> None:
    """With `on_kill: stop` every killed agent stays away, and the figure says so."""
    base = story("memory-oom")
    agents = tuple(dataclasses.replace(group, on_kill="stop") for group in base.agents)
    outcome = simulate(dataclasses.replace(base, agents=agents), profile=PROFILE)

    assert 4 - metric(outcome, "oom_kill_count") <= metric(outcome, "agents_up_count", None) < 4


def test_memory_of_the_main_process_ends_the_container() -> None:
    """Agents that live in PID 1 take the container with them."""
    base = story("memory-oom")
    agents = tuple(dataclasses.replace(group, process="main") for group in base.agents)
    outcome = simulate(dataclasses.replace(base, agents=agents), profile=PROFILE)

    assert 0 == metric(outcome, "containers_up_count", None)
    assert 0 == metric(outcome, "agents_up_count", None)
    assert "died" in outcome.recorder.tables["events"]["what"]
    assert 1 == metric(outcome, "oom_kill_count")


def test_weights_favour_the_heavier() -> None:
    """With four times the shares a container finishes more, and waits less per step."""
    outcome = simulate(load("cpu-weights").story, profile=PROFILE)
    names = [container.name for container in load("cpu-weights").story.containers]
    rates = [metric(outcome, "steps_per_s", name) for name in names]

    assert max(rates) > 1.2 * min(rates)
    assert sum(rates) == pytest.approx(metric(outcome, "steps_per_s", None))


@pytest.mark.parametrize(
    ("variant", "name", "told"),
    [
        ("fluid_quota", "cpu-quota-bursts", "step_latency_s_mean"),
        ("no_oom", "memory-oom", "oom_kill_count"),
    ],
)
def test_broken_physics_shows(variant: str, name: str, told: str) -> None:
    """Each negative control moves the metric it is there to move by more than a third."""
    right = metric(simulate(story(name), profile=PROFILE), told)
    wrong = metric(simulate(story(name), profile=PROFILE, variant=variant), told)  # type: ignore[arg-type]

    assert abs(wrong / right - 1) > 1 / 3


def test_page_cache_that_never_gives_way_kills() -> None:
    """What agents hold finds no room beside what they wrote."""
    right, wrong = (simulate(story("page-cache"), profile=PROFILE, variant=one) for one in ("kernel", "no_reclaim"))

    assert 0 == metric(right, "oom_kill_count", "working") < metric(wrong, "oom_kill_count", "working")


def test_other_load_slows_a_story_down() -> None:
    """A core taken by somebody else leaves less for two containers that want both."""
    one = load("cpu-weights").story
    free = simulate(one, profile=PROFILE)
    loaded = simulate(one, profile=PROFILE, other_load_cores=0.8)

    assert metric(loaded, "steps_per_s", None) < 0.95 * metric(free, "steps_per_s", None)


def test_seed_of_the_workload_changes_the_workload() -> None:
    """Another workload seed is another story; another physics seed is the same story on another day."""
    one = story("cpu-quota-bursts")
    same = [simulate(one, profile=PROFILE, physics_seed=seed).recorder.tables["steps"] for seed in (1, 2)]
    other = simulate(dataclasses.replace(one, seed=99), profile=PROFILE).recorder.tables["steps"]

    demands = [
        {
            (agent, index): round(cpu_s, 9)
            for agent, index, cpu_s in zip(t["agent"], t["index"], t["cpu_s"], strict=True)
        }
        for t in (*same, other)
    ]
    shared = demands[0].keys() & demands[1].keys()
    assert all(demands[0][key] == demands[1][key] for key in shared)
    assert any(demands[0][key] != demands[2][key] for key in shared & demands[2].keys())


MIGRATED = """\
purpose: A service that waits for a job.
duration: 5s
hosts: {local: {cpus: 2, memory: 4g}}
containers:
  service: {mem_limit: 64m, depends_on: {job: {condition: service_completed_successfully}}}
  job: {image: busybox}
agents:
  worker: {container: service, think: 500ms, steps: [{compute: 1ms}]}
"""


def test_what_waits_for_a_job_is_started() -> None:
    """A foreign program that another waits for completes, so the story goes on without it and breaks no law."""
    outcome = simulate(load_text(MIGRATED, "t"), profile=PROFILE)
    events = outcome.recorder.tables["events"]
    told = [(what, name) for what, name in zip(events["what"], events["container"], strict=True) if what != "ready"]

    assert [("started", "job"), ("died", "job"), ("started", "service")] == told
    assert metric(outcome, "steps_per_s", "service") > 1
    assert 1 == metric(outcome, "containers_up_count", None)
    assert [] == [check for check in outcome.checks if not check.ok]


# The performance itself, on a machine made of answers.

# Everything starts in a second and settles; then the window of ten seconds begins.
BEGIN_S = 1.0 + SETTLE_S
END_S = BEGIN_S + 10.0


def plain(*faults: told.Fault, names: tuple[str, ...] = ("a", "b")) -> Story:
    """A story of containers that start anew whenever they end, each with a group of two agents."""
    bare = told.Container("", "h", None, None, None, 1024, None, 100, 1.0, restart=told.RestartPolicy("always"))
    second = told.Law("constant", (1.0,))
    stages = (told.Sleep(second),)
    return Story(
        name="s",
        purpose="",
        source="",
        seed=1,
        duration_s=10.0,
        sample_interval_s=1.0,
        hosts=(told.Host("h", 2.0, 1 << 30, 0, 0, None),),
        containers=tuple(dataclasses.replace(bare, name=name) for name in names),
        agents=tuple(told.AgentGroup(f"w{name}", 2, name, second, stages, "own", "restart", 0.1) for name in names),
        rate_limits=(),
        providers=(),
        goals=(),
        headline=(),
        live_scale=told.LiveScale(1.0, 1.0, 1.0),
        live_able=True,
        faults=faults,
    )


class Answers:
    """A machine that has an answer for everything and says unasked what it was given to say, at those times.

    `sample_s` is how long a sample takes, None for ever; what is in `refused` does not start.
    """

    def __init__(
        self,
        env: simpy.Environment,
        notices: tuple[Notice, ...] = (),
        refused: Mapping[str, str] | None = None,
        sample_s: float | None = 0.0,
    ) -> None:
        """Have been asked for nothing."""
        self.notices = simpy.Store(env)
        self.asked: list[tuple[float, str, str]] = []
        self._env = env
        self._refused = refused or {}
        self._sample_s = sample_s
        env.process(self._tell(notices))

    def _tell(self, notices: tuple[Notice, ...]) -> simpy.events.ProcessGenerator:
        for notice in notices:
            yield self._env.timeout(notice.noticed_s - self._env.now)
            yield self.notices.put(notice)

    def start(self, container: told.Container) -> simpy.Event:
        """Start in a second."""
        name = container.name
        if name in self._refused:
            return self._env.timeout(1.0, Refused(name, self._refused[name]))
        return self._env.timeout(1.0, Started(name, 0.9, self._env.now + 1.0))

    def stop(self, name: str) -> simpy.Event:
        """Stop in a tenth of a second."""
        self.asked.append((self._env.now, "stop", name))
        return self._env.timeout(0.1, Stopped(name, 0))

    def crash(self, name: str, exit_code: int) -> simpy.Event:
        """Be struck; what follows is told where it was planned."""
        self.asked.append((self._env.now, "crash", name))
        return self._env.timeout(0.0, Struck(name))

    def sample(self, name: str) -> simpy.Event:
        """Read counters, all zero."""
        self.asked.append((self._env.now, "sample", name))
        if name in self._refused:
            return self._env.event().succeed(Refused(name, "no container of that name is up"))
        if self._sample_s is None:
            return self._env.event()
        return self._env.timeout(self._sample_s, Sample(name, self._env.now, 0.0, 0, 0, 0.0, 0, 0, 0, 0))

    def submit(self, name: str, program: Program) -> simpy.Event:
        """Run a program to the end of the story."""
        left_s = program.until_s - self._env.now
        return self._env.timeout(left_s, Finished(program.agent, len(program.steps), program.until_s))

    def probe(self, host: str, every_s: float, compute_s: float, until: simpy.Event) -> simpy.Event:
        """Be probed once a second and have the CPU each time at once, or be refused; the answer comes after the end."""
        self.asked.append((self._env.now, "probe", host))
        if host in self._refused:
            return self._env.event().succeed(Refused(host, self._refused[host]))
        answer, begin_s = self._env.event(), self._env.now

        def end(_: simpy.Event) -> None:
            due_s = tuple(begin_s + every_s * number for number in range(int((self._env.now - begin_s) / every_s)))
            answer.succeed(Probed(host, due_s, tuple(at_s + compute_s for at_s in due_s)))

        assert until.callbacks is not None
        until.callbacks.append(end)
        return answer

    def times_s(self, verb: str, name: str) -> list[float]:
        """When it was asked for something."""
        return [at_s for at_s, asked, of in self.asked if (asked, of) == (verb, name)]


def performed(one: Story, machine: Answers, env: simpy.Environment) -> tuple[dict[str, int], Recorder]:
    """Who was up at the end of a performance, and what was recorded."""
    recorder = Recorder(None)
    return perform(one, cast("Machine", machine), env, recorder), recorder


def noted(recorder: Recorder, *kinds: str) -> list[tuple[float, str, str]]:
    """Time, kind and container of all events of some kinds, in their order."""
    events = recorder.tables["events"]
    rows = zip(events["at_s"], events["what"], events["container"], strict=True)
    return [row for row in rows if row[1] in kinds]


def test_a_story_is_started_sampled_and_stopped(env: simpy.Environment) -> None:
    """The window begins when all is ready and settled; containers are sampled at its ends and stopped after it."""
    machine = Answers(env)
    up, recorder = performed(plain(), machine, env)

    assert {"agents": 4, "containers": 2} == up
    assert (BEGIN_S, END_S) == recorder.window
    for name in "ab":
        assert [BEGIN_S, END_S] == machine.times_s("sample", name)
        (stopped_s,) = machine.times_s("stop", name)
        assert stopped_s >= END_S


def test_what_is_told_twice_is_written_down_once(env: simpy.Environment) -> None:
    """A death and a return told twice are one of each."""
    death, back = Died("a", "exited", 1, 5.0, 5.0), Restarted("a", 1, 5.2, 5.5, 5.5)
    up, recorder = performed(plain(), Answers(env, (death, death, back, back)), env)

    assert [(5.0, "died", "a"), (5.5, "restarted", "a")] == noted(recorder, "died", "restarted")
    assert {"agents": 4, "containers": 2} == up


def test_who_is_gone_at_the_end_is_not_up(env: simpy.Environment) -> None:
    """A container that died and its agents are not counted, it is not sampled again, and it is stopped all the same."""
    machine = Answers(env, (Died("a", "killed", 137, 5.0, 5.0),))
    up, _ = performed(plain(), machine, env)

    assert {"agents": 2, "containers": 1} == up
    assert [BEGIN_S] == [at_s for at_s in machine.times_s("sample", "a") if at_s in {BEGIN_S, END_S}]
    assert 1 == len(machine.times_s("stop", "a"))


def test_a_story_goes_on_without_what_was_refused(env: simpy.Environment) -> None:
    """A container that did not start is neither sampled at the ends nor stopped; the others live."""
    machine = Answers(env, refused={"a": "no such image"})
    up, recorder = performed(plain(), machine, env)

    assert {"agents": 2, "containers": 1} == up
    assert [(1.0, "refused", "a")] == noted(recorder, "refused")
    assert not {BEGIN_S, END_S} & set(machine.times_s("sample", "a"))
    assert [] == machine.times_s("stop", "a")


def test_dependants_are_started_when_it_is_their_turn(env: simpy.Environment) -> None:
    """The window begins after the health of one and the start of the other."""
    one = plain()
    first = dataclasses.replace(one.containers[0], health=told.HealthCheck(2.0, 1.0))
    second = dataclasses.replace(one.containers[1], dependencies=(told.Dependency("a", "healthy"),))
    healthy = HealthChanged("a", healthy=True, happened_s=3.0, noticed_s=3.5)
    _, recorder = performed(dataclasses.replace(one, containers=(first, second)), Answers(env, (healthy,)), env)

    assert [(1.0, "started", "a"), (3.0, "healthy", "a"), (4.5, "started", "b")] == noted(
        recorder, "started", "healthy"
    )
    assert recorder.window == (4.5 + SETTLE_S, 14.5 + SETTLE_S)


def test_faults_are_dealt_in_the_window(env: simpy.Environment) -> None:
    """Three seconds into the window and each four from then on, and none after it."""
    when = told.When(told.Law("constant", (3.0,)), told.Law("constant", (4.0,)))
    machine = Answers(env)
    _, recorder = performed(plain(told.CrashContainer(when, "a", 1)), machine, env)

    assert [BEGIN_S + 3.0, BEGIN_S + 7.0] == machine.times_s("crash", "a")
    assert [(BEGIN_S + 3.0, "fault", "a"), (BEGIN_S + 7.0, "fault", "a")] == noted(recorder, "fault")


@pytest.mark.parametrize("sample_s", [None, 2 * ANSWER_S_MAX], ids=["never", "too late"])
def test_no_run_waits_for_ever_for_an_answer(env: simpy.Environment, sample_s: float | None) -> None:
    """Where samples are not answered in time the run goes on to its end, and says how many it missed."""
    _, recorder = performed(plain(), Answers(env, sample_s=sample_s), env)
    events = recorder.tables["events"]

    assert ["2 of 2 questions"] * 2 == [
        detail for what, detail in zip(events["what"], events["detail"], strict=True) if what == "unanswered"
    ]
    assert [] == recorder.tables["samples"]["at_s"]


def probing() -> Story:
    """The plain story with a host that is probed each half second for 2 ms, and one that is not."""
    one = plain()
    probed = dataclasses.replace(one.hosts[0], probe=told.HostProbe(0.5, 0.002))
    return dataclasses.replace(one, hosts=(probed, dataclasses.replace(one.hosts[0], name="i")))


def test_hosts_are_probed_for_the_time_of_the_window(env: simpy.Environment) -> None:
    """Only those that have a probe, from the window's begin to its end; what was found is in the record."""
    machine = Answers(env)
    _, recorder = performed(probing(), machine, env)
    probes = recorder.tables["probes"]

    assert [BEGIN_S] == machine.times_s("probe", "h")
    assert [] == machine.times_s("probe", "i")
    assert ["h"] * 20 == probes["host"]
    assert (BEGIN_S, END_S - 0.5) == (probes["due_s"][0], probes["due_s"][-1])
    assert [at_s + 0.002 for at_s in probes["due_s"]] == probes["finish_s"]
    assert [] == noted(recorder, "unanswered", "probe_refused")


def test_a_host_that_cannot_be_probed_is_noted(env: simpy.Environment) -> None:
    """The run goes on without it, and says which host and why."""
    up, recorder = performed(probing(), Answers(env, refused={"h": "it is far away"}), env)
    events = recorder.tables["events"]

    assert {"agents": 4, "containers": 2} == up
    assert ["h: it is far away"] == [
        detail for what, detail in zip(events["what"], events["detail"], strict=True) if what == "probe_refused"
    ]
    assert [] == recorder.tables["probes"]["host"]


def test_a_probe_outlives_no_calibration_that_ends_early() -> None:
    """Where the outcome is final before the time is over, hosts are probed no longer than that."""
    text = load("calibration-over-limit").text
    one = load_text(text.replace("memory: 4g}", "memory: 4g, probe: {every: 97ms, compute: 2ms}}"), "t")
    outcome = simulate(one, profile=PROFILE)
    window = outcome.recorder.window
    assert window is not None

    assert window[1] - window[0] < one.duration_s
    assert 0.0 < window[1] - max(outcome.recorder.tables["probes"]["due_s"]) < 0.2
