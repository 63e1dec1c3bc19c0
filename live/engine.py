"""The way to the Docker engine: one client for a whole command, with a pool wide enough for every thread."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from live.errors import EngineMissing, EngineRefused, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    options: dict[str, Any] = {"timeout": ENGINE_TIMEOUT_S, "max_pool_size": CONNECTIONS_MAX}
    with contextlib.ExitStack() as unless_it_answers:
        try:
            client = (
                docker.from_env(**options) if context is None else docker.DockerClient.from_context(context, **options)
            )
            unless_it_answers.callback(client.close)
            client.ping()
        except Exception as problem:  # noqa: BLE001  # Whatever the SDK raises on the way to an engine, there is none.
            raise EngineMissing(where, _root(problem)) from None
        unless_it_answers.pop_all()
    return client


@contextlib.contextmanager
def answering(wanted: str) -> Iterator[None]:
    """Turn an engine that refuses, is slow or is gone in here into `EngineRefused`, with what was wanted of it."""
    try:
        yield
    except engine_errors() as problem:
        raise EngineRefused(wanted, reason(problem)) from None


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
