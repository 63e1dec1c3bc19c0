"""What crashed runs leave on an engine: found by label and owner, removed, and nothing else touched."""

from __future__ import annotations

import dataclasses
import gc
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from live.image import worker_image
from live.labels import RUN, RunLabels, new_run_labels
from live.leftovers import REMOVALS_MAX, Labelled, find_leftovers, labelled, remove, remove_run
from live.owner import this_owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]

RUN_NAME = "leftover-test"


class Yard:
    """Places things on the engine and remembers them."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Have an image to make containers of."""
        self.client = client
        self.image = worker_image(client)
        self.made: list[str] = []

    def container(self, labels: dict[str, str]) -> str:
        """A container that was created and never started, named as its run would name it: its engine id."""
        name = f"tonnage-{labels.get(RUN, RUN_NAME)}-a-{len(self.made)}"
        made = str(self.client.api.create_container(self.image, name=name, labels=labels)["Id"])
        self.made.append(made)
        return made

    def clear(self) -> None:
        """Take everything away again."""
        for made in self.made:
            self.client.api.remove_container(made, force=True)

    def ids(self) -> set[str]:
        """Which of them are there."""
        there = {raw["Id"] for raw in self.client.api.containers(all=True)}
        return there & set(self.made)


@pytest.fixture(name="yard")
def _yard(docker_engine: docker.DockerClient) -> Iterator[Yard]:
    yard = Yard(docker_engine)
    yield yard
    yard.made = list(yard.ids())
    yard.clear()


def labels_of_the_dead() -> dict[str, str]:
    """The labels of a run whose process has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    owner = dataclasses.replace(this_owner(), pid=child.pid, pid_start="1")
    return RunLabels(RUN_NAME, owner, time.time() + 1000).as_labels()


def ids_of(things: list[Labelled]) -> set[str]:
    """What the engine calls them."""
    return {thing.engine_id for thing in things}


def test_what_a_dead_run_left_is_found_and_removed(yard: Yard) -> None:
    """A container of a process that is gone is a leftover, whatever its lease says."""
    left = yard.container(labels_of_the_dead())

    found = [thing for thing in find_leftovers(yard.client) if thing.engine_id == left]
    remaining = remove(yard.client, found)

    assert [("container", False, RUN_NAME)] == [(thing.kind, thing.running, thing.run) for thing in found]
    assert remaining == []
    assert yard.ids() == set()


def test_networks_and_volumes_are_found_too(yard: Yard) -> None:
    """Whatever carries a dead run's labels is removed, containers first."""
    labels = labels_of_the_dead()
    network = yard.client.api.create_network("tonnage-leftover-test", labels=labels)["Id"]
    volume = yard.client.api.create_volume("tonnage-leftover-test", labels=labels)["Name"]
    left = yard.container(labels)

    found = [thing for thing in find_leftovers(yard.client) if thing.engine_id in {network, volume, left}]
    remaining = remove(yard.client, found)

    assert {thing.kind for thing in found} == {"container", "network", "volume"}
    assert remaining == []
    assert labelled(yard.client, RUN_NAME) == []


def test_a_living_run_is_no_leftover(yard: Yard) -> None:
    """What this process made, and what another living process made, stays, even with the lease over."""
    mine = yard.container(dataclasses.replace(new_run_labels(RUN_NAME, 0.0), lease_until_s=1.0).as_labels())
    code = "import sys; from live.labels import new_run_labels as new\n"
    code += "print(repr(new('other', 60.0).as_labels()), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        theirs = yard.container(dict(eval(child.stdout.readline())))  # noqa: S307  # It is the text we print above.
        found_while_it_lives = ids_of(find_leftovers(yard.client))
        child.communicate()
    found_after = ids_of(find_leftovers(yard.client))

    assert found_while_it_lives & {mine, theirs} == set()
    assert found_after & {mine, theirs} == {theirs}


