"""A Docker engine of our own beside the machine's, for faults that no other engine may suffer.

It has all it needs in one directory, and namespaces for mounts and network of its own:

- `dockerd --bridge none` deletes the `docker0` of whatever network namespace it runs in, another engine's too (tried);
- an engine takes part in the machine's containerd where it sees one, and then shares its containers and its end;
- bridges and mounts of an engine that was killed stay behind, and go only with their namespaces.

A small process keeps the namespaces while the engine is down, so that a returning engine finds what it left. It ends
when its stdin closes, which is at the latest when this process ends. Containers reach each other over user networks,
and nothing outside.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Self, assert_never

from live import engine_remains as remains
from live.engine import CONNECTIONS_MAX, ENGINE_TIMEOUT_S, answering
from live.errors import EngineRefused, MissingExtra
from live.leftovers import labelled, remove_run

if TYPE_CHECKING:
    from types import TracebackType

    import docker

    from sim.machine import Blow

PROGRAMS = ("dockerd", "containerd", "unshare", "nsenter", "mount")
# An engine is up in less than a second; a busy machine may take its time.
START_S_MAX = 30.0
# It gives its containers ten seconds each, and itself five more.
STOP_S_MAX = 30.0
POLL_S = 0.01
# The containerd of an engine that was killed is killed by the kernel a moment later; should one ever live on, the
# engine that returns takes it over.
LAST_BREATHS_MAX = 100
PING_S_MAX = 1.0
LOG_LINE_CHARACTERS_MAX = 300
WANTED = "be joined by a private one"
# Shims keep their sockets in the one and engines their settings and identity in the other, whatever they are told.
# Covered by places of this engine's own, those of the machine's engine are neither seen nor touched.
KEEP_NAMESPACES = """
mkdir -p /run/containerd /etc/docker "$1/etc" &&
mount -t tmpfs tonnage /run/containerd && mount --bind "$1/etc" /etc/docker && echo kept && read -r _
"""


class PrivateEngine:
    """An engine that is up while its context is entered; fulfils `live.blows.EngineBlows`.

    `EngineRefused` on entering, where this machine cannot have one. Afterwards nothing of it is left but, where the
    machine had none, the empty directories `/run/containerd` and `/etc/docker`: another private engine may have them
    covered by now, and would lose its own if they were removed under it.
    """

    def __init__(self) -> None:
        """Nothing is made before the context is entered."""
        self._directory: remains.EngineDirectory | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._engine: subprocess.Popen[bytes] | None = None
        # Whoever holds it ends or starts the engine's processes.
        self._hand = threading.Lock()
        self._leaving = threading.Event()
        # Nobody waits any more for the end of the blow that is being dealt.
        self._blow_is_over = threading.Event()

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        why = obstacle()
        if why:
            raise EngineRefused(WANTED, why)
        self._leaving.clear()
        self._blow_is_over.clear()
        self._directory = remains.new_directory()
        with ExitStack() as unless_it_starts:
            unless_it_starts.callback(self.close)
            self._start()
            unless_it_starts.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        """End it with all it has."""
        self.close()

    @property
    def directory(self) -> remains.EngineDirectory:
        """Where everything of it is."""
        assert self._directory is not None, "a private engine has a directory once its context is entered"
        return self._directory

    @property
    def address(self) -> str:
        """Where it answers, as DOCKER_HOST has it."""
        return f"unix://{self.directory.socket}"

    def client(self) -> docker.DockerClient:
        """A client of it, to be closed by the caller."""
        try:
            import docker
        except ImportError:
            raise MissingExtra("docker") from None
        with answering("say its version"):
            return docker.DockerClient(self.address, timeout=ENGINE_TIMEOUT_S, max_pool_size=CONNECTIONS_MAX)

    def strike(self, blow: Blow, down_s: float | None) -> None:
        """Deal the blow, and have the engine up again `down_s` after it began; None means never.

        Blocks until then, or until it is brought back or closed before its time. `EngineRefused` if the engine does not
        end, or does not come up again.
        """
        begun_s = time.monotonic()
        with self._hand:
            if self._leaving.is_set():
                return
            self._deal(blow)
            if down_s is None or self._blow_is_over.wait(max(0.0, begun_s + down_s - time.monotonic())):
                return
            self._start()

    def bring_back(self) -> None:
        """Have it up, where a blow left it down or would for some time yet, and where it ended by itself."""
        self._blow_is_over.set()
        with self._hand:
            if self._leaving.is_set():
                return
            # Only now: the blow that it was meant for had the hand.
            self._blow_is_over.clear()
            if self._engine is None or self._engine.poll() is not None:
                self._start()

    def restore(self) -> None:
        """Have it up and without anything of earlier runs, for whoever uses it next; `EngineRefused` if that fails."""
        self.bring_back()
        with closing(self.client()) as client, answering("say what is on it"):
            # Whoever made it: on an engine of our own it is nobody else's, and would come back in the next run.
            runs = sorted({thing.run for thing in labelled(client)})
            left = [name for run in runs for name in remove_run(client, run)]
        if left:
            raise EngineRefused("be emptied of earlier runs", f"it keeps {', '.join(left)}")

    def close(self) -> None:
        """End every process of it and remove its directory; a blow that is being dealt ends first."""
        self._leaving.set()
        self._blow_is_over.set()
        with self._hand:
            if self._directory is not None:
                remains.kill_all(self._directory)
                self._reap()
                remains.remove_all(self._directory)
                self._directory = None

    def _deal(self, blow: Blow) -> None:
        match blow:
            case "stop":
                self._end_engine(signal.SIGTERM)
            case "crash":
                self._end_engine(signal.SIGKILL)
            case "loss":
                self._lose()
            case _:
                assert_never(blow)

    def _lose(self) -> None:
        """What a machine that loses its power loses: its processes, what it had mounted, and what was below /run."""
        remains.kill_all(self.directory)
        self._reap()
        remains.remove_cgroups(self.directory)
        shutil.rmtree(self.directory.run, ignore_errors=True)

    def _end_engine(self, how: signal.Signals) -> None:
        if self._engine is not None:
            self._engine.send_signal(how)
            try:
                self._engine.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                raise EngineRefused("end", f"the private engine did not within {STOP_S_MAX:.0f} s") from None
            self._engine = None

    def _reap(self) -> None:
        """Take note that the children ended, which were killed."""
        for child in filter(None, (self._engine, self._keeper)):
            child.wait(STOP_S_MAX)
            for stream in filter(None, (child.stdin, child.stdout)):
                stream.close()
        self._engine = self._keeper = None

    def _start(self) -> None:
        if self._keeper is None:
            self._keep_namespaces()
        for _ in range(LAST_BREATHS_MAX):
            if remains.forget_ended(self.directory):
                break
            time.sleep(POLL_S)
        assert self._keeper is not None, "namespaces are kept before an engine starts in them"
        with self.directory.log.open("ab") as log:
            self._engine = subprocess.Popen(
                ["nsenter", f"--target={self._keeper.pid}", "--mount", "--net", "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers(self._engine)

    def _keep_namespaces(self) -> None:
        self._keeper = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--net",
                "--",
                "sh",
                "-c",
                KEEP_NAMESPACES,
                remains.KEEPER,
                str(self.directory.path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None, "the keeper's word is read from a pipe"
        word = self._keeper.stdout.readline().decode(errors="replace").strip()
        if word != "kept":
            raise EngineRefused(WANTED, f"it can have no namespaces of its own: {word}")

    def _command(self) -> list[str]:
        return [
            "dockerd",
            f"--data-root={self.directory.data}",
            f"--exec-root={self.directory.run}",
            f"--pidfile={self.directory.pid_file}",
            f"--host={self.address}",
            "--bridge=none",
            "--iptables=false",
            "--ip-masq=false",
            "--ip-forward=false",
        ]

    def _wait_until_it_answers(self, engine: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            if self._answers() or self._leaving.is_set():
                return
            if engine.poll() is not None:
                raise EngineRefused(WANTED, f"it ended at once: {self._last_words()}")
            time.sleep(POLL_S)
        raise EngineRefused(WANTED, f"it did not answer within {START_S_MAX:.0f} s: {self._last_words()}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PING_S_MAX)
            try:
                asking.connect(str(self.directory.socket))
                asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in asking.recv(64)
            except OSError:
                return False

    def _last_words(self) -> str:
        lines = self.directory.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1][-LOG_LINE_CHARACTERS_MAX:] if lines else "it said nothing"


def obstacle() -> str:
    """Why this process can have no private engine; empty where nothing is known to be in the way."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if sys.platform != "linux":
        return "that takes Linux"
    if os.geteuid() != 0:
        return "only root can start one"
    return f"{' and '.join(missing)} cannot be found on the path" if missing else ""
