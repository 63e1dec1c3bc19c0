"""The way to the engine: which one, what is said where there is none or it goes away, and that nothing stays open."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.util
import json
import shutil
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import docker
import pytest
import requests

from live.engine import CONNECTIONS_MAX, answering, connect
from live.errors import EngineBusy, EngineMissing, EngineRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live.errors import LiveError

ENGINE_SOCKET = "/var/run/docker.sock"


@pytest.mark.parametrize(
    "problem", [requests.ConnectionError("reset"), docker.errors.APIError("reset"), OSError("reset")]
)
def test_an_engine_that_goes_away_is_a_refusal(problem: Exception) -> None:
    """Whatever the SDK raises, what was wanted and what came back are told in one line."""
    told = "the engine could not say what is on it: reset; `tonnage doctor`"

    with pytest.raises(EngineRefused, match=told), answering("say what is on it"):
        raise problem


@pytest.mark.parametrize("problem", [EngineBusy("run 1"), EngineRefused("start", "no")])
def test_what_is_told_already_is_left_alone(problem: LiveError) -> None:
    """Our own errors go through as they are."""
    with pytest.raises(type(problem)) as raised, answering("say what is on it"):
        raise problem

    assert raised.value is problem


def test_a_client_that_gets_no_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections do not stay open."""
    closed: list[str] = []

    class Mute(docker.DockerClient):
        """A client whose engine does not answer."""

        def version(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401  # As the SDK's own.
            """Fail as the SDK does."""
            raise requests.ConnectionError("refused")

        def close(self) -> None:
            """Note it."""
            closed.append("closed")
            super().close()

    monkeypatch.setattr(docker, "from_env", lambda **options: Mute("unix:///nowhere.sock", **options))

    with pytest.raises(EngineMissing, match="refused"):
        connect()

    assert closed == ["closed"]


class Contexts:
    """A Docker configuration of the test's own, with contexts in it as the CLI writes them."""

    def __init__(self, directory: Path) -> None:
        """Begin with none."""
        self.directory = directory
        directory.mkdir()
        self.use(None)

    def use(self, name: str | None) -> None:
        """Make a context the current one."""
        (self.directory / "config.json").write_text(json.dumps({"currentContext": name} if name else {}))

    def add(self, name: str, host: str, certificates: Path | None = None) -> None:
        """Make a context; with certificates, one whose engine must show one of the same authority."""
        key = hashlib.sha256(name.encode()).hexdigest()
        endpoint = {"Host": host, "SkipTLSVerify": certificates is None}
        meta = self.directory / "contexts" / "meta" / key
        meta.mkdir(parents=True)
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
        if certificates is not None:
            tls = self.directory / "contexts" / "tls" / key / "docker"
            tls.mkdir(parents=True)
            for file in ("ca.pem", "cert.pem", "key.pem"):
                shutil.copy(certificates / file, tls / file)


@pytest.fixture(name="contexts")
def _contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contexts]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    yield Contexts(tmp_path / "docker")
    # The SDK leaves the socket of a connection that was refused to the garbage collector.
    gc.collect()