def test_elsewhere_the_lease_decides(yard: Yard) -> None:
    """Another client's container is a leftover once its run must have ended, and not before."""
    owner = dataclasses.replace(this_owner(), client_host="another-host")
    over = yard.container(RunLabels(RUN_NAME, owner, time.time() - 1).as_labels())
    running = yard.container(RunLabels(RUN_NAME, owner, time.time() + 1000).as_labels())

    assert ids_of(find_leftovers(yard.client)) & {over, running} == {over}


def test_look_alikes_are_never_touched(yard: Yard) -> None:
    """A name like ours, labels like ours or half of ours make no leftover, nor are they of a run that is removed."""
    dead = labels_of_the_dead()
    like_ours = {key.replace("io.tonnage", "io.tonnage2"): value for key, value in dead.items()}
    halves = {key: value for key, value in dead.items() if not key.endswith("pid-start")}
    alike = {
        yard.container({}),
        yard.container(like_ours),
        yard.container(halves),
        yard.container({RUN: "another-run"}),
    }

    remaining = remove(yard.client, [thing for thing in find_leftovers(yard.client) if thing.engine_id in alike])
    remaining += remove_run(yard.client, "no-such-run")

    assert remaining == []
    assert yard.ids() == alike


def test_labels_that_went_with_an_image_make_nothing_ours(yard: Yard) -> None:
    """A container of an image that was committed from one of ours has its labels, but not its name, and stays."""
    dead = labels_of_the_dead()
    ours = yard.container(dead)
    image = str(yard.client.api.commit(ours)["Id"])
    network = yard.client.api.create_network("leftover-test-lookalike", labels=dead)["Id"]
    theirs = str(yard.client.api.create_container(image, name="leftover-test-lookalike")["Id"])
    try:
        carried = yard.client.api.inspect_container(theirs)["Config"]["Labels"]
        found = ids_of(find_leftovers(yard.client))
        remaining = remove_run(yard.client, RUN_NAME)
        still_there = yard.client.api.inspect_container(theirs)["Id"], yard.client.api.inspect_network(network)["Id"]
    finally:
        yard.client.api.remove_container(theirs, force=True)
        yard.client.api.remove_network(network)
        yard.client.api.remove_image(image, force=True)

    assert dead == {key: carried.get(key) for key in dead}
    assert found & {ours, theirs, network} == {ours}
    assert remaining == []
    assert still_there == (theirs, network)
    assert yard.ids() == set()


def test_an_engine_that_takes_too_long_is_asked_once(tmp_path: Path) -> None:
    """Whoever waits for the end of a run does not wait for one time-out after another."""
    import docker

    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen(20)
        engine.setblocking(False)  # noqa: FBT003  # That is its name.
        client = docker.DockerClient(f"unix://{path}", version="1.41", timeout=1)
        remaining = remove_run(client, RUN_NAME)
        client.close()
        asked = list(questions(engine))
        gc.collect()

    assert remaining == [f"everything of run {RUN_NAME} (the engine does not answer: ReadTimeout)"]
    assert len(asked) == 1
    assert asked[0].startswith(b"GET /v1.41/containers/json")


def questions(engine: socket.socket) -> Iterator[bytes]:
    """What an engine that never answered was asked; a connection without a question only knocked."""
    while True:
        try:
            connection, _ = engine.accept()
        except BlockingIOError:
            return
        with connection:
            question = connection.recv(100)
        if question:
            yield question


def test_removing_ends_with_the_first_that_takes_too_long() -> None:
    """What waits for its turn is not tried any more, however much it is."""
    tried: list[str] = []
    # All that can be tried at once is, before the first is too slow.
    all_at_it = threading.Barrier(REMOVALS_MAX, timeout=10.0)

    def remove_container(engine_id: str, **_: object) -> None:
        tried.append(engine_id)
        all_at_it.wait()
        raise requests.ReadTimeout

    client: Any = SimpleNamespace(api=SimpleNamespace(remove_container=remove_container))
    names = [f"tonnage-{RUN_NAME}-{number}" for number in range(3 * REMOVALS_MAX)]
    things = [Labelled("container", name, name, running=False, owner_labels=None, run=RUN_NAME) for name in names]

    with pytest.raises(TimeoutError):
        remove(client, things)

    assert set(names[:REMOVALS_MAX]) == set(tried)
