"""The doctor and the commands of the live layer, on a real engine and without one."""

from __future__ import annotations

import dataclasses
import gc
import json
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import psutil
import pytest
import typer
from typer.testing import CliRunner

from live import doctor
from live.commands import register
from live.doctor import Finding, findings, findings_without_engine, mend
from live.errors import EngineMissing, EngineRefused
from live.image import worker_image
from live.labels import RunLabels
from live.lock import lock_path, read_holder
from live.owner import Owner, this_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

LEFT_NAME = "tonnage-doctor-test"


@pytest.fixture(name="app")
def _app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


class Belongings:
    """Networks and volumes that a test makes, and takes away again."""

    def __init__(self, client: docker.DockerClient) -> None:
        """Begin with none."""
        self._api = client.api

    def make(self, name: str, labels: dict[str, str]) -> None:
        """A network and a volume of this name."""
        self._api.create_network(name, labels=labels)
        self._api.create_volume(name, labels=labels)

    def there(self) -> set[tuple[str, str]]:
        """Which are on the engine, by kind and name."""
        networks = {("network", str(raw["Name"])) for raw in self._api.networks()}
        volumes = {("volume", str(raw["Name"])) for raw in self._api.volumes()["Volumes"] or ()}
        return {(kind, name) for kind, name in networks | volumes if name.startswith(LEFT_NAME)}

    def clear(self) -> None:
        """Take all away."""
        for kind, name in self.there():
            if kind == "network":
                self._api.remove_network(name)
            else:
                self._api.remove_volume(name)


@pytest.fixture(name="belongings")
def _belongings(docker_engine: docker.DockerClient) -> Iterator[Belongings]:
    belongings = Belongings(docker_engine)
    yield belongings
    belongings.clear()


def labels_of_the_dead() -> dict[str, str]:
    """The labels of a run whose process has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    owner = dataclasses.replace(this_owner(), pid=child.pid, pid_start="1")
    return RunLabels("doctor-test", owner, time.time() + 1000).as_labels()


def refuse(**_: object) -> NoReturn:
    """Refuse whatever is asked."""
    raise ConnectionError("it is busy")


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

        before, *_ = of_kind(findings(docker_engine), "leftovers")
        result = CliRunner().invoke(app, ["doctor", "--fix", "--json"])

        assert before.severity == "warning"
        assert LEFT_NAME in before.text
        assert result.exit_code == 0
        answer = json.loads(result.stdout)
        assert answer["kind"] == "doctor"
        assert f"removed container {LEFT_NAME}" in answer["done"]
        assert {"kind", "severity", "text", "remedy"} == set(answer["findings"][0])
        assert docker_engine.api.containers(all=True, filters={"name": LEFT_NAME}) == []

    def test_networks_and_volumes_are_named_and_mended(
        self, docker_engine: docker.DockerClient, app: typer.Typer, belongings: Belongings
    ) -> None:
        """What a dead owner left is named by its kind and removed; what has no label of ours, or half of it, stays."""
        dead = labels_of_the_dead()
        belongings.make(f"{LEFT_NAME}-left", dead)
        belongings.make(f"{LEFT_NAME}-foreign", {"com.example": "1"})
        belongings.make(f"{LEFT_NAME}-half", {key: text for key, text in dead.items() if not key.endswith(".pid")})

        before, strange, *_ = of_kind(findings(docker_engine), "leftovers")
        result = CliRunner().invoke(app, ["doctor", "--fix", "--json"])

        assert 0 == result.exit_code
        for kind in ("network", "volume"):
            assert f"{kind} {LEFT_NAME}-left" in before.text
            assert f"{kind} {LEFT_NAME}-half" in strange.text
            assert f"removed {kind} {LEFT_NAME}-left" in json.loads(result.stdout)["done"]
        assert "foreign" not in before.text + strange.text
        kept = {(kind, f"{LEFT_NAME}-{which}") for kind in ("network", "volume") for which in ("foreign", "half")}
        assert kept == belongings.there()

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


class TestPrivateEngines:
    """What crashed runs left of engines of their own: stand-ins here, real ones in `test_private_engine.py`."""

    @pytest.fixture(autouse=True)
    def _left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two directories of engines whose owners are gone, one of which cannot be removed."""
        self.left = [Path("/tmp/engine-a"), Path("/tmp/engine-b")]  # noqa: S108  # Nothing is there.
        monkeypatch.setattr(doctor, "find_left_engines", lambda: tuple(self.left))
        monkeypatch.setattr(doctor, "remove_left_engine", self.remove)

    def remove(self, path: Path) -> None:
        """Remove the first and refuse the second."""
        if path.name == "engine-b":
            raise EngineRefused("get rid of a private one", "it is held")
        self.left.remove(path)

    def test_they_are_found_without_an_engine(self) -> None:
        """They are named whether the machine's own engine answers or not."""
        (finding,) = of_kind(findings_without_engine(EngineMissing("here", "nobody")), "leftovers")

        assert "crashed runs left 2 private engines: /tmp/engine-a, /tmp/engine-b" == finding.text
        assert "warning" == finding.severity

    @pytest.mark.docker
    def test_they_are_mended(self, docker_engine: docker.DockerClient) -> None:
        """What was removed is said, and what was not, with the reason."""
        found = of_kind(findings(docker_engine), "leftovers")
        done = mend(docker_engine)

        assert "crashed runs left 2 private engines" in " ".join(finding.text for finding in found)
        assert "removed the private engine in /tmp/engine-a" in done
        assert "could not remove the private engine in /tmp/engine-b: it is held" in done
        assert ["engine-b"] == [path.name for path in self.left]

    def test_what_lies_here_is_mended_where_the_engine_refuses(self, home: Path) -> None:
        """The engine's own refusal is told, and the machine is mended all the same."""
        home.mkdir(parents=True)
        lock_path().write_text('{"pid": 1, "run": "ab12", "since_s": 1.0}', encoding="utf-8")
        refusing = cast("docker.DockerClient", SimpleNamespace(api=SimpleNamespace(containers=refuse)))

        with pytest.raises(EngineRefused, match="it is busy"):
            mend(refusing)

        assert read_holder() is None
        assert ["engine-b"] == [path.name for path in self.left]


