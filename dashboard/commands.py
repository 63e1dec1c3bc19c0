"""The command `tonnage dashboard`; nothing of Streamlit or Plotly is imported here."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from dashboard.job_request import ALLOW_LIVE

APP = Path(__file__).with_name("app.py")
ADDRESS = "127.0.0.1"
HOST_NAMES = (ADDRESS, "localhost")
NEEDED = ("streamlit", "plotly", "pandas", "psutil")
CLOSING_S_MAX = 10.0
"""The server has so long to close its connections when it is asked to end."""

SETTINGS = {
    "server.address": ADDRESS,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "runner.magicEnabled": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "type",
    "logger.hideWelcomeMessage": "true",
    "theme.paddingTop": "2.5rem",
    "theme.light.primaryColor": "#2E6FA8",
    "theme.dark.primaryColor": "#2E7EBB",
}
"""How the server is set up: on this machine only, silent towards the outside, and in the dashboard's own colours."""


def register(app: typer.Typer) -> None:
    """Add `dashboard` to the command line."""
    app.command(name="dashboard")(dashboard)


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on, on this machine only.")] = 8501,
    allow_live: Annotated[
        bool, typer.Option("--allow-live", help="Let the web page start live runs on the Docker engine.")
    ] = False,
) -> None:
    """Show runs, validations and stories in the browser; Ctrl-C ends it."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        _refuse(f"the dashboard needs {' and '.join(missing)}; install with: pip install 'tonnage[dashboard]'")
    if not _is_free(port):
        _refuse(
            f"port {port} is in use; choose another: tonnage dashboard --port {port + 1 if port < 65_535 else 8501}"
        )
    typer.echo(f"Tonnage's dashboard: http://{ADDRESS}:{port} · Ctrl-C ends it")
    if allow_live:
        typer.echo("Live runs are allowed: whoever reaches this page can start containers on the Docker engine.")
    raise typer.Exit(_serve(port, allow_live=allow_live))


def _refuse(line: str) -> None:
    """Say what to do in one line and end with exit code 2."""
    typer.echo(f"tonnage: {line}", err=True)
    raise typer.Exit(2)


def _is_free(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def server_command(port: int) -> list[str]:
    """The command that starts the web server."""
    settings = {**SETTINGS, "server.port": str(port)}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    # Other names would let a foreign web page reach this server by DNS rebinding.
    options += [word for name in HOST_NAMES for word in ("--server.allowedHosts", name)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *options]


def _serve(port: int, *, allow_live: bool) -> int:
    """Run the web server as a child until it ends, and take it along when this process is ended."""
    environment = {name: value for name, value in os.environ.items() if name != ALLOW_LIVE}
    if allow_live:
        environment[ALLOW_LIVE] = "1"
    server = subprocess.Popen(server_command(port), env=environment)
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.terminate())
    try:
        code = server.wait()
    except KeyboardInterrupt:
        # Ctrl-C is how the dashboard is ended, so it is no failure; pressed again it must not disturb the closing.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _close(server)
        return 0
    # A signal's number is negative here, and 128 more of it in a shell.
    return code if code >= 0 else 128 - code


def _close(server: subprocess.Popen[bytes]) -> None:
    """End the web server, which gets a moment to close its connections."""
    server.terminate()
    try:
        server.wait(CLOSING_S_MAX)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
