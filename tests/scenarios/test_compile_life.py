"""A container's life, networks and faults compiled: Compose's defaults filled in, short forms written out."""

from __future__ import annotations

import pytest

from scenarios import Story, load_text
from scenarios import story as told
from scenarios.story import Law

MIB = 1024**2


def law(value: float) -> Law:
    """A constant."""
    return Law("constant", (value,))


@pytest.fixture(name="story")
def _story(life_text: str) -> Story:
    """Every key of a container's life and every fault, compiled."""
    return load_text(life_text, "life")


def test_a_worker_keeps_its_life(story: Story) -> None:
    """Policy, health check, dependencies, networks, file systems; a slow start is a delay of the container."""
    worker = story.container("worker")

    assert told.RestartPolicy("on-failure", 3) == worker.restart
    assert told.HealthCheck(5.0, 2.0, 2, 1.0, ()) == worker.health
    assert (told.Dependency("store", "healthy"), told.Dependency("once", "completed")) == worker.dependencies
    assert ("back", "front") == worker.networks
    assert (told.Tmpfs("/scratch", 64 * MIB), told.Tmpfs("/run", None)) == worker.tmpfs
    assert (3.0, None) == (worker.start_delay_s, worker.foreign)


def test_short_forms_mean_what_compose_means(story: Story) -> None:
    """A bare `no` is a word, a list of dependencies waits for their starts, one tmpfs needs no list."""
    plain = story.container("plain")

    assert (told.RestartPolicy("no", 0), None, 0.0) == (plain.restart, plain.health, plain.start_delay_s)
    assert (told.Dependency("worker", "started"),) == plain.dependencies
    assert (told.Tmpfs("/tmp", MIB),) == plain.tmpfs  # noqa: S108 - A path in a container.


def test_an_image_keeps_what_its_program_is_given(story: Story) -> None:
    """Words, variables, mounts and rights; a root file system is writable only where the story says so."""
    store, once = story.container("store").foreign, story.container("once").foreign

    assert store == told.Foreign(
        image="registry.local:5000/redis:7",
        command=("redis-server", "--save", "", "--port", "7000"),
        environment=(("LOG", "debug"), ("LEVEL", "3")),
        mounts=(told.Mount("/srv/models", "/models", read_only=True), told.Mount("data", "/data", read_only=False)),
        user="1000:1000",
        capabilities=("NET_ADMIN", "SYS_NICE"),
        privileged=True,
        writable=True,
    )
    assert told.Foreign("job", ("run", "3"), (("A", "b=c"), ("B", ""))) == once


def test_a_health_check_has_composes_defaults(story: Story) -> None:
    """Half a minute between probes and for each, three tries; text is a line for a shell; [NONE] is none."""
    check = told.HealthCheck(30.0, 30.0, 3, 0.0, ("CMD-SHELL", "redis-cli ping"))

    assert (check, None) == (story.container("store").health, story.container("once").health)


def test_networks_are_the_storys(story: Story) -> None:
    """In the order of the file; open unless they are internal."""
    assert (told.Network("back", internal=True), told.Network("front", internal=False)) == story.networks


def test_writing_and_erasing_are_stages(story: Story) -> None:
    """A write has a law, and erase is a bare word or a key without a value."""
    stages = story.agents[0].stages

    assert told.Write(Law("uniform", (1.0 * MIB, 2.0 * MIB))) == stages[0]
    assert (told.Erase(), told.Erase()) == stages[2:]


def test_agents_of_a_volume_write_and_read_there() -> None:
    """It is the container's, by its name and its place; a program of one's own has mounts, and others have none."""
    worker = "{box: {volumes: ['data:/var/data']}, job: {image: x, volumes: ['logs:/logs']}, plain: {}}"
    steps = "[{write: 1m}, {read: {uniform: [1m, 2m]}}, {read: 4k}, erase, {compute: 1ms}]"
    text = (SMALL % "").replace("{box: {}}", worker) + f"agents: {{w: {{container: box, steps: {steps}}}}}\n"
    story = load_text(text, "t")

    assert [told.Volume("data", "/var/data"), None, None] == [one.volume for one in story.containers]
    assert told.Foreign("x", mounts=(told.Mount("logs", "/logs", read_only=False),)) == story.container("job").foreign
    assert (
        told.Write(law(MIB)),
        told.Read(Law("uniform", (1.0 * MIB, 2.0 * MIB))),
        told.Read(law(4096)),
        told.Erase(),
    ) == story.agents[0].stages[:4]


def test_every_fault_is_compiled_in_the_order_of_the_file(story: Story) -> None:
    """Only the slow start is none: it has become its container's own."""

    def at(first_s: float) -> told.When:
        return told.When(law(first_s), None)

    assert (
        told.KillContainer(at(1.0), "plain"),
        told.CrashContainer(told.When(law(2.0), Law("exponential", (20.0,))), "worker", 1),
        told.CrashContainer(told.When(Law("uniform", (1.0, 2.0)), None), "worker", 3),
        told.HangContainer(at(3.0), "worker", 5.0),
        told.KillAgent(at(4.0), "writer"),
        told.LeakMemory(at(5.0), "worker", 64 * MIB, 10.0),
        told.FillDisk(at(6.0), "worker"),
        told.ChangeLimits(at(7.0), "worker", 0.5, 128 * MIB),
        told.ChangeLimits(at(8.0), "plain", 2.0, None),
        told.StrikeHost(at(9.0), "left", "stop", 5.0),
        told.StrikeHost(at(20.0), "left", "crash", 6.0),
        told.StrikeHost(at(50.0), "right", "loss", None),
        told.StrikeHost(at(60.0), "left", "loss", 7.0),
        told.RudeNotices(law(2.0), 1.0, 0.1, 0.2, 0.3),
    ) == story.faults


SMALL = """\
purpose: One host.
duration: 5s
hosts: {local: {cpus: 2, memory: 4g}}
containers: {box: {}}
faults: [%s]
"""


@pytest.mark.parametrize(
    ("fault", "blow", "down_s"),
    [
        ("{stop_engine: {for: 1s}, at: 1s}", "stop", 1.0),
        ("{crash_engine: {for: 2s}, at: 1s}", "crash", 2.0),
        ("{lose_host: {}, at: 1s}", "loss", None),
        ("{stop_engine: local, at: 1s}", "stop", None),
        ("{crash_engine: local, at: 1s}", "crash", None),
    ],
)
def test_the_only_host_need_not_be_named(fault: str, blow: str, down_s: float | None) -> None:
    """As everywhere in the language; and without a time it is away for good."""
    (compiled,) = load_text(SMALL % fault, "t").faults

    assert isinstance(compiled, told.StrikeHost)
    assert ("local", blow, down_s) == (compiled.host, compiled.blow, compiled.down_s)


@pytest.mark.parametrize(
    ("entry", "rude"),
    [
        ("late: {exponential: 1s}, late_ratio: 0.5", told.RudeNotices(Law("exponential", (1.0,)), 0.5, 0.0, 0.0, 0.0)),
        ("late: 1s", told.RudeNotices(law(1.0), 1.0, 0.0, 0.0, 0.0)),
        ("lost: 1", told.RudeNotices(law(0.0), 0.0, 0.0, 0.0, 1.0)),
    ],
)
def test_what_is_late_is_all_late_unless_a_share_is_given(entry: str, rude: told.RudeNotices) -> None:
    """Without `late` nothing is."""
    assert (rude,) == load_text(SMALL % f"{{notices: {{{entry}}}}}", "t").faults
