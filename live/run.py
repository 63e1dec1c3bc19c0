"""One run on a real engine: the same `perform` as in the simulated world, with the real world's arguments.

The twin of `sim/run.py`. The only place where a `DockerMachine` is made, and where it is closed, in any ending.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from live.comparable import disturbances, failures, quiet_spans_s, refusals
from live.docker_machine import DockerMachine
from live.engine import answering, connect
from live.engine_gaps import refuse_gaps
from live.errors import EngineMissing, EngineRefused, StartsRefused, UnfitStory
from live.host_bench import Collected, HostBench, bench_story
from live.host_probe import obstacle, unprobed
from live.image import ImageError, worker_image
from live.interruption import interruptible
from live.labels import new_run_labels
from live.leftovers import find_leftovers
from live.lock import home_lock, live_lock, mark
from live.other_load import LoadWatch
from live.permissions import refuse_unpermitted
from live.pinning import pinned
from live.private_engine import PrivateEngine
from live.real_time import LiveEnvironment
from scenarios.story import StrikeHost
from sim import places
from sim.physics.host_profile import load_profile
from sim.provenance import provenance
from sim.record import Recorder, begin_record, write_json
from sim.recorded import harness_of
from sim.run import Outcome, conclude, perform
from sim.worlds import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker

    from live.other_load import OtherLoad
    from scenarios.story import Story
    from sim.machine import Machine, Observer
    from sim.physics.host_profile import Pace

    Say = Callable[[str], None]

WORLD = "docker"

# How soon a thread that works makes room for one that waits. Python's own 5 ms would make timers that late.
SWITCH_INTERVAL_S = 0.0005


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """An engine, held for one run or several: its answers about itself, and the worker image.

    `blows` is what can strike it, where it is the runs' own.
    """

    client: docker.DockerClient
    info: dict[str, Any]
    image: str
    blows: PrivateEngine | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """A machine that is ready, its clock, and the watch over what else uses the host."""

    env: LiveEnvironment
    machine: DockerMachine
    watch: LoadWatch


class DockerWorld:
    """The real world: stories on the Docker engine that their hosts name; fulfils `sim.worlds.World`."""

    name = WORLD

    def __init__(self, terms: Terms | None = None) -> None:
        """Run on these terms: what stories may ask for, and on whose engine."""
        self._terms = terms or Terms()
        self._held: Held | None = None

    @contextlib.contextmanager
    def hold(self, story: Story, say: Say) -> Iterator[None]:
        """Keep the engine for several runs of a story, so that nobody else's slips in between."""
        with engine_for(story, self._terms, say) as engine:
            self._held = engine
            try:
                yield
            finally:
                self._held = None

    def run(self, story: Story, *, directory: Path | None, physics_seed: int, say: Say) -> Outcome:
        """Run the story once, as it is; on paced terms each of several runs comes after a look at the host's pace."""
        if self._held is not None:
            is_paced = self._terms.paced and self._held.blows is None
            pace = pace_now(self._held, say) if is_paced else None
            return play(self._held, story, directory=directory, physics_seed=physics_seed, say=say, pace=pace)
        return replay(story, directory=directory, physics_seed=physics_seed, say=say, terms=self._terms)


def replay(
    story: Story, *, directory: Path | None, physics_seed: int = 0, say: Say, terms: Terms | None = None
) -> Outcome:
    """Run a story on a real engine of its own choice; with `directory`, its record is kept there.

    The real world draws its own physics: `physics_seed` is only written down, to tell repeats apart.
    Raises UnfitStory, EngineMissing and EngineBusy before anything is written, and EngineRefused where the engine does
    not do what a run cannot go without.
    """
    with engine_for(story, terms or Terms(), say) as engine:
        return play(engine, story, directory=directory, physics_seed=physics_seed, say=say)


def pace_now(engine: Held, say: Say) -> Pace | None:
    """How fast an engine at rest starts a container and one touches memory just now; None where it does not say."""
    collected = Collected()
    story = bench_story(int(engine.info["NCPU"]), int(engine.info["MemTotal"]))
    sample_cpu_s = load_profile(places.host_profile()).sample_cpu_s
    try:
        with staged(engine, story, collected, lambda _text: None) as stage:
            bench = HostBench(engine.client, stage.env, stage.machine, collected)
            pace: Any = stage.env.run(until=stage.env.process(bench.pace(sample_cpu_s)))
    except EngineRefused as problem:
        say(f"the pace of this host is not known ({problem}); the host profile's is taken")
        return None
    return cast("Pace", pace)


