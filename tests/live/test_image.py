"""The worker image: what goes into it, when it is built, and what comes out."""

from __future__ import annotations

import io
import platform
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
import pytest

from live import image
from live.image import ImageError, base_recipe, own_recipe, worker_image

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the image is made of a Linux interpreter")


class FakeEngine:
    """An engine that has some images, builds what it is given and remembers it."""

    def __init__(self, system: str, processor: str, failure: Exception | None = None) -> None:
        """Run on this operating system and processor; fail a build in this way."""
        self.images = self
        self.built: dict[str, bytes] = {}
        self._version = {"Os": system, "Arch": processor}
        self._failure = failure

    def version(self) -> dict[str, str]:
        """What the engine runs on."""
        return self._version

    def get(self, tag: str) -> object:
        """An image by its tag."""
        if tag not in self.built:
            raise docker.errors.ImageNotFound(tag)
        return tag

    def build(self, *, fileobj: io.BytesIO, tag: str, **_: object) -> None:
        """Build an image."""
        if self._failure is not None:
            raise self._failure
        self.built[tag] = fileobj.getvalue()


def as_client(engine: FakeEngine) -> docker.DockerClient:
    """The fake, where a client is asked for."""
    return cast("docker.DockerClient", engine)


def here() -> str:
    """This machine's processor, as an engine calls it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def dockerfile(context: bytes) -> str:
    """The Dockerfile in a build context."""
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        file = tar.extractfile("Dockerfile")
        assert file is not None
        return file.read().decode()


class TestRecipe:
    """What an image is made from."""

    @linux_only
    def test_it_is_the_running_interpreter_and_the_worker(self) -> None:
        """Interpreter, C library, loader, standard library and worker; no tests and nothing installed."""
        files = own_recipe().files
        names = " ".join(files)

        assert files["usr/bin/python3"] == Path(sys.executable).resolve()
        assert "usr/lib/tonnage/libc.so" in names
        assert any("/" in name and "ld-linux" in name for name in files)
        assert any(name.endswith("/json/decoder.py") for name in files)
        assert "opt/tonnage/worker/supervisor.py" in files
        assert not any(part in names for part in ("site-packages", "/test/", "__pycache__", "/live/"))

    @linux_only
    def test_the_same_files_make_the_same_tag(self) -> None:
        """The tag is the content's: another worker is another image, whatever the dates are."""
        recipe = own_recipe()
        changed = recipe.files | {"opt/tonnage/worker/burner.py": Path(__file__)}

        assert own_recipe().tag == recipe.tag
        assert replace(recipe, files=changed).tag != recipe.tag
        assert replace(recipe, dockerfile="FROM scratch").tag != recipe.tag

    @linux_only
    def test_the_context_names_nobody_and_no_date(self) -> None:
        """Sorted, dated zero, owned by root, and with byte code for what the worker imports."""
        with tarfile.open(fileobj=io.BytesIO(own_recipe().context())) as tar:
            members = tar.getmembers()
        names = [member.name for member in members if member.isfile() and member.name != "Dockerfile"]

        assert sorted(names) == names
        assert {(0, 0, 0, "")} == {(member.mtime, member.uid, member.gid, member.uname) for member in members}
        assert {0o644, 0o755, 0o1777} == {member.mode for member in members}
        assert any("worker/__pycache__/supervisor." in name for name in names)
        assert any("worker/__pycache__/health." in name for name in names)

    def test_an_empty_directory_is_everybodys(self) -> None:
        """A volume that is mounted there takes its permissions over; it is the only one that anybody may write to."""
        with tarfile.open(fileobj=io.BytesIO(base_recipe().context())) as tar:
            members = tar.getmembers()
        place = f"root{image.VOLUME_HOME}"

        assert [(place, True)] == [(member.name, member.isdir()) for member in members if member.mode & 0o022]
        assert [] == [member.name for member in members if member.name.startswith(f"{place}/")]

    @pytest.mark.parametrize(("name", "other"), [("VOLUME_HOME", "/elsewhere"), ("VOLUME_MODE", 0o755)])
    def test_that_directory_is_part_of_the_tag(
        self, monkeypatch: pytest.MonkeyPatch, name: str, other: str | int
    ) -> None:
        """An image that was built without it, or with another, is not taken for this one."""
        before = base_recipe().tag
        monkeypatch.setattr(image, name, other)

        assert base_recipe().tag != before

    def test_what_ldd_says_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Names with their paths, the loader by its own, and neither the kernel's page nor what is missing."""
        told = (
            "/usr/bin/python3:\n"
            "\tlinux-vdso.so.1 (0x00007f229bb05000)\n"
            "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f229ba0f000)\n"
            "\tlibgone.so.1 => not found\n"
            "\t/lib64/ld-linux-x86-64.so.2 (0x00007f229bb07000)\n"
        )
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=told))

        found = image.shared_libraries([Path("/usr/bin/python3")])

        assert ["libm.so.6", "/lib64/ld-linux-x86-64.so.2"] == list(found)


class TestBuilding:
    """When an image is built, and from what."""

    @linux_only
    def test_it_is_built_once(self) -> None:
        """An image that is there is not built again."""
        engine = FakeEngine("linux", here())
        first = worker_image(as_client(engine))
        engine.built[first] = b"kept"
        second = worker_image(as_client(engine))

        assert first == second
        assert {first: b"kept"} == engine.built

    @pytest.mark.parametrize(("system", "processor"), [("linux", "s390x"), ("windows", "amd64")])
    def test_elsewhere_it_is_built_from_a_python_image(self, system: str, processor: str) -> None:
        """Where this interpreter cannot run, only the worker is copied, and compiled there."""
        engine = FakeEngine(system, processor)
        tag = worker_image(as_client(engine))
        text = dockerfile(engine.built[tag])

        assert text.startswith("FROM python:3.11-slim\n")
        assert "-m compileall" in text
        assert 'ENTRYPOINT ["/usr/local/bin/python3", "-S", "-E", "-s", "-c"' in text
        assert "USER 65534:65534" in text
        assert {"opt"} == {name.split("/")[0] for name in base_recipe().files}

    @pytest.mark.parametrize(
        "failure",
        [
            docker.errors.BuildError("pull access denied\nfor python", iter(())),
            docker.errors.APIError("no space"),
            OSError("no such file: ldd"),
        ],
    )
    def test_a_build_that_fails_is_one_line(self, failure: Exception) -> None:
        """The engine's reason, behind what it means."""
        with pytest.raises(ImageError) as caught:
            worker_image(as_client(FakeEngine("linux", "s390x", failure)))

        assert str(caught.value).startswith("the worker image cannot be built: ")
        assert "\n" not in str(caught.value)


@pytest.mark.docker
@pytest.mark.timeout(90)
def test_the_engine_builds_it(docker_engine: docker.DockerClient) -> None:
    """On a real engine: small, labelled, for nobody in particular, with the worker as its entry."""
    tag = worker_image(docker_engine)
    built: dict[str, Any] = docker_engine.images.get(tag).attrs

    assert built["Size"] < 100e6
    assert built["Config"]["Labels"]["io.tonnage.image"] == "worker"
    assert built["Config"]["User"] == "65534:65534"
    assert built["Config"]["Entrypoint"][0] in {"/usr/bin/python3", "/usr/local/bin/python3"}
    assert worker_image(docker_engine) == tag
