"""The way to the Docker engine: one client for a whole command, with a pool wide enough for every thread.

Which engine: the context a story names; else DOCKER_HOST; else DOCKER_CONTEXT or the CLI's current context.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from typing import TYPE_CHECKING, Any, cast

from live.errors import EngineMissing, EngineRefused, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from docker.context import Context

# The longest any one request may take, event and attach streams apart.
ENGINE_TIMEOUT_S = 60

# Idle connections kept: twice the calls under way at once, so that none is thrown away and made anew.
CONNECTIONS_MAX = 64

REASON_CHARACTERS_MAX = 300
DEFAULT_CONTEXT = "default"
CAUSES_MAX = 20

# What the SDK would say is the name of a class of its own that it could not make.
NEEDS_PARAMIKO = (
    "an ssh:// address takes the package paramiko, which is not installed; "
    "`ssh -N -L /tmp/engine.sock:/var/run/docker.sock USER@HOST` and DOCKER_HOST=unix:///tmp/engine.sock do without"
)
NO_CONTEXT = "there is no such context; `docker context ls` lists them"
NO_CONFIG = "the SDK finds contexts beside Docker's config.json, and there is none: `docker context use NAME` makes one"


def connect(context: str | None = None) -> docker.DockerClient:
    """A client of the engine that the context, DOCKER_HOST or the current Docker context names.

    `EngineMissing` where none answers, `MissingExtra` where the SDK is not installed.
    """
    try:
        import docker  # noqa: F401  # Whoever has no SDK is told so, and not that there is no engine.
    except ImportError:
        raise MissingExtra("docker") from None
    try:
        hopeless = _why_hopeless(context)
        client = None if hopeless else _speaking_its_version(context)
    except Exception as problem:  # noqa: BLE001  # Whatever the SDK raises on the way to an engine, there is none.
        raise EngineMissing(_address(context), _root(problem)) from None
    if client is None:
        raise EngineMissing(_address(context), hopeless)
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
    name = context or (None if os.environ.get("DOCKER_HOST") else os.environ.get("DOCKER_CONTEXT"))
    if name:
        return f"the Docker context {name}"
    return os.environ.get("DOCKER_HOST") or "the current Docker context"


def _why_hopeless(context: str | None) -> str:
    """Why the SDK need not be asked, or nothing: it takes a context that it does not know for the local engine."""
    from docker.context import ContextAPI
    from docker.utils.config import find_config_file

    host = None if context else os.environ.get("DOCKER_HOST")
    if not host:
        name = context or os.environ.get("DOCKER_CONTEXT")
        # The SDK would look for it below the current directory.
        if name and name != DEFAULT_CONTEXT and find_config_file() is None:
            return NO_CONFIG
        # Its types do not say so, but it gives None.
        found = cast("Context | None", ContextAPI.get_context(name))
        if found is None:
            return NO_CONTEXT
        host = str(found.Host)
    return NEEDS_PARAMIKO if host.startswith("ssh://") and importlib.util.find_spec("paramiko") is None else ""


def _speaking_its_version(context: str | None) -> docker.DockerClient:
    """A client that speaks the version of its API that the engine says it has."""
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    # The SDK can ask for the version itself, but only before a client can be changed.
    with contextlib.closing(_client(context, MINIMUM_DOCKER_API_VERSION)) as asking:
        version = asking.version(api_version=False)["ApiVersion"]
    return _client(context, version)


def _client(context: str | None, version: str) -> docker.DockerClient:
    """A client that has not asked anything yet."""
    import docker
    from requests.adapters import HTTPAdapter

    options: dict[str, Any] = {"timeout": ENGINE_TIMEOUT_S, "max_pool_size": CONNECTIONS_MAX, "version": version}
    named = docker.DockerClient.from_context
    client = docker.from_env(**options) if context is None else named(context, **options)
    for scheme in ("http://", "https://"):
        if client.api.base_url.startswith(scheme):
            # The SDK gives the wide pool to clients over a socket only.
            client.api.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS_MAX))
    if client.api.base_url.startswith("https://"):
        # Else REQUESTS_CA_BUNDLE would say which authorities an engine may be of, and not its context.
        client.api.trust_env = False
    return client