def play(
    engine: Held,
    story: Story,
    *,
    directory: Path | None,
    physics_seed: int,
    say: Say,
    pace: Pace | None = None,
) -> Outcome:
    """Run a story on an engine that is held; `pace` is the host's shortly before."""
    refuse_gaps(story, engine.info)
    if engine.blows is not None:
        engine.blows.restore()
    as_run = pinned(story, int(engine.info["NCPU"]))
    known = _known(engine)
    if directory is not None:
        physics = {"profile": known["host"], "variant": WORLD}
        begin_record(directory, story, physics, {"workload": story.seed, "physics": physics_seed})
        write_json(directory / "provenance.json", known)
    recorder = Recorder(directory)
    try:
        with staged(engine, as_run.story, recorder, say) as stage:
            machine: Machine = stage.machine
            say(f"running {story.name} on the engine, {story.duration_s:.0f} s")
            up = perform(as_run.story, machine, stage.env, recorder)
        _refuse_if_none_started(as_run.story, recorder)
        judged = _judged(as_run.story, stage, recorder, as_run.reasons)
        judged["harness"]["pace"] = None if pace is None else dataclasses.asdict(pace)
        if directory is not None:
            # Before the record ends, so that none that ended says that its run did not.
            write_json(directory / "provenance.json", known | judged)
        metrics, goals, checks = conclude(story, recorder, up)
    finally:
        recorder.abandon()
    reasons = tuple(judged["reasons"])
    return Outcome(
        WORLD,
        tuple(metrics),
        tuple(goals),
        tuple(checks),
        recorder,
        directory,
        harness=harness_of(judged),
        comparable=not reasons,
        reasons=reasons,
    )


@contextlib.contextmanager
def engine_for(story: Story, terms: Terms, say: Say) -> Iterator[Held]:
    """Hold the engine a story runs on: the one its hosts name, or a private one that its faults may strike."""
    refuse_unpermitted(story, terms.allowed)
    context = _context(story)
    if not terms.private_engine:
        _refuse_blows(story)
        client = connect(context)
        with contextlib.closing(client), held(client, say) as engine:
            yield engine
        return
    run = _new_run()
    with home_lock(run), _machines_engine(run):
        say("starting an engine of this run's own")
        with PrivateEngine() as private, contextlib.closing(private.client()) as client:
            yield dataclasses.replace(_ready(client, say), blows=private)


@contextlib.contextmanager
def _machines_engine(run: str) -> Iterator[None]:
    """Hold the machine's own engine too, if it has one: a run beside another user's would disturb both."""
    try:
        client = connect()
    except EngineMissing:
        yield
        return
    with contextlib.ExitStack() as until_it_ends:
        until_it_ends.enter_context(contextlib.closing(client))
        with answering("say what is on it"):
            until_it_ends.enter_context(mark(client, run))
        yield


@contextlib.contextmanager
def held(client: docker.DockerClient, say: Say) -> Iterator[Held]:
    """Hold an engine against other live runs, with a worker image on it."""
    with contextlib.ExitStack() as until_it_ends:
        with answering("say what is on it"):
            until_it_ends.enter_context(live_lock(_new_run(), client))
        yield _ready(client, say)


def _ready(client: docker.DockerClient, say: Say) -> Held:
    with answering("say what is on it"):
        left, info = find_leftovers(client), client.info()
    if left:
        still = sum(thing.running for thing in left)
        running = f", {still} of them running" if still else ""
        say(f"{len(left)} objects of crashed runs lie on the engine{running}; `tonnage doctor --fix` removes them")
    return Held(client, info, _worker_image(client))


