"""What a story may ask for that an engine does not keep: Podman speaks Docker's words, but not all come with deeds.

Measured with Podman 4.3 (`docs/engines.md`): health checks are never told, restarts come without back-off and hide the
exit code, limits cannot be changed, and a full tmpfs goes unnoticed. A run would go on and its figures would mislead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from live.engine_place import product
from live.errors import UnfitStory
from scenarios.story import ChangeLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios.story import Story


def refuse_gaps(story: Story, info: dict[str, Any]) -> None:
    """`UnfitStory` where the engine, by its own `info`, is one that does not keep what the story asks for."""
    first = next(_gaps(story), None)
    if first is not None and product(info) == "Podman":
        raise UnfitStory(
            story.name, f"the engine is Podman, where {first} does not work as in Docker; use Docker's own"
        )


def _gaps(story: Story) -> Iterator[str]:
    """Each thing that Podman does not keep, in the words of the scenario."""
    for container in story.containers:
        if container.restart.condition != "no":
            yield f"`restart` of {container.name}"
        if container.health is not None:
            yield f"`healthcheck` of {container.name}"
        if container.tmpfs:
            yield f"`tmpfs` of {container.name}"
    for fault in story.faults:
        if isinstance(fault, ChangeLimits):
            yield f"`limit` of {fault.container}"
