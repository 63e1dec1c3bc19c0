"""The containers of one live run: by their names in the story, by the engine's ids, and every line that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from live.line import Line
    from live.live_container import LiveContainer


class ContainerRegister:
    """Who is there. It belongs to the loop; other threads may only read."""

    def __init__(self) -> None:
        """Know of nobody."""
        self._by_name: dict[str, LiveContainer] = {}
        self._by_id: dict[str, LiveContainer] = {}
        # Those of lives that are over included, until they are hung up.
        self.lines: set[Line] = set()

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def all(self) -> tuple[LiveContainer, ...]:
        """Every container whose name is taken."""
        return tuple(self._by_name.values())

    @property
    def up(self) -> tuple[LiveContainer, ...]:
        """The containers that are up."""
        return tuple(container for container in self.all if container.state == "up")

    def named(self, name: str) -> LiveContainer | None:
        """Who has this name."""
        return self._by_name.get(name)

    def by_id(self, container_id: str) -> LiveContainer | None:
        """Whom the engine calls so."""
        return self._by_id.get(container_id)

    def enter(self, coming: LiveContainer) -> None:
        """Take a name."""
        self._by_name[coming.name] = coming

    def created(self, coming: LiveContainer) -> None:
        """Know the engine's id too."""
        self._by_id[coming.container_id] = coming

    def forget(self, gone: LiveContainer) -> None:
        """Free the name of a container that is gone."""
        gone.state = "gone"
        if self._by_name.get(gone.name) is gone:
            del self._by_name[gone.name]
        self._by_id.pop(gone.container_id, None)