@contextlib.contextmanager
def staged(engine: Held, story: Story, observer: Observer, say: Say) -> Iterator[Stage]:
    """A machine for the story; everything it made is gone when this is left, however it is left."""
    with _quick_threads(), LiveEnvironment() as env, interruptible(env):
        labels = new_run_labels(_new_run(), story.duration_s)
        with answering("tell its time and what happens on it"):
            machine = DockerMachine(
                env,
                engine.client,
                story,
                labels,
                observer,
                image=engine.image,
                blows=engine.blows,
                unprobed=obstacle(story, engine.info),
            )
        watch = LoadWatch(
            env.clock,
            lambda: [container.container_id for container in machine.containers_up],
            lambda: machine.probes_cpu_s,
        )
        try:
            # The run's clock ticks since before the machine was there: what is timed from now on must not include that.
            env.run(until=env.clock())
            yield Stage(env, machine, watch)
        finally:
            watch.close()
            left = machine.close()
            # A private engine takes with it whatever it could not be asked to remove.
            for name in left if engine.blows is None else ():
                say(f"could not remove {name}; `tonnage doctor --fix` will, once the engine lets it")


def _context(story: Story) -> str | None:
    contexts = {host.context for host in story.hosts}
    if not story.live_able:
        raise UnfitStory(story.name, "it says `live: {possible: false}`")
    if len(contexts) > 1:
        raise UnfitStory(story.name, "its hosts name several Docker contexts, and one run uses one engine")
    return contexts.pop() if contexts else None


def _refuse_blows(story: Story) -> None:
    if any(isinstance(fault, StrikeHost) for fault in story.faults):
        raise UnfitStory(
            story.name, "its faults strike a whole engine; --private-engine starts one of its own for that"
        )


def _new_run() -> str:
    return secrets.token_hex(4)


def _worker_image(client: docker.DockerClient) -> str:
    try:
        return worker_image(client)
    except ImageError as problem:
        raise EngineRefused("get a worker image", str(problem)) from None


def _refuse_if_none_started(story: Story, recorder: Recorder) -> None:
    """A story none of whose containers could be started was not run at all."""
    why = list(refusals(recorder.tables["events"]).values())
    if why and len(why) == len(story.containers):
        raise StartsRefused("start the story's containers", why[0])


def _known(engine: Held) -> dict[str, Any]:
    """The provenance that is known before the run, worded for a run that does not end."""
    profile = load_profile(places.host_profile())
    return provenance(WORLD, profile, datetime.now(UTC)) | {
        "kernel": engine.info["KernelVersion"],
        "engine": engine.info["ServerVersion"],
        "worker_image": engine.image,
        "comparable": False,
        "reasons": ["the run did not end"],
    }


def _judged(story: Story, stage: Stage, recorder: Recorder, reasons: tuple[str, ...]) -> dict[str, Any]:
    """What is known of the harness and its disturbances after the run, and what follows for comparing it."""
    lag, events = stage.env.lag.summary(), recorder.tables["events"]
    quiet_s = quiet_spans_s(recorder.window or (0.0, 0.0), events)
    load = stage.watch.busiest(quiet_s)
    was_away = recorder.window is not None and not quiet_s
    disturbed = disturbances(lag, load, stage.watch.unreadable, engine_was_away=was_away)
    found = [*reasons, *failures(story, events), *unprobed(events), *disturbed]
    if stage.machine.engine_lost and not any(isinstance(fault, StrikeHost) for fault in story.faults):
        found.append("the engine was lost")
    if stage.machine.blow_failure:
        found.append(f"a blow to the engine went wrong: {stage.machine.blow_failure}")
    return {
        "harness": dataclasses.asdict(lag) | {"posts_held_count": stage.env.posts_held_count} | _harness(load),
        "other_load": {} if load is None else {"cores_mean": load.cores_mean, "steal_ratio": load.steal_ratio},
        "comparable": not found,
        "reasons": found,
    }


def _harness(load: OtherLoad | None) -> dict[str, float]:
    if load is None:
        return {}
    return {
        "driver_cpu_cores": load.driver_cores_mean,
        "engine_cpu_cores": load.engine_cores_mean,
        "containers_cpu_cores": load.containers_cores_mean,
        # What driver and engine use is other load to a prediction; a probe is predicted itself.
        "probes_cpu_cores": load.probes_cores_mean,
    }


@contextlib.contextmanager
def _quick_threads() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
