"""The command `tonnage dashboard`."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from dashboard import commands
from dashboard.job_request import ALLOW_LIVE


def run(*arguments: str) -> tuple[int, str]:
    """Run a command line that has only this command; its exit code and all it said."""
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_line_loads_nothing_heavy() -> None:
    """`tonnage --help` does not wait for Streamlit, Plotly or pandas."""
    heavy = "{'streamlit', 'plotly', 'pandas', 'numpy', 'pyarrow'}"
    code = f"import sys, dashboard.commands; sys.exit(bool({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_extra_is_one_line_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the packages are not installed, the command says what to install."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "streamlit" else find(name))

    expected = "tonnage: the dashboard needs streamlit; install with: pip install 'tonnage[dashboard]'\n"
    assert (2, expected) == run("dashboard")


# A package that a finder refuses to find is as good as not installed.
WITHOUT_DOCKER = """
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "docker":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import dashboard
for found in pkgutil.walk_packages(dashboard.__path__, "dashboard."):
    if found.name not in {"dashboard.app", "dashboard.demo"}:
        importlib.import_module(found.name)
        print(found.name)
"""


def test_the_app_needs_no_docker_package() -> None:
    """An install with the dashboard alone shows its pages; the demonstration, which runs live, is no part of them."""
    command = [sys.executable, "-c", WITHOUT_DOCKER]
    ended = subprocess.run(command, cwd=commands.APP.parents[1], capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stderr
    assert {"dashboard.jobs", "dashboard.views.runs", "dashboard.views.one_run"} <= set(ended.stdout.split())


def test_all_that_the_extra_brings_is_looked_for() -> None:
    """Whatever the dashboard extra installs is missed by name where it is not there."""
    extra = tomllib.loads((commands.APP.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    brought = extra["project"]["optional-dependencies"]["dashboard"]

    assert {requirement.partition(">")[0] for requirement in brought} == set(commands.NEEDED)


def test_a_port_in_use_is_one_line_with_another() -> None:
    """Nothing is started where something listens already."""
    with socket.socket() as taken:
        taken.bind((commands.ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]

        expected = f"tonnage: port {port} is in use; choose another: tonnage dashboard --port {port + 1}\n"
        assert (2, expected) == run("dashboard", "--port", str(port))


@pytest.mark.parametrize("port", ["0", "70000", "eighty"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    """Bad input ends with exit code 2 before anything is started."""
    assert run("dashboard", "--port", port)[0] == 2


def test_the_server_keeps_to_this_machine_and_is_silent() -> None:
    """It listens on the loopback address, knows no other host name, and reports to nobody."""
    command = commands.server_command(8502)
    options = dict(zip(command[5::2], command[6::2], strict=True))

    assert ["-m", "streamlit", "run", str(commands.APP)] == command[1:5]
    assert ("127.0.0.1", "8502", "false", "true") == (
        options["--server.address"],
        options["--server.port"],
        options["--browser.gatherUsageStats"],
        options["--server.headless"],
    )
    hosts = [value for name, value in zip(command[5::2], command[6::2], strict=True) if name.endswith("allowedHosts")]
    assert ["127.0.0.1", "localhost"] == hosts


def test_live_runs_are_allowed_by_the_flag_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says so is not enough: the flag of this start decides."""
    seen: list[str | None] = []

    class Server:
        """A stand-in for the server, which ends at once."""

        def __init__(self, _command: list[str], env: dict[str, str]) -> None:
            """Note what it may do."""
            seen.append(env.get(ALLOW_LIVE))

        def wait(self) -> int:
            """End well."""
            return 0

    monkeypatch.setenv(ALLOW_LIVE, "1")
    monkeypatch.setattr(subprocess, "Popen", Server)
    monkeypatch.setattr(commands, "_is_free", lambda _port: True)
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
    codes = [run("dashboard")[0], run("dashboard", "--allow-live")[0]]

    assert [0, 0] == codes
    assert [None, "1"] == seen


class Endless:
    """A stand-in for a server that is at work until it is asked to end."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        """Start."""
        self.is_asked = False

    def terminate(self) -> None:
        """Take note that it shall end."""
        self.is_asked = True

    def wait(self, _timeout_s: float | None = None) -> int:
        """End by the signal where it was asked to; else Ctrl-C comes meanwhile."""
        if not self.is_asked:
            raise KeyboardInterrupt
        return -signal.SIGTERM


class Terminated(Endless):
    """A stand-in for a server that is ended by SIGTERM while it is waited for."""

    def wait(self, _timeout_s: float | None = None) -> int:
        """End by the signal."""
        return -signal.SIGTERM


@pytest.mark.parametrize(("server", "code"), [(Endless, 0), (Terminated, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_ending_the_dashboard_is_no_failure(server: type, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, which is how it is ended, is success without another word; SIGTERM ends as a shell knows it."""
    monkeypatch.setattr(subprocess, "Popen", server)
    monkeypatch.setattr(commands, "_is_free", lambda _port: True)
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
    ended, said = run("dashboard")

    assert (code, 1) == (ended, said.count("\n"))
