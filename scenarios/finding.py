"""What the coherence checks find, and what all of them need: names that are known, and what a name stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.laws import law_mean
from scenarios.wording import closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenarios.container_schema import Container
    from scenarios.schema import Host, Scenario
    from scenarios.story import Law
    from scenarios.yaml_tree import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """A value that does not go with the rest: where it stands, and what it must be."""

    path: Path
    must: str
    example: str = ""


def known(path: Path, name: str | None, section: str, names: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding unless `name` is one of `names`; None is fine where there is only one."""
    there = list(names)
    if name in there or (name is None and len(there) == 1):
        return
    if not there:
        yield Finding(path, f"a name out of {section}, and this scenario has none")
        return
    yield Finding(path, f"a name out of {section}: {', '.join(there[:10])}", closest(name or "", there) or there[0])


def host_of(scenario: Scenario, container: Container) -> Host | None:
    """Return the host of a container, which may be left out where there is only one."""
    if container.host is None and len(scenario.hosts) == 1:
        return next(iter(scenario.hosts.values()))
    return scenario.hosts.get(container.host or "")


def container_of(scenario: Scenario, name: str | None) -> Container | None:
    """Return the container of a name, which may be left out where there is only one."""
    if name is None and len(scenario.containers) == 1:
        return next(iter(scenario.containers.values()))
    return scenario.containers.get(name or "")


def law_least(law: Law) -> float:
    """Return the smallest value a law can give; of a law that begins at 0, its mean, which is what counts of it."""
    return min(law.numbers) if law.kind in {"constant", "uniform", "empirical"} else law_mean(law)
