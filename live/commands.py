"""Commands of the live layer: measure-host and doctor.

As in every layer a command parses and prints; the work is one call that tests make too.
Docker is imported inside a command, so that the others work without it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from live.errors import EngineMissing
from sim.commands import JsonOption, say, show, show_json

if TYPE_CHECKING:
    from live.doctor import Finding

MISSING_WORLD = 3
MARKS = {"fine": "ok", "note": "note", "warning": "warning", "error": "ERROR"}


def register(app: typer.Typer) -> None:
    """Add this layer's commands to the front door."""

    @app.command("measure-host")
    def measure_host(as_json: JsonOption = False) -> None:
        """Measure this machine's physics constants with real containers; takes about five minutes."""
        _measure_host(as_json=as_json)

    @app.command()
    def doctor(
        fix: Annotated[bool, typer.Option("--fix", help="Remove what crashed runs left on the engine.")] = False,
        as_json: JsonOption = False,
    ) -> None:
        """Say whether this machine is fit for live runs, what was left behind, and how near the walls are."""
        _doctor(fix=fix, as_json=as_json)


def _measure_host(*, as_json: bool) -> None:
    from live.measuring import measure_and_keep
    from sim.places import host_profile

    profile = measure_and_keep(say)
    path = host_profile()
    if as_json:
        show_json({"kind": "measure-host", "profile": profile.to_json(), "path": str(path)})
        return
    for name, value in profile.to_json().items():
        if name != "origin":
            show(f"{name:<26} {value}  {profile.origin.get(name, '')}".rstrip())
    show(f"kept in {path}")


def _doctor(*, fix: bool, as_json: bool) -> None:
    from live.engine import connect

    try:
        client = connect()
    except EngineMissing as problem:
        from live.doctor import findings_without_engine, mend_without_engine

        done = mend_without_engine() if fix else []
        _tell(findings_without_engine(problem), done, as_json=as_json)
        raise typer.Exit(MISSING_WORLD) from None
    # Only here, because it needs the SDK, whose absence `connect` puts into words.
    from live.doctor import findings, mend

    try:
        done = mend(client) if fix else []
        found = findings(client)
    finally:
        client.close()
    _tell(found, done, as_json=as_json)
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(1)


def _tell(found: list[Finding], done: list[str], *, as_json: bool) -> None:
    if as_json:
        show_json({"kind": "doctor", "findings": [asdict(finding) for finding in found], "done": done})
        return
    for line in done:
        show(line)
    for finding in found:
        remedy = f" ({finding.remedy})" if finding.remedy else ""
        show(f"{MARKS[finding.severity]:<8} {finding.kind}: {finding.text}{remedy}")
