"""What all tests share: a clock, a home of their own, a real engine or browser, and the words at the end of a run."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import warnings
from typing import TYPE_CHECKING, NoReturn

import pytest
import simpy
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import docker

HOME_VARIABLE = "TONNAGE_HOME"
REQUIRE_DOCKER_VARIABLE = "TONNAGE_REQUIRE_DOCKER"
REQUIRE_BROWSER_VARIABLE = "TONNAGE_REQUIRE_BROWSER"
RUN_LABEL = "io.tonnage.run"
PID_LABEL = "io.tonnage.pid"
ENGINE_TIMEOUT_S = 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIXTURE_OF_MARKER = {"docker": "docker_engine", "browser": "browser_path"}
CLOSING_LINES = pytest.StashKey[list[str]]()

# No deadline, because other work on the machine must not fail a test; the same examples in every run of the CI.
settings.register_profile("tonnage", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("tonnage")


def pytest_configure(config: pytest.Config) -> None:
    """Start the list of closing lines."""
    config.stash[CLOSING_LINES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each marked test the fixture that skips it, or fails it, where its engine or browser is missing.

    It comes first among the test's fixtures, so that it is torn down last and sees what the others left.
    """
    for item in items:
        for marker, fixture in FIXTURE_OF_MARKER.items():
            if isinstance(item, pytest.Function) and item.get_closest_marker(marker):
                item.fixturenames.insert(0, fixture)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests and fixtures wanted said at the end, just above pytest's own closing line."""
    for line in config.stash[CLOSING_LINES]:
        terminalreporter.write_line(line)


@pytest.fixture(name="closing_lines")
def _closing_lines(pytestconfig: pytest.Config) -> list[str]:
    """Lines to be printed at the end of the test run; a test may append its own."""
    return pytestconfig.stash[CLOSING_LINES]


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """Signals that arrive, in a test and its children, also where a shell ignores them for what runs in background."""
    before = [
        (signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)),
        (signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL)),
    ]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(name="env")
def _env() -> simpy.Environment:
    """A clock at zero with nothing scheduled."""
    return simpy.Environment()


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep fixtures that live longer than one test out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(name="home", autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where this test's records go: its own, so that no test sees another's or the user's."""
    home = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    return home


@pytest.fixture(name="browser_path", scope="session")
def _browser_path() -> str:
    """The path of Chromium or Chrome; without one the test is skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        why = "no Chromium or Chrome on the path; .ci/get-browser gets one"
        if os.environ.get(REQUIRE_BROWSER_VARIABLE) == "1":
            pytest.fail(f"{why}, and {REQUIRE_BROWSER_VARIABLE}=1 asks for one")
        pytest.skip(why)
    return found


@pytest.fixture(name="docker_engine", scope="session")
def _docker_engine(pytestconfig: pytest.Config) -> Iterator[docker.DockerClient]:
    """A client of the Docker engine; without an engine the test is skipped, or fails where one is required.

    After the last test nothing of ours may be on the engine that was not there before the first.
    """
    client = _connect()
    try:
        before = _labelled(client)
        yield client
        left = sorted(name for key, name in _labelled(client).items() if key not in before)
    finally:
        client.close()
    pytestconfig.stash[CLOSING_LINES].append(f"leftovers after the test run: {len(left)}")
    assert not left, f"the tests left on the engine: {', '.join(left)}"


@pytest.fixture(name="private_engines", scope="session")
def _private_engines() -> None:
    """That an engine of a test's own can be started; where not, the test is skipped, or fails where one is required."""
    from live.private_engine import obstacle

    why = obstacle()
    if why:
        _without_engine(f"no engine of a test's own can be started ({why})")


def _connect() -> docker.DockerClient:
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        _without_engine("the Docker SDK is not installed; pip install -e '.[live]' brings it")
    client, why = None, ""
    with warnings.catch_warnings():
        # Where nobody listens the SDK drops its socket unclosed, which would fail a later test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        except DockerException as problem:
            why = f"no Docker engine answers ({problem}); .ci/start-engine starts one"
        gc.collect()
    if client is None:
        _without_engine(why)
    return client


def _without_engine(why: str) -> NoReturn:
    if os.environ.get(REQUIRE_DOCKER_VARIABLE) == "1":
        pytest.fail(f"{REQUIRE_DOCKER_VARIABLE}=1, but {why}", pytrace=False)
    pytest.skip(why)


def _labelled(client: docker.DockerClient) -> dict[str, str]:
    """Names by id of what a run made on the engine, others' running runs apart."""
    filters = {"label": RUN_LABEL}
    containers = client.api.containers(all=True, filters=filters)
    networks = client.api.networks(filters=filters)
    volumes = client.api.volumes(filters=filters)["Volumes"] or []
    return {
        str(found.get("Id") or found["Name"]): str(found.get("Name") or found["Names"][0].lstrip("/"))
        for found in [*containers, *networks, *volumes]
        if not _is_of_another(found["Labels"])
    }


def _is_of_another(labels: Mapping[str, str]) -> bool:
    """Whether a process that runs now, and is not this one, made it: another user's run on the same engine."""
    import psutil

    pid = int(labels.get(PID_LABEL, "0"))
    return pid not in {0, os.getpid()} and psutil.pid_exists(pid)