THIS_MACHINE = {
    "KernelVersion": platform.release(),
    "Name": socket.gethostname(),
    "NCPU": psutil.cpu_count(),
    "MemTotal": psutil.virtual_memory().total,
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
}


def notes_on(**differs: object) -> list[str]:
    """What is said of where an engine is that differs from this machine in these words."""
    return [finding.text for finding in doctor._place(THIS_MACHINE | differs)]


class TestPlaces:
    """Engines that are not on this machine's kernel; their answers are made up but for what is this machine's."""

    @pytest.mark.skipif(platform.system() != "Linux", reason="an engine on this kernel takes Linux")
    def test_an_engine_on_this_machine_needs_no_words(self) -> None:
        """Docker on this kernel, with this machine's name and memory, is the usual case."""
        assert [] == notes_on()

    @pytest.mark.parametrize("kernel", ["6.10.14-linuxkit", platform.release()])
    def test_docker_desktop_is_a_virtual_machine(self, kernel: str) -> None:
        """Its cores and memory are what the engine says, and its runs compare with nothing; in WSL too."""
        (text,) = notes_on(
            OperatingSystem="Docker Desktop", KernelVersion=kernel, Name="docker-desktop", NCPU=64, MemTotal=8 << 30
        )

        assert (
            "a virtual machine of Docker Desktop: containers have its 64 CPUs and 8.0 GiB, not this machine's" in text
        )
        assert "cannot be measured, so live runs on it are not comparable" in text

    @pytest.mark.parametrize(
        "differs", [{"KernelVersion": "5.15.0-1-other"}, {"Name": "lab"}, {"MemTotal": 4 << 30}, {"Name": None}]
    )
    def test_an_engine_elsewhere(self, differs: dict[str, object]) -> None:
        """A machine with this kernel's version is another all the same if its name or memory is another."""
        (text,) = notes_on(**differs)

        assert f"on another machine or in a virtual one, {(THIS_MACHINE | differs)['Name'] or 'unnamed'}: " in text
        assert "not comparable" in text

    def test_a_machine_elsewhere_is_not_measured_here(self) -> None:
        """This machine's disk and memory say nothing of an engine elsewhere."""
        elsewhere = THIS_MACHINE | {"Name": "lab", "DockerRootDir": "/"}

        assert [] == [*doctor._disk(elsewhere), *doctor._memory(elsewhere)]
        assert ["disk"] == [finding.kind for finding in doctor._disk(THIS_MACHINE | {"DockerRootDir": "/"})]

    def test_podman_is_called_podman(self) -> None:
        """Its answers are Docker's, but for what it builds images with; what it lacks is said."""
        says = THIS_MACHINE | {"BuildahVersion": "1.28.2", "ServerVersion": "4.3.1", "Driver": "overlay"}

        assert next(doctor._engine(says)).text.startswith("Podman 4.3.1, cgroup v1")
        assert "changes no limits of running containers" in notes_on(**says)[-1]
