"""Which values of a path are searched, and what the story is at each."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from scenarios import ScenarioError
from scenarios.fields import AGENTS_COUNT_MAX
from scenarios.units import MIB
from sim.errors import RequestError
from sim.experiments.ladder import SIZE_STEP_BYTES, Ladder, Wish, ladder

if TYPE_CHECKING:
    from pathlib import Path

COUNT = "agents.worker.count"
MEMORY = "containers.agents.mem_limit"
TEXT = """\
purpose: Something to vary.
duration: 1s
hosts: {local: {cpus: 4, memory: 4g}}
containers: {agents: {cpus: 1, mem_limit: 64m, memswap_limit: 80m}}
agents: {worker: {count: 3, think: 50ms, steps: [{hold: 10m}, {compute: 5ms}]}}
goals: {quick: {metric: step_latency_s_p95, max: 1s}}
"""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    """A scenario to vary."""
    path = tmp_path / "varied.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def values(found: Ladder) -> list[Fraction]:
    """The first value, the last, and their distance."""
    return [found.value(found.rungs[0]), found.value(found.rungs[-1]), found.step]


def made(file: Path, path: str | None, **wish: str) -> Ladder:
    """The ladder of a path."""
    return ladder(str(file), (), Wish(path, **wish))  # type: ignore[arg-type]  # All that is text is as typed.


def test_numbers_are_searched_in_ones(file: Path) -> None:
    """From one up, and each rung is the story with that value."""
    found = made(file, COUNT)

    assert [1, 1024, 1] == values(found)
    assert 7 == found.story(7).agents[0].count
    assert "1" == found.shown(found.value(found.start))


def test_the_scenario_may_name_what_is_varied(file: Path) -> None:
    """Without a path it is the one of the key `capacity`, which a path that is typed overrules."""
    file.write_text(f"{TEXT}capacity: {{vary: {MEMORY}}}\n", encoding="utf-8")

    assert [MEMORY, COUNT] == [made(file, None).path, made(file, COUNT).path]


def test_something_must_name_what_is_varied(file: Path) -> None:
    """Where neither the command nor the scenario does, one line says what to type or to write."""
    with pytest.raises(RequestError, match=r"^varied names nothing to vary; type for example --vary agents\.worker"):
        made(file, None)


def test_a_file_that_is_edited_meanwhile_is_another_story(file: Path) -> None:
    """Every value is set in the text as it was read at the beginning, also where the file is gone."""
    found = made(file, COUNT)
    file.write_text(TEXT.replace("hold: 10m", "hold: 90m"), encoding="utf-8")
    edited = found.story(7)
    file.unlink()

    assert [edited.agents[0].stages] * 2 == [found.story(9).agents[0].stages, found.loaded.story.agents[0].stages]
    assert ("varied", 7) == (edited.name, edited.agents[0].count)


def test_sizes_are_searched_in_steps_of_16_mib(file: Path) -> None:
    """A size path is known by its last word, and its values are whole steps."""
    found = made(file, MEMORY)

    assert [SIZE_STEP_BYTES] * 2 == [found.value(found.start), found.step]
    assert 48 * MIB == found.story(3).containers[0].memory_bytes_limit
    assert "48m" == found.shown(found.value(3))


def test_cpus_are_searched_in_tenths_up_to_the_host_s(file: Path) -> None:
    """More than the host has is refused by the language, so that the search ends there."""
    found = made(file, "containers.agents.cpus")

    assert [Fraction(1, 10), Fraction(4), Fraction(1, 10)] == values(found)
    assert 0.7 == found.story(7).containers[0].cpus_limit


def test_the_smallest_is_searched_from_the_other_end(file: Path) -> None:
    """The last rung is the lowest value, which is the hardest, and the search begins there."""
    found = ladder(str(file), (), Wish(COUNT, high="20", smallest=True))

    assert [20, 1] == values(found)[:2]
    assert found.start == found.rungs[-1]
    assert 5 == found.story(-5).agents[0].count


def test_bounds_and_steps_are_taken_as_typed(file: Path) -> None:
    """Ends that lie between two steps are moved inwards."""
    assert [6, 18, 3] == values(made(file, COUNT, low="4", high="20", step="3"))
    assert [64 * MIB, 96 * MIB, 32 * MIB] == values(made(file, MEMORY, low="60m", high="100m", step="32m"))


def test_a_search_that_is_not_bounded_reaches_far_beyond_what_is_written(file: Path) -> None:
    """A story of thousands is searched for more of them, up to what the language allows."""
    found = ladder(str(file), ((COUNT, "2000"),), Wish(COUNT))
    most = ladder(str(file), ((COUNT, str(AGENTS_COUNT_MAX)),), Wish(COUNT))

    assert (8000, AGENTS_COUNT_MAX) == (found.rungs[-1], most.rungs[-1])


def test_values_that_the_language_refuses_are_left_out(file: Path) -> None:
    """Without bounds of the user's own the search keeps to what may be written."""
    shares = made(file, "containers.agents.cpu_shares")
    shrunk = ladder(str(file), (("live.scale.memory", "1/2"),), Wish(MEMORY, step="4m"))

    assert 2 == shares.rungs[0]
    # Docker demands 6 MiB of the shrunk story.
    assert 12 * MIB == shrunk.value(shrunk.rungs[0])


