"""The keys of a container's life: what one key alone may say."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from scenarios import load_text
from scenarios.container_schema import NetworkInFull
from tests.scenarios.life_story import SOUND, complaints


def test_the_sound_story_is_sound() -> None:
    """All complaints below come from one change to a story that has none."""
    assert 3 == len(load_text(SOUND, "t").containers)


D, H, IMAGE, N = "depends_on: [one]", "healthcheck: {interval: 1s}", "image: redis:7", "networks: [back]}"
TMPFS = 'tmpfs: "/scratch:size=20m"'
CHECK = "healthcheck: {test: [CMD, redis-cli, ping]}"
WORKER = "it must be left out, or come with an image: our worker needs none"
WRONG = [
    (
        "restart: on-failure:3",
        "restart: false",
        (
            "t:7: containers.two.restart is false; it must be no, always, unless-stopped, on-failure, or on-failure:N; "
            "write for example on-failure:3"
        ),
    ),
    (H, "healthcheck: {interval: 0}", "t:7: containers.two.healthcheck.interval is 0; it must be 1ms or more"),
    (H, "healthcheck: {retries: 0}", "t:7: containers.two.healthcheck.retries is 0; it must be 1 or more"),
    (
        H,
        "healthcheck: {test: x}",
        (
            't:7: containers.two.healthcheck.test is "x"; it must be left out, because our worker is asked by a '
            "probe of "
            "its own"
        ),
    ),
    (
        H,
        "healthcheck: {start_interval: 3s}",
        (
            "t:7: containers.two.healthcheck.start_interval is reserved for a coming version of Tonnage and "
            "cannot be used "
            "yet; remove it"
        ),
    ),
    (
        CHECK,
        "healthcheck: {interval: 3s}",
        (
            "t:8: containers.db.healthcheck.test is missing; it must be given where there is an image; write for "
            "example "
            "test: [CMD, redis-cli, ping]"
        ),
    ),
    (
        D,
        "depends_on: [one, one]",
        't:7: containers.two.depends_on.1 is "one"; it must be another container: it is in the list already',
    ),
    (
        D,
        "depends_on: [[one]]",
        (
            "t:7: containers.two.depends_on.0 is a list of 1; it must be a name: up to 63 letters, digits, - and _, a "
            "letter or digit first; write for example coder-1"
        ),
    ),
    (
        D,
        "depends_on: one",
        (
            't:7: containers.two.depends_on is "one"; it must be a list of containers, or a mapping of them to '
            "conditions; write for example [db]"
        ),
    ),
    (
        D,
        "depends_on: {one: {}}",
        "t:7: containers.two.depends_on.one.condition is missing; write for example condition: service_healthy",
    ),
    (
        D,
        "depends_on: {one: {condition: started}}",
        (
            't:7: containers.two.depends_on.one.condition is "started"; it must be service_started, service_healthy or '
            "service_completed_successfully"
        ),
    ),
    (N, "command: x}", f't:6: containers.one.command is "x"; {WORKER}'),
    (N, "read_only: false}", f"t:6: containers.one.read_only is false; {WORKER}"),
    (N, "cap_add: []}", f"t:6: containers.one.cap_add is an empty list; {WORKER}"),
    (N, "networks: back}", 't:6: containers.one.networks is "back"; it must be a list'),
    (
        '"/scratch:size=20m"',
        '"/scratch:size=20m,mode=1777"',
        (
            't:6: containers.one.tmpfs is "/scratch:size=20m,mode=1777"; it must be a path with one option at '
            "most, its "
            "size: the other options stay as the engine has them; write for example /scratch:size=50m"
        ),
    ),
    (
        IMAGE,
        "image: x, environment: [A=1, B]",
        (
            't:8: containers.db.environment.1 is "B"; it must be NAME=VALUE: values are never taken from the '
            "environment of "
            "Tonnage; write for example LOG_LEVEL=info"
        ),
    ),
    (
        IMAGE,
        'image: x, tmpfs: /a, volumes: ["/srv:/b", "/srv:/a"]',
        't:8: containers.db.volumes.1 is "/srv:/a"; it must be at another path: something is mounted at /a',
    ),
    (
        IMAGE,
        "image: x, ports: []",
        "t:8: containers.db.ports is reserved for a coming version of Tonnage and cannot be used yet; remove it",
    ),
    (
        N,
        "volumes: ['data:/data']}",
        "t:6: containers.one.volumes is a list of 1; it must be left out, because agents write to its tmpfs",
    ),
    (
        TMPFS,
        "volumes: ['data:/data', 'logs:/logs']",
        (
            "t:6: containers.one.volumes is a list of 2; it must be one volume, because agents write to one place; "
            "write for example [data:/data]"
        ),
    ),
    (
        TMPFS,
        "volumes: ['/srv:/data:ro']",
        (
            't:6: containers.one.volumes.0 is "/srv:/data:ro"; it must be a volume by its name: a path of the host is '
            "for an image; write for example data:/data"
        ),
    ),
    (
        TMPFS,
        "volumes: ['data:/data:ro']",
        (
            't:6: containers.one.volumes.0 is "data:/data:ro"; it must be one that agents can write to; write for '
            "example data:/data"
        ),
    ),
    (
        TMPFS,
        "volumes: data:/data",
        (
            't:6: containers.one.volumes is "data:/data"; it must be a list of SOURCE:TARGET, with or without :ro '
            "behind it"
        ),
    ),
    (
        "front: {}",
        "front: {driver: bridge}",
        "t:4: networks.front.driver is reserved for a coming version of Tonnage and cannot be used yet; remove it",
    ),
    (
        "internal: true",
        "internal: 1",
        "t:4: networks.back.internal is 1; it must be true or false; write for example true",
    ),
]


@pytest.mark.parametrize(("before", "after", "complaint"), WRONG, ids=range(len(WRONG)))
def test_one_mistake_is_answered_with_one_exact_line(before: str, after: str, complaint: str) -> None:
    """Where it is, what stands there, and what would have worked."""
    assert [complaint] == complaints(before, after)


@pytest.mark.parametrize("off", ["healthcheck: {disable: true, test: x}", "healthcheck: {disable: true}"])
def test_a_health_check_can_be_switched_off(off: str) -> None:
    """Then nothing of it is asked for, and there is none."""
    assert load_text(SOUND.replace(H, off), "t").container("two").health is None


@pytest.mark.parametrize("volumes", ["['data:/data']", "['data:/data:rw']", "[]"])
def test_agents_may_have_a_volume_of_their_own(volumes: str) -> None:
    """One by its name, which they can write to, takes the place of a tmpfs; an empty list is none."""
    text = SOUND.replace(TMPFS, f"volumes: {volumes}").replace("{write: 1m}, erase, ", "")

    assert (volumes != "[]") == (load_text(text, "t").container("one").volume is not None)


def test_a_network_needs_no_value() -> None:
    """As in Compose, its name alone makes it, with all by default."""
    network = TypeAdapter(NetworkInFull).validate_python(None)

    assert network.internal is False
