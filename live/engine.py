"""The way to the Docker engine: one client for a whole command, with a pool wide enough for every thread."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from live.errors import EngineMissing, MissingExtra

if TYPE_CHECKING:
    import docker

# The longest any one request may take, event and attach streams apart.
ENGINE_TIMEOUT_S = 60

# Idle connections kept: twice the calls under way at once, so that none is thrown away and made anew.
CONNECTIONS_MAX = 64

REASON_CHARACTERS_MAX = 300
CAUSES_MAX = 20


def connect(context: str | None = None) -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST or the Docker context names.

    `EngineMissing` where none answers, `MissingExtra` where the SDK is not installed.
    """
    try:
        import docker
    except ImportError:
        raise MissingExtra("docker") from None
    where = _address(context)
    try:
        if context is None:
            client = docker.from_env(timeout=ENGINE_TIMEOUT_S, max_pool_size=CONNECTIONS_MAX)
        else:
            client = docker.DockerClient.from_context(context, timeout=ENGINE_TIMEOUT_S, max_pool_size=CONNECTIONS_MAX)
        client.ping()
    except Exception as problem:  # noqa: BLE001  # Whatever the SDK raises on the way to an engine, there is none.
        raise EngineMissing(where, _root(problem)) from None
    return client


def reason(problem: BaseException) -> str:
    """Why the engine refused, in one line: its own explanation where it gave one."""
    text = str(getattr(problem, "explanation", None) or "") or str(problem) or type(problem).__name__
    return re.sub(r"\s+", " ", text).strip()[:REASON_CHARACTERS_MAX]


def _root(problem: BaseException) -> str:
    """What was first to go wrong: the SDK wraps a refused connection several times."""
    innermost = problem
    for _ in range(CAUSES_MAX):
        deeper = innermost.__cause__ or innermost.__context__
        if deeper is None:
            break
        innermost = deeper
    return reason(innermost)


def engine_errors() -> tuple[type[Exception], ...]:
    """What the SDK raises where the engine refuses, is slow or is gone: to be turned into an outcome at once."""
    import docker.errors
    import requests

    return (docker.errors.DockerException, requests.RequestException, OSError)


def _address(context: str | None) -> str:
    if context is not None:
        return f"the Docker context {context}"
    return os.environ.get("DOCKER_HOST") or "the current Docker context"