def test_swap_moves_along_with_memory(file: Path) -> None:
    """A container with 16m of swap has them at every limit; what another path varies is left alone."""
    container = made(file, MEMORY).story(8).containers[0]

    assert (128 * MIB, 144 * MIB) == (container.memory_bytes_limit, container.memory_swap_bytes_limit)
    assert made(file, COUNT).swap_bytes is None


def test_swap_that_is_not_written_is_docker_s(file: Path) -> None:
    """Without a memswap_limit Docker allows as much swap again, at every limit."""
    file.write_text(TEXT.replace(", memswap_limit: 80m", ""), encoding="utf-8")
    container = made(file, MEMORY).story(8).containers[0]

    assert (128 * MIB, 256 * MIB) == (container.memory_bytes_limit, container.memory_swap_bytes_limit)


def test_a_size_within_a_list_is_a_size(file: Path) -> None:
    """Steps have numbers, and what an agent holds is a size like any other."""
    found = made(file, "agents.worker.steps.0.hold", high="1g")

    assert [SIZE_STEP_BYTES, 1024 * MIB] == values(found)[:2]


@pytest.mark.parametrize(
    ("path", "wish", "said"),
    [
        (COUNT, {"low": "x"}, r"^--low x cannot be read: it must be a number"),
        (MEMORY, {"high": "many"}, r"^--high many cannot be read: it must be a size"),
        (COUNT, {"step": "0"}, r"^--step 0 is not above zero; write for example --step 1$"),
        (COUNT, {"low": "5", "high": "4"}, r"^between --low and --high, 5 and 4, there is no whole step"),
        (COUNT, {"low": "-1"}, r"^--low -1 is below zero"),
        (COUNT, {"low": "0"}, r"^--vary agents.worker.count=0: agents.worker.count is 0"),
        (COUNT, {"high": "200000"}, r"^--vary agents.worker.count=200000: .* or less"),
        ("agents.wroker.count", {}, r"there is no agents.wroker; did you mean agents.worker\?"),
        ("purpose.first", {}, r"^--vary purpose.first=1: purpose is a single value"),
        ("purpose", {}, r"^--vary purpose is words in this scenario \('Something to vary.'\); name what has a number"),
        ("", {}, r"the path must be names with dots between"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(file: Path, path: str, wish: dict[str, str], said: str) -> None:
    """Every mistake names the option that was typed, and nothing is run."""
    with pytest.raises((RequestError, ScenarioError), match=said) as caught:
        made(file, path, **wish)

    assert "\n" not in str(caught.value)
