"""Containers that wait for one another, and the networks they are in."""

from __future__ import annotations

import pytest

from scenarios import ScenarioError, load_text
from tests.scenarios.life_story import SOUND, complaints

D = "depends_on: [one]"
WRONG = [
    (D, "depends_on: [two]", "t:7: containers.two.depends_on is a list of 1; it must be without two itself"),
    (
        D,
        "depends_on: [oen]",
        (
            "t:7: containers.two.depends_on is a list of 1; it must be a name out of containers: one, two, db, "
            "and oen is "
            "none; write for example [one]"
        ),
    ),
    (
        D,
        "depends_on: {one: {condition: service_healthy}}",
        (
            't:7: containers.two.depends_on.one.condition is "service_healthy"; it must be service_started, or '
            "one must have "
            "a healthcheck; write for example service_started"
        ),
    ),
    (
        D,
        "depends_on: {one: {condition: service_completed_successfully}}",
        (
            't:7: containers.two.depends_on.one.condition is "service_completed_successfully"; it must be '
            "service_started, "
            "because one has no image and our worker never ends by itself"
        ),
    ),
    (
        D,
        "depends_on: {db: {condition: service_completed_successfully}}",
        (
            't:7: containers.two.depends_on.db.condition is "service_completed_successfully"; it must be '
            "service_started, "
            "because db is started anew after every end (restart: always); write for example service_started"
        ),
    ),
    (
        "networks: [back]",
        "depends_on: [db, two]",
        "t:6: containers.one.depends_on is a list of 2; it must be free of circles: one waits for two waits for one",
    ),
    (
        "networks: [back]",
        "networks: [bac]",
        (
            't:6: containers.one.networks.0 is "bac"; it must be a name out of networks: back, front; write for '
            "example back"
        ),
    ),
    (
        "networks: [back]",
        "networks: [back, front, back]",
        't:6: containers.one.networks.2 is "back"; it must be another network: it is in the list already',
    ),
    (
        'tmpfs: "/scratch:size=20m", restart: no, networks: [back]}\n  two: {host: left,',
        "volumes: ['data:/data']}\n  two: {host: left, volumes: ['data:/other'],",
        (
            't:6: containers.one.volumes.0 is "data:/data"; it must be another volume: the agents of two have data to '
            "themselves"
        ),
    ),
    (
        'tmpfs: "/scratch:size=20m", restart: no, networks: [back]}\n  two: {host: left,',
        (
            "volumes: ['data:/data']}\n  job: {host: left, image: x, volumes: ['logs:/logs', 'data:/data:ro']}\n"
            "  two: {host: left,"
        ),
        (
            't:7: containers.job.volumes.1 is "data:/data:ro"; it must be another volume: the agents of one have data '
            "to themselves"
        ),
    ),
]


@pytest.mark.parametrize(("before", "after", "complaint"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_go_together_is_named(before: str, after: str, complaint: str) -> None:
    """The finding is the only one, with its line, its value and what would go."""
    assert [complaint] == complaints(before, after)


def test_programs_of_ones_own_may_share_a_volume() -> None:
    """Nobody's page cache is modelled there; and volumes of agents by other names are no matter."""
    text = SOUND.replace('tmpfs: "/scratch:size=20m"', "volumes: ['data:/data']").replace(
        "image: redis:7", "image: redis:7, volumes: ['shared:/a', 'other:/b']"
    )
    told = text.replace("agents:\n", "  job: {host: right, image: x, volumes: ['shared:/c:ro']}\nagents:\n")

    assert 4 == len(load_text(told, "t").containers)


@pytest.mark.parametrize("policy", ["no", "on-failure", "on-failure:3"])
def test_a_job_can_be_waited_for(policy: str) -> None:
    """An image whose program may end is done when it ended well."""
    text = SOUND.replace("restart: always", f"restart: {policy}")
    waiting = text.replace(D, "depends_on: {db: {condition: service_completed_successfully}}")

    assert "completed" == load_text(waiting, "t").container("two").dependencies[0].condition


def test_a_long_circle_is_cut_and_a_long_chain_is_none() -> None:
    """Two thousand containers that wait one for the next are sound, until the first waits for the last."""
    chain = "".join(f"  c{number}: {{host: left, depends_on: [c{number + 1}]}}\n" for number in range(2000))
    text = SOUND.replace("agents:\n", f"{chain}  c2000: {{host: left}}\nagents:\n")
    load_text(text, "t")
    with pytest.raises(ScenarioError, match=r"free of circles: (c\d+ waits for ){8}\.\.\.$"):
        load_text(text.replace("c2000: {host: left}", "c2000: {host: left, depends_on: [c0]}"), "t")
