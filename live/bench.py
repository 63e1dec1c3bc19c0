"""A Docker machine without a story's course: for tests of the port and for whoever wants to drive one by hand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from live.engine import connect
from live.run import held, staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live.docker_machine import DockerMachine
    from live.real_time import LiveEnvironment
    from scenarios.story import Story
    from sim.machine import Observer


@contextlib.contextmanager
def docker_bench(story: Story, observer: Observer) -> Iterator[tuple[LiveEnvironment, DockerMachine]]:
    """An environment and a machine on the current engine; everything the machine made is gone afterwards."""
    client = connect()
    with (
        contextlib.closing(client),
        held(client, _say_nothing) as engine,
        staged(engine, story, observer, _say_nothing) as stage,
    ):
        yield stage.env, stage.machine


def _say_nothing(_: str) -> None:
    """Nobody watches a bench."""
