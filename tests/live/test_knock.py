"""Whether anybody listens at an engine's socket."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from live.knock import nobody_listens

if TYPE_CHECKING:
    from pathlib import Path

    import docker


def client(**adapter: object) -> docker.DockerClient:
    """A client whose way to the engine is this."""
    api = SimpleNamespace(base_url="http+docker://localhost", get_adapter=lambda _: SimpleNamespace(**adapter))
    return cast("docker.DockerClient", SimpleNamespace(api=api))


def test_a_socket_says_whether_somebody_is_there(tmp_path: Path) -> None:
    """Before it is there, while it is listened to, and when its file is left behind."""
    path = tmp_path / "engine.sock"
    found = [nobody_listens(client(socket_path=str(path)))]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        found.append(nobody_listens(client(socket_path=str(path))))
    found.append(nobody_listens(client(socket_path=str(path))))

    assert found == [True, False, True]


def test_of_other_ways_nothing_is_known() -> None:
    """An engine over TCP or SSH has to be asked itself."""
    assert not nobody_listens(client())
