"""The doctor and the commands of the live layer, on a real engine and without one."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from live import doctor
from live.commands import register
from live.doctor import Finding, findings, mend
from live.errors import EngineMissing
from live.image import worker_image
from live.labels import RunLabels
from live.lock import lock_path, read_holder
from live.owner import Owner

if TYPE_CHECKING:
    from pathlib import Path

    import docker

LEFT_NAME = "tonnage-doctor-test"


@pytest.fixture(name="app")
def _app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def of_kind(found: list[Finding], kind: str) -> list[Finding]:
    """The findings of one kind."""
    return [finding for finding in found if finding.kind == kind]


@pytest.mark.docker
class TestWithEngine:
    """Where an engine answers."""

    def test_an_engine_in_order(self, docker_engine: docker.DockerClient) -> None:
        """The engine is described, and every finding that asks for something says what to do."""
        found = findings(docker_engine)

        version = docker_engine.info()["ServerVersion"]
        assert of_kind(found, "engine")[0].text.startswith(f"Docker {version}, cgroup v")
        assert {"engine", "leftovers", "networks", "image", "profile"} <= {finding.kind for finding in found}
        assert [finding for finding in found if finding.severity in {"warning", "error"} and not finding.remedy] == []

    def test_leftovers_are_found_and_mended(self, docker_engine: docker.DockerClient, app: typer.Typer) -> None:
        """A container of a run that is over is a warning; `--fix` removes it and says so."""
        over = RunLabels("doctor-test", Owner("another-host", "boot", 1, "1"), lease_until_s=1.0)
        image = worker_image(docker_engine)
        docker_engine.api.create_container(image, name=LEFT_NAME, labels=over.as_labels())

        (before,) = of_kind(findings(docker_engine), "leftovers")
        result = CliRunner().invoke(app, ["doctor", "--fix", "--json"])

        assert before.severity == "warning"
        assert LEFT_NAME in before.text
        assert result.exit_code == 0
        answer = json.loads(result.stdout)
        assert answer["kind"] == "doctor"
        assert f"removed container {LEFT_NAME}" in answer["done"]
        assert {"kind", "severity", "text", "remedy"} == set(answer["findings"][0])
        assert docker_engine.api.containers(all=True, filters={"name": LEFT_NAME}) == []

    def test_a_stale_lock_is_emptied(self, docker_engine: docker.DockerClient, home: Path) -> None:
        """A holder that crashed is named, and forgotten once mended."""
        home.mkdir(parents=True)
        lock_path().write_text('{"pid": 1, "run": "ab12", "since_s": 1.0}', encoding="utf-8")

        (before,) = of_kind(findings(docker_engine), "lock")
        done = mend(docker_engine)

        assert "names run ab12 of process 1" in before.text
        assert f"emptied {lock_path()}" in done
        assert read_holder() is None
        assert of_kind(findings(docker_engine), "lock") == []

    def test_few_networks_are_a_warning(
        self, docker_engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Close to the wall the doctor says how near it is, and what moves it."""
        monkeypatch.setattr(doctor, "NETWORKS_COUNT_MIN", 1000)

        (finding,) = of_kind(findings(docker_engine), "networks")

        assert finding.severity == "warning"
        assert "of 31 user networks are free" in finding.text or "user networks are free" in finding.text
        assert "default-address-pools" in finding.remedy

    def test_a_text_for_people(self, docker_engine: docker.DockerClient, app: typer.Typer) -> None:
        """Without `--json` each finding is a line that begins with how it stands."""
        result = CliRunner().invoke(app, ["doctor"])

        assert result.exit_code == 0
        assert all(line.split()[0] in {"ok", "note", "warning"} for line in result.stdout.splitlines())


# The SDK leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestWithoutEngine:
    """Where none answers."""

    @pytest.fixture(autouse=True)
    def _no_engine(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # noqa: ANN401
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
        yield
        gc.collect()

    def test_the_doctor_says_how_to_get_one(self, app: typer.Typer) -> None:
        """The finding names the address and the cure, and the exit code says that the world is missing."""
        result = CliRunner().invoke(app, ["doctor", "--json"])

        finding = json.loads(result.stdout)["findings"][0]
        assert result.exit_code == 3
        assert (finding["kind"], finding["severity"]) == ("engine", "error")
        assert "no-engine.sock" in finding["text"]
        assert "DOCKER_HOST" in finding["remedy"]

    def test_measuring_needs_one(self, app: typer.Typer, home: Path) -> None:
        """Nothing is written; the error is one line with the way to an engine."""
        result = CliRunner().invoke(app, ["measure-host"])

        assert isinstance(result.exception, EngineMissing)
        assert "\n" not in str(result.exception)
        assert not home.exists()
