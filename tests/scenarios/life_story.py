"""A sound story of containers' lives, and what is said of it with one change."""

from __future__ import annotations

import pytest

from scenarios import ScenarioError, load_text

# Every key is on the line of what it belongs to, and each change below breaks one thing.
SOUND = """\
purpose: Containers with lives.
duration: 30s
hosts: {left: {cpus: 2, memory: 4g}, right: {cpus: 2, memory: 4g}}
networks: {back: {internal: true}, front: {}}
containers:
  one: {host: left, mem_limit: 64m, tmpfs: "/scratch:size=20m", restart: no, networks: [back]}
  two: {host: left, mem_limit: 64m, restart: on-failure:3, healthcheck: {interval: 1s}, depends_on: [one]}
  db: {host: right, image: redis:7, restart: always, healthcheck: {test: [CMD, redis-cli, ping]}}
agents:
  w: {container: one, think: 1s, steps: [{write: 1m}, erase, {compute: 1ms}]}
"""


def complaints(before: str, after: str) -> list[str]:
    """What is said of the sound story with one change."""
    assert 1 == SOUND.count(before)
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace(before, after), "t")
    return [str(problem) for problem in caught.value.problems]
