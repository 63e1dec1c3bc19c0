"""Whether anybody listens where an engine should be, asked without the SDK.

The SDK leaves the socket of each connection that was refused to the garbage collector, so a lost engine that is asked
again and again would cost one each time. Only Unix sockets can be asked so; of others nothing is known.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker

KNOCK_S_MAX = 2.0


def nobody_listens(client: docker.DockerClient) -> bool:
    """Whether a connection to the engine is certain to be refused."""
    path = getattr(client.api.get_adapter(client.api.base_url), "socket_path", None)
    if not isinstance(path, str):
        return False
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(KNOCK_S_MAX)
        try:
            knocking.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False