def make_certificates(directory: Path) -> Path:
    """A new authority, and a certificate of it for 127.0.0.1, made by openssl."""
    directory.mkdir()
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    its_own = [*new, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    ours = [*new, "-days", "1", "-subj", "/CN=engine", "-keyout", "key.pem", "-out", "cert.pem", *signed]
    for command in (its_own, ours):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory


class TlsDoor:
    """A TLS port in front of the engine's socket, open to whoever shows a certificate of the authority."""

    def __init__(self, certificates: Path) -> None:
        """Listen on a free port."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        self._tls.load_verify_locations(certificates / "ca.pem")
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.refused_count = 0
        self._threads = [threading.Thread(target=self._welcome)]
        self._threads[0].start()

    def close(self) -> None:
        """Let nobody in any more, and wait until those who are have gone."""
        # Closing alone would not wake the thread that waits in `accept`.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                guest, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(guest,)))
                self._threads[-1].start()

    def _serve(self, guest: socket.socket) -> None:
        """Answer one request after another: enough for what does not stream."""
        with guest, socket.socket(socket.AF_UNIX) as engine:
            try:
                line = self._tls.wrap_socket(guest, server_side=True)
            except OSError:
                self.refused_count += 1
                return
            engine.connect(ENGINE_SOCKET)
            with line, contextlib.suppress(OSError):
                while asked := line.recv(65_536):
                    engine.sendall(asked)
                    line.sendall(engine.recv(65_536))


@pytest.fixture(name="door")
def _door(tmp_path: Path) -> Iterator[TlsDoor]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the path")
    door = TlsDoor(make_certificates(tmp_path / "certificates"))
    yield door
    door.close()


def missing(context: str | None = None) -> str:
    """What is said where no engine answers."""
    with pytest.raises(EngineMissing) as raised:
        connect(context)
    return raised.value.finding


@pytest.mark.docker
class TestEngineOfAContext:
    """Contexts that lead to an engine."""

    @pytest.fixture(name="engine_id")
    def _engine_id(self, docker_engine: docker.DockerClient) -> str:
        """The engine these tests reach by several ways."""
        return str(docker_engine.info()["ID"])

    @pytest.mark.parametrize("way", ["named", "current", "environment"])
    def test_a_socket(self, contexts: Contexts, engine_id: str, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        """A story's context, the CLI's current one and DOCKER_CONTEXT all lead to the engine they name."""
        contexts.add("here", f"unix://{ENGINE_SOCKET}")
        if way == "current":
            contexts.use("here")
        if way == "environment":
            monkeypatch.setenv("DOCKER_CONTEXT", "here")

        with contextlib.closing(connect("here" if way == "named" else None)) as client:
            assert engine_id == client.info()["ID"]

    def test_a_storys_context_goes_before_docker_host(
        self, contexts: Contexts, engine_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a story names is taken, whatever the environment says."""
        contexts.add("here", f"unix://{ENGINE_SOCKET}")
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

        with contextlib.closing(connect("here")) as client:
            assert engine_id == client.info()["ID"]

    def test_tcp_with_tls(self, contexts: Contexts, engine_id: str, door: TlsDoor, tmp_path: Path) -> None:
        """A context with certificates reaches an engine that asks for one, with a pool as wide as a socket's."""
        contexts.add("far", f"tcp://127.0.0.1:{door.port}", tmp_path / "certificates")

        with contextlib.closing(connect("far")) as client:
            adapter: Any = client.api.get_adapter(client.api.base_url)
            assert engine_id == client.info()["ID"]
            assert client.api.base_url.startswith("https://")
            assert CONNECTIONS_MAX == adapter._pool_maxsize

    def test_the_contexts_authority_counts(
        self,
        contexts: Contexts,
        engine_id: str,
        door: TlsDoor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Authorities that the environment names for the web are none for an engine, and do not displace its own."""
        others = make_certificates(tmp_path / "others")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(others / "ca.pem"))
        contexts.add("far", f"tcp://127.0.0.1:{door.port}", tmp_path / "certificates")

        with contextlib.closing(connect("far")) as client:
            assert engine_id == client.info()["ID"]

    def test_tls_of_another_authority(self, contexts: Contexts, engine_id: str, door: TlsDoor, tmp_path: Path) -> None:
        """An engine whose certificate is not of the context's authority is no engine."""
        contexts.add("forged", f"tcp://127.0.0.1:{door.port}", make_certificates(tmp_path / "others"))

        said = missing("forged")
        # The door hears of the refusal a moment after the client has made it.
        door.close()

        assert "no Docker engine answers at the Docker context forged" in said
        assert "certificate verify failed" in said
        assert 1 <= door.refused_count


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestNoEngineInAContext:
    """Contexts that lead nowhere: one line each, and never another engine instead."""

    def test_a_context_that_is_not_there(self, contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
        """The SDK would take the local engine for it; a story must not run where it was not sent."""
        assert "at the Docker context lab (there is no such context" in missing("lab")
        monkeypatch.setenv("DOCKER_CONTEXT", "lab")
        assert "at the Docker context lab (there is no such context" in missing()
        monkeypatch.delenv("DOCKER_CONTEXT")
        contexts.use("lab")
        assert "at the current Docker context (there is no such context" in missing()

    def test_contexts_without_a_configuration(
        self, contexts: Contexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Where the SDK cannot find contexts at all, the way to make it find them is told."""
        contexts.add("here", f"unix://{ENGINE_SOCKET}")
        (contexts.directory / "config.json").unlink()
        monkeypatch.setenv("HOME", str(tmp_path))

        assert "`docker context use NAME` makes one" in missing("here")

    def test_a_socket_that_is_not_there(self, contexts: Contexts, tmp_path: Path) -> None:
        """The context is named, and what the system said."""
        contexts.add("gone", f"unix://{tmp_path}/none.sock")

        assert "at the Docker context gone ([Errno 2] No such file or directory)" in missing("gone")

    def test_a_port_nobody_listens_on(self, contexts: Contexts) -> None:
        """As with a socket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        contexts.add("closed", f"tcp://127.0.0.1:{port}")

        assert "at the Docker context closed ([Errno 111] Connection refused)" in missing("closed")

    def test_a_context_that_cannot_be_read(self, contexts: Contexts) -> None:
        """A broken file of the CLI's is told, and is no traceback."""
        contexts.add("broken", "unix:///nowhere.sock")
        for file in contexts.directory.glob("contexts/meta/*/meta.json"):
            file.write_text("{nope")

        said = missing("broken")

        assert "at the Docker context broken (" in said
        assert "\n" not in said

    @pytest.mark.parametrize("named", [True, False])
    def test_ssh_without_paramiko(self, contexts: Contexts, monkeypatch: pytest.MonkeyPatch, *, named: bool) -> None:
        """What is missing is told with a way to do without it, not the name of a class of the SDK."""
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "paramiko" else find(name))
        contexts.add("far", "ssh://somebody@far.invalid")
        if not named:
            monkeypatch.setenv("DOCKER_HOST", "ssh://somebody@far.invalid")

        said = missing("far" if named else None)

        assert "takes the package paramiko, which is not installed" in said
        assert "`ssh -N -L " in said
